"""ResNet for ImageNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import check_positive
from tladapt.models.backbones.plain import ConvUnit
from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.layers import Conv, global_average, max_pool
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import timm_weights, torchvision_weights
from tladapt.models.weights.table import Table, conv, linear, norm

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_BOTTLENECKS_FROM = 50  # layers
_WIDTHS = (64, 128, 256, 512)
_HE = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
_ONE_AROUND = ((1, 1), (1, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet(Published):
    """ResNet; features are the mean over space of 512 channels (18 and 34 layers) or 2048 (50 and more layers).

    The stages are called as in torchvision: "relu" (the stem), "maxpool", "layer1.0" to "layer4.2", and "pool".

    Deviations from the paper:
      1. From 50 layers on, a block that halves the image does so in its 3 x 3 convolution, not in the 1 x 1 one before
         it ("ResNet v1.5"), as in torchvision and timm, whose weights are so.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385.
    """

    name: ClassVar[str] = "resnet"

    blocks: tuple[int, ...] = _BLOCKS[50]
    """Number of blocks at each of the four sizes."""
    bottlenecks: bool = True
    """Whether blocks compute on a quarter of the channels between 1 x 1 convolutions; else they are two of 3 x 3."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, blocks=self.blocks)
        if len(self.blocks) != len(_WIDTHS):
            raise UsageError(f"backbone {self.name!r}: blocks are {len(_WIDTHS)} numbers, got {self.blocks!r}.")

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return ResNetNetwork(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TORCHVISION,)


class ResNetNetwork(Chain):
    """The network of `ResNet`: `[n, h, w, 3] -> [n, 512 or 2048]`."""

    def __init__(self, spec: ResNet, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum)
        block = _Bottleneck if spec.bottlenecks else _BasicBlock
        channels = _WIDTHS[0]
        self.stem = ConvUnit(
            3, channels, 7, strides=2, padding=3, use_bias=False, norm=options, kernel_init=_HE, rngs=rngs
        )
        layers = []
        for number, (width, repeats) in enumerate(zip(_WIDTHS, spec.blocks, strict=True)):
            blocks: list[nnx.Module] = []
            for place in range(repeats):
                strides = 2 if place == 0 and number > 0 else 1
                blocks.append(block(channels, width, strides=strides, norm=options, rngs=rngs))
                channels = width * block.expansion
            layers.append(nnx.List(blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.out_features = channels

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "relu", self.stem
        yield "maxpool", lambda x: max_pool(x, 3, strides=2, padding=_ONE_AROUND)
        for number, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), start=1):
            for place, block in enumerate(layer):
                yield f"layer{number}.{place}", block
        yield "pool", global_average


class _Block(nnx.Module):
    """What both kinds of block have in common: their input, made to fit by 1 x 1 where it does not, is added to it."""

    expansion: ClassVar[int]
    """Channels that it gives, as a multiple of those that it computes on."""

    def __init__(self, before: int, width: int, *, strides: int, norm: NormOptions, rngs: nnx.Rngs):
        after = width * self.expansion
        self.fits = strides == 1 and before == after
        if not self.fits:
            self.downsample_conv = _conv(before, after, 1, strides=strides, rngs=rngs)
            self.downsample_norm = BatchNorm(after, **norm)

    def residual(self, x: jax.Array) -> jax.Array:
        """Return what is added to the input."""
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.residual(x)
        return jax.nn.relu(y + (x if self.fits else self.downsample_norm(self.downsample_conv(x))))


class _BasicBlock(_Block):
    """Two 3 x 3 convolutions."""

    expansion = 1

    def __init__(self, before: int, width: int, *, strides: int, norm: NormOptions, rngs: nnx.Rngs):
        super().__init__(before, width, strides=strides, norm=norm, rngs=rngs)
        self.conv1, self.bn1 = _conv(before, width, 3, strides=strides, rngs=rngs), BatchNorm(width, **norm)
        self.conv2, self.bn2 = _conv(width, width, 3, rngs=rngs), BatchNorm(width, **norm)

    def residual(self, x: jax.Array) -> jax.Array:
        return self.bn2(self.conv2(jax.nn.relu(self.bn1(self.conv1(x)))))


class _Bottleneck(_Block):
    """1 x 1 to fewer channels, 3 x 3 on them, 1 x 1 to four times as many."""

    expansion = 4

    def __init__(self, before: int, width: int, *, strides: int, norm: NormOptions, rngs: nnx.Rngs):
        super().__init__(before, width, strides=strides, norm=norm, rngs=rngs)
        after = width * self.expansion
        self.conv1, self.bn1 = _conv(before, width, 1, rngs=rngs), BatchNorm(width, **norm)
        self.conv2, self.bn2 = _conv(width, width, 3, strides=strides, rngs=rngs), BatchNorm(width, **norm)
        self.conv3, self.bn3 = _conv(width, after, 1, rngs=rngs), BatchNorm(after, **norm)

    def residual(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.bn1(self.conv1(x)))
        x = jax.nn.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


def _conv(before: int, after: int, size: int, *, strides: int = 1, rngs: nnx.Rngs) -> Conv:
    padding = _ONE_AROUND if size == 3 else "VALID"
    return Conv(before, after, size, strides=strides, padding=padding, use_bias=False, kernel_init=_HE, rngs=rngs)


_TORCHVISION = Table(  # timm's names are the same
    name="torchvision",
    backbone=(
        *conv("conv1", "stem/conv"),
        *norm("bn1", "stem/norm"),
        *conv(r"(layer\d)\.(\d+)\.(conv\d)", r"\1/\2/\3"),
        *norm(r"(layer\d)\.(\d+)\.(bn\d)", r"\1/\2/\3"),
        *conv(r"(layer\d)\.(\d+)\.downsample\.0", r"\1/\2/downsample_conv"),
        *norm(r"(layer\d)\.(\d+)\.downsample\.1", r"\1/\2/downsample_norm"),
    ),
    classifier=tuple(linear("fc", "")),
)

variants(
    ResNet,
    {
        f"resnet{depth}": {"blocks": blocks, "bottlenecks": depth >= _BOTTLENECKS_FROM}
        for depth, blocks in _BLOCKS.items()
    },
    "ResNet of {blocks} blocks, bottlenecks: {bottlenecks}, for images of 224 pixels",
)
_SECOND = Preprocessing(resize=232)
register(
    torchvision_weights("resnet18", "resnet18-f37072fd.pth", accuracy=69.758),
    torchvision_weights("resnet34", "resnet34-b627a593.pth", accuracy=73.314),
    torchvision_weights("resnet50", "resnet50-0676ba61.pth", accuracy=76.130),
    torchvision_weights("resnet101", "resnet101-63fe2227.pth", accuracy=77.374),
    torchvision_weights("resnet152", "resnet152-394f9c45.pth", accuracy=78.312),
    torchvision_weights(
        "resnet50", "resnet50-11ad3fa6.pth", tag="IMAGENET1K_V2", accuracy=80.858, preprocessing=_SECOND
    ),
    torchvision_weights(
        "resnet101", "resnet101-cd907fc2.pth", tag="IMAGENET1K_V2", accuracy=81.886, preprocessing=_SECOND
    ),
    torchvision_weights(
        "resnet152", "resnet152-f82ba261.pth", tag="IMAGENET1K_V2", accuracy=82.284, preprocessing=_SECOND
    ),
    *(timm_weights(f"resnet{depth}", "a1_in1k", crop=0.95) for depth in _BLOCKS),
    *(timm_weights(f"resnet{depth}", "tv_in1k", interpolation="bilinear", licence="BSD-3-Clause") for depth in _BLOCKS),
)
