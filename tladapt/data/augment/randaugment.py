"""RandAugment: a few operations drawn at random from fourteen, all at one strength."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from tladapt.data.augment.base import AUGMENTATIONS, ImageAugmentation, limited
from tladapt.data.augment.colour import blended, grey
from tladapt.data.augment.geometry import turning, warped

OPERATIONS = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize"),
)
STRONGEST = 30
"""Magnitudes go from 0 to this."""


def smoothed(image: jax.Array) -> jax.Array:
    """Return an image under the 3 x 3 kernel (1 1 1, 1 5 1, 1 1 1) / 13; its outermost pixels stay as they are."""
    height, width, _ = image.shape
    total = sum(image[i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3))
    inner = (total + 4 * image[1:-1, 1:-1]) / 13
    return image.at[1:-1, 1:-1].set(inner)


def equalized(image: jax.Array) -> jax.Array:
    """Return an image in [0, 1] whose channels, read as 256 levels, are spread evenly.

    A level v becomes floor((below_v + step // 2) / step) of 255, below_v pixels being darker, and step =
    (pixels - pixels of the brightest level) // 255; where step is 0 the channel stays as it is.
    """
    levels = jnp.round(255 * image).astype(jnp.int32)

    def channel(values: jax.Array) -> jax.Array:
        counts = jnp.zeros(256, jnp.int32).at[values.reshape(-1)].add(1)
        step = (values.size - counts[jnp.max(values)]) // 255
        below = jnp.cumsum(counts) - counts
        table = jnp.clip((below + step // 2) // jnp.maximum(step, 1), 0, 255)
        return jnp.where(step > 0, jnp.take(table, values, mode="clip"), values)

    return jax.vmap(channel, in_axes=2, out_axes=2)(levels).astype(jnp.float32) / 255


def stretched(image: jax.Array) -> jax.Array:
    """Return an image in [0, 1] whose channels each go from 0 to 1; a channel of one value stays as it is."""
    low, high = (jnp.expand_dims(end(image, axis=(0, 1)), (0, 1)) for end in (jnp.min, jnp.max))
    width = high - low
    return jnp.where(width > 0, (image - low) / jnp.where(width > 0, width, 1.0), image)


@AUGMENTATIONS.register("randaugment")
@dataclasses.dataclass(frozen=True, kw_only=True)
class RandAugment(ImageAugmentation):
    """Images in [0, 1], each under some operations drawn from fourteen, with repetition, all at one strength.

    At m = magnitude / 30: shears by up to 0.3 m, translations by 150/331 m of a side, rotation by 30 m degrees;
    brightness, color, contrast and sharpness by factors 1 + 0.9 m or 1 - 0.9 m; posterize to 8 - 4 m bits (rounded),
    solarize above 1 - m; autocontrast, equalize and identity have no strength. Signs are drawn, too.

    All operations are computed for each image and one is taken: affine maps are one warp, and the others cost little
    beside a network.

    Deviations from torchvision's transform of this name (whose ranges these are):
      1. Warps are bilinear, there nearest by default, and shears are about the centre, there about a corner.
      2. Pixels are real numbers in [0, 1]; posterize and equalize read them as 256 levels.

    Source: Cubuk, Zoph, Shlens, Le, "RandAugment: practical automated data augmentation with a reduced search space",
      NeurIPS 2020, arXiv:1909.13719.
    """

    name: ClassVar[str] = "randaugment"
    unit_range: ClassVar[bool] = True
    channels: ClassVar[tuple[int, ...]] = (1, 3)

    operations: int = 2
    """How many operations, one after another."""
    magnitude: float = 9.0
    """Their strength, 0 to 30."""

    def __post_init__(self) -> None:
        limited(self, "operations", 0, 16)
        limited(self, "magnitude", 0, STRONGEST)

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one image after its operations."""
        for place in range(self.operations):
            first, second = jax.random.split(jax.random.fold_in(key, place))
            operation = jax.random.randint(first, (), 0, len(OPERATIONS))
            sign = jnp.where(jax.random.bernoulli(second), 1.0, -1.0)
            image = self.apply(operation, sign, image)
        return image

    def apply(self, operation: jax.Array, sign: jax.Array, image: jax.Array) -> jax.Array:
        """Return an image under one operation.

        Args:
          operation: position in `OPERATIONS`.
          sign: 1 or -1, of the operations that have one.
          image: `[h, w, 1 or 3]` in [0, 1].
        """
        strength = self.magnitude / STRONGEST
        signed = sign * strength

        def chosen(name: str) -> jax.Array:
            return operation == OPERATIONS.index(name)

        def when(name: str, value: jax.Array | float) -> jax.Array:
            return jnp.where(chosen(name), value, 0.0)

        matrix = turning(when("rotate", math.radians(30) * signed))
        shear = jnp.stack([when("shear_y", 0.3 * signed), when("shear_x", 0.3 * signed)])
        matrix += jnp.zeros((2, 2)).at[(0, 1), (1, 0)].set(shear)
        far = 150 / 331 * signed
        shift = jnp.stack([when("translate_y", image.shape[0] * far), when("translate_x", image.shape[1] * far)])
        moved = warped(image, matrix, shift)

        factor = 1 + 0.9 * signed
        unit = 2.0 ** (8 - round(8 - 4 * strength))  # levels that become one
        found = moved
        for name, changed in (
            ("brightness", blended(jnp.zeros_like(image), image, factor)),
            ("color", blended(grey(image), image, factor)),
            ("contrast", blended(jnp.mean(grey(image), keepdims=True), image, factor)),
            ("sharpness", blended(smoothed(image), image, factor)),
            ("posterize", jnp.floor(jnp.round(255 * image) / unit) * unit / 255),
            ("solarize", jnp.where(image >= 1 - strength, 1 - image, image)),
            ("autocontrast", stretched(image)),
            ("equalize", equalized(image)),
        ):
            found = jnp.where(chosen(name), changed, found)
        return found
