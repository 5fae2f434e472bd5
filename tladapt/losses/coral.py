"""Deep CORAL: the distance between the covariances of two domains."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, same_width, shares


def coral(
    source: ArrayLike,
    target: ArrayLike,
    *,
    source_weights: ArrayLike | None = None,
    target_weights: ArrayLike | None = None,
) -> jax.Array:
    r"""Squared Frobenius distance between the covariance matrices of two batches of features.

    L = ||C_s - C_t||_F^2 / (4 d^2), with C = sum_i (x_i - mean)(x_i - mean)^T / (n - 1). Means do not enter: adding a
    constant vector to one domain changes nothing, and neither does one rotation of both.

    Args:
      source: features (or logits, as in the paper) `[n_s, d]`, floating.
      target: features `[n_t, d]`, in the same dtype.
      source_weights: `[n_s]`, >= 0; weight 0 leaves the example out. The covariance is then
        sum_i a_i (x_i - mean)(x_i - mean)^T / (1 - sum_i a_i^2) with a = w / sum w, unbiased for fixed weights.
      target_weights: `[n_t]`, likewise.

    Returns:
      A scalar >= 0, float32 (float64 for float64 features). The covariance of fewer than two examples counts as zero.

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper: none. (Public code often has mean((C_s - C_t)^2) without the 1/4, or adds the distance
      of the means: weights found there do not carry over.)

    Source: Sun, Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV 2016 workshops,
      arXiv 1607.01719.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import coral
      >>> source = jnp.array([[-1.0], [1.0]])  # variance 2
      >>> print(coral(source, 2.0 * source))  # (2 - 8)^2 / 4
      9.0
    """
    source, target = as_float("source", source, 2), as_float("target", target, 2)
    same_width(("source", source), ("target", target))
    weights_s = as_weights("source_weights", source_weights, source)
    weights_t = as_weights("target_weights", target_weights, target)
    difference = _covariance(source, weights_s) - _covariance(target, weights_t)  # [d, d]
    return jnp.sum(difference**2) / (4.0 * source.shape[1] ** 2)


def _covariance(x: jax.Array, weights: jax.Array | None) -> jax.Array:
    x = leave_out(x, weights)
    share = shares(weights, x)  # [n]
    mean = jnp.sum(share[:, None] * x, axis=0)
    centred = x - mean[None, :]
    scatter = jnp.matmul((share[:, None] * centred).T, centred, precision=jax.lax.Precision.HIGHEST)  # [d, d]
    freedom = 1.0 - jnp.sum(share**2)  # (n - 1) / n for equal weights
    enough = freedom > 10 * np.finfo(x.dtype).eps
    return jnp.where(enough, scatter / jnp.where(enough, freedom, 1.0), 0.0)
