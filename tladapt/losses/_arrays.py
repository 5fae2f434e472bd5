"""What every loss does to its arrays first: a dtype that is wide enough, shapes that fit, weights that leave out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def as_float(name: str, x: ArrayLike, ndim: int) -> jax.Array:
    """Return `x` as a floating array of at least float32 with `ndim` axes and at least one example.

    Half precisions are widened because means, distances and logarithms lose their digits there; float64 stays.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"Expected `{name}` to be floating-point, got {x.dtype}; convert it before calling the loss.")
    if x.ndim != ndim:
        wanted = "[n]" if ndim == 1 else "[n, d]"
        raise ValueError(f"Expected `{name}` to have the shape {wanted}, got {x.shape}; flatten the other axes.")
    if x.shape[0] == 0:
        raise ValueError(f"Expected `{name}` to hold at least one example, got the shape {x.shape}.")
    return x.astype(wide_dtype(x.dtype))


def wide_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """Return float64 for float64 and float32 for every narrower floating dtype."""
    # By hand: `jnp.promote_types` refuses two dtypes where promotion is strict.
    return dtype if dtype == jnp.float64 else jnp.dtype(jnp.float32)


def same_width(first: tuple[str, jax.Array], second: tuple[str, jax.Array]) -> None:
    """Raise `ValueError` unless two batches `[n, d]`, `[m, d]` agree in d, and `TypeError` unless in dtype."""
    (name_1, x_1), (name_2, x_2) = first, second
    if x_1.shape[1:] != x_2.shape[1:]:
        raise ValueError(f"Expected `{name_1}` and `{name_2}` to have rows of one width, got {x_1.shape}, {x_2.shape}.")
    if x_1.dtype != x_2.dtype:
        raise TypeError(f"Expected `{name_1}` and `{name_2}` in one precision, got {x_1.dtype} and {x_2.dtype}.")


def as_weights(name: str, weights: ArrayLike | None, like: jax.Array) -> jax.Array | None:
    """Return `weights` as `[n]` in the dtype of `like` `[n, ...]`, or None where there are none."""
    if weights is None:
        return None
    weights = jnp.asarray(weights)
    if weights.shape != like.shape[:1]:
        raise ValueError(
            f"Expected `{name}` to have the shape {like.shape[:1]}, one weight an example, got {weights.shape}."
        )
    return weights.astype(like.dtype)


def leave_out(x: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Return `x` `[n, ...]` with zeros in the examples of weight 0, so that whatever stood there, NaN too, is gone."""
    if weights is None:
        return x
    kept = (weights > 0).reshape((-1,) + (1,) * (x.ndim - 1))
    return jnp.where(kept, x, jnp.zeros_like(x))


def shares(weights: jax.Array | None, like: jax.Array) -> jax.Array:
    """Return weights `[n]` that sum to one (1/n each for None); all zero where every example is left out."""
    if weights is None:
        n = like.shape[0]
        return jnp.full((n,), 1.0 / n, like.dtype)
    total = jnp.sum(weights)
    return jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), jnp.zeros_like(weights))


def weighted_mean(values: jax.Array, weights: jax.Array | None) -> jax.Array:
    """Return sum_i w_i v_i / sum_i w_i over the first axis; 0 where every example is left out."""
    if weights is None:
        return jnp.mean(values, axis=0)
    share = shares(weights, values).reshape((-1,) + (1,) * (values.ndim - 1))
    return jnp.sum(share * leave_out(values, weights), axis=0)


def entropies(log_p: jax.Array) -> jax.Array:
    """Return the entropy in nats `[...]` of distributions given as log-probabilities `[..., C]`; 0 log 0 = 0."""
    possible = log_p > -jnp.inf  # a class masked with -inf; guarded inside too, or the gradient is 0 * inf = NaN
    safe = jnp.where(possible, log_p, 0.0)
    return -jnp.sum(jnp.where(possible, jnp.exp(safe) * safe, 0.0), axis=-1)
