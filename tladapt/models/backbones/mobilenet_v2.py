"""MobileNetV2."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import ClassVar

import jax
from flax import nnx

from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.layers import Conv, global_average, padding_for, relu6, rounded_width
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Rule, Table, conv, linear, norm

# expansion, channels, repeats, stride of the first block of each stage
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV2(Published):
    """MobileNetV2: inverted residuals with linear bottlenecks; features are the mean over space of 1280 channels.

    The stages are called as in timm: "stem", "blocks.0.0" to "blocks.6.0", "head", "pool".

    Source: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    arXiv 1801.04381. The defaults are timm's and torchvision's; weights that come from TensorFlow need
    `padding="same"` and `epsilon=1e-3`.
    """

    name: ClassVar[str] = "mobilenetv2"

    width: float = 1.0
    """Factor on the numbers of channels."""
    padding: str = "symmetric"
    """"symmetric", or "same" as in TensorFlow: at stride 2 the odd row and column are at the end."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return MobileNetV2Network(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TIMM, _torchvision(), _keras())


class MobileNetV2Network(Chain):
    """The network of `MobileNetV2`: `[n, h, w, 3] -> [n, 1280]`."""

    def __init__(self, spec: MobileNetV2, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum)
        channels = rounded_width(32 * spec.width)
        self.stem = _Normalized(3, channels, 3, strides=2, padding=spec.padding, norm=options, rngs=rngs)
        stages = []
        for expansion, width, repeats, stride in _STAGES:
            blocks: list[nnx.Module] = []
            after = rounded_width(width * spec.width)
            for place in range(repeats):
                blocks.append(
                    _InvertedResidual(
                        channels,
                        after,
                        expansion=expansion,
                        strides=stride if place == 0 else 1,
                        padding=spec.padding,
                        norm=options,
                        rngs=rngs,
                    )
                )
                channels = after
            stages.append(nnx.List(blocks))
        self.blocks = nnx.List(stages)
        self.out_features = max(1280, rounded_width(1280 * spec.width))
        self.head = _Normalized(
            channels, self.out_features, 1, strides=1, padding=spec.padding, norm=options, rngs=rngs
        )

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "stem", self.stem
        for i, stage in enumerate(self.blocks):
            for j, block in enumerate(stage):
                yield f"blocks.{i}.{j}", block
        yield "head", self.head
        yield "pool", global_average


class _Normalized(nnx.Module):
    """A convolution, batch normalisation, ReLU6."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        *,
        strides: int,
        padding: str,
        norm: NormOptions,
        rngs: nnx.Rngs,
    ):
        pads = padding_for(padding, kernel)
        self.conv = Conv(before, after, kernel, strides=strides, padding=pads, use_bias=False, rngs=rngs)
        self.bn = BatchNorm(after, **norm)

    def __call__(self, x: jax.Array) -> jax.Array:
        return relu6(self.bn(self.conv(x)))


class _InvertedResidual(nnx.Module):
    """Widen by 1 x 1, filter each channel by 3 x 3, narrow by 1 x 1 without a ReLU; added to its input where it fits.

    With `expansion=1` the first part is left out, and the others are called as timm calls them there.
    """

    def __init__(
        self,
        before: int,
        after: int,
        *,
        expansion: int,
        strides: int,
        padding: str,
        norm: NormOptions,
        rngs: nnx.Rngs,
    ):
        width = rounded_width(before * expansion)
        depthwise = Conv(
            width,
            width,
            3,
            strides=strides,
            padding=padding_for(padding, 3),
            groups=width,
            use_bias=False,
            rngs=rngs,
        )
        self.adds, self.expands = strides == 1 and before == after, expansion > 1
        if self.expands:
            self.conv_pw = Conv(before, width, 1, use_bias=False, rngs=rngs)
            self.bn1 = BatchNorm(width, **norm)
            self.conv_dw, self.bn2 = depthwise, BatchNorm(width, **norm)
            self.conv_pwl = Conv(width, after, 1, use_bias=False, rngs=rngs)
            self.bn3 = BatchNorm(after, **norm)
        else:
            self.conv_dw, self.bn1 = depthwise, BatchNorm(width, **norm)
            self.conv_pw = Conv(width, after, 1, use_bias=False, rngs=rngs)
            self.bn2 = BatchNorm(after, **norm)

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.expands:
            y = relu6(self.bn1(self.conv_pw(x)))
            y = self.bn3(self.conv_pwl(relu6(self.bn2(self.conv_dw(y)))))
        else:
            y = self.bn2(self.conv_pw(relu6(self.bn1(self.conv_dw(x)))))
        return x + y if self.adds else y


_TIMM = Table(
    name="timm",
    backbone=(
        *conv("conv_(stem|head)", r"\1/conv"),
        *norm("bn1", "stem/bn"),
        *norm("bn2", "head/bn"),
        *conv(r"blocks\.(\d+)\.(\d+)\.(conv_\w+)", r"blocks/\1/\2/\3"),
        *norm(r"blocks\.(\d+)\.(\d+)\.(bn\d)", r"blocks/\1/\2/\3"),
    ),
    classifier=tuple(linear("classifier", "")),
)


def _places() -> Iterator[tuple[int, str, bool]]:
    """Yield the number of each block, from 1 on, its path, and whether it widens."""
    number = 0
    for i, (expansion, _, repeats, _) in enumerate(_STAGES):
        for j in range(repeats):
            number += 1
            yield number, f"blocks/{i}/{j}", expansion > 1


def _torchvision() -> Table:
    rules = [*conv(r"features\.0\.0", "stem/conv"), *norm(r"features\.0\.1", "stem/bn")]
    rules += [*conv(r"features\.18\.0", "head/conv"), *norm(r"features\.18\.1", "head/bn")]
    for number, path, expands in _places():
        parts = (
            (("0.0", "conv_pw"), ("0.1", "bn1"), ("1.0", "conv_dw"), ("1.1", "bn2"), ("2", "conv_pwl"), ("3", "bn3"))
            if expands
            else (("0.0", "conv_dw"), ("0.1", "bn1"), ("1", "conv_pw"), ("2", "bn2"))
        )
        for theirs, ours in parts:
            pattern = re.escape(f"features.{number}.conv.{theirs}")
            rules += (norm if ours.startswith("bn") else conv)(pattern, f"{path}/{ours}")
    return Table(name="torchvision", backbone=tuple(rules), classifier=tuple(linear(r"classifier\.1", "")))


def _keras() -> Table:
    def layer(name: str, path: str) -> list[Rule]:
        if path.rsplit("/", 1)[-1].startswith("bn"):
            names = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
            return [Rule(f"{name}/{theirs}", f"{path}/{ours}") for theirs, ours in names.items()]
        return [
            Rule(f"{name}/kernel", f"{path}/kernel"),
            Rule(f"{name}/depthwise_kernel", f"{path}/kernel", "depthwise_keras"),
        ]

    rules = [*layer("Conv1", "stem/conv"), *layer("bn_Conv1", "stem/bn")]
    rules += [*layer("Conv_1", "head/conv"), *layer("Conv_1_bn", "head/bn")]
    for number, path, expands in _places():
        block = f"block_{number - 1}" if expands else "expanded_conv"
        parts = (
            (("expand", "conv_pw", "bn1"), ("depthwise", "conv_dw", "bn2"), ("project", "conv_pwl", "bn3"))
            if expands
            else (("depthwise", "conv_dw", "bn1"), ("project", "conv_pw", "bn2"))
        )
        for theirs, ours, normalization in parts:
            rules += [*layer(f"{block}_{theirs}", f"{path}/{ours}")]
            rules += layer(f"{block}_{theirs}_BN", f"{path}/{normalization}")
    dense = (Rule("predictions/kernel", "kernel"), Rule("predictions/bias", "bias"))
    return Table(name="keras", backbone=tuple(rules), classifier=dense, drop=())


variants(
    MobileNetV2,
    {f"mobilenetv2_{round(100 * width):03d}": {"width": width} for width in (0.35, 0.5, 0.75, 1.0, 1.4)},
    "MobileNetV2 at {width} of its width, for images of 224 pixels",
)
_TENSORFLOW = {"padding": "same", "epsilon": 1e-3}
_INCEPTION = Preprocessing(normalize="inception")
register(
    PublishedWeights(
        name="tensorflow/mobilenetv2_035",
        backbone="mobilenetv2_035",
        file="mobilenetv2_035.safetensors",
        sha256="38cb09bc5ad4c1c8268a3e0713d8003ce40b40e23001b6382adbc04272ac7bbe",
        options=_TENSORFLOW,
        preprocessing=_INCEPTION,
        licence="Apache-2.0 by Google, as far as is known",
        source="the network of Teachable Machine (Keras' MobileNetV2, alpha 0.35) under timm's names, no classifier",
    ),
    PublishedWeights(
        name="tensorflow/mobilenetv2_100",
        backbone="mobilenetv2_100",
        file="mobilenetv2_100.safetensors",
        sha256="fb959ede2c83473e8b2a717fe4f98fbcb19aa07b3c4afe6f3fa86dc0091e5c0c",
        options=_TENSORFLOW,
        classes=1001,
        preprocessing=_INCEPTION,
        licence="Apache-2.0",
        source="tf2_mobilenet_v2_1.0_224_ptq of google-coral/test_data, dequantised; batch normalisation is folded",
    ),
)
