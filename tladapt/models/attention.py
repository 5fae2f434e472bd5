"""Attention of many heads, written out: the softmax is float32 at least, and keys may be masked."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from tladapt.models.layers import Linear


def attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    mask: jax.Array | None = None,
    drop: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """Scaled dot-product attention: `softmax(Q K^T / sqrt(d)) V`, for each head by itself.

    Products are accumulated and the softmax is computed in float32 at least. A query whose keys are all masked gets
    the mean of the values: padding stays finite.

    Args:
      query: `[n, queries, heads, d]`, floating.
      key: `[n, keys, heads, d]`.
      value: `[n, keys, heads, d]`.
      mask: bool `[n, keys]`, True for keys that may be read; None: all.
      drop: a dropout of the weights `[n, heads, queries, keys]`, which are not yet divided by their sum; None: nothing.

    Returns:
      `[n, queries, heads, d]`, of the dtype of `query`.

    Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv 1706.03762.

    Example:
      >>> x = jnp.ones((1, 3, 2, 4))
      >>> attention(x, x, 2.0 * x)[0, :, 0, 0]
      Array([2., 2., 2.], dtype=float32)
    """
    wide = query.dtype if query.dtype == jnp.float64 else jnp.dtype(jnp.float32)
    scores = jnp.einsum("nqhd,nkhd->nhqk", query, key, preferred_element_type=wide)
    scores = scores / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(wide).min)
    # The softmax is divided by its sum after the product: d numbers a query instead of one a key, and on CPU the whole
    # is four times faster so.
    weights = jnp.exp(scores - lax.stop_gradient(scores.max(-1, keepdims=True)))  # [n, heads, queries, keys]
    total = weights.sum(-1, keepdims=True)
    if drop is not None:
        weights = drop(weights)
    mixed = jnp.einsum("nhqk,nkhd->nhqd", weights.astype(value.dtype), value, preferred_element_type=wide)
    return (mixed / total).transpose(0, 2, 1, 3).astype(query.dtype)


class SelfAttention(nnx.Module):
    """Attention of a sequence to itself: projections `query`, `key`, `value`, attention in heads, projection `out`.

    Args:
      features: width d of the tokens; each head has d / heads.
      heads: number of heads.
      dropout: rate at which attention weights are dropped in training; without it there is no random state.
      rngs: draws the initial kernels, and feeds the dropout.

    Raises:
      ValueError: where d is not divisible by the number of heads.
    """

    def __init__(self, features: int, heads: int, *, dropout: float = 0.0, rngs: nnx.Rngs):
        if features % heads:
            raise ValueError(f"{features=} must be divisible by {heads=}.")
        self.features, self.heads = features, heads
        self.query, self.key, self.value, self.out = (Linear(features, features, rngs=rngs) for _ in range(4))
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else nnx.data(None)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return `[n, tokens, d]`.

        Args:
          x: `[n, tokens, d]`, floating.
          mask: bool `[n, tokens]`, True for tokens that may be read; None: all.
        """
        split = (*x.shape[:-1], self.heads, self.features // self.heads)
        query, key, value = (part(x).reshape(split) for part in (self.query, self.key, self.value))
        return self.out(attention(query, key, value, mask=mask, drop=self.dropout).reshape(x.shape))
