"""VGG."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import check_positive, check_rate
from tladapt.models.backbones.plain import ConvUnit, flatten, fully_connected
from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.heads import DenseBlock
from tladapt.models.layers import adaptive_average, max_pool
from tladapt.models.normalization import NormOptions
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import timm_weights, torchvision_weights
from tladapt.models.weights.table import Rule, Table, conv, linear, norm

_WIDTHS = (64, 128, 256, 512, 512)
_REPEATS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_HE = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
_GRID = 7  # cells a side that the first fully connected layer reads


@dataclasses.dataclass(frozen=True, kw_only=True)
class VGG(Published):
    """VGG; features are the 4096 outputs of the second fully connected layer, after its ReLU and dropout.

    The stages are called as in torchvision: a convolution with its ReLU by the number of the ReLU ("features.1"), a
    pooling by its own ("features.4"), then "avgpool", "flatten", and each fully connected layer by the number of its
    dropout ("classifier.2", and "classifier.5", the features). Images of any size from 32 pixels on are read: means
    over a grid of 7 x 7 cells go into the first fully connected layer.

    Deviations from the reference:
      1. timm moves the fully connected layers over images larger than 224 pixels and takes the mean of what they give;
         this network, like torchvision's, takes means before them. At 224 pixels both are the same.

    Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
    arXiv 1409.1556. The variants with batch normalisation are torchvision's.
    """

    name: ClassVar[str] = "vgg"

    depth: int = 16
    """Number of layers: 11, 13, 16 or 19."""
    batch_norm: bool = False
    """Whether convolutions are batch-normalised."""
    hidden: int = 4096
    """Width of the two fully connected layers, and of the features."""
    dropout: float = 0.5
    """Share of the outputs of both fully connected layers that is dropped while training, in [0, 1)."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, hidden=self.hidden)
        check_rate(self.name, self.dropout)
        if self.depth not in _REPEATS:
            raise UsageError(
                f"backbone {self.name!r}: depth is one of {', '.join(map(str, _REPEATS))}, got {self.depth}."
            )

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return VGGNetwork(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        features: list[Rule] = []
        for block, place, number in _places(self):
            features += conv(rf"features\.{number}", f"features/{block}/{place}/conv")
            if self.batch_norm:
                features += norm(rf"features\.{number + 1}", f"features/{block}/{place}/norm")
        return (
            Table(
                name="torchvision",
                backbone=(
                    *features,
                    *fully_connected(r"classifier\.0", "fc1/linear", _GRID),
                    *linear(r"classifier\.3", "fc2/linear"),
                ),
                classifier=tuple(linear(r"classifier\.6", "")),
            ),
            Table(
                name="timm",
                backbone=(
                    *features,
                    *fully_connected(r"pre_logits\.fc1", "fc1/linear", _GRID),
                    Rule(r"pre_logits\.fc2\.weight", "fc2/linear/kernel", "conv_as_linear"),
                    Rule(r"pre_logits\.fc2\.bias", "fc2/linear/bias"),
                ),
                classifier=tuple(linear(r"head\.fc", "")),
            ),
        )


def _places(spec: VGG) -> Iterator[tuple[int, int, int]]:
    """Yield block, place in the block, and torchvision's number of each convolution."""
    number = 0
    for block, repeats in enumerate(_REPEATS[spec.depth]):
        for place in range(repeats):
            yield block, place, number
            number += 3 if spec.batch_norm else 2  # it, its normalisation, its ReLU
        number += 1  # the pooling


class VGGNetwork(Chain):
    """The network of `VGG`: `[n, h, w, 3] -> [n, 4096]`."""

    def __init__(self, spec: VGG, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum) if spec.batch_norm else None
        channels = 3
        blocks: list[nnx.List[ConvUnit]] = []
        for width, repeats in zip(_WIDTHS, _REPEATS[spec.depth], strict=True):
            units = []
            for _ in range(repeats):
                units.append(ConvUnit(channels, width, 3, padding=1, norm=options, kernel_init=_HE, rngs=rngs))
                channels = width
            blocks.append(nnx.List(units))
        self.features = nnx.List(blocks)
        self.fc1 = DenseBlock(_GRID * _GRID * channels, spec.hidden, dropout=spec.dropout, rngs=rngs)
        self.fc2 = DenseBlock(spec.hidden, spec.hidden, dropout=spec.dropout, rngs=rngs)
        self.out_features = spec.hidden

    def stages(self) -> Iterator[tuple[str, Stage]]:
        number = -1
        for units in self.features:
            for unit in units:
                number += 2 if unit.norm is None else 3
                yield f"features.{number}", unit
            number += 1
            yield f"features.{number}", lambda x: max_pool(x, 2)
        yield "avgpool", lambda x: adaptive_average(x, _GRID)
        yield "flatten", flatten
        yield "classifier.2", self.fc1
        yield "classifier.5", self.fc2


variants(
    VGG,
    {
        f"vgg{depth}{'_bn' if batch_norm else ''}": {"depth": depth, "batch_norm": batch_norm}
        for depth in _REPEATS
        for batch_norm in (False, True)
    },
    "VGG of {depth} layers, batch normalisation: {batch_norm}, for images of 224 pixels",
)
register(
    torchvision_weights("vgg11", "vgg11-8a719046.pth", accuracy=69.020),
    torchvision_weights("vgg11_bn", "vgg11_bn-6002323d.pth", accuracy=70.370),
    torchvision_weights("vgg13", "vgg13-19584684.pth", accuracy=69.928),
    torchvision_weights("vgg13_bn", "vgg13_bn-abd245e5.pth", accuracy=71.586),
    torchvision_weights("vgg16", "vgg16-397923af.pth", accuracy=71.592),
    torchvision_weights("vgg16_bn", "vgg16_bn-6c64b313.pth", accuracy=73.360),
    torchvision_weights("vgg19", "vgg19-dcbb9e9d.pth", accuracy=72.376),
    torchvision_weights("vgg19_bn", "vgg19_bn-c79401a0.pth", accuracy=74.218),
    *(
        timm_weights(f"vgg{depth}{suffix}", "tv_in1k", interpolation="bilinear", licence="BSD-3-Clause")
        for depth in _REPEATS
        for suffix in ("", "_bn")
    ),
)
