"""Augmentations of signals: louder or softer channels, and spectrograms with times and bands masked."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from tladapt.data.augment.base import AUGMENTATIONS, ImageAugmentation, limited
from tladapt.errors import UsageError
from tladapt.fields import Chosen


@AUGMENTATIONS.register("scaling")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Scaling(Chosen):
    """Inputs `[n, ..., channels]`, each channel of each example times a factor drawn from N(1, deviation^2).

    Of windows of sensor signals, [time, channels], it is the scaling, and `noise` the jittering, of Um, Pfister,
    Pichler, Endo, Lang, Hirche, Fietzek, Kulic, "Data augmentation of wearable sensor data for Parkinson's disease
    monitoring using convolutional neural networks", ICMI 2017, arXiv:1706.00527.

    >>> Scaling()(jax.random.key(0), jnp.ones((2, 128, 9))).shape
    (2, 128, 9)
    """

    name: ClassVar[str] = "scaling"

    deviation: float = 0.1
    """Standard deviation of the factors."""

    def __post_init__(self) -> None:
        limited(self, "deviation", 0, math.inf)

    def __call__(self, key: jax.Array, x: jax.Array, /) -> jax.Array:
        """Return inputs of the same shape."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise UsageError(f"augmentation 'scaling' needs floating numbers, got {x.dtype}: indices have no scale.")
        shape = (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
        return x * (1.0 + self.deviation * jax.random.normal(key, shape, x.dtype))


@AUGMENTATIONS.register("spec_augment")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpecAugment(ImageAugmentation):
    """Spectrograms `[n, frames, bands, channels]`, each with a stretch of time and a stretch of bands masked.

    A stretch has a length that is uniform in 0 to `frames` (`bands`), and lies anywhere; it takes the mean of the
    whole spectrogram.

    Deviations from the paper:
      1. There is no warping of time.
      2. One mask each; the paper has up to two.
      3. The paper masks with zero, which is the mean of its normalised inputs.

    Source: Park, Chan, Zhang, Chiu, Zoph, Cubuk, Le, "SpecAugment: a simple data augmentation method for automatic
      speech recognition", Interspeech 2019, arXiv:1904.08779.
    """

    name: ClassVar[str] = "spec_augment"

    frames: int = 8
    """The longest stretch of time that is masked, in frames; at most all of them are."""
    bands: int = 6
    """The widest stretch of bands that is masked; at most all of them are."""

    def __post_init__(self) -> None:
        limited(self, "frames", 0, math.inf)
        limited(self, "bands", 0, math.inf)

    def one(self, key: jax.Array, image: jax.Array) -> jax.Array:
        """Return one spectrogram, masked."""
        keys = jax.random.split(key, 4)
        times = _stretch(keys[0], keys[1], image.shape[0], self.frames)[:, None, None]
        bands = _stretch(keys[2], keys[3], image.shape[1], self.bands)[None, :, None]
        return jnp.where(times | bands, image.mean(), image)


def _stretch(length_key: jax.Array, start_key: jax.Array, size: int, longest: int) -> jax.Array:
    """Return which of `size` places a random stretch covers: bool `[size]`."""
    length = jax.random.randint(length_key, (), 0, min(longest, size) + 1)
    start = jax.random.randint(start_key, (), 0, size - length + 1)
    place = jnp.arange(size)
    return (place >= start) & (place < start + length)
