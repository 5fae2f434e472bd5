"""LeNet with two convolutions, as papers on adaptation between digits use it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import ClassVar, Literal

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone, check_image, check_positive
from tladapt.models.backbones.published import Chain, Stage
from tladapt.models.heads import DenseBlock
from tladapt.models.layers import Conv, max_pool


@BACKBONES.register("lenet")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LeNet(Backbone):
    """Two blocks of convolution, 2 x 2 max-pooling and ReLU, flattened, then fully connected layers with ReLU.

    The defaults are the convolutions of the MNIST network in Ganin et al., "Domain-Adversarial Training of Neural
    Networks", JMLR 17 (2016), arXiv 1505.07818 (5 x 5, 32 then 48 channels).

    Deviations from the paper:
      1. Features come after a layer of 128 units, so that distances between them are taken in few dimensions;
         `hidden=()` gives the paper's flattened maps (768 for 28 x 28 pixels with `padding="valid"`).
      2. Convolutions keep the size of the image, which suits images smaller than 28 x 28.
    """

    name: ClassVar[str] = "lenet"
    summary: ClassVar[str] = "two 5 x 5 convolutions with max-pooling, for small images"

    widths: tuple[int, int] = (32, 48)
    """Channels of the two convolutions; multiples of 16 are fastest."""
    kernel: int = 5
    """Height and width of the kernels."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the fully connected layers after the convolutions; the last one is the width of the features."""
    padding: Literal["same", "valid"] = "same"
    """"same" pads the image with zeros; "valid" lets it shrink by kernel - 1 at each convolution."""

    def __post_init__(self) -> None:
        check_positive(self.name, widths=self.widths, kernel=self.kernel, hidden=self.hidden)
        if len(self.widths) != 2:
            raise UsageError(f"backbone 'lenet' has two convolutions: widths must be two numbers, got {self.widths!r}.")
        if self.padding not in ("same", "valid"):
            raise UsageError(f"backbone 'lenet': padding must be 'same' or 'valid', got {self.padding!r}.")

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        check_image(self.name, shape, 4 + 3 * self._shrinkage())
        return LeNetNetwork(self, shape, rngs=rngs)

    def _shrinkage(self) -> int:
        return 0 if self.padding == "same" else self.kernel - 1

    def map_size(self, size: int) -> int:
        """Return what is left of `size` pixels after both blocks."""
        for _ in self.widths:
            size = (size - self._shrinkage()) // 2
        return size


class LeNetNetwork(Chain):
    """The network of `LeNet`: `[n, h, w, c] -> [n, d]`; stages "convolutions.0" on, "flatten", "dense.0" on."""

    def __init__(self, spec: LeNet, shape: tuple[int, ...], *, rngs: nnx.Rngs):
        height, width, channels = shape
        sizes: tuple[int, ...] = (channels, *spec.widths)
        self.convolutions = nnx.List(
            [
                Conv(before, after, spec.kernel, padding=spec.padding.upper(), rngs=rngs)
                for before, after in itertools.pairwise(sizes)
            ]
        )
        sizes = (spec.map_size(height) * spec.map_size(width) * sizes[-1], *spec.hidden)
        self.dense = nnx.List([DenseBlock(before, after, rngs=rngs) for before, after in itertools.pairwise(sizes)])
        self.out_features = sizes[-1]

    def stages(self) -> Iterator[tuple[str, Stage]]:
        for place, convolution in enumerate(self.convolutions):
            yield f"convolutions.{place}", functools.partial(_halved, convolution)
        yield "flatten", lambda x: x.reshape(x.shape[0], -1)  # [n, h w c]
        for place, layer in enumerate(self.dense):
            yield f"dense.{place}", layer

    def stage_paths(self) -> tuple[tuple[str, str], ...]:
        """Return name and path of each stage with parameters, in order."""
        parts = (("convolutions", self.convolutions), ("dense", self.dense))
        return tuple((f"{part}.{place}", f"{part}/{place}") for part, layers in parts for place in range(len(layers)))


def _halved(convolution: Conv, x: jax.Array) -> jax.Array:
    return jax.nn.relu(convolution.shift(max_pool(convolution.convolve(x), 2)))  # [n, h / 2, w / 2, c]
