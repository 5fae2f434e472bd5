"""Batch normalisation that stays exact far from zero, in two sweeps forward and two backward; layer normalisation."""

from __future__ import annotations

import functools
from typing import TypedDict

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax


def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return (c, mean - c, biased variance) over all axes but the last, from both sums in one sweep.

    E[x^2] - E[x]^2 loses its digits where |mean| >> deviation, so x is shifted first, by the mean c of the first
    example. A part that is 1/n of the batch lies at most sqrt(n - 1) deviations from the mean of the whole, so what
    cancels, E[x - c]^2, is at most n - 1 times the variance: the relative error is n times the rounding at worst,
    wherever the data lie.
    """
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    shift = lax.stop_gradient(x[0].mean(tuple(range(x.ndim - 2))))  # [d]; the moments do not depend on it
    shifted = x - _along_last(shift, x)
    offset = shifted.sum(axes) / count
    variance = jnp.maximum(jnp.square(shifted).sum(axes) / count - jnp.square(offset), 0.0)
    return shift, offset, variance


def _along_last(vector: jax.Array, x: jax.Array) -> jax.Array:
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


def _wide(x: jax.Array) -> jax.Array:
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float = 1e-5
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise by the statistics of the batch: `y = scale (x - m) / sqrt(v + epsilon) + bias`.

    m and v are the mean and the biased variance over all axes but the last, in float32 at least. The batch is the
    whole (global) one: under `jax.jit` with a sharded batch the sums go over all devices. The gradient is exact in
    every argument and through m and v; reverse mode only, to any order.

    Args:
      x: `[n, d]` or `[n, h, w, d]`, floating.
      scale: `[d]`, float32 (float64 for a float64 `x`).
      bias: `[d]`, as `scale`.
      epsilon: added to the variance, > 0.

    Returns:
      y of the shape and dtype of `x`, m `[d]`, v `[d]`.

    Source: Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift", ICML 2015, arXiv 1502.03167.

    Example:
      >>> y, m, v = batch_norm(jnp.array([[1.0], [3.0]]), jnp.ones(1), jnp.zeros(1))
      >>> print(m, v)
      [2.] [1.]
    """
    return _batch_norm_forward(x, scale, bias, epsilon)[0]


def _batch_norm_forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], tuple[jax.Array, ...]]:
    wide = _wide(x)
    shift, offset, variance = _moments(wide)
    inverse = lax.rsqrt(variance + epsilon)  # [d]
    y = _centre(wide, shift, offset) * _along_last(inverse * scale, x) + _along_last(bias, x)
    return (y.astype(x.dtype), shift + offset, variance), (x, shift, offset, inverse, scale)


def _centre(x: jax.Array, shift: jax.Array, offset: jax.Array) -> jax.Array:
    # In two steps: their sum, the mean, is rounded where it is large, and the first difference hardly is.
    return (x - _along_last(shift, x)) - _along_last(offset, x)


def _batch_norm_backward(
    epsilon: float, residuals: tuple[jax.Array, ...], cotangents: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, shift, offset, inverse, scale = residuals
    d_y, d_mean, d_variance = _wide(cotangents[0]), cotangents[1], cotangents[2]
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    centred = _centre(_wide(x), shift, offset)
    d_bias = d_y.sum(axes)  # [d]
    d_scale = (d_y * (centred * _along_last(inverse, x))).sum(axes)  # [d]
    # Everything but the first product is constant or linear in `centred` with one coefficient a channel.
    gain = inverse * scale
    slope = (gain * inverse * d_scale - 2.0 * d_variance) / count
    level = (gain * d_bias - d_mean) / count
    d_x = d_y * _along_last(gain, x) - centred * _along_last(slope, x) - _along_last(level, x)
    return d_x.astype(x.dtype), d_scale, d_bias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


class NormOptions(TypedDict, total=False):
    """What the batch normalisations of one network have in common: options of `BatchNorm`."""

    epsilon: float
    momentum: float
    unbiased: bool


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with running statistics; attributes as in `nnx.BatchNorm`.

    While training it normalises by the batch (`batch_norm`) and moves `mean` and `var` by
    `running = momentum * running + (1 - momentum) * batch`; with `use_running_average` it normalises by them and leaves
    them alone. `module.train()`, `module.eval()` and `nnx.view(module, use_running_average=...)` switch it.

    As in PyTorch, where most published weights come from, the variance that goes into `var` is the unbiased one,
    n / (n - 1) times that of the batch, n being the number of values a channel; Keras and `nnx.BatchNorm` keep the
    biased one. PyTorch's momentum 0.1 is 0.9 here. Statistics are float32 whatever the inputs are.

    Args:
      num_features: width d of the last axis.
      use_running_average: whether it starts in evaluation mode.
      momentum: share of the running statistics that stays at each step, in [0, 1].
      epsilon: added to the variance, > 0.
      unbiased: whether `var` keeps the unbiased variance.
      rngs: not used; taken so that the constructor is called as any layer's.
    """

    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool = False,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        unbiased: bool = True,
        rngs: nnx.Rngs | None = None,
    ):
        self.num_features, self.unbiased = num_features, unbiased
        self.use_running_average = use_running_average
        self.momentum, self.epsilon = momentum, epsilon
        self.mean = nnx.BatchStat(jnp.zeros(num_features))
        self.var = nnx.BatchStat(jnp.ones(num_features))
        self.scale = nnx.Param(jnp.ones(num_features))
        self.bias = nnx.Param(jnp.zeros(num_features))

    def __call__(self, x: jax.Array, use_running_average: bool | None = None) -> jax.Array:
        if x.ndim < 2 or x.shape[-1] != self.num_features or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"BatchNorm takes floating [n, ..., {self.num_features}], got {x.dtype} of shape {x.shape}."
            )
        wide = _wide(x)
        scale, bias = self.scale[...].astype(wide.dtype), self.bias[...].astype(wide.dtype)
        if self.use_running_average if use_running_average is None else use_running_average:
            gain = scale * lax.rsqrt(self.var[...].astype(wide.dtype) + self.epsilon)  # [d]
            centred = wide - _along_last(self.mean[...].astype(wide.dtype), x)
            return (centred * _along_last(gain, x) + _along_last(bias, x)).astype(x.dtype)
        y, mean, variance = batch_norm(x, scale, bias, self.epsilon)
        count = x.size // x.shape[-1]
        self._move(self.mean, mean)
        self._move(self.var, variance * (count / max(count - 1, 1)) if self.unbiased else variance)
        return y

    def _move(self, running: nnx.BatchStat, batch: jax.Array) -> None:
        batch = lax.stop_gradient(batch).astype(running[...].dtype)
        running[...] = self.momentum * running[...] + (1.0 - self.momentum) * batch

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Switch the mode; `nnx.view` calls this."""
        if use_running_average is not None:
            self.use_running_average = use_running_average


class LayerNorm(nnx.Module):
    """Normalise each example by itself over the last axis: `y = scale (x - m) / sqrt(v + epsilon) + bias`.

    m and v are the mean and the biased variance of the d values, in float32 at least; the dtype of the input is kept.
    The mean is subtracted before squares are taken, so that digits stay where |m| is much larger than the deviation.

    Args:
      num_features: width d of the last axis.
      epsilon: added to the variance, > 0; 1e-6 in vision transformers, 1e-5 in PyTorch and CLIP, 1e-12 in BERT.
      rngs: not used; taken so that the constructor is called as any layer's.

    Source: Ba, Kiros, Hinton, "Layer Normalization", 2016, arXiv 1607.06450.

    Example:
      >>> LayerNorm(2)(jnp.array([[1.0, 3.0]])).round(3)
      Array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, num_features: int, *, epsilon: float = 1e-5, rngs: nnx.Rngs | None = None):
        self.num_features, self.epsilon = num_features, epsilon
        self.scale = nnx.Param(jnp.ones(num_features))
        self.bias = nnx.Param(jnp.zeros(num_features))

    def __call__(self, x: jax.Array) -> jax.Array:
        if x.ndim < 1 or x.shape[-1] != self.num_features or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"LayerNorm takes floating [..., {self.num_features}], got {x.dtype} of shape {x.shape}.")
        wide = _wide(x)
        centred = wide - wide.mean(-1, keepdims=True)
        inverse = lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.epsilon)
        scale, bias = (_along_last(each[...].astype(wide.dtype), x) for each in (self.scale, self.bias))
        return (centred * inverse * scale + bias).astype(x.dtype)
