"""MNIST-C's corruptions without severities: a negative stripe, and lines across the picture.

Places are given for 28 x 28 pixels and scaled to the pictures' size. Source: Mu and Gilmer, "MNIST-C: a robustness
benchmark for computer vision", 2019, arXiv:1906.02337.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.inputs import InputShift, check_picture

SIDE = 28


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stroke(InputShift):
    """Base of the lines: what `ink` draws is added to 8-bit pictures."""

    family: ClassVar[str] = "stroke"

    seed: int = 0
    """What the lines' places are drawn from."""

    def check_input(self, x: np.ndarray, called: str) -> None:
        check_picture(self, x, called, eight_bit=True)

    def ink(self, rows: np.ndarray, columns: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """Return how much white is added at rows `[h, 1]` and columns `[1, w]` of a 28 x 28 picture, in [0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must define ink(self, rows, columns, rng).")

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Return one picture with lines on it."""
        assert rng is not None
        height, width = x.shape[:2]
        rows, columns = np.arange(height)[:, None] * (SIDE / height), np.arange(width)[None, :] * (SIDE / width)
        ink = self.ink(rows, columns, rng)
        white = np.rint(255 * ink).astype(np.int64).reshape(height, width, *(1,) * (x.ndim - 2))
        return np.minimum(x + white, 255).astype(np.uint8)


def segment(rows: np.ndarray, columns: np.ndarray, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Return the ink of a line from `start` to `end`, (column, row), in [0, 1]: log(1 - d / 2.3) + 1, never below 0.

    d is the distance along the column. The line is drawn from the pixel before `start` to that before `end`; an upright
    one is not drawn at all.
    """
    if start[0] == end[0]:
        return np.zeros(np.broadcast_shapes(rows.shape, columns.shape))
    slope = (end[1] - start[1]) / (end[0] - start[0])
    distance = np.abs(rows - (slope * (columns - start[0]) + start[1]))
    ink = np.maximum(np.log(1 - np.minimum(distance, 2.3 - 1e-10) / 2.3) + 1, 0)
    return np.where((columns >= math.floor(start[0])) & (columns < math.ceil(end[0])), ink, 0.0)


@SHIFTS.register("line")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Line(Stroke):
    """Pictures with a white line from left to right, at random heights."""

    def ink(self, rows: np.ndarray, columns: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        left, right = rng.randint(0, 5), rng.randint(22, 27)
        first, last = rng.randint(0, 27, size=2)
        return segment(rows, columns, (left, first), (right, last))


@SHIFTS.register("dotted_line")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DottedLine(Stroke):
    """Pictures with a dotted white line from left to right, at random heights: two pixels off, two pixels on."""

    def ink(self, rows: np.ndarray, columns: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        first, last = rng.randint(0, 27, size=2)
        return np.where(columns % 4 < 2, 0.0, segment(rows, columns, (0, first), (27, last)))


@SHIFTS.register("zigzag")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Zigzag(Stroke):
    """Pictures with a white zigzag from left to right, at a random height and slope: teeth of 4 pixels, 2 high."""

    def ink(self, rows: np.ndarray, columns: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        start, end, tooth = 2, 25, 2.0
        first = rng.randint(0, 27)
        last = first + rng.randint(-5, 5)
        angle = math.atan((last - first) / (end - start))
        length = (end - start) / math.cos(angle)
        corners = [(0.0, 0.0)]
        corners += [((2 * i + 1) * tooth, (-1) ** i * tooth) for i in range(int((length - tooth) // (2 * tooth)) + 1)]
        whole = 2 * tooth * (length // (2 * tooth))
        if length != whole:
            corners.append((length, corners[-1][1] / (2 * (length - whole))))
        turned = [
            (
                math.cos(angle) * along - math.sin(angle) * across + start,
                math.sin(angle) * along + math.cos(angle) * across + first,
            )
            for along, across in corners
        ]
        ink = np.zeros(np.broadcast_shapes(rows.shape, columns.shape))
        for one, other in itertools.pairwise(turned):
            ink = np.minimum(ink + segment(rows, columns, one, other), 1)
        return ink


@SHIFTS.register("stripe")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Stripe(InputShift):
    """Pictures whose left and right quarters are negatives."""

    family: ClassVar[str] = "plain"
    draws: ClassVar[bool] = False

    def check_input(self, x: np.ndarray, called: str) -> None:
        check_picture(self, x, called, eight_bit=True)

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Return one picture with the middle as it is."""
        del rng
        out, quarter = x.copy(), x.shape[1] // 4
        out[:, :quarter] = 255 - x[:, :quarter]
        out[:, -quarter:] = 255 - x[:, -quarter:]
        return out
