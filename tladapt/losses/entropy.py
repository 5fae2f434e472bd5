"""Entropies of predictions: of each one, of their mean, and the information between inputs and predictions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, entropies, leave_out, weighted_mean


def entropy(logits: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    r"""Mean entropy of the predictions, in nats: low where each prediction is certain.

    L = mean_i H(p_i), p = softmax(logits), H(p) = -sum_c p_c log p_c, in [0, log C].

    Args:
      logits: `[n, C]`, floating; -inf masks a class out.
      weights: `[n]`, >= 0; the mean becomes a weighted mean, weight 0 leaves the example out.

    Returns:
      A scalar, float32 (float64 for float64 logits).

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper:
      1. Exact through the log-softmax, where public code often has log(p + 1e-5).

    Source: Grandvalet, Bengio, "Semi-supervised learning by entropy minimization", NeurIPS 2004.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import entropy
      >>> print(round(float(entropy(jnp.zeros((5, 2)))), 4))  # log 2
      0.6931
    """
    logits = as_float("logits", logits, 2)
    checked = as_weights("weights", weights, logits)
    return weighted_mean(entropies(jax.nn.log_softmax(leave_out(logits, checked), axis=1)), checked)


def diversity(logits: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    r"""Entropy of the mean prediction, in nats: high where the batch as a whole uses all classes.

    D = H(mean_i p_i), p = softmax(logits), in [0, log C], at least the mean entropy of the same predictions. It is a
    statistic of the batch: with fewer examples than classes it cannot reach log C however good the predictions.

    Args:
      logits: `[n, C]`, floating.
      weights: `[n]`, >= 0; the mean becomes a weighted mean, weight 0 leaves the example out.

    Returns:
      A scalar, float32 (float64 for float64 logits). Methods maximise it.

    Raises:
      ValueError: for shapes that do not fit.

    Source: Krause, Perona, Gomes, "Discriminative clustering by regularized information maximization", NeurIPS 2010.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import diversity
      >>> print(round(float(diversity(jnp.array([[9.0, -9.0], [-9.0, 9.0]]))), 4))  # log 2
      0.6931
    """
    logits = as_float("logits", logits, 2)
    checked = as_weights("weights", weights, logits)
    mean = weighted_mean(jax.nn.softmax(leave_out(logits, checked), axis=1), checked)  # [C]
    used = mean > 0  # p may underflow; guarded inside and outside of the logarithm, or its gradient is NaN
    return entropies(jnp.where(used, jnp.log(jnp.where(used, mean, 1.0)), -jnp.inf))


def information_maximization(logits: ArrayLike, *, weights: ArrayLike | None = None) -> jax.Array:
    r"""Information-maximisation loss, to be minimised: certain predictions that together use all classes.

    L = mean_i H(p_i) - H(mean_i p_i), in [-log C, 0]: minus the mutual information between inputs and predictions.

    Args:
      logits: `[n, C]`, floating.
      weights: `[n]`, >= 0; means become weighted means, weight 0 leaves the example out.

    Returns:
      A scalar, float32 (float64 for float64 logits).

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper:
      1. Exact logarithms, where the authors' code has log(p + 1e-5).

    Source: Liang, Hu, Feng, "Do we really need to access the source data? Source hypothesis transfer for unsupervised
      domain adaptation" (SHOT-IM), ICML 2020, arXiv 2002.08546.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import information_maximization
      >>> print(round(float(information_maximization(jnp.array([[30.0, -30.0], [-30.0, 30.0]]))), 4))  # -log 2
      -0.6931
    """
    return entropy(logits, weights=weights) - diversity(logits, weights=weights)


def certainty_weights(logits: ArrayLike, *, detach: bool = True) -> jax.Array:
    r"""Weight of each example by how certain its prediction is: 1 + exp(-H(p_i)), in [1 + 1/C, 2].

    Args:
      logits: `[n, C]`, floating.
      detach: whether no gradient flows through the weights. CDAN's authors let it flow, and reverse it.

    Returns:
      `[n]`, float32 (float64 for float64 logits).

    Raises:
      ValueError: for logits that are not `[n, C]`.

    Source: Long, Cao, Wang, Jordan, "Conditional adversarial domain adaptation" (CDAN+E), NeurIPS 2018,
      arXiv 1705.10667.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import certainty_weights
      >>> print(certainty_weights(jnp.array([[0.0, 0.0], [50.0, -50.0]])))
      [1.5 2. ]
    """
    logits = as_float("logits", logits, 2)
    if detach:
        logits = jax.lax.stop_gradient(logits)
    return 1.0 + jnp.exp(-entropies(jax.nn.log_softmax(logits, axis=1)))
