"""MobileNetV1."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import jax
from flax import nnx

from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.layers import Conv, global_average, padding_for, relu6
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Rule, Table, conv, linear, norm

# channels and stride of each depthwise separable block; timm counts them by stages
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
_TIMM_STAGES = (1, 2, 2, 6, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV1(Published):
    """MobileNet: 13 depthwise separable convolutions; features are the mean over space of 1024 channels times `width`.

    The stages are called as in Keras: "conv1", "conv_dw_1", "conv_pw_1" to "conv_pw_13", each with its batch
    normalisation and ReLU6, and "pool".

    Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
    arXiv 1704.04861. The defaults are those of Keras, where its weights were published: `padding="same"` (at stride 2
    the odd row and column are at the end), batch normalisation with epsilon 1e-3, momentum 0.99 and the biased variance
    in its statistics.
    """

    name: ClassVar[str] = "mobilenetv1"

    normalize: str = "inception"
    """How images in [0, 1] become what the network reads: imagenet, inception, caffe, clip or none."""
    width: float = 1.0
    """Factor on the numbers of channels."""
    padding: str = "same"
    """"same" as in TensorFlow, or "symmetric" as in PyTorch."""
    epsilon: float = 1e-3
    """Added to the variance in batch normalisation."""
    momentum: float = 0.99
    """Share of the running statistics that stays at each training step."""
    unbiased: bool = False
    """Whether running variances are unbiased, as in PyTorch."""

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return MobileNetV1Network(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_KERAS, _timm())


class MobileNetV1Network(Chain):
    """The network of `MobileNetV1`: `[n, h, w, 3] -> [n, d]`."""

    def __init__(self, spec: MobileNetV1, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum, unbiased=spec.unbiased)
        channels = int(32 * spec.width)
        self.conv1 = _Normalized(3, channels, 3, strides=2, padding=spec.padding, norm=options, rngs=rngs)
        depthwise, pointwise = [], []
        for width, strides in _BLOCKS:
            after = int(width * spec.width)
            depthwise.append(
                _Normalized(
                    channels,
                    channels,
                    3,
                    strides=strides,
                    padding=spec.padding,
                    groups=channels,
                    norm=options,
                    rngs=rngs,
                )
            )
            pointwise.append(_Normalized(channels, after, 1, norm=options, rngs=rngs))
            channels = after
        self.conv_dw, self.conv_pw = nnx.List(depthwise), nnx.List(pointwise)
        self.out_features = channels

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "conv1", self.conv1
        for number, (depthwise, pointwise) in enumerate(zip(self.conv_dw, self.conv_pw, strict=True), start=1):
            yield f"conv_dw_{number}", depthwise
            yield f"conv_pw_{number}", pointwise
        yield "pool", global_average


class _Normalized(nnx.Module):
    """A convolution, batch normalisation, ReLU6."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        *,
        strides: int = 1,
        padding: str = "same",
        groups: int = 1,
        norm: NormOptions,
        rngs: nnx.Rngs,
    ):
        pads = padding_for(padding, kernel)
        self.conv = Conv(before, after, kernel, strides=strides, padding=pads, groups=groups, use_bias=False, rngs=rngs)
        self.bn = BatchNorm(after, **norm)

    def __call__(self, x: jax.Array) -> jax.Array:
        return relu6(self.bn(self.conv(x)))


def _keras_rules(name: str, path: str) -> list[Rule]:
    norms = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    return [
        Rule(f"{name}/kernel", f"{path}/conv/kernel"),
        Rule(f"{name}/depthwise_kernel", f"{path}/conv/kernel", "depthwise_keras"),
        *(Rule(f"{name}_bn/{theirs}", f"{path}/bn/{ours}") for theirs, ours in norms.items()),
    ]


_KERAS = Table(
    name="keras",
    backbone=(
        *_keras_rules("conv1", "conv1"),
        *(
            rule
            for number in range(1, len(_BLOCKS) + 1)
            for kind in ("conv_dw", "conv_pw")
            for rule in _keras_rules(f"{kind}_{number}", f"{kind}/{number - 1}")
        ),
    ),
    classifier=(Rule("conv_preds/kernel", "kernel", lambda x: x[0, 0]), Rule("conv_preds/bias", "bias")),
    drop=(),
)


def _timm() -> Table:
    rules = [*conv("conv_stem", "conv1/conv"), *norm("bn1", "conv1/bn")]
    places = [(i, j) for i, count in enumerate(_TIMM_STAGES) for j in range(count)]
    for number, (i, j) in enumerate(places):
        block = rf"blocks\.{i}\.{j}"
        for kind, theirs in (("conv_dw", "bn1"), ("conv_pw", "bn2")):
            rules += [*conv(rf"{block}\.{kind}", f"{kind}/{number}/conv")]
            rules += norm(rf"{block}\.{theirs}", f"{kind}/{number}/bn")
    return Table(name="timm", backbone=tuple(rules), classifier=tuple(linear("classifier")))


variants(
    MobileNetV1,
    {f"mobilenetv1_{round(100 * width):03d}": {"width": width} for width in (0.25, 0.5, 0.75, 1.0)},
    "MobileNetV1 at {width} of its width, for images of 224 pixels",
)
register(
    PublishedWeights(
        name="keras/mobilenetv1_025",
        backbone="mobilenetv1_025",
        file="mobilenet_2_5_224_tf_no_top.h5",
        url="https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/mobilenet_2_5_224_tf_no_top.h5",
        sha256="dbdb03ee2a22fd895301636cd328b234bb3a9952358f436d82f46b81e0d5b0bf",
        preprocessing=Preprocessing(normalize="inception"),
        licence="Apache-2.0, as far as is known",
        source="keras.applications.MobileNet(alpha=0.25, include_top=False)",
    )
)
