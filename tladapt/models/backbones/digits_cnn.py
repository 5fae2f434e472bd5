"""A small convolutional network with batch normalisation, for digits of 16 to 32 pixels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import ClassVar

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone, check_image, check_positive, check_rate
from tladapt.models.backbones.published import Chain, Stage
from tladapt.models.heads import DenseBlock
from tladapt.models.layers import Conv, max_pool
from tladapt.models.normalization import BatchNorm


@BACKBONES.register("digits_cnn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitsCNN(Backbone):
    """Blocks of convolution, batch normalisation, 2 x 2 max-pooling and ReLU, flattened, then one layer with ReLU."""

    name: ClassVar[str] = "digits_cnn"
    summary: ClassVar[str] = "three convolutions with batch normalisation, for images of 16 to 32 pixels"

    widths: tuple[int, ...] = (32, 64, 128)
    """Channels of the convolutions; each halves the image, and multiples of 16 are fastest."""
    kernel: int = 3
    """Height and width of the kernels."""
    features: int = 128
    """Width of the fully connected layer at the end, which is that of the features."""
    batch_norm: bool = True
    """Whether convolutions and the last layer are batch-normalised before their ReLU."""
    dropout: float = 0.0
    """Share of the features that is dropped while training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_positive(self.name, widths=self.widths, kernel=self.kernel, features=self.features)
        check_rate(self.name, self.dropout)
        if not self.widths:
            raise UsageError("backbone 'digits_cnn': widths needs at least one convolution, got ().")

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        check_image(self.name, shape, 2 ** len(self.widths))
        return DigitsCNNNetwork(self, shape, rngs=rngs)


class DigitsCNNNetwork(Chain):
    """The network of `DigitsCNN`: `[n, h, w, c] -> [n, features]`; stages "block0" on, "flatten", "dense"."""

    def __init__(self, spec: DigitsCNN, shape: tuple[int, ...], *, rngs: nnx.Rngs):
        height, width, channels = shape
        sizes = (channels, *spec.widths)
        self.convolutions = nnx.List(
            [
                Conv(before, after, spec.kernel, use_bias=not spec.batch_norm, rngs=rngs)
                for before, after in itertools.pairwise(sizes)
            ]
        )
        self.norms = nnx.List([BatchNorm(size) if spec.batch_norm else None for size in spec.widths])
        halvings = 2 ** len(spec.widths)
        self.dense = DenseBlock(
            (height // halvings) * (width // halvings) * spec.widths[-1],
            spec.features,
            batch_norm=spec.batch_norm,
            dropout=spec.dropout,
            rngs=rngs,
        )
        self.out_features = spec.features

    def stages(self) -> Iterator[tuple[str, Stage]]:
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            yield f"block{place}", functools.partial(_block, convolution, norm)
        yield "flatten", lambda x: x.reshape(x.shape[0], -1)  # [n, h w c]
        yield "dense", self.dense

    def stage_paths(self) -> tuple[tuple[str, str], ...]:
        """Return name and path of the parts in order; a convolution and its normalisation are one stage."""
        blocks = [(f"block{i}", f"{part}/{i}") for i in range(len(self.norms)) for part in ("convolutions", "norms")]
        return (*blocks, ("dense", "dense"))


def _block(convolution: Conv, norm: BatchNorm | None, x: jax.Array) -> jax.Array:
    x = convolution.convolve(x)
    if norm is not None:
        x = norm(x)
    return jax.nn.relu(convolution.shift(max_pool(x, 2)))  # [n, h / 2, w / 2, c]
