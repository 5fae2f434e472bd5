"""EfficientNet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
from flax import nnx

from tladapt.models.backbones.base import check_rate
from tladapt.models.backbones.mbconv import Block, DropoutLinear, InvertedResidual, timm_rules, torchvision_rules
from tladapt.models.backbones.published import Chain, Published, Stage, using, variants
from tladapt.models.layers import Conv, global_average, padding_for, relu6, rounded_width
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import timm_weights, torchvision_weights
from tladapt.models.weights.table import Table, conv, linear, norm

# of each stage: expansion, window, stride of its first block, channels, repeats
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EfficientNet(Published):
    """EfficientNet B0 to B4 and Lite0; features are the mean over space of the last 1 x 1 convolution's channels.

    The stages are called as in timm: "stem", "blocks.0.0" to "blocks.6.0", "head", "pool". Features, before any
    dropout, are the same in timm and torchvision: 1280 (B0, B1, Lite0), 1408 (B2), 1536 (B3), 1792 (B4).

    The defaults are timm's, where nothing is dropped. Weights that come from torchvision drop blocks and classifier
    inputs in training (`drop_path`, `dropout`), and those that come from TensorFlow have other padding and epsilon (the
    names that begin with "tf_"); registered weights set these fields by themselves.

    Source: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
    arXiv 1905.11946.
    """

    name: ClassVar[str] = "efficientnet"

    width: float = 1.0
    """Factor on the numbers of channels."""
    depth: float = 1.0
    """Factor on the repeats of each stage."""
    lite: bool = False
    """Lite: ReLU6 in place of SiLU, and no squeeze-and-excitation."""
    dropout: float = 0.0
    """Rate in the classifier, before its only layer."""
    drop_path: float = 0.0
    """Rate at which examples skip the last block in training; it grows from 0 in proportion to the depth."""
    padding: str = "symmetric"
    """"symmetric", or "same" as in TensorFlow: at stride 2 the odd row and column are at the end."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.name, self.dropout)
        check_rate(self.name, self.drop_path)

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return EfficientNetNetwork(self, rngs=rngs)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return DropoutLinear(features, classes, dropout=self.dropout, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        timm = (*timm_rules(), *conv("conv_head", "conv_head"), *norm("bn2", "bn2"))
        return Table("timm", timm, tuple(linear("classifier"))), self._torchvision()

    def plan(self) -> Iterator[tuple[int, int, int, Block]]:
        """Yield stage and place in it of each block, the channels that it reads, and its shape."""
        activation = relu6 if self.lite else jax.nn.silu
        before = self.stem()
        for i, (expansion, size, stride, channels, repeats) in enumerate(_STAGES):
            after = rounded_width(channels * self.width)
            for j in range(math.ceil(repeats * self.depth)):
                squeezed = 0 if self.lite else before // 4
                strides = stride if j == 0 else 1
                yield i, j, before, Block(before * expansion, after, size, strides, squeezed, activation)
                before = after

    def stem(self) -> int:
        """Return the channels of the first convolution."""
        return rounded_width(32 * self.width)

    def _torchvision(self) -> Table:
        rules = [*conv(r"features\.0\.0", "conv_stem"), *norm(r"features\.0\.1", "bn1")]
        for i, j, before, block in self.plan():
            rules += torchvision_rules(before, block, rf"features\.{i + 1}\.{j}", f"blocks/{i}/{j}")
        rules += [*conv(r"features\.8\.0", "conv_head"), *norm(r"features\.8\.1", "bn2")]
        return Table("torchvision", tuple(rules), tuple(linear(r"classifier\.1")))


class EfficientNetNetwork(Chain):
    """The network of `EfficientNet`: `[n, h, w, 3] -> [n, d]`."""

    def __init__(self, spec: EfficientNet, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum)
        self.activation = relu6 if spec.lite else jax.nn.silu
        channels = spec.stem()
        self.conv_stem = Conv(
            3, channels, 3, strides=2, padding=padding_for(spec.padding, 3), use_bias=False, rngs=rngs
        )
        self.bn1 = BatchNorm(channels, **options)
        plan = list(spec.plan())
        stages: list[list[nnx.Module]] = [[] for _ in _STAGES]
        for number, (i, _, before, block) in enumerate(plan):
            stages[i].append(
                InvertedResidual(
                    before,
                    block,
                    squeeze_activation=jax.nn.silu,
                    gate=jax.nn.sigmoid,
                    padding=spec.padding,
                    drop_path=spec.drop_path * number / len(plan),
                    norm=options,
                    rngs=rngs,
                )
            )
            channels = block.after
        self.blocks = nnx.List([nnx.List(blocks) for blocks in stages])
        self.out_features = rounded_width(1280 * spec.width)
        self.conv_head = Conv(channels, self.out_features, 1, use_bias=False, rngs=rngs)
        self.bn2 = BatchNorm(self.out_features, **options)

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "stem", using(lambda x: self.activation(self.bn1(self.conv_stem(x))), "conv_stem", "bn1")
        for i, stage in enumerate(self.blocks):
            for j, block in enumerate(stage):
                yield f"blocks.{i}.{j}", block
        yield "head", using(lambda x: self.activation(self.bn2(self.conv_head(x))), "conv_head", "bn2")
        yield "pool", global_average


# width, depth, side of the images
_SIZES = {
    "b0": (1.0, 1.0, 224),
    "b1": (1.0, 1.1, 240),
    "b2": (1.1, 1.2, 260),
    "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380),
}
_NAMED: dict[str, dict[str, Any]] = {
    **{kind: {"width": width, "depth": depth, "size": size} for kind, (width, depth, size) in _SIZES.items()},
    "lite0": {"lite": True, "size": 224},
}
variants(
    EfficientNet,
    {f"efficientnet_{kind}": options for kind, options in _NAMED.items()},
    "EfficientNet, width {width} and depth {depth}, for images of {size} pixels",
)
variants(
    EfficientNet,
    {f"tf_efficientnet_{kind}": {**options, "padding": "same", "epsilon": 1e-3} for kind, options in _NAMED.items()},
    "EfficientNet as in TensorFlow, width {width} and depth {depth}, for images of {size} pixels",
)
# file, top-1 that torchvision states, side and resized side of the images, dropout in the classifier
_TORCHVISION = {
    "b0": ("efficientnet_b0_rwightman-7f5810bc.pth", 77.692, 224, 256, 0.2),
    "b1": ("efficientnet_b1_rwightman-bac287d4.pth", 78.642, 240, 256, 0.2),
    "b2": ("efficientnet_b2_rwightman-c35c1473.pth", 80.608, 288, 288, 0.3),
    "b3": ("efficientnet_b3_rwightman-b3899882.pth", 82.008, 300, 320, 0.3),
    "b4": ("efficientnet_b4_rwightman-23ab8bcd.pth", 83.384, 380, 384, 0.4),
}
register(
    *(
        torchvision_weights(
            f"efficientnet_{kind}",
            file,
            accuracy=accuracy,
            preprocessing=Preprocessing(size=size, resize=resize, interpolation="bicubic"),
            options={"dropout": dropout, "drop_path": 0.2},
        )
        for kind, (file, accuracy, size, resize, dropout) in _TORCHVISION.items()
    ),
    torchvision_weights(
        "efficientnet_b1",
        "efficientnet_b1-c27df63c.pth",
        tag="IMAGENET1K_V2",
        accuracy=79.838,
        preprocessing=Preprocessing(size=240, resize=255),
        options={"dropout": 0.2, "drop_path": 0.2},
    ),
    timm_weights("efficientnet_b0", "ra_in1k"),
    timm_weights("efficientnet_b1", "ft_in1k"),
    timm_weights("efficientnet_b2", "ra_in1k", size=256),
    timm_weights("efficientnet_b3", "ra2_in1k", size=288),
    timm_weights("efficientnet_b4", "ra2_in1k", size=320),
    timm_weights("efficientnet_lite0", "ra_in1k"),
    timm_weights("tf_efficientnet_lite0", "in1k", normalize="inception"),
    *(
        timm_weights(f"tf_efficientnet_{kind}", tag, size=_SIZES[kind][2], crop=crop)
        for kind, crop in (("b0", 0.875), ("b1", 0.882), ("b2", 0.89), ("b3", 0.904), ("b4", 0.922))
        for tag in ("in1k", "aa_in1k", "ns_jft_in1k")
    ),
)
