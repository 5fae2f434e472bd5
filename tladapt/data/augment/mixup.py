"""Mixup: each labelled example becomes a mixture of itself and another, and so does its label."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tladapt.errors import UsageError


class Mixture(NamedTuple):
    """What a batch of mixtures is made of, beside the examples' own labels.

    Attributes:
      y: the other example's class index `[n]`, int32.
      share: how much of the example itself is in it, in [0.5, 1], float32 `[n]`.
    """

    y: jax.Array
    share: jax.Array


def mixup(key: jax.Array, x: jax.Array, y: jax.Array, *, alpha: float, domains: int = 1) -> tuple[jax.Array, Mixture]:
    """Return mixtures x'_i = s_i x_i + (1 - s_i) x_p(i), and what their labels are made of.

    b_i is drawn from Beta(alpha, alpha), s_i = max(b_i, 1 - b_i), and p permutes the examples of each domain.

    Deviations from the paper: s is drawn for each example, there once a batch; it is at least a half, so that an
      example's own label stays the one that counts most; examples of one source domain are mixed with each other.

    Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018, arXiv:1710.09412;
      the larger share as in Berthelot et al., "MixMatch", NeurIPS 2019, arXiv:1905.02249.

    Args:
      key: randomness.
      x: inputs `[n, ...]`, floating.
      y: class indices `[n]`.
      alpha: above 0; the larger, the more even the mixtures. The paper's for ImageNet: 0.2, for CIFAR-10: 1.
      domains: number of domains, each of which has its n / domains examples in a row.

    Returns:
      The mixed inputs `[n, ...]`, and the `Mixture`.

    Raises:
      UsageError: for inputs that are indices.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UsageError(f"mixup blends inputs and needs floating numbers, got {x.dtype}: --recipe.mixup 0.")
    draw, order = jax.random.split(key)
    n, each = len(x), len(x) // domains
    places = jnp.argsort(jax.random.uniform(order, (domains, each)), axis=1)  # [domains, n / domains]
    partner = (places + each * jnp.arange(domains)[:, None]).reshape(n)
    drawn = jax.random.beta(draw, alpha, alpha, (n,), jnp.float32)
    share = jnp.maximum(drawn, 1.0 - drawn)
    own = share.astype(x.dtype).reshape(n, *(1,) * (x.ndim - 1))
    return own * x + (1 - own) * x[partner], Mixture(y[partner], share)
