"""Residual networks for images of 32 pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.layers import Conv, global_average
from tladapt.models.normalization import BatchNorm
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Table, conv, linear, norm

_PADS = ((1, 1), (1, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CifarResNet(Published):
    """ResNet for CIFAR: three stages of 16, 32 and 64 channels, shortcuts without parameters; 64 features.

    Where a block halves the image, its shortcut takes every second pixel and pads channels with zeros on both sides
    ("option A").

    The stages are called as in the code that most published weights come from: "conv1", "bn1", "relu", "layer1.0" to
    "layer3.<last>", "pool".

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385, section
    4.2; names and weights of akamaster/pytorch_resnet_cifar10.
    """

    name: ClassVar[str] = "cifar_resnet"
    size: ClassVar[int] = 32
    smallest: ClassVar[int] = 8
    published_classes: ClassVar[int] = 10

    depth: int = 20
    """Number of layers with weights: 6 n + 2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 8 or (self.depth - 2) % 6:
            raise UsageError(f"backbone {self.name!r}: depth is 6 n + 2, such as 20, 32, 44, 56; got {self.depth}.")

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return CifarResNetNetwork((self.depth - 2) // 6, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TABLE,)


class CifarResNetNetwork(Chain):
    """The network of `CifarResNet`: `[n, h, w, 3] -> [n, 64]`."""

    def __init__(self, blocks: int, *, rngs: nnx.Rngs):
        self.conv1 = Conv(3, 16, 3, padding=_PADS, use_bias=False, rngs=rngs)
        self.bn1 = BatchNorm(16)
        self.layers = nnx.List(
            [
                nnx.List(
                    [
                        _Block(width // 2 if halves and place == 0 else width, width, rngs=rngs)
                        for place in range(blocks)
                    ]
                )
                for width, halves in ((16, False), (32, True), (64, True))
            ]
        )
        self.out_features = 64

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "conv1", self.conv1
        yield "bn1", self.bn1
        yield "relu", jax.nn.relu
        for i, layer in enumerate(self.layers, start=1):
            for j, block in enumerate(layer):
                yield f"layer{i}.{j}", block
        yield "pool", global_average


class _Block(nnx.Module):
    """Two 3 x 3 convolutions beside a shortcut; where channels double, the image is halved."""

    def __init__(self, before: int, after: int, *, rngs: nnx.Rngs):
        self.halves = before != after
        self.conv1 = Conv(before, after, 3, strides=2 if self.halves else 1, padding=_PADS, use_bias=False, rngs=rngs)
        self.bn1 = BatchNorm(after)
        self.conv2 = Conv(after, after, 3, padding=_PADS, use_bias=False, rngs=rngs)
        self.bn2 = BatchNorm(after)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.bn2(self.conv2(jax.nn.relu(self.bn1(self.conv1(x)))))
        if self.halves:
            added = (y.shape[-1] - x.shape[-1]) // 2
            x = jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (added, added)))
        return jax.nn.relu(x + y)


def _below(number: int) -> tuple[str, str]:
    return rf"layer{number}\.(\d+)\.", rf"layers/{number - 1}/\1/"


_TABLE = Table(
    name="akamaster",
    backbone=(
        *conv("conv1", "conv1"),
        *norm("bn1", "bn1"),
        *(
            rule
            for number in (1, 2, 3)
            for theirs, ours in [_below(number)]
            for rule in (*conv(theirs + r"(conv\d)", ours + r"\2"), *norm(theirs + r"(bn\d)", ours + r"\2"))
        ),
    ),
    classifier=tuple(linear("linear")),
)

variants(
    CifarResNet,
    {f"cifar_resnet{depth}": {"depth": depth} for depth in (20, 32, 44, 56, 110)},
    "ResNet of {depth} layers for images of 32 pixels",
)
register(
    *(
        PublishedWeights(
            name=f"akamaster/cifar_resnet{depth}",
            backbone=f"cifar_resnet{depth}",
            file=f"resnet{depth}-{head}.th",
            url=f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/resnet{depth}-{head}.th",
            sha256=head,
            classes=10,
            preprocessing=Preprocessing(size=32, resize=32),
            licence="BSD-2-Clause",
            source=f"akamaster/pytorch_resnet_cifar10; it states {accuracy} % on the test images of CIFAR-10",
        )
        for depth, head, accuracy in ((20, "12fca82f", 91.78), (56, "4bfd9763", 93.62))
    )
)
