"""Augmentations that move pixels: flip, translation, crops, rotation."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from tladapt.data.augment.base import AUGMENTATIONS, ImageAugmentation, limited, shape_of
from tladapt.fields import Chosen


def sampled(image: jax.Array, rows: jax.Array, columns: jax.Array, *, edge: Literal["zero", "nearest"]) -> jax.Array:
    """Return an image read at places between its pixels, bilinearly.

    out_ij = sum_kl max(0, 1 - |r_ij - k|) max(0, 1 - |c_ij - l|) image_kl; whole numbers give the pixels themselves.

    Args:
      image: `[h, w, c]`.
      rows: in which row each pixel of the result is read, r, counted from 0: `[h', w']`.
      columns: in which column, c, likewise.
      edge: what is beyond the edge: zeros, or the nearest pixel.

    Returns:
      `[h', w', c]`.
    """
    height, width, channels = image.shape
    if edge == "nearest":
        rows, columns = jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)
    top, left = jnp.floor(rows), jnp.floor(columns)
    flat = image.reshape(height * width, channels)
    out = jnp.zeros((*rows.shape, channels), image.dtype)
    for row, row_weight in ((top, 1 - (rows - top)), (top + 1, rows - top)):
        for column, column_weight in ((left, 1 - (columns - left)), (left + 1, columns - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = jnp.where(inside, row_weight * column_weight, 0.0)  # [h', w']
            place = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
            out += weight[..., None] * jnp.take(flat, place.astype(jnp.int32), axis=0, mode="clip")
    return out


def warped(image: jax.Array, matrix: jax.Array, shift: jax.Array) -> jax.Array:
    """Return an image seen through an affine map about its centre; zeros come in.

    Args:
      image: `[h, w, c]`.
      matrix: `[2, 2]`; pixel p of the result is read at matrix (p - centre) + centre + shift, p = (row, column).
      shift: `[2]`, pixels.
    """
    height, width, _ = image.shape
    row_centre, column_centre = (height - 1) / 2, (width - 1) / 2
    row = (jnp.arange(height, dtype=jnp.float32) - row_centre)[:, None]
    column = (jnp.arange(width, dtype=jnp.float32) - column_centre)[None, :]
    rows = matrix[0, 0] * row + matrix[0, 1] * column + row_centre + shift[0]
    columns = matrix[1, 0] * row + matrix[1, 1] * column + column_centre + shift[1]
    return sampled(image, rows, columns, edge="zero")


def turning(angle: jax.Array) -> jax.Array:
    """Return the matrix `[2, 2]` that `warped` needs to turn an image counter-clockwise by an angle in radians."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cosine, sine]), jnp.stack([-sine, cosine])])


def _shifted(key: jax.Array, x: jax.Array, pixels: int) -> jax.Array:
    """Return each image padded with zeros by `pixels` and cut out at a random place of its own."""
    n, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    corners = jax.random.randint(key, (n, 2), 0, 2 * pixels + 1)  # [n, 2]

    def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (height, width, channels))

    return jax.vmap(cut)(padded, corners)


@AUGMENTATIONS.register("translate")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Translate(Chosen):
    """Images `[n, h, w, c]`, each moved by a random number of whole pixels along both axes; zeros come in."""

    name: ClassVar[str] = "translate"

    pixels: int = 2
    """How far at most, in each direction."""

    def __post_init__(self) -> None:
        limited(self, "pixels", 0, math.inf)

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        """Return images of the same shape."""
        shape_of(x, self.name)
        return _shifted(key, x, self.pixels)


@AUGMENTATIONS.register("crop")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Crop(Chosen):
    """Images `[n, h, w, c]`, each padded by zeros on every side and cut out at a random place."""

    name: ClassVar[str] = "crop"

    padding: int = 4
    """Pixels on each side."""

    def __post_init__(self) -> None:
        limited(self, "padding", 0, math.inf)

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        """Return images of the same shape."""
        shape_of(x, self.name)
        return _shifted(key, x, self.padding)


@AUGMENTATIONS.register("flip")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Flip(Chosen):
    """Images `[n, h, w, c]`, each mirrored left to right or not. Not for digits or letters."""

    name: ClassVar[str] = "flip"

    probability: float = 0.5
    """Share of the images that are mirrored."""

    def __post_init__(self) -> None:
        limited(self, "probability", 0, 1)

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        """Return images of the same shape."""
        n, *_ = shape_of(x, self.name)
        mirrored = jax.random.bernoulli(key, self.probability, (n, 1, 1, 1))
        return jnp.where(mirrored, x[:, :, ::-1, :], x)


@AUGMENTATIONS.register("rotation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotation(ImageAugmentation):
    """Images, each turned about its centre by a random angle, bilinearly; zeros come in at the corners."""

    name: ClassVar[str] = "rotation"

    degrees: float = 15.0
    """The angle is drawn from [-degrees, degrees]."""

    def __post_init__(self) -> None:
        limited(self, "degrees", 0, 180)

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one image, turned."""
        angle = math.radians(self.degrees) * jax.random.uniform(key, (), minval=-1.0, maxval=1.0)
        return warped(image, turning(angle), jnp.zeros(2))


@AUGMENTATIONS.register("random_resized_crop")
@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(ImageAugmentation):
    """Images, each a random part of itself brought back to the whole size, bilinearly.

    The part has a share s of the image's area, uniform in [scale, 1], and its width over its height is r times the
    image's, log-uniform in [1/ratio, ratio]; it lies anywhere inside.

    Deviations from torchvision's transform of this name:
      1. The part's sides and corner are real numbers, not whole pixels.
      2. Where a part would be wider or higher than the image, that side is cut to the image's; there it draws again,
         ten times.
      3. The size stays that of the input: an image is enlarged, and needs no antialiasing.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, arXiv:1409.4842 (section 6).
    """

    name: ClassVar[str] = "random_resized_crop"

    scale: float = 0.08
    """Least share of the area, in (0, 1]."""
    ratio: float = 4 / 3
    """How far the proportions are changed at most, at least 1."""

    def __post_init__(self) -> None:
        limited(self, "scale", 1e-3, 1)
        limited(self, "ratio", 1, math.inf)

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one image, cropped."""
        keys = jax.random.split(key, 4)
        share = jax.random.uniform(keys[0], (), minval=self.scale, maxval=1.0)
        ratio = jnp.exp(math.log(self.ratio) * jax.random.uniform(keys[1], (), minval=-1.0, maxval=1.0))
        height = image.shape[0] * jnp.minimum(jnp.sqrt(share / ratio), 1.0)
        width = image.shape[1] * jnp.minimum(jnp.sqrt(share * ratio), 1.0)
        top = (image.shape[0] - height) * jax.random.uniform(keys[2], ())
        left = (image.shape[1] - width) * jax.random.uniform(keys[3], ())
        return enlarged(image, jnp.stack([top, left]), jnp.stack([height, width]))


def enlarged(image: jax.Array, corner: jax.Array, sides: jax.Array) -> jax.Array:
    """Return a rectangle of an image brought to the size of the whole, bilinearly.

    Args:
      image: `[h, w, c]`.
      corner: top and left of the rectangle, pixels, `[2]`; a pixel's own square goes from i to i + 1.
      sides: height and width of the rectangle, pixels, `[2]`.
    """
    height, width, _ = image.shape
    rows = (jnp.arange(height, dtype=jnp.float32) + 0.5) * (sides[0] / height) - 0.5 + corner[0]
    columns = (jnp.arange(width, dtype=jnp.float32) + 0.5) * (sides[1] / width) - 0.5 + corner[1]
    return sampled(image, *jnp.meshgrid(rows, columns, indexing="ij"), edge="nearest")
