"""AlexNet, in its variant for one device."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
from flax import nnx

from tladapt.models.backbones.base import BACKBONES, check_positive, check_rate
from tladapt.models.backbones.plain import ConvUnit, flatten, fully_connected
from tladapt.models.backbones.published import Chain, Published, Stage
from tladapt.models.heads import DenseBlock
from tladapt.models.layers import adaptive_average, max_pool
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import torchvision_weights
from tladapt.models.weights.table import Table, conv, linear

_GRID = 6  # cells a side that the first fully connected layer reads


@BACKBONES.register("alexnet")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AlexNet(Published):
    """AlexNet; features are the 4096 outputs of the second fully connected layer, after its ReLU.

    The stages are called as in torchvision: a convolution with its ReLU by the number of the ReLU ("features.1",
    "features.11"), a pooling by its own ("features.12"), then "avgpool", "flatten", "classifier.0" (dropout), and the
    fully connected layers ("classifier.3", the first with the dropout after it, and "classifier.5", the features).
    Images of any size from 63 pixels on are read: means over a grid of 6 x 6 cells go into the first fully connected
    layer.

    Deviations from the paper:
      1. It is the network of the second source, which torchvision's weights are of: 64 and 192 channels in the first
         two layers, no groups, no local response normalisation.

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS
    2012; Krizhevsky, "One Weird Trick for Parallelizing Convolutional Neural Networks", 2014, arXiv 1404.5997.
    """

    name: ClassVar[str] = "alexnet"
    summary: ClassVar[str] = "AlexNet, for images of 224 pixels"
    smallest: ClassVar[int] = 63

    hidden: int = 4096
    """Width of the two fully connected layers, and of the features."""
    dropout: float = 0.5
    """Share of the inputs of both fully connected layers that is dropped while training, in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, hidden=self.hidden)
        check_rate(self.name, self.dropout)

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return AlexNetNetwork(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TORCHVISION,)


class AlexNetNetwork(Chain):
    """The network of `AlexNet`: `[n, h, w, 3] -> [n, 4096]`."""

    def __init__(self, spec: AlexNet, *, rngs: nnx.Rngs):
        self.conv0 = ConvUnit(3, 64, 11, strides=4, padding=2, rngs=rngs)
        self.conv3 = ConvUnit(64, 192, 5, padding=2, rngs=rngs)
        self.conv6 = ConvUnit(192, 384, 3, padding=1, rngs=rngs)
        self.conv8 = ConvUnit(384, 256, 3, padding=1, rngs=rngs)
        self.conv10 = ConvUnit(256, 256, 3, padding=1, rngs=rngs)
        self.dropout = nnx.Dropout(spec.dropout, rngs=rngs) if spec.dropout else nnx.data(None)
        self.fc1 = DenseBlock(_GRID * _GRID * 256, spec.hidden, dropout=spec.dropout, rngs=rngs)
        self.fc2 = DenseBlock(spec.hidden, spec.hidden, rngs=rngs)
        self.out_features = spec.hidden

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "features.1", self.conv0
        yield "features.2", _pool
        yield "features.4", self.conv3
        yield "features.5", _pool
        yield "features.7", self.conv6
        yield "features.9", self.conv8
        yield "features.11", self.conv10
        yield "features.12", _pool
        yield "avgpool", lambda x: adaptive_average(x, _GRID)
        yield "flatten", flatten
        if self.dropout is not None:
            yield "classifier.0", self.dropout
        yield "classifier.3", self.fc1
        yield "classifier.5", self.fc2


def _pool(x: jax.Array) -> jax.Array:
    return max_pool(x, 3, strides=2)


_TORCHVISION = Table(
    name="torchvision",
    backbone=(
        *conv(r"features\.(\d+)", r"conv\1/conv"),
        *fully_connected(r"classifier\.1", "fc1/linear", _GRID),
        *linear(r"classifier\.4", "fc2/linear"),
    ),
    classifier=tuple(linear(r"classifier\.6", "")),
)

register(torchvision_weights("alexnet", "alexnet-owt-7be5be79.pth", accuracy=56.522))
