"""A convolutional network over time, for windows of sensor signals."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import ClassVar

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone, check_positive, check_rate
from tladapt.models.backbones.published import Chain, Stage
from tladapt.models.layers import global_average, max_pool
from tladapt.models.normalization import BatchNorm
from tladapt.models.temporal import Conv1D


@BACKBONES.register("window_cnn")
@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowCNN(Backbone):
    """Blocks of convolution over time, batch normalisation, ReLU and max-pooling; then the mean over time.

    A convolution with a kernel of k points has k // 2 zeros before and after the window, and no bias; the pooling takes
    2 points with one point of padding on both sides. The defaults are the 1-D CNN of Ragab, Eldele, Tan, Foo, Chen, Wu,
    Kwoh, Li, "AdaTime: A Benchmarking Suite for Domain Adaptation on Time Series Data", TKDD 2023, arXiv 2203.08321,
    for activity recognition (kernels of 5, 8 and 8 points; 64, 128 and 128 channels).

    Deviations from the paper:
      1. There is no dropout unless it is asked for; `dropout=0.5` is the paper's.
    """

    name: ClassVar[str] = "window_cnn"
    summary: ClassVar[str] = "three convolutions over time with batch normalisation, for windows [time, channels]"

    widths: tuple[int, ...] = (64, 128, 128)
    """Channels of the convolutions; the last is the width of the features."""
    kernels: tuple[int, ...] = (5, 8, 8)
    """Points in time that each convolution reads."""
    dropout: float = 0.0
    """Share of the first block's outputs that is dropped while training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_positive(self.name, widths=self.widths, kernels=self.kernels)
        check_rate(self.name, self.dropout)
        if not self.widths or len(self.widths) != len(self.kernels):
            raise UsageError(
                f"backbone 'window_cnn' needs a kernel for each convolution: got widths {self.widths!r} and kernels"
                f" {self.kernels!r}."
            )

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        if len(shape) != 2:
            hint = " Give a single channel its axis: x[..., None]." if len(shape) == 1 else ""
            raise UsageError(
                f"backbone 'window_cnn' reads windows [time, channels]; these inputs have shape {shape}.{hint}"
            )
        return WindowCNNNetwork(self, shape, rngs=rngs)


class WindowCNNNetwork(Chain):
    """The network of `WindowCNN`: `[n, t, c] -> [n, widths[-1]]`; stages "block0" on, "average"."""

    def __init__(self, spec: WindowCNN, shape: tuple[int, int], *, rngs: nnx.Rngs):
        sizes = (shape[1], *spec.widths)
        self.convolutions = nnx.List(
            [
                Conv1D(before, after, kernel, padding=kernel // 2, rngs=rngs)
                for (before, after), kernel in zip(itertools.pairwise(sizes), spec.kernels, strict=True)
            ]
        )
        self.norms = nnx.List([BatchNorm(size) for size in spec.widths])
        self.dropout = nnx.Dropout(spec.dropout, rngs=rngs) if spec.dropout else nnx.data(None)
        self.out_features = sizes[-1]

    def stages(self) -> Iterator[tuple[str, Stage]]:
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            yield f"block{place}", functools.partial(_block, convolution, norm, self.dropout if place == 0 else None)
        yield "average", _average

    def stage_paths(self) -> tuple[tuple[str, str], ...]:
        """Return name and path of the parts in order; a convolution and its normalisation are one stage."""
        return tuple((f"block{i}", f"{part}/{i}") for i in range(len(self.norms)) for part in ("convolutions", "norms"))


def _block(convolution: Conv1D, norm: BatchNorm, dropout: nnx.Dropout | None, x: jax.Array) -> jax.Array:
    x = norm(convolution(x))
    x = jax.nn.relu(max_pool(x[:, :, None, :], (2, 1), padding=((1, 1), (0, 0)))[:, :, 0, :])  # [n, t / 2 + 1, c]
    return x if dropout is None else dropout(x)


def _average(x: jax.Array) -> jax.Array:
    return global_average(x[:, :, None, :])  # [n, c]
