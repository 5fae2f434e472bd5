"""Shifts of the class priors: label shift, tweak-one, knock-out, long tails, missing classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from tladapt.data.shifts.base import SHIFTS, generator
from tladapt.data.shifts.resampling import PriorShift, Resampling, class_index
from tladapt.errors import UsageError


@SHIFTS.register("label_shift")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelShift(PriorShift):
    """Class priors given, or drawn from a Dirichlet distribution: P(y) changes, P(x | y) stays.

    Source: Lipton, Wang, Smola, "Detecting and correcting for label shift with black box predictors", ICML 2018,
    arXiv:1802.03916.

    Deviation from the paper: examples are drawn without replacement, so that no test example counts twice.
    """

    prior: tuple[float, ...] | None = None
    """The prior of each class, in the order of the classes; they sum to 1."""
    alpha: float | None = None
    """Instead of prior: concentration of the Dirichlet distribution it is drawn from; 1: any prior is as likely, 0.1:
    few classes have almost everything."""
    size: int | None = None
    """Examples that the target (or each source) keeps. None: as many as there can be; the test set always does."""

    def check(self) -> None:
        """Raise for no prior, two of them, or one that is none."""
        if (self.prior is None) == (self.alpha is None):
            raise UsageError(
                f"{self.called} needs either prior= (a number for each class) or alpha= (of a Dirichlet distribution),"
                f" got prior={self.prior}, alpha={self.alpha}."
            )
        if self.alpha is not None and self.alpha <= 0:
            raise self.wrong("alpha", "above 0")
        if self.prior is not None and (min(self.prior, default=-1) < 0 or abs(sum(self.prior) - 1) > 1e-6):
            raise self.wrong("prior", "numbers from 0 on that sum to 1")
        if self.size is not None and self.size < 1:
            raise self.wrong("size", "a whole number from 1 on")

    def prior_of(self, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the prior that is given, or drawn."""
        del shares
        if self.prior is None:
            assert self.alpha is not None
            draws = generator(self.name, "prior", self.seed).standard_gamma(self.alpha, size=len(classes))
            return np.asarray(draws / draws.sum())
        if len(self.prior) != len(classes):
            raise UsageError(
                f"{self.called}: prior has {len(self.prior)} numbers, and there are {len(classes)} classes."
            )
        return np.array(self.prior) / sum(self.prior)

    def size_of(self, role: str) -> int | None:
        """Return the size that is given, but for the sets that only the evaluator has."""
        return None if role in ("test", "validation") else self.size


@SHIFTS.register("tweak_one")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TweakOne(PriorShift):
    """One class has the prior rho, all others share the rest equally.

    Source: Lipton, Wang, Smola, ICML 2018, arXiv:1802.03916 (section 6).
    """

    label: str
    """Name of the class."""
    prior: float
    """Its prior, rho, in [0, 1]."""

    def check(self) -> None:
        """Raise for a prior that is none."""
        if not 0 <= self.prior <= 1:
            raise self.wrong("prior", "in [0, 1]")

    def prior_of(self, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return rho for one class, (1 - rho) / (C - 1) for the others."""
        prior = np.full(len(classes), (1 - self.prior) / max(1, len(shares) - 1))
        prior[class_index(self, self.label, classes)] = self.prior
        return prior / prior.sum()


@SHIFTS.register("imbalance")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Imbalance(PriorShift):
    """A long tail: the class of rank r among C has a prior in proportion to ratio^(-r / (C - 1)).

    Source: Cui, Jia, Lin, Song, Belongie, "Class-balanced loss based on effective number of samples", CVPR 2019,
    arXiv:1901.05555 (section 4).
    """

    ratio: float = 100.0
    """How many times as many examples the most frequent class has as the rarest, at least 1."""
    order: Literal["index", "random"] = "index"
    """Which class is frequent: the first (index), or as drawn from the seed (random)."""

    def check(self) -> None:
        """Raise for a ratio below 1."""
        if self.ratio < 1:
            raise self.wrong("ratio", "at least 1")

    def prior_of(self, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the long-tailed prior."""
        count = len(shares)
        rank = np.arange(count)
        if self.order == "random":
            rank = generator(self.name, "order", self.seed).permutation(count)
        prior = self.ratio ** (-rank / max(1, count - 1))
        return np.asarray(prior / prior.sum())

    def counts(self, available: np.ndarray, role: str, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return counts of which none is 0."""
        counts = super().counts(available, role, shares, classes)
        if not counts.all():
            raise UsageError(
                f"{self.called}: of the {available.sum()} examples of {role}, none would be of class"
                f" {classes[int(counts.argmin())]!r}. Choose a smaller ratio, or missing_classes."
            )
        return counts


@SHIFTS.register("knock_out")
@dataclasses.dataclass(frozen=True, kw_only=True)
class KnockOut(Resampling):
    """One class loses a share delta of its examples, all others keep theirs.

    Source: Lipton, Wang, Smola, ICML 2018, arXiv:1802.03916 (section 6).
    """

    label: str
    """Name of the class."""
    share: float
    """Which share of its examples goes, delta, in [0, 1]."""

    def check(self) -> None:
        """Raise for a share that is none."""
        if not 0 <= self.share <= 1:
            raise self.wrong("share", "in [0, 1]")

    def counts(self, available: np.ndarray, role: str, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the counts with one class reduced."""
        counts = available.copy()
        place = class_index(self, self.label, classes)
        counts[place] -= round(self.share * int(available[place]))
        return counts


@SHIFTS.register("missing_classes")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingClasses(Resampling):
    """Classes without examples: in the target (partial adaptation), or in the source (open-set adaptation).

    Class names and indices stay as they are: a model has an output for each class, also for those that its source
    lacks, which it cannot learn.
    """

    classes: tuple[str, ...]
    """Names of the classes that go."""

    def check(self) -> None:
        """Raise where no class is named."""
        if not self.classes:
            raise self.wrong("classes", "names of classes, separated by commas,")

    def counts(self, available: np.ndarray, role: str, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the counts with some classes gone."""
        counts = available.copy()
        counts[[class_index(self, name, classes) for name in self.classes]] = 0
        return counts
