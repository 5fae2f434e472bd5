"""What cameras and screens do: JPEG, large pixels, elastic bending."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tladapt.data.shifts.base import SHIFTS
from tladapt.data.shifts.corruption import Corruption, blurred


def _image(x: np.ndarray) -> Any:
    """Return a picture `[h, w, c]` in [0, 1] as Pillow's."""
    from PIL import Image

    pixels = np.rint(255 * x).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


@SHIFTS.register("jpeg_compression")
@dataclasses.dataclass(frozen=True, kw_only=True)
class JpegCompression(Corruption):
    """Pictures saved as JPEG with quality c, and read again; exact with one version of Pillow's libjpeg."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (80, 65, 58, 50, 40),
        "mnist_c": (25, 18, 15, 10, 7),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        from PIL import Image

        del rng
        file = io.BytesIO()
        _image(x).save(file, "JPEG", quality=self.constant())
        return np.asarray(Image.open(file)).reshape(x.shape) / 255.0


@SHIFTS.register("pixelate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixelate(Corruption):
    """Pictures made smaller by the factor c and larger again, by means over boxes."""

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "cifar_c": (0.95, 0.9, 0.85, 0.75, 0.65),
        "mnist_c": (0.6, 0.5, 0.4, 0.3, 0.25),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        from PIL import Image

        del rng
        height, width = x.shape[:2]
        small = (max(1, int(width * self.constant())), max(1, int(height * self.constant())))
        image = _image(x).resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
        return np.asarray(image).reshape(x.shape) / 255.0


@SHIFTS.register("elastic_transform")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ElasticTransform(Corruption):
    """Pictures bent: an affine map that moves three points by up to c, then a smooth random displacement.

    The displacement is uniform noise in [-1, 1], blurred by b pixels (cut off at 3 b), times a. Lengths are shares of
    the shorter side. Severities differ in kind more than in strength: in CIFAR-10-C 1 is the affine map alone, 2 moves
    large parts, 5 single pixels.
    """

    tables: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # a, b, c
        "cifar_c": ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        "mnist_c": ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    }

    def corrupted(self, x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        from scipy.ndimage import map_coordinates

        sides = np.array(x.shape[:2])
        amplitude, smooth, moved = (share * int(sides.min()) for share in self.constant())
        rim = "grid-constant" if self.of_mnist else "mirror"
        away = sides.min() // 3
        points = sides // 2 + away * np.array([[1, 1], [-1, 1], [-1, -1]])  # [3, 2], (row, column)
        ends = points + rng.uniform(-moved, moved, size=(3, 2))
        # Pixels are read where the map comes from: points = ends @ matrix[:2] + matrix[2].
        matrix = np.linalg.solve(np.column_stack([ends, np.ones(3)]), points.astype(np.float64))  # [3, 2]
        grid = np.moveaxis(np.indices(x.shape[:2]), 0, -1).astype(np.float64)  # [h, w, 2]
        bent = _read(x, grid @ matrix[:2] + matrix[2], rim, map_coordinates)
        noise = [rng.uniform(-1, 1, size=x.shape[:2]) for _ in range(2)]
        by = [amplitude * blurred(one, smooth, mode="reflect", truncate=3) for one in noise]
        return _read(
            bent, grid + np.stack(by, axis=-1), "grid-constant" if self.of_mnist else "reflect", map_coordinates
        )


def _read(x: np.ndarray, where: np.ndarray, rim: str, read: Any) -> np.ndarray:
    """Return a picture `[h, w, c]` read bilinearly at places `[h, w, 2]`."""
    at = np.moveaxis(where, -1, 0)
    return np.stack([read(x[..., channel], at, order=1, mode=rim) for channel in range(x.shape[2])], axis=-1)
