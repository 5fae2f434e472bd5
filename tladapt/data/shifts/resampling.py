"""Domains of which examples are taken away, so that the classes have the counts that are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tladapt.data.domain import Domain, Scenario
from tladapt.data.shifts.base import Shift, Side, generator, on_side
from tladapt.errors import UnknownNameError, UsageError
from tladapt.registry import suggest


def counts_of(prior: np.ndarray, total: int) -> np.ndarray:
    """Return whole numbers that sum to `total` and are `total * prior` to within one, by largest remainders.

    >>> counts_of(np.array([0.5, 0.3, 0.2]), 7).tolist()
    [4, 2, 1]
    """
    exact = total * prior
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def largest(prior: np.ndarray, available: np.ndarray) -> int:
    """Return how many examples can have these class priors, when none is taken twice."""
    asked = prior > 0
    total = int(np.floor(np.min((available[asked] + 1) / prior[asked])))
    while total > 0 and (counts_of(prior, total) > available).any():
        total -= 1
    return total


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resampling(Shift):
    """Base of shifts that take examples away until the classes have the counts that `counts` says.

    P(x | y) stays: which examples of a class stay is drawn at random, none is taken twice, and they stay in the order
    of the domain. `origin["shifts"][...]["facts"]` has "before" and "prior", the shares of the classes in the target
    (or in all sources together), and "counts".

    Raises:
      UsageError: where the domain has no labels, or too few examples.
    """

    uses_target_labels: ClassVar[bool] = True

    of: Side = "target"
    """Whose examples are taken away: target (and its test set) or source (and its validation set)."""
    seed: int = 0
    """Which examples of a class stay."""

    def counts(self, available: np.ndarray, role: str, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return how many examples of each class a domain keeps, `[C]`, at most those there are.

        Args:
          available: examples of each class in the domain, `[C]`.
          role: of the domain.
          shares: of the classes in the target, or in all sources together, `[C]`.
          classes: their names.
        """
        raise NotImplementedError(f"{type(self).__name__} must define counts(self, available, role, shares, classes).")

    def shifted(self, scenario: Scenario) -> Scenario:
        """Return the problem with fewer examples on a side."""
        classes = scenario.classes
        before = class_counts(self, scenario)

        def change(role: str, domain: Domain) -> Domain:
            if not on_side(role, self.of):
                return domain
            y = labels_of(self, role, domain)
            available = np.bincount(y, minlength=len(classes))
            counts = self.counts(available, role, before / before.sum(), classes)
            if counts.sum() < 1:
                raise UsageError(f"{self.called}: {len(y)} examples of {domain.name!r} are too few, none would stay.")
            rng = generator(self.name, role, self.seed)
            kept = [rng.permutation(np.flatnonzero(y == label))[:count] for label, count in enumerate(counts)]
            return domain.take(np.sort(np.concatenate(kept)))

        return scenario.with_domains(change)

    def facts(self, before: Scenario, after: Scenario) -> dict[str, Any]:
        """Return the shares of the classes, and the counts afterwards."""
        old, new = class_counts(self, before), class_counts(self, after)
        return {
            "before": (old / old.sum()).tolist(),
            "prior": (new / new.sum()).tolist(),
            "counts": new.tolist(),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorShift(Resampling):
    """Base of shifts to class priors that `prior_of` says; a domain keeps as many examples as there can be."""

    def prior_of(self, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return the wanted prior `[C]`, which sums to 1; arguments as of `counts`."""
        raise NotImplementedError(f"{type(self).__name__} must define prior_of(self, shares, classes).")

    def size_of(self, role: str) -> int | None:
        """Return how many examples a domain keeps; None: as many as there can be."""
        del role
        return None

    def counts(self, available: np.ndarray, role: str, shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Return counts that are to the prior to within one."""
        prior = self.prior_of(shares, classes)
        most = largest(prior, available)
        size = self.size_of(role)
        total = most if size is None else size
        counts = counts_of(prior, total)
        if total < 1 or (counts > available).any():
            scarce = classes[int(np.argmax(prior / np.maximum(available, 1e-9)))]
            raise UsageError(
                f"{self.called}: {role} would keep {total} examples; with this prior, none taken twice, there can be"
                f" {most}. The scarcest class is {scarce!r}."
            )
        return counts


def labels_of(shift: Shift, role: str, domain: Domain) -> np.ndarray:
    """Return the labels of a domain, or say that this shift cannot be without."""
    if domain.y is None:
        raise UsageError(
            f"{shift.called} is made with labels, and the {role} {domain.name!r} has none. Give the target's labels as"
            " well (they are put away), or shift the source: of=source."
        )
    return np.asarray(domain.y)


def class_index(shift: Shift, name: str, classes: Sequence[str]) -> int:
    """Return the index of a class by its name; an unknown one lists the close ones."""
    if name not in classes:
        raise UnknownNameError(f"{shift.called}: there is no class {name!r}.{suggest(name, classes)}")
    return list(classes).index(name)


def class_counts(shift: Resampling, scenario: Scenario) -> np.ndarray:
    """Return the counts of the classes in the target, or in all sources together, `[C]`."""
    found: list[np.ndarray] = []

    def look(role: str, domain: Domain) -> Domain:
        if role == "target" if shift.of == "target" else role.startswith("source"):
            found.append(labels_of(shift, role, domain))
        return domain

    scenario.with_domains(look)
    return np.bincount(np.concatenate(found), minlength=len(scenario.classes))
