"""The discrepancy between two classifiers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, same_width, weighted_mean


def classifier_discrepancy(
    first_logits: ArrayLike, second_logits: ArrayLike, *, weights: ArrayLike | None = None
) -> jax.Array:
    r"""Mean absolute difference between the predictions of two classifiers on the same examples.

    L = mean over examples and classes of |p_ic - q_ic|, p and q the softmax of the two logits, in [0, 2/C].
    The gradient of |x| at 0 is taken to be 0: two heads that start equal never separate, so initialise them apart.

    Args:
      first_logits: `[n, C]`, floating.
      second_logits: `[n, C]`, in the same dtype.
      weights: `[n]`, >= 0; the mean over examples becomes a weighted mean, weight 0 leaves the example out.

    Returns:
      A scalar, float32 (float64 for float64 logits).

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper: none. (The mean over classes makes it 1/C of the L1 distance; recipes with many classes
      raise the weight for it.)

    Source: Saito, Watanabe, Ushiku, Harada, "Maximum classifier discrepancy for unsupervised domain adaptation",
      CVPR 2018, arXiv 1712.02560, equation 1.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import classifier_discrepancy
      >>> a = jnp.array([[50.0, -50.0]])
      >>> print(classifier_discrepancy(a, a), classifier_discrepancy(a, -a))
      0.0 1.0
    """
    first, second = as_float("first_logits", first_logits, 2), as_float("second_logits", second_logits, 2)
    same_width(("first_logits", first), ("second_logits", second))
    if first.shape != second.shape:
        raise ValueError(f"Expected logits of the same examples, got the shapes {first.shape} and {second.shape}.")
    checked = as_weights("weights", weights, first)
    p = jax.nn.softmax(leave_out(first, checked), axis=1)
    q = jax.nn.softmax(leave_out(second, checked), axis=1)
    difference = p - q
    # |x| as x sign(x): the derivative that JAX gives abs at 0 is 1 in some versions, and has to be 0 for equal heads.
    distance = difference * jax.lax.stop_gradient(jnp.sign(difference))
    return weighted_mean(jnp.mean(distance, axis=1), checked)
