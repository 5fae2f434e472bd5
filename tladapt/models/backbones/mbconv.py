"""Inverted residuals with squeeze-and-excitation: the block of MobileNetV3 and EfficientNet, and its weights' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
from flax import nnx

from tladapt.models.layers import Conv, Linear, global_average, padding_for, relu6
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.weights.table import Rule, conv, norm

Activation = Callable[[jax.Array], jax.Array]


def hard_sigmoid(x: jax.Array) -> jax.Array:
    """Return `min(max(x + 3, 0), 6) / 6`."""
    return relu6(x + 3.0) / 6.0


def hard_swish(x: jax.Array) -> jax.Array:
    """Return `x min(max(x + 3, 0), 6) / 6`."""
    return x * relu6(x + 3.0) / 6.0


class Block(NamedTuple):
    """The shape of one inverted residual.

    Attributes:
      widened: channels between the first and the last 1 x 1 convolution; as many as come in: there is no first one.
      after: channels that it gives.
      size: of the depthwise window, in pixels a side.
      strides: of the depthwise window.
      squeezed: width of the squeeze-and-excitation; 0: it has none.
      activation: after the first and the depthwise convolution.
    """

    widened: int
    after: int
    size: int
    strides: int
    squeezed: int
    activation: Activation


class SqueezeExcite(nnx.Module):
    """Each channel times a gate that the means of all channels open: `x * gate(W2 act(W1 mean(x)))`.

    Source: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv 1709.01507.
    """

    def __init__(self, channels: int, squeezed: int, *, activation: Activation, gate: Activation, rngs: nnx.Rngs):
        self.conv_reduce = Linear(channels, squeezed, rngs=rngs)
        self.conv_expand = Linear(squeezed, channels, rngs=rngs)
        self.activation, self.gate = activation, gate

    def __call__(self, x: jax.Array) -> jax.Array:
        gates = self.gate(self.conv_expand(self.activation(self.conv_reduce(global_average(x)))))  # [n, c]
        return x * gates[:, None, None, :]


class InvertedResidual(nnx.Module):
    """Widen by 1 x 1, filter each channel by itself, gate the channels, narrow by 1 x 1; added to its input if it fits.

    Without the first part, the others are called as timm calls them there: its depthwise-separable convolution.

    Args:
      before: channels that it reads.
      block: its shape.
      squeeze_activation: within the squeeze-and-excitation.
      gate: at the end of the squeeze-and-excitation.
      padding: "symmetric" or "same".
      drop_path: rate at which whole examples skip it in training; without it there is no random state.
      norm: options of the batch normalisations.
      rngs: draws the initial kernels, and feeds `drop_path`.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244; Huang, Sun, Liu, Sedra, Weinberger,
    "Deep Networks with Stochastic Depth", ECCV 2016, arXiv 1603.09382, for `drop_path`.
    """

    def __init__(
        self,
        before: int,
        block: Block,
        *,
        squeeze_activation: Activation,
        gate: Activation,
        padding: str,
        drop_path: float = 0.0,
        norm: NormOptions,
        rngs: nnx.Rngs,
    ):
        widened, after = block.widened, block.after
        self.activation = block.activation
        self.adds, self.expands = block.strides == 1 and before == after, widened != before
        depthwise = Conv(
            widened,
            widened,
            block.size,
            strides=block.strides,
            padding=padding_for(padding, block.size),
            groups=widened,
            use_bias=False,
            rngs=rngs,
        )
        if self.expands:
            self.conv_pw = Conv(before, widened, 1, use_bias=False, rngs=rngs)
            self.bn1 = BatchNorm(widened, **norm)
            self.conv_dw, self.bn2 = depthwise, BatchNorm(widened, **norm)
            self.conv_pwl = Conv(widened, after, 1, use_bias=False, rngs=rngs)
            self.bn3 = BatchNorm(after, **norm)
        else:
            self.conv_dw, self.bn1 = depthwise, BatchNorm(widened, **norm)
            self.conv_pw = Conv(widened, after, 1, use_bias=False, rngs=rngs)
            self.bn2 = BatchNorm(after, **norm)
        self.se = (
            SqueezeExcite(widened, block.squeezed, activation=squeeze_activation, gate=gate, rngs=rngs)
            if block.squeezed
            else nnx.data(None)
        )
        self.drop_path = (
            nnx.Dropout(drop_path, broadcast_dims=(1, 2, 3), rngs=rngs) if self.adds and drop_path else nnx.data(None)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.expands:
            y = self.activation(self.bn1(self.conv_pw(x)))
            y = self.activation(self.bn2(self.conv_dw(y)))
            y = self.bn3(self.conv_pwl(self._gated(y)))
        else:
            y = self.activation(self.bn1(self.conv_dw(x)))
            y = self.bn2(self.conv_pw(self._gated(y)))
        if not self.adds:
            return y
        return x + (y if self.drop_path is None else self.drop_path(y))

    def _gated(self, x: jax.Array) -> jax.Array:
        return x if self.se is None else self.se(x)


class DropoutLinear(Linear):
    """A linear classifier behind a dropout; without a rate there is no random state."""

    def __init__(self, features: int, classes: int, *, dropout: float, rngs: nnx.Rngs):
        super().__init__(features, classes, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(x if self.dropout is None else self.dropout(x))


def matrix(pattern: str, path: str) -> list[Rule]:
    """Return the rules of a 1 x 1 convolution in PyTorch's form that is a linear layer here."""
    return [Rule(rf"{pattern}\.weight", f"{path}/kernel", "conv_as_linear"), Rule(rf"{pattern}\.bias", f"{path}/bias")]


def timm_rules() -> list[Rule]:
    """Return timm's names of the stem and of the blocks' tensors."""
    return [
        *conv("conv_stem", "conv_stem"),
        *norm("bn1", "bn1"),
        *conv(r"blocks\.(\d+)\.(\d+)\.(conv_\w+)", r"blocks/\1/\2/\3"),
        *norm(r"blocks\.(\d+)\.(\d+)\.(bn\d)", r"blocks/\1/\2/\3"),
        *matrix(r"blocks\.(\d+)\.(\d+)\.se\.(conv_\w+)", r"blocks/\1/\2/se/\3"),
    ]


def torchvision_rules(before: int, block: Block, pattern: str, path: str) -> list[Rule]:
    """Return torchvision's names of one block's tensors: its parts are numbered.

    Args:
      before: channels that the block reads.
      block: its shape.
      pattern: of the block's name in torchvision.
      path: of the block here.
    """
    expands = block.widened != before
    parts: Sequence[tuple[str, str]] = (
        (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("se", ""), ("conv_pwl", "bn3"))
        if expands
        else (("conv_dw", "bn1"), ("se", ""), ("conv_pw", "bn2"))
    )
    rules: list[Rule] = []
    kept = [part for part in parts if block.squeezed or part[0] != "se"]
    for i, (layer, normalization) in enumerate(kept):
        at = rf"{pattern}\.block\.{i}"
        if layer == "se":
            rules += [
                *matrix(rf"{at}\.fc1", f"{path}/se/conv_reduce"),
                *matrix(rf"{at}\.fc2", f"{path}/se/conv_expand"),
            ]
        else:
            rules += [*conv(rf"{at}\.0", f"{path}/{layer}"), *norm(rf"{at}\.1", f"{path}/{normalization}")]
    return rules
