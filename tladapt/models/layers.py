"""Layers and pooling. They compute in the dtype of their input, and are written so that they are fast on CPU too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from tladapt.errors import UsageError
from tladapt.models.convolution import Padding, Pair, conv2d, padding_of, pair_of

Initializer = Callable[..., jax.Array]


def _pool(x: jax.Array, combine: Any, strides: Pair, window: Pair) -> jax.Array:
    """Combine the entries of each window, rows first, then columns."""
    for axis, (step, size) in enumerate(zip(strides, window, strict=True), start=1):
        count = (x.shape[axis] - size) // step + 1
        if x.shape[axis] < size:
            raise ValueError(f"a pooling window of {window} does not fit into {x.shape[1:3]} pixels.")
        parts = (lax.slice_in_dim(x, i, i + (count - 1) * step + 1, step, axis) for i in range(size))
        x = functools.reduce(combine, parts)
    return x


def _padded(
    x: jax.Array, padding: Padding, strides: Pair, window: Pair, fill: float, ceil_mode: bool = False
) -> jax.Array:
    if x.ndim != 4:
        raise ValueError(f"pooling takes [n, h, w, c], got {x.shape=}.")
    pads = padding_of(padding, x.shape[1:3], window, strides)
    if ceil_mode:
        pads = tuple(
            (low, high + _missing(size, low, high, step, reach))
            for size, (low, high), step, reach in zip(x.shape[1:3], pads, strides, window, strict=True)
        )
    if not any(any(pair) for pair in pads):
        return x
    return jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)


def _missing(size: int, low: int, high: int, stride: int, window: int) -> int:
    """Return how many pixels a last window lacks that the rest at the end does not fill."""
    steps = -((window - size - low - high) // stride)  # rounded up
    if steps * stride >= size + low:  # such a window would see nothing but padding
        steps -= 1
    return max(steps * stride + window - (size + low + high), 0)


@jax.custom_jvp
def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the larger of two entries, or NaN where one is; equal ones share the gradient.

    The gradient goes by comparing the two. That of `jnp.maximum` goes by equality with the result, which a compiler may
    compute twice and round differently: then neither gets it.
    """
    return jnp.maximum(a, b)


@_larger.defjvp
def _larger_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    return _larger(a, b), jnp.where(a > b, da, jnp.where(a < b, db, 0.5 * (da + db)))


def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    ceil_mode: bool = False,
) -> jax.Array:
    """Largest entry of each window.

    The same values as a window reduction (`nnx.max_pool`), by pairwise maxima of strided slices: its gradient adds
    slices and scatters nothing, which is many times faster on CPU. Where entries tie for the maximum they share the
    gradient; a window reduction gives it to the first.

    A bias and a ReLU commute with it and are cheaper after it.

    Args:
      x: `[n, h, w, c]`, floating.
      window: height and width of the window, one number or two.
      strides: steps of the window; None: the window itself.
      padding: "VALID" (the rest at the end is left out), "SAME", or two pairs (low, high); padding never wins.
      ceil_mode: whether a rest at the end has a window too, as in PyTorch and Caffe: the number of windows is rounded
        up, unless the last one would see padding alone.

    Returns:
      `[n, h', w', c]`.

    Example:
      >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
      Array([[ 5.,  7.],
             [13., 15.]], dtype=float32)
    """
    window = pair_of(window, "window")
    strides = window if strides is None else pair_of(strides, "strides")
    return _pool(_padded(x, padding, strides, window, -jnp.inf, ceil_mode), _larger, strides, window)


def avg_pool(
    x: jax.Array, window: int | Sequence[int], *, strides: int | Sequence[int] | None = None, padding: Padding = "VALID"
) -> jax.Array:
    """Mean of each window; padding counts as zeros. Arguments as for `max_pool`.

    Example:
      >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), 2)[0, :, :, 0]
      Array([[ 2.5,  4.5],
             [10.5, 12.5]], dtype=float32)
    """
    window = pair_of(window, "window")
    strides = window if strides is None else pair_of(strides, "strides")
    return _pool(_padded(x, padding, strides, window, 0.0), jnp.add, strides, window) / (window[0] * window[1])


def global_average(x: jax.Array) -> jax.Array:
    """Return the mean over space, in float32 at least within: `[n, h, w, c] -> [n, c]`."""
    wide = x if x.dtype == jnp.float64 else x.astype(jnp.float32)
    return wide.mean((1, 2)).astype(x.dtype)


def adaptive_average(x: jax.Array, sizes: int | Sequence[int]) -> jax.Array:
    """Return means over a grid of `sizes` cells, whatever the size of the input: `[n, h, w, c] -> [n, *sizes, c]`.

    Along an axis of length h that becomes k, cell i is the mean of the entries from `floor(i h / k)` to
    `ceil((i + 1) h / k)`, the last one excluded, as in PyTorch: cells overlap where k does not divide h, and repeat
    entries where k > h. The sums are in float32 at least.

    Example:
      >>> adaptive_average(jnp.arange(5.0).reshape(1, 5, 1, 1), (2, 1))[0, :, 0, 0]
      Array([1., 3.], dtype=float32)
    """
    if x.ndim != 4:
        raise ValueError(f"pooling takes [n, h, w, c], got {x.shape=}.")
    wide = x if x.dtype == jnp.float64 else x.astype(jnp.float32)
    for axis, cells in enumerate(pair_of(sizes, "sizes"), start=1):
        size = wide.shape[axis]
        if size != cells:
            bounds = [(i * size // cells, -(-(i + 1) * size // cells)) for i in range(cells)]
            parts = [lax.slice_in_dim(wide, a, b, axis=axis).mean(axis, keepdims=True) for a, b in bounds]
            wide = jnp.concatenate(parts, axis)
    return wide.astype(x.dtype)


def relu6(x: jax.Array) -> jax.Array:
    """Return `min(max(x, 0), 6)`; its gradient at both kinks is 0, as in PyTorch and TensorFlow."""
    top = jnp.asarray(6.0, x.dtype)
    return jnp.where(x > 0.0, jnp.where(x < 6.0, x, top), jnp.zeros_like(x))


def padding_for(kind: str, size: int) -> Padding:
    """Return the padding of a window of `size`: "same" as in TensorFlow, or "symmetric", size // 2 on all sides."""
    if kind not in ("same", "symmetric"):
        raise UsageError(f"padding must be 'same' (TensorFlow's) or 'symmetric' (PyTorch's), got {kind!r}.")
    return "SAME" if kind == "same" else ((size // 2, size // 2), (size // 2, size // 2))


def rounded_width(channels: float, divisor: int = 8) -> int:
    """Return a number of channels as a multiple of `divisor` that is not below 90 % of it, as the MobileNets have it.

    >>> rounded_width(32 * 0.35), rounded_width(24 * 1.4)
    (16, 32)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _check_floating(layer: str, x: jax.Array, features: int) -> None:
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{layer} takes floating inputs, got {x.dtype}; read 8-bit images as x / 255, and"
            " numbers that are no token ids as float32."
        )
    if x.shape[-1] != features:
        raise ValueError(f"{layer} was made for {features} input features on the last axis, got {x.shape=}.")


class Conv(nnx.Module):
    """A layer of `conv2d`, computed in the dtype of its input; parameters are float32.

    Args:
      in_features: channels in.
      out_features: channels out.
      kernel_size: one number or (height, width).
      strides: as for `conv2d`.
      padding: as for `conv2d`.
      dilation: as for `conv2d`.
      groups: as for `conv2d`.
      use_bias: whether a bias is added; a batch normalisation right after makes it idle.
      kernel_init: draws the kernel; by default normal with variance 1 / fan-in.
      rngs: draws the initial kernel.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | Sequence[int],
        *,
        strides: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        if in_features % groups or out_features % groups:
            raise ValueError(f"{in_features=} and {out_features=} must be divisible by {groups=}.")
        self.in_features, self.out_features, self.groups = in_features, out_features, groups
        self.strides, self.dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
        self.padding: Padding = padding if isinstance(padding, str) else tuple((low, high) for low, high in padding)
        shape = (*pair_of(kernel_size, "kernel_size"), in_features // groups, out_features)
        self.kernel = nnx.Param((kernel_init or nnx.initializers.lecun_normal())(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features)) if use_bias else nnx.data(None)

    def convolve(self, x: jax.Array) -> jax.Array:
        """Return the convolution alone, without the bias."""
        _check_floating("Conv", x, self.in_features)
        return conv2d(
            x,
            self.kernel[...].astype(x.dtype),
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def shift(self, x: jax.Array) -> jax.Array:
        """Return `x` plus the bias; a network may do so after `max_pool`, where there is less to add it to."""
        return x if self.bias is None else x + self.bias[...].astype(x.dtype)[None, None, None, :]

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.shift(self.convolve(x))


class Linear(nnx.Module):
    """`x W + b`, computed in the dtype of its input; parameters are float32.

    Args:
      in_features: width of the input's last axis.
      out_features: width of the output's.
      use_bias: whether a bias is added.
      kernel_init: draws the kernel; by default normal with variance 1 / fan-in.
      rngs: draws the initial kernel.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = True,
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        self.in_features, self.out_features = in_features, out_features
        init = kernel_init or nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (in_features, out_features), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(out_features)) if use_bias else nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        _check_floating("Linear", x, self.in_features)
        y = x @ self.kernel[...].astype(x.dtype)  # [..., out_features]
        if self.bias is None:
            return y
        return y + self.bias[...].astype(x.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
