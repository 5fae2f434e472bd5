"""Maximum mean discrepancy with several Gaussian kernels (MK-MMD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, same_width, shares

Estimator = Literal["unbiased", "biased", "linear"]
_ESTIMATORS = ("unbiased", "biased", "linear")


def mk_mmd(
    source: ArrayLike,
    target: ArrayLike,
    *,
    estimator: Estimator = "unbiased",
    multiples: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    bandwidth: ArrayLike | None = None,
    source_weights: ArrayLike | None = None,
    target_weights: ArrayLike | None = None,
) -> jax.Array:
    r"""Squared maximum mean discrepancy between two batches of features under a sum of Gaussian kernels.

    With k(a, b) = sum_u exp(-||a - b||^2 / (m_u b)), m_u the `multiples` and b the `bandwidth`:

      biased:    mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) - 2 mean_ij k(s_i, t_j), never negative;
      unbiased:  the same with both within-domain means over i != j: zero on average for equal domains, so a single
                 batch of equal domains gives a small value of either sign;
      linear:    mean over disjoint quadruples (s_1, s_2, t_1, t_2) of
                 k(s_1, s_2) + k(t_1, t_2) - k(s_1, t_2) - k(s_2, t_1): unbiased, noisier, O(n d) instead of O(n^2 d).

    By default b is the mean of ||z_i - z_j||^2 over all pairs i != j of both domains together, without a gradient.
    The result then does not change when all features are shifted by one vector or multiplied by one number.

    Args:
      source: features `[n_s, d]`, floating.
      target: features `[n_t, d]`, in the same dtype. n_s and n_t may differ, except for "linear".
      estimator: "unbiased", "biased" or "linear".
      multiples: positive factors of the bandwidth, one a kernel. The kernels are summed, not averaged.
      bandwidth: b, a positive scalar in squared units of the features. Give one to compare values across models.
      source_weights: `[n_s]`, >= 0; means become weighted means and weight 0 leaves the example out, of the bandwidth
        too. There each domain counts with its effective number of examples (sum w)^2 / sum w^2.
      target_weights: `[n_t]`, likewise.

    Returns:
      A scalar, float32 (float64 for float64 features). 0 where every example of a domain has weight 0; a domain with
      one example of positive weight has the constant k(x, x) as its within-domain mean.

    Raises:
      ValueError: for shapes that do not fit, an unknown estimator, "linear" with unequal sizes or with weights,
        fewer than two examples for "unbiased" and "linear", or a bandwidth or multiple that is not positive.

    Deviations from the paper:
      1. DAN learns the kernels' coefficients by a quadratic programme; here all are 1, as in later public code.
      2. The multiples are of the mean squared distance, whose five powers of two are the usual later choice.

    Source: Gretton, Borgwardt, Rasch, Schoelkopf, Smola, "A kernel two-sample test", JMLR 13 (2012), lemma 6 (unbiased
      and linear) and equation 5 (biased); Long, Cao, Wang, Jordan, "Learning transferable features with deep
      adaptation networks", ICML 2015, arXiv 1502.02791.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import mk_mmd
      >>> source = jnp.array([[0.0], [1.0], [2.0]])
      >>> print(round(float(mk_mmd(source, source, estimator="biased")), 3))
      0.0
      >>> print(round(float(mk_mmd(source, source + 3.0, estimator="biased")), 3))
      4.402
    """
    if estimator not in _ESTIMATORS:
        raise ValueError(f"Expected `estimator` to be one of {', '.join(_ESTIMATORS)}, got {estimator!r}.")
    if not multiples or min(multiples) <= 0:
        raise ValueError(f"Expected `multiples` to be positive numbers, got {tuple(multiples)!r}.")
    if isinstance(bandwidth, (int, float)) and bandwidth <= 0:
        raise ValueError(f"Expected `bandwidth` to be positive, got {bandwidth!r}; None computes it from the batch.")
    source, target = as_float("source", source, 2), as_float("target", target, 2)
    same_width(("source", source), ("target", target))
    weights_s = as_weights("source_weights", source_weights, source)
    weights_t = as_weights("target_weights", target_weights, target)
    n_s, n_t = source.shape[0], target.shape[0]
    if estimator != "biased" and min(n_s, n_t) < 2:
        raise ValueError(
            f"The {estimator} estimator needs two examples of each domain, got {n_s=}, {n_t=}; use larger batches "
            "or estimator='biased'."
        )
    if estimator == "linear" and (weights_s is not None or weights_t is not None):
        raise ValueError("The linear estimator pairs examples and takes no weights; use estimator='unbiased'.")
    if estimator == "linear" and n_s != n_t:
        raise ValueError(
            f"The linear estimator pairs examples and needs equal batches, got {n_s=}, {n_t=}; use equal batch sizes "
            "or estimator='unbiased'."
        )

    z = jnp.concatenate([leave_out(source, weights_s), leave_out(target, weights_t)])  # [n_s + n_t, d]
    kept = jnp.concatenate([_positive(weights_s, n_s), _positive(weights_t, n_t)])
    counts = jnp.concatenate([_effective(weights_s, source), _effective(weights_t, target)])
    z, floor = _centre(z, kept, counts)
    if bandwidth is None:
        scale = jax.lax.stop_gradient(_mean_squared_distance(z, counts)) + floor
    else:
        scale = jnp.asarray(bandwidth, z.dtype)
    scales = [scale * multiple for multiple in multiples]
    if estimator == "linear":
        return _linear(z[:n_s], z[n_s:], scales)
    kernel = _kernel(_squared_distances(z), scales)  # [n_s + n_t, n_s + n_t]
    share_s, share_t = shares(weights_s, source), shares(weights_t, target)
    diagonal = float(len(multiples)) if estimator == "unbiased" else None
    within_s = _within(kernel[:n_s, :n_s], share_s, diagonal)
    within_t = _within(kernel[n_s:, n_s:], share_t, diagonal)
    across = share_s @ kernel[:n_s, n_s:] @ share_t
    both_there = (jnp.sum(share_s) > 0) & (jnp.sum(share_t) > 0)
    return jnp.where(both_there, within_s + within_t - 2.0 * across, 0.0)


def _positive(weights: jax.Array | None, n: int) -> jax.Array:
    return jnp.ones((n,), bool) if weights is None else weights > 0


def _effective(weights: jax.Array | None, x: jax.Array) -> jax.Array:
    """Return weights rescaled to sum to (sum w)^2 / sum w^2: 0 and 1 stay, and a common factor has no effect."""
    if weights is None:
        return jnp.ones(x.shape[:1], x.dtype)
    share = shares(weights, x)
    squares = jnp.sum(share**2)
    return share / jnp.where(squares > 0, squares, 1.0)


def _centre(z: jax.Array, kept: jax.Array, counts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return `z` about its mean, and the squared distance that rounding of the features alone can make.

    Distances do not depend on the origin but their digits do: ||a||^2 + ||b||^2 - 2 a.b cancels when the mean is large
    against the spread. One example is subtracted first, so that a constant batch becomes zero exactly and not up to
    the rounding of its mean.
    """
    detached = jax.lax.stop_gradient(z)
    anchor = detached[jnp.argmax(kept)]  # [d]
    total = jnp.sum(counts)
    from_anchor = jnp.where(kept[:, None], detached - anchor[None, :], 0.0)
    mean = jnp.sum(counts[:, None] * from_anchor, axis=0) / jnp.where(total > 0, total, 1.0)
    info = np.finfo(z.dtype)
    floor = info.eps**2 * jnp.mean(jnp.sum(detached**2, axis=1)) + info.tiny * 1e8
    return jnp.where(kept[:, None], (z - anchor[None, :]) - mean[None, :], 0.0), floor.astype(z.dtype)


def _mean_squared_distance(z: jax.Array, counts: jax.Array) -> jax.Array:
    """Return sum_{i != j} c_i c_j ||z_i - z_j||^2 / sum_{i != j} c_i c_j without forming the pairs."""
    total = jnp.sum(counts)
    first = jnp.sum(counts[:, None] * z, axis=0)  # [d], about zero: z is centred
    second = jnp.sum(counts * jnp.sum(z**2, axis=1))
    pairs = total**2 - jnp.sum(counts**2)
    distances = 2.0 * (total * second - jnp.sum(first**2))
    return jnp.where(pairs > 0, jnp.maximum(distances, 0.0) / jnp.where(pairs > 0, pairs, 1.0), 0.0)


def _squared_distances(z: jax.Array) -> jax.Array:
    """Return ||z_i - z_j||^2 `[n, n]` from one Gram matrix: a tensor of differences is 50 times slower at n = 32."""
    # Full precision: the default on accelerators rounds the factors, and the difference of sums shows it.
    gram = jnp.matmul(z, z.T, precision=jax.lax.Precision.HIGHEST)  # [n, n]
    squares = jnp.sum(z**2, axis=1)
    distances = jnp.maximum(squares[:, None] + squares[None, :] - 2.0 * gram, 0.0)
    return jnp.where(jnp.eye(z.shape[0], dtype=bool), 0.0, distances)


def _kernel(distances: jax.Array, scales: list[jax.Array]) -> jax.Array:
    kernel = jnp.zeros_like(distances)
    for scale in scales:
        kernel = kernel + jnp.exp(-distances / scale)
    return kernel


def _within(kernel: jax.Array, share: jax.Array, diagonal: float | None) -> jax.Array:
    """Return the weighted mean of a domain's kernel, without the pairs (i, i) where k(x, x) = `diagonal` is given."""
    mean = share @ kernel @ share
    if diagonal is None:
        return mean
    same = jnp.sum(share**2)  # the share of the pairs (i, i): 1/n for equal weights
    # Off-diagonal entries are summed by themselves: "mean minus diagonal" would cancel for large bandwidths.
    off = share @ jnp.where(jnp.eye(kernel.shape[0], dtype=bool), 0.0, kernel) @ share
    enough = 1.0 - same > 10 * np.finfo(kernel.dtype).eps
    return jnp.where(enough, off / jnp.where(enough, 1.0 - same, 1.0), diagonal)


def _linear(source: jax.Array, target: jax.Array, scales: list[jax.Array]) -> jax.Array:
    even = source.shape[0] // 2 * 2  # the last example of an odd batch has no partner
    s_1, s_2, t_1, t_2 = source[:even:2], source[1:even:2], target[:even:2], target[1:even:2]

    def k(a: jax.Array, b: jax.Array) -> jax.Array:
        return _kernel(jnp.sum((a - b) ** 2, axis=1), scales)  # [n // 2]

    return jnp.mean(k(s_1, s_2) + k(t_1, t_2) - k(s_1, t_2) - k(s_2, t_1))
