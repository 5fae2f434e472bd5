"""Inception-v3."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.models.backbones.base import BACKBONES, check_rate
from tladapt.models.backbones.published import Chain, Published, Stage
from tladapt.models.convolution import Padding
from tladapt.models.layers import Conv, Linear, avg_pool, global_average, max_pool
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.libraries import timm_weights, torchvision_weights
from tladapt.models.weights.table import Table, conv, linear, norm


@BACKBONES.register("inception_v3")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InceptionV3(Published):
    """Inception-v3; features are the mean over space of 2048 channels.

    The stages are called as in torchvision: "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1",
    "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2", "Mixed_5b" to "Mixed_5d", "Mixed_6a" to "Mixed_6e", "Mixed_7a" to
    "Mixed_7c", and "pool". Images are normalised to [-1, 1]; torchvision says "ImageNet's mean and deviation" of its
    weights and undoes them inside (`transform_input`), which is the same.

    Deviations from the paper:
      1. There is no auxiliary classifier: its tensors in files of weights are left out.

    Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR
    2016, arXiv 1512.00567.
    """

    name: ClassVar[str] = "inception_v3"
    summary: ClassVar[str] = "Inception-v3, for images of 299 pixels"
    smallest: ClassVar[int] = 75
    size: ClassVar[int] = 299

    normalize: str = "inception"
    """How images in [0, 1] become what the network reads: imagenet, inception, caffe, clip or none."""
    dropout: float = 0.5
    """Share of the features that the published classifier drops while training, in [0, 1)."""
    epsilon: float = 1e-3
    """Added to the variance in batch normalisation."""
    momentum: float = 0.9
    """Share of the running statistics that stays at each training step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.name, self.dropout)

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return InceptionV3Network(self, rngs=rngs)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return _Classifier(features, classes, dropout=self.dropout, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TORCHVISION,)


class _Classifier(Linear):
    """Dropout and a linear layer."""

    def __init__(self, features: int, classes: int, *, dropout: float, rngs: nnx.Rngs):
        super().__init__(features, classes, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x if self.dropout is None else self.dropout(x))


class InceptionV3Network(Chain):
    """The network of `InceptionV3`: `[n, h, w, 3] -> [n, 2048]`."""

    def __init__(self, spec: InceptionV3, *, rngs: nnx.Rngs):
        options = NormOptions(epsilon=spec.epsilon, momentum=spec.momentum)
        self.Conv2d_1a_3x3 = _Unit(3, 32, 3, strides=2, padding="VALID", norm=options, rngs=rngs)
        self.Conv2d_2a_3x3 = _Unit(32, 32, 3, padding="VALID", norm=options, rngs=rngs)
        self.Conv2d_2b_3x3 = _Unit(32, 64, 3, norm=options, rngs=rngs)
        self.Conv2d_3b_1x1 = _Unit(64, 80, 1, norm=options, rngs=rngs)
        self.Conv2d_4a_3x3 = _Unit(80, 192, 3, padding="VALID", norm=options, rngs=rngs)
        channels = 192
        for name, branches in _MIXED.items():
            mixed = _Mixed(channels, branches, norm=options, rngs=rngs)
            setattr(self, name, mixed)
            channels = mixed.out_features
        self.out_features = channels

    def stages(self) -> Iterator[tuple[str, Stage]]:
        for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
            yield name, getattr(self, name)
        yield "maxpool1", _halve
        for name in ("Conv2d_3b_1x1", "Conv2d_4a_3x3"):
            yield name, getattr(self, name)
        yield "maxpool2", _halve
        for name in _MIXED:
            yield name, getattr(self, name)
        yield "pool", global_average


def _halve(x: jax.Array) -> jax.Array:
    return max_pool(x, 3, strides=2)


class _Unit(nnx.Module):
    """A convolution, a batch normalisation, a ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        size: int | tuple[int, int],
        *,
        strides: int = 1,
        padding: Padding = "SAME",
        norm: NormOptions,
        rngs: nnx.Rngs,
    ):
        spread = nnx.initializers.truncated_normal(0.1)
        self.conv = Conv(
            before, after, size, strides=strides, padding=padding, use_bias=False, kernel_init=spread, rngs=rngs
        )
        self.bn = BatchNorm(after, **norm)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.bn(self.conv(x)))


class _Part(NamedTuple):
    """One convolution of a branch: torchvision's name, channels, kernel; at stride 2 without padding."""

    name: str
    width: int
    size: int | tuple[int, int] = 1
    strides: int = 1


class _Branch(NamedTuple):
    """One branch of a mixed layer: pooling, convolutions in a row, convolutions side by side at its end."""

    row: tuple[_Part, ...] = ()
    side: tuple[_Part, ...] = ()
    pool: Literal["", "average", "largest"] = ""


class _Mixed(nnx.Module):
    """Branches side by side, their channels one after the other."""

    def __init__(self, before: int, branches: tuple[_Branch, ...], *, norm: NormOptions, rngs: nnx.Rngs):
        self.branches = branches
        self.out_features = 0
        units = {}
        for branch in branches:
            channels = before
            for part in (*branch.row, *branch.side):
                padding = "SAME" if part.strides == 1 else "VALID"
                units[part.name] = _Unit(
                    channels, part.width, part.size, strides=part.strides, padding=padding, norm=norm, rngs=rngs
                )
                if part not in branch.side:
                    channels = part.width
            self.out_features += sum(part.width for part in branch.side) or channels
        self.units = nnx.Dict(units)

    def __call__(self, x: jax.Array) -> jax.Array:
        outputs = []
        for branch in self.branches:
            y = x
            if branch.pool == "average":
                y = avg_pool(y, 3, strides=1, padding=((1, 1), (1, 1)))
            elif branch.pool == "largest":
                y = _halve(y)
            for part in branch.row:
                y = self.units[part.name](y)
            outputs += [self.units[part.name](y) for part in branch.side] or [y]
        return jnp.concatenate(outputs, axis=-1)


def _a(pooled: int) -> tuple[_Branch, ...]:
    return (
        _Branch((_Part("branch1x1", 64),)),
        _Branch((_Part("branch5x5_1", 48), _Part("branch5x5_2", 64, 5))),
        _Branch((_Part("branch3x3dbl_1", 64), _Part("branch3x3dbl_2", 96, 3), _Part("branch3x3dbl_3", 96, 3))),
        _Branch((_Part("branch_pool", pooled),), pool="average"),
    )


def _b() -> tuple[_Branch, ...]:
    return (
        _Branch((_Part("branch3x3", 384, 3, 2),)),
        _Branch((_Part("branch3x3dbl_1", 64), _Part("branch3x3dbl_2", 96, 3), _Part("branch3x3dbl_3", 96, 3, 2))),
        _Branch(pool="largest"),
    )


def _c(width: int) -> tuple[_Branch, ...]:
    return (
        _Branch((_Part("branch1x1", 192),)),
        _Branch(
            (
                _Part("branch7x7_1", width),
                _Part("branch7x7_2", width, (1, 7)),
                _Part("branch7x7_3", 192, (7, 1)),
            )
        ),
        _Branch(
            (
                _Part("branch7x7dbl_1", width),
                _Part("branch7x7dbl_2", width, (7, 1)),
                _Part("branch7x7dbl_3", width, (1, 7)),
                _Part("branch7x7dbl_4", width, (7, 1)),
                _Part("branch7x7dbl_5", 192, (1, 7)),
            )
        ),
        _Branch((_Part("branch_pool", 192),), pool="average"),
    )


def _d() -> tuple[_Branch, ...]:
    return (
        _Branch((_Part("branch3x3_1", 192), _Part("branch3x3_2", 320, 3, 2))),
        _Branch(
            (
                _Part("branch7x7x3_1", 192),
                _Part("branch7x7x3_2", 192, (1, 7)),
                _Part("branch7x7x3_3", 192, (7, 1)),
                _Part("branch7x7x3_4", 192, 3, 2),
            )
        ),
        _Branch(pool="largest"),
    )


def _e() -> tuple[_Branch, ...]:
    return (
        _Branch((_Part("branch1x1", 320),)),
        _Branch(
            (_Part("branch3x3_1", 384),),
            side=(_Part("branch3x3_2a", 384, (1, 3)), _Part("branch3x3_2b", 384, (3, 1))),
        ),
        _Branch(
            (_Part("branch3x3dbl_1", 448), _Part("branch3x3dbl_2", 384, 3)),
            side=(_Part("branch3x3dbl_3a", 384, (1, 3)), _Part("branch3x3dbl_3b", 384, (3, 1))),
        ),
        _Branch((_Part("branch_pool", 192),), pool="average"),
    )


_MIXED = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": _b(),
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": _d(),
    "Mixed_7b": _e(),
    "Mixed_7c": _e(),
}

_TORCHVISION = Table(  # timm's names are the same
    name="torchvision",
    backbone=(
        *conv(r"(Conv2d_\w+)\.conv", r"\1/conv"),
        *norm(r"(Conv2d_\w+)\.bn", r"\1/bn"),
        *conv(r"(Mixed_\w+)\.(branch\w+)\.conv", r"\1/units/\2/conv"),
        *norm(r"(Mixed_\w+)\.(branch\w+)\.bn", r"\1/units/\2/bn"),
    ),
    classifier=tuple(linear("fc", "")),
    drop=(r"(.*\.)?num_batches_tracked", r"AuxLogits\..*"),
)

register(
    torchvision_weights(
        "inception_v3",
        "inception_v3_google-0cc3c7bd.pth",
        accuracy=77.294,
        preprocessing=Preprocessing(size=299, resize=342, normalize="inception"),
    ),
    *(
        timm_weights("inception_v3", tag, size=299, normalize="inception")
        for tag in ("tv_in1k", "tf_in1k", "tf_adv_in1k")
    ),
    timm_weights("inception_v3", "gluon_in1k", size=299),
)
