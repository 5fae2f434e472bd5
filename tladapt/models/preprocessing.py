"""From pictures to what a published network reads: size, crop, channels, mean and deviation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.errors import UnknownNameError, UsageError
from tladapt.registry import suggest


class Normalization(NamedTuple):
    """`(x - mean) / deviation` for RGB in [0, 1], in the order of the channels after `bgr` has reversed them."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    bgr: bool = False


NORMALIZATIONS: dict[str, Normalization] = {
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "caffe": Normalization((104 / 255, 117 / 255, 123 / 255), (1 / 255, 1 / 255, 1 / 255), bgr=True),
    "clip": Normalization((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "none": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""What published image networks read: "imagenet" (torchvision), "inception" (TensorFlow's [-1, 1]), "caffe" (BGR from 0
to 255 less its mean), "clip", and "none" ([0, 1] as it is)."""


def check_normalization(name: str) -> None:
    """Raise `UnknownNameError` for a normalisation that there is not."""
    if name not in NORMALIZATIONS:
        raise UnknownNameError(f"Unknown normalisation {name!r}.{suggest(name, NORMALIZATIONS)}")


def normalize(x: jax.Array, name: str) -> jax.Array:
    """Return images `[n, h, w, 3]` in [0, 1] as a network reads them; grey ones `[n, h, w, 1]` are repeated.

    >>> normalize(jnp.ones((1, 1, 1, 1)), "inception")
    Array([[[[1., 1., 1.]]]], dtype=float32)
    """
    how = NORMALIZATIONS[name]
    if x.shape[-1] == 1:
        x = jnp.repeat(x, 3, axis=-1)
    if name == "none":
        return x
    if how.bgr:
        x = x[..., ::-1]
    mean, deviation = (jnp.asarray(each, x.dtype).reshape((1,) * (x.ndim - 1) + (3,)) for each in how[:2])
    return (x - mean) / deviation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pictures of any size become the inputs of a network: resized, cropped at the centre, normalised."""

    size: int = 224
    """Side of the square that is cut out, in pixels."""
    resize: int = 256
    """The shorter side before the crop, in pixels."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Pillow's filter, antialiased."""
    normalize: str = "imagenet"
    """A name in `NORMALIZATIONS`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (self.size, self.size, 3)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a backbone that go with it."""
        return {"normalize": self.normalize}

    def crop(self, picture: Any) -> np.ndarray:
        """Return one picture (a path, or `PIL.Image`) as uint8 RGB `[size, size, 3]`; EXIF rotation is not applied."""
        from PIL import Image

        image = (picture if isinstance(picture, Image.Image) else Image.open(picture)).convert("RGB")
        width, height = image.size
        short, long = min(width, height), max(width, height)
        other = int(self.resize * long / short)
        kind = Image.Resampling.BILINEAR if self.interpolation == "bilinear" else Image.Resampling.BICUBIC
        image = image.resize((self.resize, other) if width <= height else (other, self.resize), kind)
        left, top = (round((side - self.size) / 2.0) for side in image.size)
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)))

    def __call__(self, pictures: Sequence[Any] | np.ndarray) -> jax.Array:
        """Return inputs `[n, size, size, 3]`, float32.

        Args:
          pictures: paths or `PIL.Image`s, which are resized and cropped; or arrays `[n, h, w, 1 or 3]`, uint8 or floats
            in [0, 1], which keep their size.

        Raises:
          UsageError: for arrays of another shape.
        """
        if not hasattr(pictures, "shape"):
            pictures = np.stack([self.crop(one) for one in pictures])
        x = jnp.asarray(pictures)
        if x.ndim != 4 or x.shape[-1] not in (1, 3):
            raise UsageError(f"images are [n, height, width, 1 or 3], got shape {x.shape}. One image alone: x[None].")
        x = x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else x
        return normalize(x, self.normalize)
