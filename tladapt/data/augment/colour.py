"""Augmentations that change what pixels show, and not where: noise, colours, a part rubbed out."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from tladapt.data.augment.base import AUGMENTATIONS, ImageAugmentation, limited
from tladapt.errors import UsageError
from tladapt.fields import Chosen

LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey: ITU-R BT.601."""


def grey(image: jax.Array) -> jax.Array:
    """Return the luminance of an image `[h, w, 3]` or `[h, w, 1]` as `[h, w, 1]`."""
    if image.shape[-1] == 1:
        return image
    return sum(share * image[..., place : place + 1] for place, share in enumerate(LUMINANCE))  # type: ignore[return-value]


def blended(first: jax.Array, second: jax.Array, factor: jax.Array) -> jax.Array:
    """Return first + factor (second - first), clipped to [0, 1]; a factor above 1 goes beyond the second."""
    return jnp.clip(first + factor * (second - first), 0.0, 1.0)


def hue_turned(image: jax.Array, turn: jax.Array) -> jax.Array:
    """Return an image `[h, w, 3]` in [0, 1] with its hue moved by `turn` (1 is once around), in HSV.

    With value v = max, chroma = max - min and hue h: channel = v - chroma max(0, min(k, 4 - k, 1)),
    k = (offset + 6 h) mod 6, offset 5, 3, 1 for red, green, blue.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value, chroma = jnp.max(image, axis=-1), jnp.max(image, axis=-1) - jnp.min(image, axis=-1)
    divisor = jnp.where(chroma > 0, chroma, 1.0)
    # Channels are compared with each other, not with their maximum: a compiler may compute them twice, and round them
    # differently. Where that turns a comparison, two are equal but for rounding, and both branches say the same.
    sixths = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    made = []
    for offset in (5, 3, 1):
        k = jnp.mod(offset + sixths + 6 * turn, 6.0)
        made.append(value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0.0, 1.0))
    return jnp.stack(made, axis=-1)


@AUGMENTATIONS.register("noise")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Chosen):
    """Inputs of any shape plus Gaussian noise; the sum is not clipped.

    >>> Noise()(jax.random.key(0), jnp.zeros((2, 3))).shape
    (2, 3)
    """

    name: ClassVar[str] = "noise"

    deviation: float = 0.1
    """Standard deviation of the noise."""

    def __post_init__(self) -> None:
        limited(self, "deviation", 0, math.inf)

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        """Return inputs of the same shape."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise UsageError(f"augmentation 'noise' needs floating numbers, got {x.dtype}: indices have no noise.")
        return x + self.deviation * jax.random.normal(key, x.shape, x.dtype)


@AUGMENTATIONS.register("color_jitter")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ColorJitter(ImageAugmentation):
    """Images in [0, 1], each with brightness, contrast, saturation and hue changed, in this order.

    The first three are blends with black, with the image's mean luminance and with its luminance, by factors that are
    uniform in [1 - s, 1 + s]; hue is turned by a share of the circle, uniform in [-s, s]. Grey images have no
    saturation and no hue. What leaves [0, 1] is clipped after each.

    Deviations from torchvision's transform of this name: the four come in a fixed order, there in a random one.

    Source: Howard, "Some improvements on deep convolutional neural network based image classification", 2013,
      arXiv:1312.5402; the four as in torchvision's ColorJitter.
    """

    name: ClassVar[str] = "color_jitter"
    unit_range: ClassVar[bool] = True
    channels: ClassVar[tuple[int, ...]] = (1, 3)

    brightness: float = 0.4
    """Strength s of the change of brightness, from 0 on."""
    contrast: float = 0.4
    """Strength of the change of contrast, from 0 on."""
    saturation: float = 0.4
    """Strength of the change of saturation, from 0 on."""
    hue: float = 0.1
    """Strength of the turn of hue, at most 0.5."""

    def __post_init__(self) -> None:
        for field in ("brightness", "contrast", "saturation"):
            limited(self, field, 0, math.inf)
        limited(self, "hue", 0, 0.5)

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one image with other colours."""
        keys = dict(zip(("brightness", "contrast", "saturation", "hue"), jax.random.split(key, 4), strict=True))

        def factor(of: str) -> jax.Array:
            strength = getattr(self, of)
            return jax.random.uniform(keys[of], (), minval=max(0.0, 1.0 - strength), maxval=1.0 + strength)

        if self.brightness:
            image = blended(jnp.zeros_like(image), image, factor("brightness"))
        if self.contrast:
            image = blended(jnp.mean(grey(image), keepdims=True), image, factor("contrast"))
        if self.saturation and image.shape[-1] == 3:
            image = blended(grey(image), image, factor("saturation"))
        if self.hue and image.shape[-1] == 3:
            image = hue_turned(image, jax.random.uniform(keys["hue"], (), minval=-self.hue, maxval=self.hue))
        return image


@AUGMENTATIONS.register("random_erasing")
@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomErasing(ImageAugmentation):
    """Images in [0, 1], some with a random rectangle filled with noise or black.

    The rectangle has a share of the area uniform in [smallest, largest], a height over width that is log-uniform in
    [1/ratio, ratio], whole pixels, and lies anywhere inside; a side longer than the image's is cut to it.

    Source: Zhong, Zheng, Kang, Li, Yang, "Random erasing data augmentation", AAAI 2020, arXiv:1708.04896.

    Deviations from the paper: the height over width is log-uniform, there uniform in [0.3, 3.33]; a rectangle that does
      not fit is cut, there drawn again.
    """

    name: ClassVar[str] = "random_erasing"
    unit_range: ClassVar[bool] = True

    probability: float = 0.5
    """Share of the images that lose a part."""
    smallest: float = 0.02
    """Least share of the area."""
    largest: float = 0.4
    """Greatest share of the area."""
    ratio: float = 3.3
    """How long the rectangle is at most, at least 1."""
    fill: Literal["noise", "black"] = "noise"
    """noise: each number uniform in [0, 1]."""

    def __post_init__(self) -> None:
        limited(self, "probability", 0, 1)
        limited(self, "largest", 0, 1)
        limited(self, "smallest", 0, self.largest)
        limited(self, "ratio", 1, math.inf)

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one image, whole or with a part rubbed out."""
        keys = jax.random.split(key, 6)
        share = jax.random.uniform(keys[0], (), minval=self.smallest, maxval=self.largest)
        ratio = jnp.exp(math.log(self.ratio) * jax.random.uniform(keys[1], (), minval=-1.0, maxval=1.0))
        erased = jax.random.bernoulli(keys[2], self.probability)
        for axis, part in ((0, share * ratio), (1, share / ratio)):
            whole = image.shape[axis]
            side = jnp.clip(jnp.round(whole * jnp.sqrt(part)), 0, whole).astype(jnp.int32)
            first = jax.random.randint(keys[3 + axis], (), 0, whole - side + 1)
            place = jnp.arange(whole)
            inside = (place >= first) & (place < first + side)
            erased = erased & jnp.expand_dims(inside, tuple({0, 1, 2} - {axis}))  # ends as [h, w, 1]
        filling = jax.random.uniform(keys[5], image.shape) if self.fill == "noise" else jnp.zeros_like(image)
        return jnp.where(erased, filling, image)
