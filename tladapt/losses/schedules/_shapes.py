"""What schedules are made of, and the two that serve both weights and learning rates."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Schedule = Callable[[ArrayLike, ArrayLike], jax.Array]
"""`schedule(progress, step) -> factor`."""


def as_float32(x: ArrayLike) -> jax.Array:
    """Return a number, traced or not, as float32."""
    return jnp.asarray(x).astype(jnp.float32)


def sigmoid_ramp(p: jax.Array, steepness: float) -> jax.Array:
    """Return 2 / (1 + exp(-steepness p)) - 1, written as tanh(steepness p / 2): no cancellation near 0."""
    return jnp.tanh(0.5 * steepness * p)


def constant(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """1 throughout. As lambda: the default of pytorch-adapt, skada and DomainBed.

    Example:
      >>> from tladapt.losses.schedules import constant
      >>> print(constant(0.3, 300))
      1.0
    """
    return jnp.ones_like(as_float32(progress))


def linear(progress: ArrayLike, step: ArrayLike) -> jax.Array:
    """p: from 0 to 1 over the run.

    Example:
      >>> from tladapt.losses.schedules import linear
      >>> print(linear(0.25, 0))
      0.25
    """
    return as_float32(progress)
