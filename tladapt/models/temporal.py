"""Convolution over time, whose gradients are fast on CPU too, in loops as well."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def conv1d(x: jax.Array, kernel: jax.Array, *, padding: int = 0) -> jax.Array:
    """One-dimensional convolution (cross-correlation): `y[n, t, o] = sum_{a, c} x[n, t + a - p, c] kernel[a, c, o]`.

    On CPU it is one matrix product of the windows that the kernel sees, laid side by side, which takes k times the
    memory of `x` and a quarter of the time: XLA there runs the kernel's gradient of a convolution with one spatial axis
    on one slow thread, `conv2d` of height or width 1 included (benchmarks/temporal.py). On other devices it is lax's.

    Args:
      x: inputs `[n, t, c_in]`, floating.
      kernel: `[k, c_in, c_out]`, of the dtype of `x`.
      padding: zeros p before and after the window.

    Returns:
      `[n, t + 2 p - k + 1, c_out]`, of the dtype of `x`.

    Raises:
      ValueError: for shapes that do not fit each other.

    Example:
      >>> conv1d(jnp.arange(4.0).reshape(1, 4, 1), jnp.ones((2, 1, 1)))[0, :, 0]
      Array([1., 3., 5.], dtype=float32)
    """
    if x.ndim != 3 or kernel.ndim != 3 or x.shape[2] != kernel.shape[1] or x.dtype != kernel.dtype:
        raise ValueError(
            f"conv1d takes x [n, t, c] and kernel [k, c, c_out] of one dtype, got {x.shape=} ({x.dtype}),"
            f" {kernel.shape=} ({kernel.dtype})."
        )
    if x.shape[1] + 2 * padding < len(kernel):
        raise ValueError(f"the kernel covers {len(kernel)} points and the padded input has {x.shape[1] + 2 * padding}.")
    return _unfolded(x, kernel, padding) if jax.default_backend() == "cpu" else _lax(x, kernel, padding)


def _unfolded(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    size, channels, width = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)))
    steps = x.shape[1] - size + 1
    windows = jnp.concatenate([lax.slice_in_dim(x, a, a + steps, axis=1) for a in range(size)], axis=2)
    return windows @ kernel.reshape(size * channels, width)  # [n, t', k c_in] x [k c_in, c_out]


def _lax(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1,), [(padding, padding)], dimension_numbers=("NWC", "WIO", "NWC"))


class Conv1D(nnx.Module):
    """A layer of `conv1d` without a bias, computed in the dtype of its input; the kernel is float32.

    Args:
      in_features: channels in.
      out_features: channels out.
      kernel_size: points in time that the kernel covers.
      padding: as for `conv1d`.
      rngs: draws the initial kernel: normal with variance 1 / fan-in.
    """

    def __init__(self, in_features: int, out_features: int, kernel_size: int, *, padding: int, rngs: nnx.Rngs):
        self.padding = padding
        init = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(init(rngs.params(), (kernel_size, in_features, out_features), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        return conv1d(x, self.kernel[...].astype(x.dtype), padding=self.padding)
