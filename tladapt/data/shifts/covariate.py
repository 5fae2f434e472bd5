"""Covariate shift with known importance weights: P(x) changes, P(y | x) stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from tladapt.data.domain import Domain, Scenario
from tladapt.data.shifts.base import SHIFTS, Shift, Side, generator, on_side, side_of
from tladapt.data.shifts.inputs import check_numbers, principal, sample, unit, vectors
from tladapt.errors import UsageError

Ratio = Callable[[np.ndarray], Any]


@SHIFTS.register("covariate_shift")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CovariateShift(Shift):
    """Examples taken away by a known function of their inputs: p_shifted(x) is in proportion to f(x) p(x).

    f(x) = 1 / (1 + exp(-strength z)), z the projection of x onto a direction, with mean 0 and deviation 1. An example
    stays with probability f(x) / max f, by itself: those that stay are an independent sample, none of them twice. No
    label is looked at, and P(y | x) stays.

    `origin["shifts"][...]["facts"]["importance_weights"]` has for each example of each source what an estimator of
    p_target(x) / p_source(x) should find, where source and target were of one distribution before: f(x) / mean f with
    of=target, mean f / f(x) with of=source (the mean over the side that is shifted, before it is).

    Deviations from the source: its acceptance probability is a Gaussian of the first principal component; the logistic
    one never comes near 0 within the data, so that the weights stay bounded.

    Source: Gretton, Smola, Huang, Schmittfull, Borgwardt, Schoelkopf, "Covariate shift by kernel mean matching", in
    Dataset Shift in Machine Learning, 2009 (section 8.4.2).
    """

    by: Literal["principal", "random"] | Ratio = "principal"
    """The direction: principal (where inputs vary most), random (from the seed); or, from Python, f itself: a function
    of inputs [n, ...] (8-bit ones as [0, 1]) that returns [n] numbers above 0."""
    strength: float = 2.0
    """How steep f is along the direction; 0 takes examples away at random."""
    of: Side = "target"
    """Whose examples are taken away: target (and its test set) or source (and its validation set)."""
    seed: int = 0
    """Which examples stay, and the random direction."""

    def shifted(self, scenario: Scenario) -> Scenario:
        """Return the problem with fewer examples on a side."""
        check_numbers(self, scenario)
        ratio = self._ratio(scenario)
        values: dict[str, np.ndarray] = {}

        def look(role: str, domain: Domain) -> Domain:
            if on_side(role, self.of):
                values[role] = ratio(domain)
            return domain

        scenario.with_domains(look)
        highest = max(float(each.max()) for each in values.values())

        def change(role: str, domain: Domain) -> Domain:
            if role not in values:
                return domain
            drawn = generator(self.name, role, self.seed).uniform(size=len(domain))
            kept = np.flatnonzero(drawn * highest < values[role])
            if len(kept) == 0:
                raise UsageError(f"{self.called}: of the {len(domain)} examples of {domain.name!r} none would stay.")
            return domain.take(kept)

        return scenario.with_domains(change)

    def facts(self, before: Scenario, after: Scenario) -> dict[str, Any]:
        """Return the true importance weights of the sources' examples."""
        ratio = self._ratio(before)
        mean = float(np.mean(np.concatenate([ratio(domain) for domain in side_of(before, self.of)])))
        relative = [ratio(domain) / mean for domain in after.source]
        return {"importance_weights": [(1 / each if self.of == "source" else each).tolist() for each in relative]}

    def _ratio(self, scenario: Scenario) -> Callable[[Domain], np.ndarray]:
        """Return f as a function of a domain: `[n]`, float64."""
        if callable(self.by):
            return self._own
        seen = sample(scenario, self.of)
        if self.by == "principal":
            direction = principal(seen, 1)[:, 0]
        else:
            direction = np.asarray(generator(self.name, "direction", self.seed).normal(size=seen.shape[1]))
        along = seen @ direction
        mean, deviation = float(along.mean()), float(along.std())
        if deviation == 0:
            raise UsageError(f"{self.called}: all inputs are equal along its direction.")

        def ratio(domain: Domain) -> np.ndarray:
            z = (vectors(domain) @ direction.astype(np.float32)).astype(np.float64)
            return np.asarray(1 / (1 + np.exp(-self.strength * (z - mean) / deviation)))

        return ratio

    def _own(self, domain: Domain) -> np.ndarray:
        assert callable(self.by)
        x = domain.x if isinstance(domain.x, np.ndarray) else np.stack([domain.x[i] for i in range(len(domain))])
        found = np.asarray(self.by(unit(x)), np.float64)
        if found.shape != (len(domain),) or not (np.isfinite(found).all() and (found > 0).all()):
            raise UsageError(
                f"{self.called}: the function must return [{len(domain)}] finite numbers above 0 for"
                f" {domain.name!r}, got shape {found.shape}."
            )
        return found
