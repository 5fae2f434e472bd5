"""Concept shift: P(y | x) changes, the inputs stay."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from tladapt.data.domain import Domain, Scenario
from tladapt.data.shifts.base import SHIFTS, Shift, Side, generator, on_side
from tladapt.data.shifts.resampling import class_index, labels_of


@SHIFTS.register("concept_shift")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConceptShift(Shift):
    """Two classes change places: a share of the examples of each has the label of the other.

    Inputs stay as they are, and with of=target so does everything that training sees: what no method without target
    labels can undo. The shares are exact to within rounding, in the target and in its test set each.
    """

    uses_target_labels: ClassVar[bool] = True

    first: str
    """Name of one class."""
    second: str
    """Name of the other."""
    share: float = 1.0
    """Which share of the examples of both changes its label, in [0, 1]."""
    of: Side = "target"
    """Whose labels change: target (and its test set) or source (and its validation set)."""
    seed: int = 0
    """Which examples change their label."""

    def check(self) -> None:
        """Raise for a share that is none, or one class named twice."""
        if not 0 <= self.share <= 1:
            raise self.wrong("share", "in [0, 1]")
        if self.first == self.second:
            raise self.wrong("second", "another class than the first")

    def shifted(self, scenario: Scenario) -> Scenario:
        """Return the problem with other labels on a side."""
        pair = [class_index(self, name, scenario.classes) for name in (self.first, self.second)]

        def change(role: str, domain: Domain) -> Domain:
            if not on_side(role, self.of):
                return domain
            old = labels_of(self, role, domain)
            new, rng = old.copy(), generator(self.name, role, self.seed)
            for label, other in zip(pair, pair[::-1], strict=True):
                where = rng.permutation(np.flatnonzero(old == label))
                new[where[: round(self.share * len(where))]] = other
            return dataclasses.replace(domain, y=new)

        return scenario.with_domains(change)

    def facts(self, before: Scenario, after: Scenario) -> dict[str, Any]:
        """Return the chance of each label after the shift, given the one before, of the two classes."""
        del before, after
        keeps = 1 - self.share
        return {"transition": [[keeps, self.share], [self.share, keeps]]}
