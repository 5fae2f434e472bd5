"""Minimum class confusion: predictions that do not waver between two classes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, entropies, leave_out


def minimum_class_confusion(
    target_logits: ArrayLike, *, temperature: float = 2.5, weights: ArrayLike | None = None
) -> jax.Array:
    r"""Mean confusion between pairs of different classes in a batch of predictions.

    With q = softmax(z / T), w_i = 1 + exp(-H(q_i)) without a gradient, and the class correlation
    M_ab = sum_i w_i q_ia q_ib divided by its row sums, L = 1/C sum_{a != b} M_ab, in [0, 1).
    Uniform predictions give 1 - 1/C, certain ones that use every class give 0.

    Args:
      target_logits: `[n, C]`, floating and finite. A statistic of the batch: take at least as many examples as classes.
      temperature: T > 0.
      weights: `[n]`, >= 0, multiplied into w; weight 0 leaves the example out.

    Returns:
      A scalar, float32 (float64 for float64 logits).

    Raises:
      ValueError: for shapes that do not fit or a temperature that is not positive.

    Deviations from the paper:
      1. The factor B / sum_i w_i of the weights is left out: the division by row sums cancels it.
      2. As row a sums to sum_i w_i q_ia, L = 1/C sum_a sum_i s_ia (1 - q_ia) with s the softmax over the batch of
         log w_i + log q_ia. The matrix [C, C] is never formed, and a class whose probabilities all underflow, 0/0 in
         the usual form, has its exact value.

    Source: Jin, Wang, Long, Wang, "Minimum class confusion for versatile domain adaptation", ECCV 2020,
      arXiv 1912.03699.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import minimum_class_confusion
      >>> print(round(float(minimum_class_confusion(jnp.zeros((8, 4)))), 4))  # 1 - 1/4
      0.75
    """
    logits = as_float("target_logits", target_logits, 2)
    checked = as_weights("weights", weights, logits)
    if isinstance(temperature, (int, float)) and temperature <= 0:
        raise ValueError(f"Expected {temperature=} to be positive.")
    log_q = jax.nn.log_softmax(leave_out(logits, checked) / temperature, axis=1)  # [n, C]
    log_w = jnp.log1p(jnp.exp(-entropies(jax.lax.stop_gradient(log_q))))  # [n]
    there = jnp.array(True)
    if checked is not None:
        there = jnp.any(checked > 0)
        kept = (checked > 0) | ~there  # where nothing is kept, count all, so that no row is 0/0, and return 0 below
        log_w = jnp.where(kept, log_w + jnp.log(jnp.where(checked > 0, checked, 1.0)), -jnp.inf)
    in_class = jax.nn.softmax(log_w[:, None] + log_q, axis=0)  # [n, C]
    confusion = jnp.mean(jnp.sum(in_class * -jnp.expm1(log_q), axis=0))
    return jnp.where(there, confusion, 0.0)
