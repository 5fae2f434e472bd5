"""Weather: fog, snow, mud spatter.

Left out: CIFAR-10-C's frost, which needs photographs of frost, and its water spatter, which needs OpenCV's Canny edges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.blur import motion_blurred, zoomed
from tladapt.data.shifts.corruption import Corruption, blurred


def plasma(side: int, decay: float, rng: np.random.RandomState) -> np.ndarray:
    """Return a plasma fractal `[side, side]` from 0 to 1 that goes on at its edges, by the diamond-square algorithm.

    Each new point is the mean of the four around it plus w u, u uniform in [-w, w]; w is 100 at first, and is divided
    by `decay` as the distance of the points is halved.

    Args:
      side: a power of two.
      decay: above 1; the higher, the smoother.
      rng: what it is drawn from.
    """
    height = np.zeros((side, side))
    step, wobble = side, 100.0
    while step >= 2:
        half = step // 2

        def filled(around: list[np.ndarray], wobble: float = wobble) -> np.ndarray:
            mean = sum(around, np.zeros_like(around[0])) / 4
            return np.asarray(mean + wobble * rng.uniform(-wobble, wobble, size=mean.shape))

        corners = height[::step, ::step]
        right = np.roll(corners, -1, axis=1)
        middles = filled([corners, right, np.roll(corners, -1, axis=0), np.roll(right, -1, axis=0)])
        height[half::step, half::step] = middles
        height[::step, half::step] = filled([corners, right, middles, np.roll(middles, 1, axis=0)])
        height[half::step, ::step] = filled(
            [corners, np.roll(corners, -1, axis=0), middles, np.roll(middles, 1, axis=1)]
        )
        step, wobble = half, wobble / decay
    height -= height.min()
    return np.asarray(height / height.max())


@SHIFTS.register("fog")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Fog(Corruption):
    """Pictures in fog: (x + a p) max(x) / (max(x) + a), p a plasma fractal from 0 to 1.

    The fractal is the corner of one of 32 x 32 (CIFAR-10-C) or 256 x 256 points (MNIST-C: smoother), or of the next
    power of two for larger pictures.
    """

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # strength, decay
        "cifar_c": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "mnist_c": ((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        strength, decay = self.constant()
        height, width = x.shape[:2]
        side = max(256 if self.of_mnist else 32, 1 << (max(height, width) - 1).bit_length())
        fog = plasma(side, decay, rng)[:height, :width, None]
        brightest = x.max()
        return (x + strength * fog) * brightest / (brightest + strength)


@SHIFTS.register("snow")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Snow(Corruption):
    """Pictures in snowfall: whitened, with flakes that fall, and the same turned by 180 degrees.

    Flakes are Gaussian noise, enlarged, what is below a threshold taken away, blurred by motion that is at most 45
    degrees off the vertical. Whitened: k x + (1 - k) max(x, 1.5 g + 0.5), g the luminance.
    """

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # mean, deviation, enlargement, threshold, radius, sigma, k
        "cifar_c": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "mnist_c": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        mean, deviation, factor, threshold, radius, sigma, kept = self.constant()
        flakes = zoomed(rng.normal(mean, deviation, size=(*x.shape[:2], 1)), factor)
        flakes = np.clip(np.where(flakes < threshold, 0.0, flakes), 0, 1)
        flakes = motion_blurred(flakes, radius, sigma, rng.uniform(-135, -45))
        luminance = x @ np.array([[0.299], [0.587], [0.114]]) if x.shape[2] == 3 else x  # [h, w, 1]
        white = kept * x + (1 - kept) * np.maximum(x, 1.5 * luminance + 0.5)
        return white + flakes + flakes[::-1, ::-1]


@SHIFTS.register("spatter")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Spatter(Corruption):
    """Pictures with mud on them: brown (63, 42, 20), or grey 63, where blurred Gaussian noise is high."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # mean, deviation, blur, threshold, blur of the mud
        "mnist_c": (
            (0.65, 0.3, 4, 0.69, 0.6),
            (0.65, 0.3, 3, 0.68, 0.6),
            (0.65, 0.3, 2, 0.68, 0.5),
            (0.65, 0.3, 1, 0.65, 1.5),
            (0.67, 0.4, 1, 0.65, 1.5),
        )
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        mean, deviation, blur, threshold, soft = self.constant()
        wet = blurred(rng.normal(mean, deviation, size=x.shape[:2]), blur) > threshold
        mud = blurred(wet.astype(np.float64), soft)[..., None]
        mud = np.where(mud < 0.8, 0.0, mud)
        brown = np.array([63.0, 42.0, 20.0]) / 255
        return x * (1 - mud) + mud * (brown if x.shape[2] == 3 else brown[:1])
