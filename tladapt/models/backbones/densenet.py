"""DenseNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import check_positive
from tladapt.models.backbones.plain import ConvUnit
from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.layers import Conv, avg_pool, global_average, max_pool
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import timm_weights, torchvision_weights
from tladapt.models.weights.table import Table, conv, linear, norm

_BOTTLENECK = 4  # a layer's 1 x 1 convolution gives this many times the channels that it adds
_BLOCKS = 4
_HE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseNet(Published):
    """DenseNet-BC; features are the mean over space of the last channels after a ReLU (1024 in DenseNet-121).

    The stages are called as in torchvision: "features.relu0" and "features.pool0" (the stem), "features.denseblock1" to
    "features.denseblock4" (all channels of the block, its input's first), "features.transition1" to
    "features.transition3", "features.norm5" (before its ReLU), and "pool".

    Source: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017,
    arXiv 1608.06993.
    """

    name: ClassVar[str] = "densenet"

    layers: tuple[int, ...] = (6, 12, 24, 16)
    """Number of layers in each of the four blocks."""
    growth: int = 32
    """Channels that each layer adds."""
    stem: int = 64
    """Channels of the first convolution."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, layers=self.layers, growth=self.growth, stem=self.stem)
        if len(self.layers) != _BLOCKS:
            raise UsageError(f"backbone {self.name!r}: layers are {_BLOCKS} numbers, got {self.layers!r}.")

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return DenseNetNetwork(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TORCHVISION,)


class DenseNetNetwork(Chain):
    """The network of `DenseNet`: `[n, h, w, 3] -> [n, 1024 or more]`."""

    def __init__(self, spec: DenseNet, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum)
        channels = spec.stem
        self.stem = ConvUnit(
            3, channels, 7, strides=2, padding=3, use_bias=False, norm=options, kernel_init=_HE, rngs=rngs
        )
        blocks: list[_DenseBlock] = []
        transitions: list[_Transition] = []
        for count in spec.layers:
            if blocks:
                transitions.append(_Transition(channels, norm=options, rngs=rngs))
                channels //= 2
            blocks.append(_DenseBlock(channels, count, growth=spec.growth, norm=options, rngs=rngs))
            channels += count * spec.growth
        self.denseblock1, self.denseblock2, self.denseblock3, self.denseblock4 = blocks
        self.transition1, self.transition2, self.transition3 = transitions
        self.norm5 = BatchNorm(channels, **options)
        self.out_features = channels

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "features.relu0", self.stem
        yield "features.pool0", lambda x: max_pool(x, 3, strides=2, padding=((1, 1), (1, 1)))
        yield "features.denseblock1", self.denseblock1
        yield "features.transition1", self.transition1
        yield "features.denseblock2", self.denseblock2
        yield "features.transition2", self.transition2
        yield "features.denseblock3", self.denseblock3
        yield "features.transition3", self.transition3
        yield "features.denseblock4", self.denseblock4
        yield "features.norm5", self.norm5
        yield "pool", lambda x: global_average(jax.nn.relu(x))


class _DenseBlock(nnx.Module):
    """Layers each of which reads the input of the block and what all layers before have added."""

    def __init__(self, before: int, layers: int, *, growth: int, norm: NormOptions, rngs: nnx.Rngs):
        self.names = tuple(f"denselayer{i + 1}" for i in range(layers))  # a dict comes out of a split sorted
        self.layers = nnx.Dict(
            {name: _DenseLayer(before + i * growth, growth, norm=norm, rngs=rngs) for i, name in enumerate(self.names)}
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        for name in self.names:
            x = jnp.concatenate([x, self.layers[name](x)], axis=-1)  # [n, h, w, before + growth i]
        return x


class _DenseLayer(nnx.Module):
    """Normalisation, ReLU, 1 x 1 convolution; normalisation, ReLU, 3 x 3 convolution to the new channels."""

    def __init__(self, before: int, growth: int, *, norm: NormOptions, rngs: nnx.Rngs):
        width = _BOTTLENECK * growth
        self.norm1 = BatchNorm(before, **norm)
        self.conv1 = Conv(before, width, 1, use_bias=False, kernel_init=_HE, rngs=rngs)
        self.norm2 = BatchNorm(width, **norm)
        self.conv2 = Conv(width, growth, 3, padding=((1, 1), (1, 1)), use_bias=False, kernel_init=_HE, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv1(jax.nn.relu(self.norm1(x)))
        return self.conv2(jax.nn.relu(self.norm2(x)))


class _Transition(nnx.Module):
    """Half the channels at half the size."""

    def __init__(self, before: int, *, norm: NormOptions, rngs: nnx.Rngs):
        self.norm = BatchNorm(before, **norm)
        self.conv = Conv(before, before // 2, 1, use_bias=False, kernel_init=_HE, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return avg_pool(self.conv(jax.nn.relu(self.norm(x))), 2)


_LAYER = r"features\.(denseblock\d)\.(denselayer\d+)"
_TORCHVISION = Table(  # timm's names are the same; torchvision's files have a dot before the layers' numbers
    name="torchvision",
    backbone=(
        *conv(rf"{_LAYER}\.conv\.?([12])", r"\1/layers/\2/conv\3"),
        *norm(rf"{_LAYER}\.norm\.?([12])", r"\1/layers/\2/norm\3"),
        *conv(r"features\.(transition\d)\.conv", r"\1/conv"),
        *norm(r"features\.(transition\d)\.norm", r"\1/norm"),
        *conv(r"features\.conv0", "stem/conv"),
        *norm(r"features\.norm0", "stem/norm"),
        *norm(r"features\.norm5", "norm5"),
    ),
    classifier=tuple(linear("classifier", "")),
)

variants(
    DenseNet,
    {
        "densenet121": {},
        "densenet161": {"layers": (6, 12, 36, 24), "growth": 48, "stem": 96},
        "densenet169": {"layers": (6, 12, 32, 32)},
        "densenet201": {"layers": (6, 12, 48, 32)},
    },
    "DenseNet of {layers} layers that add {growth} channels each, for images of 224 pixels",
)
register(
    torchvision_weights("densenet121", "densenet121-a639ec97.pth", accuracy=74.434),
    torchvision_weights("densenet161", "densenet161-8d451a50.pth", accuracy=77.138),
    torchvision_weights("densenet169", "densenet169-b2777c0a.pth", accuracy=75.600),
    torchvision_weights("densenet201", "densenet201-c1103571.pth", accuracy=76.896),
    timm_weights("densenet121", "ra_in1k"),
    *(timm_weights(f"densenet{depth}", "tv_in1k") for depth in (121, 161, 169, 201)),
)
