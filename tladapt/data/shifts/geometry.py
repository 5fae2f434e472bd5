"""Pictures that are turned, sheared, shrunk or moved: by one angle for all, or with MNIST-C's severities."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.corruption import Corruption
from tladapt.data.shifts.inputs import InputShift, check_picture
from tladapt.errors import UsageError


def warped(x: np.ndarray, matrix: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Return a picture seen through an affine map about its centre, bilinearly; zeros come in.

    Args:
      x: `[h, w, c]`, float.
      matrix: `[2, 2]`; pixel p of the result is read at matrix (p - centre) + centre + shift, p = (row, column).
      shift: pixels.
    """
    height, width, channels = x.shape
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    grid = np.moveaxis(np.indices((height, width)), 0, -1) - centre  # [h, w, 2]
    rows, columns = np.moveaxis(grid @ np.asarray(matrix, np.float64).T + centre + np.array(shift), -1, 0)
    # What is a whole number but for the rounding of a product is one: no pixel is mixed with its neighbour by 1e-16.
    rows, columns = (np.where(np.abs(at - np.rint(at)) < 1e-9, np.rint(at), at) for at in (rows, columns))
    top, left = np.floor(rows), np.floor(columns)
    flat = x.reshape(height * width, channels)
    out = np.zeros((height, width, channels))
    for row, row_weight in ((top, 1 - (rows - top)), (top + 1, rows - top)):
        for column, column_weight in ((left, 1 - (columns - left)), (left + 1, columns - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = np.where(inside, row_weight * column_weight, 0.0)
            place = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
            out += weight[..., None] * flat[place.astype(np.int64)]
    return out


def turning(angle: float) -> np.ndarray:
    """Return the matrix `[2, 2]` that `warped` needs to turn a picture counter-clockwise by an angle in radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])


@SHIFTS.register("rotation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotation(InputShift):
    """Pictures, all turned about their centre by one angle, counter-clockwise; zeros come in at the corners.

    A pixel of the result is read bilinearly at its place in the picture. Steps of 90 degrees move pixels and change
    none (`numpy.rot90`); 90 and 270 degrees need square pictures. Pictures of floats stay floats.
    """

    draws: ClassVar[bool] = False

    angle: float
    """Degrees, counter-clockwise."""

    def check_input(self, x: np.ndarray, called: str) -> None:
        check_picture(self, x, called, eight_bit=False)
        if self.angle % 180 == 90 and x.shape[0] != x.shape[1]:
            raise UsageError(f"{self.called} by {self.angle:g} degrees needs square pictures; {called} has {x.shape}.")

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Return one picture, turned."""
        del rng
        if self.angle % 90 == 0:
            return np.rot90(x, int(self.angle // 90) % 4).copy()
        planes = x[..., None] if x.ndim == 2 else x
        out = warped(planes.astype(np.float64), turning(math.radians(self.angle))).reshape(x.shape)
        return np.rint(out).astype(np.uint8) if x.dtype == np.uint8 else out.astype(x.dtype)


def _sign(rng: np.random.RandomState) -> int:
    return 1 if rng.uniform() < 0.5 else -1


@SHIFTS.register("rotate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotate(Corruption):
    """Pictures, each turned about its centre by c radians, one way or the other; zeros come in."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {"mnist_c": (0.2, 0.4, 0.6, 0.8, 1.0)}

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        return warped(x, turning(_sign(rng) * self.constant()))


@SHIFTS.register("shear")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Shear(Corruption):
    """Pictures, each sheared about its centre by c radians, one way or the other; zeros come in.

    Pixel (row, column) is read at (cos(c) row, column - sin(c) row): the matrix that scikit-image made of a shear in
    2019, which also stretches the picture along its rows' axis.
    """

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {"mnist_c": (0.2, 0.4, 0.6, 0.8, 1.0)}

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        angle = _sign(rng) * self.constant()
        return warped(x, np.array([[math.cos(angle), 0.0], [-math.sin(angle), 1.0]]))


@SHIFTS.register("scale")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Corruption):
    """Pictures, each shrunk about its centre to c of its size; zeros come in."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {"mnist_c": (0.9, 0.8, 0.7, 0.6, 0.5)}

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        del rng
        return warped(x, np.eye(2) / self.constant())


@SHIFTS.register("translate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Translate(Corruption):
    """Pictures, each moved by c pixels up or down and c pixels left or right; zeros come in."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {"mnist_c": (1, 2, 3, 4, 5)}

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        pixels = self.constant()
        return warped(x, np.eye(2), (_sign(rng) * pixels, _sign(rng) * pixels))
