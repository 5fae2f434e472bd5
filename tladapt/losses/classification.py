"""Cross entropy with labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, weighted_mean


def cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, smoothing: float = 0.0, weights: ArrayLike | None = None
) -> jax.Array:
    r"""Mean cross entropy between class indices and the softmax of logits, with label smoothing.

    L = mean_i -sum_c q_ic log p_ic with p = softmax(logits) and q_ic = (1 - smoothing) 1{c = y_i} + smoothing / C.

    Args:
      logits: `[n, C]`, floating.
      labels: class indices in [0, C), `[n]`, integers.
      smoothing: in [0, 1).
      weights: `[n]`, >= 0; the mean becomes a weighted mean, weight 0 leaves the example out (its label may be
        anything, -1 for "unknown" too).

    Returns:
      A scalar >= 0, float32 (float64 for float64 logits). A label outside [0, C) with a positive weight gives NaN
      rather than a wrong number: inside a compiled function nothing can be raised.

    Raises:
      TypeError: for labels that are not integers.
      ValueError: for shapes that do not fit or a smoothing outside [0, 1).

    Source: smoothing as in Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for
      computer vision", CVPR 2016, arXiv 1512.00567.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import cross_entropy
      >>> print(round(float(cross_entropy(jnp.zeros((2, 10)), jnp.array([3, 7]))), 4))  # log 10
      2.3026
    """
    logits = as_float("logits", logits, 2)
    weights = as_weights("weights", weights, logits)
    if not 0 <= smoothing < 1:
        raise ValueError(f"Expected {smoothing=} to be in [0, 1).")
    per_example = label_cross_entropies(leave_out(logits, weights), labels, smoothing)
    return weighted_mean(per_example, weights)


def label_cross_entropies(logits: jax.Array, labels: ArrayLike, smoothing: float = 0.0) -> jax.Array:
    """Return -sum_c q_ic log p_ic `[n]` of float logits `[n, C]`; NaN where a label is outside [0, C)."""
    labels = jnp.asarray(labels)
    n, classes = logits.shape
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"Expected `labels` to be integers (class indices), got {labels.dtype}.")
    if labels.shape != (n,):
        raise ValueError(f"Expected `labels` to have the shape {(n,)}, one class index an example, got {labels.shape}.")
    log_p = jax.nn.log_softmax(logits, axis=1)  # [n, C]
    valid = (labels >= 0) & (labels < classes)  # an index of -1 would silently train the last class
    index = jnp.where(valid, labels, 0)
    nll = -jnp.take_along_axis(log_p, index[:, None], axis=1)[:, 0]  # [n]
    if smoothing:
        nll = (1.0 - smoothing) * nll - smoothing * jnp.mean(log_p, axis=1)
    # NaN where a label is none, made by arithmetic: a constant NaN would itself stop whoever looks for NaNs.
    return nll + 0.0 * jnp.where(valid, 0.0, jnp.inf)
