"""Subspace shift: inputs turned in planes of their space, by a known orthogonal map."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.domain import Scenario
from tladapt.data.shifts.base import SHIFTS, generator
from tladapt.data.shifts.inputs import InputShift, Mover, principal, sample, unit
from tladapt.errors import UsageError


@SHIFTS.register("subspace_shift")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SubspaceShift(InputShift):
    """Inputs turned about their mean m by one angle in some planes: x' = m + (I + U (G - I) U^T) (x - m).

    The columns of U are orthonormal and span the planes, two for each; G turns each by the angle. With half as many
    planes as features all features are mixed. The mean and all distances between inputs stay; the covariance
    turns, so that source and target vary in different subspaces. 8-bit inputs become float32, in the range that models
    see them in ([0, 1] before the turn).

    Deviation from a linear map about the origin: the mean stays, so that what shifts is the subspace alone.
    """

    draws: ClassVar[bool] = False  # for each example; the planes are drawn once

    angle: float = 45.0
    """Degrees; 90 puts the second direction of each plane in the place of its first."""
    planes: int = 1
    """How many planes; at most half as many as features."""
    within: Literal["principal", "random"] = "principal"
    """Which planes: of the first and second, third and fourth, ... principal direction; or random ones."""
    seed: int = 0
    """What random planes are drawn from."""

    def check(self) -> None:
        """Raise for no plane."""
        if self.planes < 1:
            raise self.wrong("planes", "a whole number from 1 on")

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Raise: what one input becomes depends on the others, by way of `mover`."""
        raise NotImplementedError("subspace_shift measures mean and planes on a scenario: use shifted(scenario).")

    def mover(self, scenario: Scenario) -> Mover:
        """Return the map, with mean and principal planes of at most 300 inputs of the side that is shifted."""
        seen = sample(scenario, self.of)  # [m, d]
        features, count = seen.shape[1], 2 * self.planes
        if count > features:
            raise UsageError(f"{self.called}: {self.planes} planes need {count} features; inputs have {features}.")
        if self.within == "principal":
            basis = principal(seen, count)
        else:
            drawn = generator(self.name, "planes", self.seed).normal(size=(features, count))
            basis = np.linalg.qr(drawn)[0]  # [d, 2 planes]
        mean = seen.mean(axis=0)
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn = np.kron(np.eye(self.planes), np.array([[cosine - 1, -sine], [sine, cosine - 1]]))  # G - I
        left = basis @ turn  # [d, 2 planes]

        def move(x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
            del rng
            flat = unit(x).reshape(-1).astype(np.float64)
            return (flat + left @ (basis.T @ (flat - mean))).astype(np.float32).reshape(x.shape)

        return move
