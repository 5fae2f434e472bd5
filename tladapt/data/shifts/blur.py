"""Blur: Gaussian, defocus, glass, motion, zoom."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.corruption import Corruption, blurred


@SHIFTS.register("gaussian_blur")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianBlur(Corruption):
    """Pictures convolved with a Gaussian of c pixels, the edge going on as it is."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.4, 0.6, 0.7, 0.8, 1),
        "mnist_c": (1, 2, 3, 4, 6),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        return blurred(x, self.constant())


def disk(radius: float, sigma: float) -> np.ndarray:
    """Return the kernel of a lens out of focus: a disk of `radius` pixels, smoothed by a small Gaussian; its sum is 1.

    The Gaussian has 3 taps, or 5 for a radius above 8.
    """
    from scipy.ndimage import correlate1d

    reach = max(8, math.ceil(radius))
    along = np.arange(-reach, reach + 1)
    kernel = (along[:, None] ** 2 + along[None, :] ** 2 <= radius**2).astype(np.float64)
    taps = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    for axis in (0, 1):
        kernel = correlate1d(kernel, weights / weights.sum(), axis=axis, mode="mirror")
    return np.asarray(kernel / kernel.sum())


@SHIFTS.register("defocus_blur")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DefocusBlur(Corruption):
    """Pictures out of focus: convolved with a smoothed disk, the edge mirrored.

    CIFAR-10-C's severities 1 to 3 have a radius below one pixel: there the smoothing alone is left.
    """

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # radius, smoothing
        "cifar_c": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "mnist_c": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        from scipy.ndimage import correlate

        del rng
        kernel = disk(*self.constant())
        planes = [correlate(x[..., channel], kernel, mode="mirror") for channel in range(x.shape[2])]
        return np.stack(planes, axis=-1)


@SHIFTS.register("glass_blur")
@dataclasses.dataclass(frozen=True, kw_only=True)
class GlassBlur(Corruption):
    """Pictures behind frosted glass: blurred, pixels exchanged with near ones, blurred again.

    From the last pixel to the first, each takes the colour of one at most `reach` pixels away, `passes` times.

    Deviations from the official code: as of all corruptions. As there, CIFAR-10-C's pixels are copied from the near
    one (which keeps its colour: an assignment of two views in the official code comes to that), and MNIST-C's are
    exchanged, each with a chance of 1/2.
    """

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # deviation of the blur, reach, passes
        "cifar_c": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "mnist_c": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        sigma, reach, passes = self.constant()
        height, width, channels = x.shape
        rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
        place = list(range(height * width))  # which pixel of the blurred picture is at each place
        for _ in range(passes):
            moved = rng.randint(-reach, reach, size=(len(rows), len(columns), 2))
            moves = (moved[..., 0] * width + moved[..., 1]).ravel().tolist()
            goes = (rng.uniform(size=len(moves)) < 0.5).tolist() if self.of_mnist else [True] * len(moves)
            here = (row * width + column for row in rows for column in columns)
            for at, move, go in zip(here, moves, goes, strict=True):
                if go and self.of_mnist:
                    place[at], place[at + move] = place[at + move], place[at]
                elif go:
                    place[at] = place[at + move]
        pixels = blurred(x, sigma).reshape(-1, channels)[place]
        return blurred(pixels.reshape(x.shape), sigma)


def motion_blurred(x: np.ndarray, radius: int, sigma: float, degrees: float) -> np.ndarray:
    """Return a picture `[h, w, c]` that moved in one direction: each pixel is the mean of those behind it.

    Pixel i of 2 radius + 1 on the line has the weight exp(-i^2 / 2 sigma^2) / Z; the edge goes on as it is.
    """
    height, width = x.shape[:2]
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2.0 * sigma**2))
    weights /= weights.sum()
    angle = math.radians(degrees)
    out = np.zeros_like(x)
    for step, weight in zip(steps.tolist(), weights.tolist(), strict=True):
        down, right = math.ceil(step * math.sin(angle) - 0.5), math.ceil(step * math.cos(angle) - 0.5)
        rows = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + right, 0, width - 1)
        out += weight * x[rows][:, columns]
    return out


@SHIFTS.register("motion_blur")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionBlur(Corruption):
    """Pictures that moved while they were taken, in a random direction within 45 degrees of the horizontal."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # radius, deviation of the weights
        "cifar_c": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "mnist_c": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        radius, sigma = self.constant()
        return motion_blurred(x, radius, sigma, rng.uniform(-45, 45))


def zoomed(x: np.ndarray, factor: float) -> np.ndarray:
    """Return the middle of a picture `[h, w, c]` enlarged to the size of the whole, bilinearly."""
    from scipy.ndimage import zoom

    sides = x.shape[:2]
    kept = [math.ceil(side / factor) for side in sides]
    top, left = ((side - part) // 2 for side, part in zip(sides, kept, strict=True))
    large = zoom(x[top : top + kept[0], left : left + kept[1]], (factor, factor, 1), order=1)
    top, left = ((have - side) // 2 for have, side in zip(large.shape[:2], sides, strict=True))
    return np.asarray(large[top : top + sides[0], left : left + sides[1]])


@SHIFTS.register("zoom_blur")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ZoomBlur(Corruption):
    """Pictures that came closer while they were taken: the mean of the picture and its enlargements."""

    # First, end and step of the factors: whether the end is among them is left to NumPy's arange, as it was.
    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": ((1, 1.06, 0.01), (1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.01), (1, 1.26, 0.01)),
        "mnist_c": ((1, 1.11, 0.01), (1, 1.16, 0.01), (1, 1.21, 0.02), (1, 1.26, 0.02), (1, 1.31, 0.03)),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        factors = np.arange(*self.constant()).tolist()
        return (x + sum(zoomed(x, factor) for factor in factors)) / (len(factors) + 1)
