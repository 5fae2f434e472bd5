"""Domain-adversarial training: the gradient reversal, the discriminator's loss and its accuracy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float, as_weights, leave_out, weighted_mean, wide_dtype


def gradient_reversal(x: ArrayLike, coefficient: ArrayLike) -> jax.Array:
    r"""Return `x` unchanged, bit for bit, and multiply the gradient that comes back by -coefficient.

    R(x) = x and dR/dx = -lambda I. Put it between features and discriminator: one backward pass then lowers the
    discriminator's loss in the discriminator's parameters and raises it, times lambda, in the encoder's.

    Args:
      x: any shape, floating.
      coefficient: lambda, a scalar >= 0; it may be traced (a schedule's value). Its own gradient is zero.

    Returns:
      `x`.

    Raises:
      TypeError: for an `x` that is not floating.
      ValueError: for a coefficient that is not a scalar, or a negative number: reversed twice is not reversed.

    Deviations from the paper: none.

    Source: Ganin, Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015, arXiv 1409.7495.

    Example:
      >>> import jax
      >>> from tladapt.losses import gradient_reversal
      >>> print(gradient_reversal(3.0, 0.5), jax.grad(lambda x: gradient_reversal(x, 0.5) ** 2)(3.0))
      3.0 -3.0
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"Expected `x` to be floating-point, got {x.dtype}: integers carry no gradient.")
    if isinstance(coefficient, (int, float)) and coefficient < 0:
        raise ValueError(f"Expected {coefficient=} to be >= 0: the reversal brings the minus sign itself.")
    factor = jnp.asarray(coefficient)
    if factor.ndim:
        raise ValueError(f"Expected `coefficient` to be a scalar, got the shape {factor.shape}.")
    return _reversal(x, factor.astype(wide_dtype(x.dtype)))


@jax.custom_vjp
def _reversal(x: jax.Array, coefficient: jax.Array) -> jax.Array:
    return x


def _reversal_forward(x: jax.Array, coefficient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x, coefficient


def _reversal_backward(coefficient: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    # In the coefficient's precision, not in bfloat16, where a schedule would have 8 bits.
    reversed_ = (-coefficient * cotangent.astype(coefficient.dtype)).astype(cotangent.dtype)
    return reversed_, jnp.zeros_like(coefficient)


_reversal.defvjp(_reversal_forward, _reversal_backward)


def domain_adversarial(
    source_logits: ArrayLike,
    target_logits: ArrayLike,
    *,
    source_weights: ArrayLike | None = None,
    target_weights: ArrayLike | None = None,
) -> jax.Array:
    r"""Binary cross entropy of a domain discriminator, each domain counting one half whatever its batch size.

    L = 1/2 mean_i -log sigmoid(z_i^s) + 1/2 mean_j -log(1 - sigmoid(z_j^t)): source is 1, target is 0.
    A discriminator that knows nothing (all logits 0) has log 2 = 0.693, so a falling value is no sign of success.

    Args:
      source_logits: logits (before the sigmoid) of source examples, `[n_s]` or `[n_s, 1]`, floating.
      target_logits: logits of target examples, `[n_t]` or `[n_t, 1]`.
      source_weights: `[n_s]`, >= 0; the mean becomes a weighted mean, weight 0 leaves the example out. A gradient of
        the weights flows; that of their sum, which normalises them, does not.
      target_weights: `[n_t]`, likewise.

    Returns:
      A scalar >= 0, float32 (float64 for float64 logits).

    Raises:
      ValueError: for more than one logit an example, or weights that do not fit.

    Deviations from the paper:
      1. Each domain's mean has the factor 1/2, which equals the mean over both only for equal batches.

    Source: Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky, "Domain-adversarial training
      of neural networks", JMLR 17 (2016), arXiv 1505.07818.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import domain_adversarial
      >>> print(round(float(domain_adversarial(jnp.zeros(5), jnp.zeros(3))), 4))
      0.6931
    """
    source, weights_s = _logits("source", source_logits, source_weights)
    target, weights_t = _logits("target", target_logits, target_weights)
    return 0.5 * _mean(jax.nn.softplus(-source), weights_s) + 0.5 * _mean(jax.nn.softplus(target), weights_t)


def _mean(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Return sum_i w_i v_i / sum_i w_i, the sum below being a constant; 0 where every example is left out."""
    if weights is None:
        return jnp.mean(values)
    # Weights that carry a gradient (CDAN+E) are normalised by a constant in the authors' code: with the gradient of the
    # sum, only differences between examples would count.
    total = jax.lax.stop_gradient(jnp.sum(weights))
    share = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), jnp.zeros_like(weights))
    return jnp.sum(share * values)


def domain_accuracy(
    source_logits: ArrayLike,
    target_logits: ArrayLike,
    *,
    source_weights: ArrayLike | None = None,
    target_weights: ArrayLike | None = None,
) -> jax.Array:
    """Balanced accuracy of a domain discriminator: 0.5 is chance, 1 tells all domains apart. It has no gradient.

    Half the share of source logits above 0 plus half the share of target logits below 0; a logit of exactly 0 counts
    one half, so that a discriminator that knows nothing is at chance.

    Args:
      source_logits: logits of source examples, `[n_s]` or `[n_s, 1]`, floating.
      target_logits: logits of target examples, `[n_t]` or `[n_t, 1]`.
      source_weights: `[n_s]`, >= 0; weight 0 leaves the example out.
      target_weights: `[n_t]`, likewise.

    Returns:
      A scalar in [0, 1], float32 (float64 for float64 logits).

    Raises:
      ValueError: as in `domain_adversarial`.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import domain_accuracy
      >>> print(domain_accuracy(jnp.array([2.0, 1.0]), jnp.array([-3.0, 1.0])))
      0.75
    """
    source, weights_s = _logits("source", source_logits, source_weights)
    target, weights_t = _logits("target", target_logits, target_weights)
    right_s = weighted_mean(jnp.sign(source), weights_s)  # in [-1, 1]
    right_t = weighted_mean(jnp.sign(-target), weights_t)
    return 0.5 + 0.25 * (right_s + right_t)


def _logits(domain: str, logits: ArrayLike, weights: ArrayLike | None) -> tuple[jax.Array, jax.Array | None]:
    logits = jnp.asarray(logits)
    if logits.ndim == 2 and logits.shape[1] == 1:
        logits = logits[:, 0]
    if logits.ndim != 1:
        raise ValueError(
            f"Expected `{domain}_logits` to have the shape [n] or [n, 1], got {logits.shape}; the discriminator gives "
            "one logit an example."
        )
    logits = as_float(f"{domain}_logits", logits, 1)
    checked = as_weights(f"{domain}_weights", weights, logits)
    return leave_out(logits, checked), checked
