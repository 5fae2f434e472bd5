"""Self-training on pseudo-labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, weighted_mean
from tladapt.losses.classification import label_cross_entropies


def pseudo_label(
    logits: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    threshold: float = 0.0,
    confidence: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    r"""Cross entropy with labels that a model gave itself, on the examples where it is confident.

    L = mean_i 1{c_i > threshold} * (-log p_i,y_i), p = softmax(logits). By default y_i = argmax_c p_ic and c_i = max_c
    p_ic, both without a gradient. The mean is over all examples: those that are masked count in the denominator.

    Args:
      logits: `[n, C]`, floating.
      labels: class indices `[n]`, integers: labels of another view, of a teacher, or refreshed over the whole target.
        None takes the argmax of `logits`.
      threshold: on the confidence; at 1 or above nothing passes (the loss and its gradient are exactly 0), at 0
        everything.
      confidence: `[n]`, how sure each label is. None takes the largest probability of `logits`.
      weights: `[n]`, >= 0; the mean over examples becomes a weighted mean, weight 0 leaves the example out.

    Returns:
      A scalar >= 0, float32 (float64 for float64 logits).

    Raises:
      TypeError: for labels that are not integers.
      ValueError: for shapes that do not fit.

    Deviations from the paper:
      1. The paper has no threshold (the default here); later methods do, FixMatch at 0.95.
      2. The paper's ramp of the loss's weight is the caller's schedule.

    Source: Lee, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks",
      ICML 2013 workshop; threshold as in Sohn et al., "FixMatch", NeurIPS 2020, arXiv 2001.07685.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import pseudo_label
      >>> logits = jnp.array([[2.0, 0.0], [0.1, 0.0]])
      >>> print(round(float(pseudo_label(logits, threshold=0.8)), 4))  # log(1 + exp(-2)) / 2
      0.0635
    """
    logits = as_float("logits", logits, 2)
    checked = as_weights("weights", weights, logits)
    logits = leave_out(logits, checked)
    detached = jax.lax.stop_gradient(logits)
    if labels is None:
        labels = jnp.argmax(detached, axis=1)
    if confidence is None:
        sure = jnp.max(jax.nn.softmax(detached, axis=1), axis=1)  # [n]
    else:
        sure = jax.lax.stop_gradient(jnp.asarray(confidence))
        if sure.shape != logits.shape[:1]:
            raise ValueError(f"Expected `confidence` to have the shape {logits.shape[:1]}, got {sure.shape}.")
    # `where`, not a product: a masked example adds exactly 0 whatever its cross entropy.
    per_example = jnp.where(sure > threshold, label_cross_entropies(logits, labels), 0.0)
    return weighted_mean(per_example, checked)
