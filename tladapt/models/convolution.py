"""Two-dimensional convolution whose gradients are fast on CPU too, in loops as well.

Inside `scan`, `cond` or any called computation, XLA on CPU (jaxlib 0.10) runs quickly only those convolutions that are
written NHWC x HWIO -> NHWC; the others, among them the gradients that autodiff writes, fall to one slow thread.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]
Padding = str | Sequence[Pair]

_NHWC = ("NHWC", "HWIO", "NHWC")


def pair_of(value: int | Sequence[int], name: str) -> Pair:
    """Return a positive number twice, or the two that were given."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(one, int) or one < 1 for one in pair):
        raise ValueError(f"{name} must be a positive whole number or two of them (height, width), got {value!r}.")
    return pair


def padding_of(
    padding: Padding, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> tuple[Pair, ...]:
    """Return (low, high) for height and width; `windows` are the dilated sizes."""
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(f"padding must be 'SAME', 'VALID' or two pairs (low, high), got {padding!r}.")
        return tuple((int(a), int(b)) for a, b in lax.padtype_to_pads(sizes, windows, strides, padding.upper()))
    pads = tuple(tuple(pair) for pair in padding)
    if len(pads) != 2 or any(len(pair) != 2 for pair in pads):
        raise ValueError(f"padding must be 'SAME', 'VALID' or two pairs ((low, high), (low, high)), got {padding!r}.")
    return pads  # type: ignore[return-value]


class _Window(NamedTuple):
    strides: Pair
    pads: tuple[Pair, ...]
    input_dilation: Pair
    kernel_dilation: Pair


def _lax_convolution(x: jax.Array, kernel: jax.Array, window: _Window, groups: int = 1) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.pads,
        lhs_dilation=window.input_dilation,
        rhs_dilation=window.kernel_dilation,
        dimension_numbers=_NHWC,
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _canonical_convolution(x: jax.Array, kernel: jax.Array, window: _Window) -> jax.Array:
    return _lax_convolution(x, kernel, window)


def _forward(x: jax.Array, kernel: jax.Array, window: _Window) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _lax_convolution(x, kernel, window), (x, kernel)


def _backward(
    window: _Window, residuals: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # In one dimension, with stride s, low padding p, input dilation b and kernel dilation d,
    #   y[o] = sum_k x~[o s + k d - p] w[k],   x~ = x spread by b.
    # Both gradients are sums of the same form: s trades places with b (for x) or with d (for w). So the family is
    # closed, and since both are made by the function itself they can be differentiated again.
    x, kernel = residuals
    pads_x, pads_kernel = [], []
    for axis in range(2):
        low = window.pads[axis][0]
        size_x = (x.shape[1 + axis] - 1) * window.input_dilation[axis] + 1
        size_kernel = (kernel.shape[axis] - 1) * window.kernel_dilation[axis] + 1
        size_y = (cotangent.shape[1 + axis] - 1) * window.strides[axis] + 1
        first = size_kernel - 1 - low
        pads_x.append((first, size_x + size_kernel - 1 - size_y - first))
        pads_kernel.append((low, size_kernel + size_y - 1 - size_x - low))  # negative: rows that no window reached
    d_x = _canonical_convolution(
        cotangent,  # [n, h', w', c_out]
        jnp.flip(kernel, (0, 1)).swapaxes(2, 3),  # [k_h, k_w, c_out, c_in]
        _Window(window.input_dilation, tuple(pads_x), window.strides, window.kernel_dilation),
    )
    d_kernel = _canonical_convolution(
        x.transpose(3, 1, 2, 0),  # [c_in, h, w, n]: channels play the batch
        cotangent.transpose(1, 2, 0, 3),  # [h', w', n, c_out]: the cotangent plays the kernel
        _Window(window.kernel_dilation, tuple(pads_kernel), window.input_dilation, window.strides),
    )  # [c_in, k_h, k_w, c_out]
    return d_x, d_kernel.transpose(1, 2, 0, 3)


_canonical_convolution.defvjp(_forward, _backward)


def _depthwise(x: jax.Array, kernel: jax.Array, window: _Window) -> jax.Array:
    """Return a convolution of each channel by itself, as a sum of shifted products: in float32 at least."""
    pads = ((0, 0), *window.pads, (0, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), [(low, high, 0) for low, high in pads])
    wide = x.dtype if x.dtype == jnp.float64 else jnp.dtype(jnp.float32)
    sizes = [
        (x.shape[1 + axis] - (kernel.shape[axis] - 1) * window.kernel_dilation[axis] - 1) // window.strides[axis] + 1
        for axis in range(2)
    ]
    multiplier = kernel.shape[3] // x.shape[3]
    if multiplier > 1:  # output channel c m + j belongs to input channel c
        x = jnp.repeat(x, multiplier, axis=3)
    total: Any = 0.0
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            top, left = i * window.kernel_dilation[0], j * window.kernel_dilation[1]
            part = lax.slice(
                x,
                (0, top, left, 0),
                (
                    x.shape[0],
                    top + (sizes[0] - 1) * window.strides[0] + 1,
                    left + (sizes[1] - 1) * window.strides[1] + 1,
                    x.shape[3],
                ),
                (1, *window.strides, 1),
            )  # [n, h', w', c_out]
            total = total + part.astype(wide) * kernel[i, j].astype(wide)[None, None, :, :]
    return total.astype(x.dtype)


def conv2d(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int | Sequence[int] = (1, 1),
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = (1, 1),
    groups: int = 1,
) -> jax.Array:
    """Two-dimensional convolution (cross-correlation, as everywhere in deep learning), NHWC x HWIO -> NHWC.

    `y[n, i, j, o] = sum_{a, b, c} x[n, i s + a d - p, j s + b d - p, c] kernel[a, b, c, o]`, with stride s, dilation d
    and low padding p.

    Values and gradients are those of `jax.lax.conv_general_dilated` up to rounding. On CPU the gradients are written
    as canonical convolutions too, at every stride and dilation, so that a training step runs as fast inside
    `jax.lax.scan` as outside it (there autodiff's are tens of times slower; outside they are the same). Reverse mode
    goes to any order; forward mode (`jax.jvp`, `jax.hessian`) does not. There, a convolution of each channel by itself
    (depthwise) is a sum of shifted products, many times faster than lax's (benchmarks/convolution.py). Other grouped
    convolutions, and all of them on other devices, whose compilers know autodiff's form, are lax's own.

    Args:
      x: inputs `[n, h, w, c_in]`, floating.
      kernel: `[k_h, k_w, c_in / groups, c_out]`, of the dtype of `x`.
      strides: steps of the window, one number or (height, width).
      padding: "SAME", "VALID" or two pairs ((top, bottom), (left, right)). At even sizes and stride 2, "SAME" puts the
        odd row and column at the end.
      dilation: distance between the kernel's entries, one number or (height, width).
      groups: number of groups into which channels are split; c_in and c_out are multiples of it.

    Returns:
      `[n, h', w', c_out]`, of the dtype of `x`.

    Raises:
      ValueError: for shapes that do not fit each other.
      TypeError: for inputs that are not floating, or a kernel of another dtype.

    Example:
      >>> x = jnp.ones((1, 4, 4, 1))
      >>> conv2d(x, jnp.ones((3, 3, 1, 1)), padding="VALID")[0, :, :, 0]
      Array([[9., 9.],
             [9., 9.]], dtype=float32)
    """
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(
            f"conv2d takes x [n, h, w, c] and kernel [k_h, k_w, c, c_out], got {x.shape=}, {kernel.shape=}."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.dtype != kernel.dtype:
        raise TypeError(f"conv2d takes x and kernel of one floating dtype, got {x.dtype=}, {kernel.dtype=}.")
    if x.shape[3] != kernel.shape[2] * groups or kernel.shape[3] % groups:
        raise ValueError(
            f"channels do not fit: x has {x.shape[3]}, the kernel takes {kernel.shape[2]} in each of {groups=} and"
            f" gives {kernel.shape[3]}; c_in must be their product, and c_out divisible by groups."
        )
    strides, dilation = pair_of(strides, "strides"), pair_of(dilation, "dilation")
    sizes = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:2], dilation, strict=True)]
    window = _Window(strides, padding_of(padding, x.shape[1:3], sizes, strides), (1, 1), dilation)
    reach = [size + sum(pads) for size, pads in zip(x.shape[1:3], window.pads, strict=True)]
    if any(size > room for size, room in zip(sizes, reach, strict=True)):
        raise ValueError(
            f"the kernel covers {sizes} pixels and the padded input has {reach}: use larger inputs, or 'SAME'."
        )
    if jax.default_backend() == "cpu":
        if groups == 1:
            return _canonical_convolution(x, kernel, window)
        if groups == x.shape[3]:
            return _depthwise(x, kernel, window)
    return _lax_convolution(x, kernel, window, groups)
