"""Noise: Gaussian, shot, impulse, speckle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.corruption import Corruption


@SHIFTS.register("gaussian_noise")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianNoise(Corruption):
    """Pictures with Gaussian noise: x + c e, e ~ N(0, 1) for each value."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.04, 0.06, 0.08, 0.09, 0.10),
        "mnist_c": (0.08, 0.12, 0.18, 0.26, 0.38),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        return x + self.constant() * rng.normal(size=x.shape)


@SHIFTS.register("shot_noise")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ShotNoise(Corruption):
    """Pictures with shot noise, as of few photons: n / c, n ~ Poisson(c x)."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (500, 250, 100, 75, 50),
        "mnist_c": (60, 25, 12, 5, 3),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        photons = self.constant()
        return rng.poisson(photons * x) / photons


@SHIFTS.register("impulse_noise")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ImpulseNoise(Corruption):
    """Pictures of which a share c of the values is 0 or 1 instead, with equal chances: salt and pepper."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.01, 0.02, 0.03, 0.05, 0.07),
        "mnist_c": (0.03, 0.06, 0.09, 0.17, 0.27),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        hit, salt = rng.uniform(size=x.shape) < self.constant(), rng.uniform(size=x.shape) < 0.5
        return np.where(hit, salt.astype(np.float64), x)


@SHIFTS.register("speckle_noise")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeckleNoise(Corruption):
    """Pictures with multiplicative noise: x + c x e, e ~ N(0, 1) for each value."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.06, 0.1, 0.12, 0.16, 0.2),
        "mnist_c": (0.15, 0.2, 0.35, 0.45, 0.6),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        return x + self.constant() * x * rng.normal(size=x.shape)
