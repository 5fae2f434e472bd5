"""Light and colour: brightness, contrast, saturation, fewer grey levels, negatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.corruption import Corruption
from tladapt.data.shifts.inputs import InputShift, check_picture


@SHIFTS.register("brightness")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Brightness(Corruption):
    """Brighter pictures: V + c, cut off at 1, with hue and saturation (of HSV) as they are; x + c for grey ones."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.05, 0.1, 0.15, 0.2, 0.3),
        "mnist_c": (0.1, 0.2, 0.3, 0.4, 0.5),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        value = x.max(axis=2, keepdims=True)  # V; colours are proportional to it
        brighter = np.minimum(value + self.constant(), 1)
        return np.where(value > 0, x * (brighter / np.where(value > 0, value, 1)), brighter)


@SHIFTS.register("contrast")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrast(Corruption):
    """Paler pictures: m + c (x - m), m the mean of each channel."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.75, 0.5, 0.4, 0.3, 0.15),
        "mnist_c": (0.4, 0.3, 0.2, 0.1, 0.05),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        mean = x.mean(axis=(0, 1), keepdims=True)
        return mean + self.constant() * (x - mean)


@SHIFTS.register("saturate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Saturate(Corruption):
    """Pictures of other saturation (of HSV): S a + b, cut off at [0, 1]; severities 1 and 2 are paler than the picture.

    As published, a grey pixel has hue 0, so that b > 0 (severities 4 and 5) makes it reddish. RGB only.
    """

    channels: ClassVar[tuple[int, ...]] = (3,)
    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {"cifar_c": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))}

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        scale, shift = self.constant()
        value = x.max(axis=2, keepdims=True)
        spread = value - x.min(axis=2, keepdims=True)  # V S
        saturation = spread / np.where(value > 0, value, 1)
        wanted = np.clip(saturation * scale + shift, 0, 1)
        # V - x is V S times a function of the hue; for red that is (0, 1, 1).
        below = np.where(spread > 0, (value - x) / np.where(spread > 0, spread, 1), np.array([0.0, 1.0, 1.0]))
        return value * (1 - wanted * below)


@SHIFTS.register("quantize")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantize(Corruption):
    """Pictures with c bits a value: round(x (2^c - 1)) / (2^c - 1)."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {"mnist_c": (5, 4, 3, 2, 1)}

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        levels = 2 ** self.constant() - 1
        return np.rint(x * levels) / levels


@SHIFTS.register("inverse")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Inverse(InputShift):
    """Negatives of 8-bit pictures: 255 - x (Mu and Gilmer, MNIST-C, 2019, arXiv:1906.02337)."""

    family: ClassVar[str] = "plain"
    draws: ClassVar[bool] = False

    def check_input(self, x: np.ndarray, called: str) -> None:
        check_picture(self, x, called, eight_bit=True)

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Return one picture, black for white."""
        return np.uint8(255) - x
