"""MobileNetV3."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import jax
from flax import nnx

from tladapt.models.backbones.mbconv import (
    Block,
    DropoutLinear,
    InvertedResidual,
    hard_sigmoid,
    hard_swish,
    matrix,
    timm_rules,
    torchvision_rules,
)
from tladapt.models.backbones.published import Chain, Published, Stage, using, variants
from tladapt.models.layers import Conv, Linear, global_average, padding_for, rounded_width
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import timm_weights, torchvision_weights
from tladapt.models.weights.table import Rule, Table, conv, linear, norm

# of each stage, of each block: window, expansion, channels, stride; then whether the stage squeezes and hard-swishes
_STAGES: dict[str, tuple[tuple[tuple[tuple[int, float, int, int], ...], bool, bool], ...]] = {
    "small": (
        (((3, 1, 16, 2),), True, False),
        (((3, 4.5, 24, 2), (3, 3.67, 24, 1)), False, False),
        (((5, 4, 40, 2), (5, 6, 40, 1), (5, 6, 40, 1)), True, True),
        (((5, 3, 48, 1), (5, 3, 48, 1)), True, True),
        (((5, 6, 96, 2), (5, 6, 96, 1), (5, 6, 96, 1)), True, True),
    ),
    "large": (
        (((3, 1, 16, 1),), False, False),
        (((3, 4, 24, 2), (3, 3, 24, 1)), False, False),
        (((5, 3, 40, 2), (5, 3, 40, 1), (5, 3, 40, 1)), True, False),
        (((3, 6, 80, 2), (3, 2.5, 80, 1), (3, 2.3, 80, 1), (3, 2.3, 80, 1)), False, True),
        (((3, 6, 112, 1), (3, 6, 112, 1)), True, True),
        (((5, 6, 160, 2), (5, 6, 160, 1), (5, 6, 160, 1)), True, True),
    ),
}
# channels of the last convolution, and of the hidden layer after the mean over space
_LAST = {"small": (576, 1024), "large": (960, 1280)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV3(Published):
    """MobileNetV3: inverted residuals with squeeze-and-excitation and hard-swish, small and large.

    Features are what each library gives: under timm's names 1024 (small) or 1280 (large) after the hidden layer that
    follows the mean over space, under torchvision's 576 or 960 before it, and the layer is part of the classifier.
    `hidden` says which; the files of either library fit both.

    The stages are called as in timm: "stem", "blocks.0.0" to "blocks.5.0" (small) or "blocks.6.0" (large), "pool", and
    "head" where the hidden layer is part of the network.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244. Weights that come from TensorFlow
    need `padding="same"` and `epsilon=1e-3`.
    """

    name: ClassVar[str] = "mobilenetv3"

    kind: Literal["small", "large"] = "small"
    """Which of the two networks."""
    width: float = 1.0
    """Factor on the numbers of channels."""
    hidden: bool = True
    """Whether features are read after the hidden layer (timm) or before it (torchvision)."""
    dropout: float = 0.0
    """Rate in the classifier, before its last layer."""
    padding: str = "symmetric"
    """"symmetric", or "same" as in TensorFlow: at stride 2 the odd row and column are at the end."""
    epsilon: float = 1e-5
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return MobileNetV3Network(self, rngs=rngs)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        if self.hidden:
            return DropoutLinear(features, classes, dropout=self.dropout, rngs=rngs)
        return _HiddenClassifier(features, _LAST[self.kind][1], classes, dropout=self.dropout, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return self._timm(), self._torchvision()

    def plan(self) -> Iterator[tuple[str, int, Block]]:
        """Yield the path of each block, the channels that it reads, and its shape."""
        before = self.stem()
        for i, (stage, squeezes, swishes) in enumerate(_STAGES[self.kind]):
            for j, (size, expansion, channels, strides) in enumerate(stage):
                widened, after = rounded_width(before * expansion), rounded_width(channels * self.width)
                squeezed = rounded_width(widened / 4) if squeezes else 0
                activation = hard_swish if swishes else jax.nn.relu
                yield f"blocks/{i}/{j}", before, Block(widened, after, size, strides, squeezed, activation)
                before = after

    def stem(self) -> int:
        """Return the channels of the first convolution: timm leaves them at 16 in the narrowest networks."""
        return 16 if self.width < 0.75 else rounded_width(16 * self.width)

    def _timm(self) -> Table:
        last = len(_STAGES[self.kind])
        rules = [*conv(rf"blocks\.{last}\.0\.conv", "last/conv"), *norm(rf"blocks\.{last}\.0\.bn1", "last/bn1")]
        return self._table("timm", [*rules, *timm_rules()], matrix("conv_head", "hidden"), "classifier")

    def _torchvision(self) -> Table:
        rules = [*conv(r"features\.0\.0", "conv_stem"), *norm(r"features\.0\.1", "bn1")]
        for number, (path, before, block) in enumerate(self.plan(), start=1):
            rules += torchvision_rules(before, block, rf"features\.{number}", path)
        rules += [*conv(rf"features\.{number + 1}\.0", "last/conv"), *norm(rf"features\.{number + 1}\.1", "last/bn1")]
        return self._table("torchvision", rules, linear(r"classifier\.0", "hidden"), r"classifier\.3")

    def _table(self, library: str, rules: list[Rule], hidden: list[Rule], classifier: str) -> Table:
        """Return a table with the hidden layer where it is: in the network, or in the classifier."""
        inside, outside = (hidden, []) if self.hidden else ([], hidden)
        return Table(library, (*rules, *inside), (*outside, *linear(classifier)))


class MobileNetV3Network(Chain):
    """The network of `MobileNetV3`: `[n, h, w, 3] -> [n, d]`."""

    def __init__(self, spec: MobileNetV3, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum)
        channels = spec.stem()
        self.conv_stem = Conv(
            3, channels, 3, strides=2, padding=padding_for(spec.padding, 3), use_bias=False, rngs=rngs
        )
        self.bn1 = BatchNorm(channels, **options)
        stages: list[list[nnx.Module]] = [[] for _ in _STAGES[spec.kind]]
        for path, before, block in spec.plan():
            stages[int(path.split("/")[1])].append(
                InvertedResidual(
                    before,
                    block,
                    squeeze_activation=jax.nn.relu,
                    gate=hard_sigmoid,
                    padding=spec.padding,
                    norm=options,
                    rngs=rngs,
                )
            )
            channels = block.after
        self.blocks = nnx.List([nnx.List(blocks) for blocks in stages])
        last, hidden = _LAST[spec.kind]
        last = rounded_width(last * spec.width)
        self.last = _Last(channels, last, norm=options, rngs=rngs)
        self.hidden: Any = Linear(last, hidden, rngs=rngs) if spec.hidden else nnx.data(None)
        self.out_features = hidden if spec.hidden else last

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "stem", using(lambda x: hard_swish(self.bn1(self.conv_stem(x))), "conv_stem", "bn1")
        for i, stage in enumerate(self.blocks):
            for j, block in enumerate(stage):
                yield f"blocks.{i}.{j}", block
        yield f"blocks.{len(self.blocks)}.0", self.last
        yield "pool", global_average
        if self.hidden is not None:
            yield "head", using(lambda x: hard_swish(self.hidden(x)), "hidden")


class _Last(nnx.Module):
    """The last convolution, 1 x 1."""

    def __init__(self, before: int, after: int, *, norm: NormOptions, rngs: nnx.Rngs):
        self.conv = Conv(before, after, 1, use_bias=False, rngs=rngs)
        self.bn1 = BatchNorm(after, **norm)

    def __call__(self, x: jax.Array) -> jax.Array:
        return hard_swish(self.bn1(self.conv(x)))


class _HiddenClassifier(DropoutLinear):
    """torchvision's classifier: the hidden layer, dropout, a linear layer."""

    def __init__(self, features: int, hidden: int, classes: int, *, dropout: float, rngs: nnx.Rngs):
        super().__init__(hidden, classes, dropout=dropout, rngs=rngs)
        self.hidden = Linear(features, hidden, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(hard_swish(self.hidden(x)))


variants(
    MobileNetV3,
    {
        f"mobilenetv3_{kind}_{round(100 * width):03d}": {"kind": kind, "width": width}
        for kind, widths in (("small", (0.5, 0.75, 1.0)), ("large", (0.75, 1.0)))
        for width in widths
    },
    "MobileNetV3 {kind} at {width} of its width as in timm, for images of 224 pixels",
)
variants(
    MobileNetV3,
    {f"tf_mobilenetv3_{kind}_100": {"kind": kind, "padding": "same", "epsilon": 1e-3} for kind in ("small", "large")},
    "MobileNetV3 {kind} as in TensorFlow, for images of 224 pixels",
)
variants(
    MobileNetV3,
    {
        f"mobilenet_v3_{kind}": {"kind": kind, "hidden": False, "dropout": 0.2, "epsilon": 1e-3, "momentum": 0.99}
        for kind in ("small", "large")
    },
    "MobileNetV3 {kind} as in torchvision, for images of 224 pixels",
)
register(
    torchvision_weights("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth", accuracy=67.668),
    torchvision_weights("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth", accuracy=74.042),
    torchvision_weights(
        "mobilenet_v3_large",
        "mobilenet_v3_large-5c1a4163.pth",
        tag="IMAGENET1K_V2",
        accuracy=75.274,
        preprocessing=Preprocessing(resize=232),
    ),
    *(timm_weights(f"mobilenetv3_small_{width}", "lamb_in1k") for width in ("050", "075", "100")),
    timm_weights("mobilenetv3_large_100", "ra_in1k"),
    timm_weights("mobilenetv3_large_100", "miil_in21k_ft_in1k", interpolation="bilinear", normalize="none"),
    *(
        timm_weights(f"tf_mobilenetv3_{kind}_100", "in1k", interpolation="bilinear", normalize="inception")
        for kind in ("small", "large")
    ),
)
