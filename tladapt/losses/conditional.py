"""Conditional maps: features joined with predictions, what CDAN's discriminator looks at."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tladapt.losses._arrays import as_float


def conditional_map(features: ArrayLike, probabilities: ArrayLike) -> jax.Array:
    r"""Outer product of each prediction with its features, flattened: h_i = vec(p_i f_i^T).

    Class c's block is h[:, c * d : (c + 1) * d] = p_ic f_i. No gradient reaches the probabilities. The array grows
    with C d: where only a linear layer follows, `conditional_product` gives that layer's output without it.

    Args:
      features: f, `[n, d]`, floating.
      probabilities: p, `[n, C]`, in the same dtype.

    Returns:
      `[n, C * d]`, float32 (float64 for float64 features).

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper:
      1. The probabilities are detached, as in the authors' code.

    Source: Long, Cao, Wang, Jordan, "Conditional adversarial domain adaptation", NeurIPS 2018, arXiv 1705.10667.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import conditional_map
      >>> print(conditional_map(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 1.0]])))
      [[0. 0. 1. 2.]]
    """
    f, p = _pair(features, probabilities)
    return (p[:, :, None] * f[:, None, :]).reshape(f.shape[0], -1)  # [n, C * d]


def conditional_product(features: ArrayLike, probabilities: ArrayLike, kernel: ArrayLike) -> jax.Array:
    r"""Linear layer on the conditional map, contracted: h_i^T W without the array h `[n, C * d]`.

    out_ik = sum_cd p_ic f_id W_cdk, equal to `conditional_map(features, probabilities) @ kernel.reshape(C * d, k)`. The
    largest array on the way is `[n, C, min(d, k)]`.

    Args:
      features: f, `[n, d]`, floating.
      probabilities: p, `[n, C]`, in the same dtype; no gradient reaches them.
      kernel: W, `[C, d, k]`, in the same dtype.

    Returns:
      `[n, k]`, float32 (float64 for float64 features).

    Raises:
      ValueError: for shapes that do not fit.

    Source: as `conditional_map`.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import conditional_product
      >>> print(conditional_product(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 1.0]]), jnp.ones((2, 2, 1))))
      [[3.]]
    """
    f, p = _pair(features, probabilities)
    w = jnp.asarray(kernel).astype(f.dtype)
    if w.ndim != 3 or w.shape[:2] != (p.shape[1], f.shape[1]):
        raise ValueError(f"Expected `kernel` to have the shape [C={p.shape[1]}, d={f.shape[1]}, k], got {w.shape}.")
    return jnp.einsum("nc,nd,cdk->nk", p, f, w, optimize="optimal")


def random_conditional_map(
    features: ArrayLike, probabilities: ArrayLike, feature_map: ArrayLike, class_map: ArrayLike
) -> jax.Array:
    r"""Randomised conditional map: h_i = (R_f^T f_i) * (R_g^T p_i) / sqrt(D), for when C d is too large.

    Over maps with standard normal entries the mean of <h, h'> is <f, f'><p, p'>, that of the exact map. The maps are
    drawn once (`random_maps`) and belong to the state of a run: other maps are another discriminator's input.

    Args:
      features: f, `[n, d]`, floating.
      probabilities: p, `[n, C]`, in the same dtype; no gradient reaches them.
      feature_map: R_f, `[d, D]`; no gradient reaches it.
      class_map: R_g, `[C, D]`; no gradient reaches it.

    Returns:
      `[n, D]`, float32 (float64 for float64 features).

    Raises:
      ValueError: for shapes that do not fit.

    Deviations from the paper: as `conditional_map`.

    Source: as `conditional_map`, equation 6.

    Example:
      >>> import jax.numpy as jnp
      >>> from tladapt.losses import random_conditional_map
      >>> print(random_conditional_map(jnp.ones((1, 3)), jnp.ones((1, 2)), jnp.ones((3, 4)), jnp.ones((2, 4))))
      [[3. 3. 3. 3.]]
    """
    f, p = _pair(features, probabilities)
    r_f = jax.lax.stop_gradient(jnp.asarray(feature_map)).astype(f.dtype)
    r_g = jax.lax.stop_gradient(jnp.asarray(class_map)).astype(f.dtype)
    if r_f.ndim != 2 or r_g.ndim != 2 or (r_f.shape[0], r_g.shape[0]) != (f.shape[1], p.shape[1]):
        raise ValueError(
            f"Expected maps of the shapes [d={f.shape[1]}, D] and [C={p.shape[1]}, D], got {r_f.shape}, {r_g.shape}."
        )
    if r_f.shape[1] != r_g.shape[1]:
        raise ValueError(f"Expected both maps to have one width D, got {r_f.shape} and {r_g.shape}.")
    return (f @ r_f) * (p @ r_g) / jnp.sqrt(float(r_f.shape[1])).astype(f.dtype)  # [n, D]


def random_maps(key: jax.Array, features: int, classes: int, size: int = 1024) -> tuple[jax.Array, jax.Array]:
    """Draw the two maps of `random_conditional_map`: standard normal, float32.

    Args:
      key: a typed key (`jax.random.key`).
      features: d.
      classes: C.
      size: D; the authors' code has 1024 (500 for digits).

    Returns:
      R_f `[features, size]` and R_g `[classes, size]`.

    Example:
      >>> import jax
      >>> from tladapt.losses import random_maps
      >>> [m.shape for m in random_maps(jax.random.key(0), features=256, classes=10, size=500)]
      [(256, 500), (10, 500)]
    """
    key_f, key_g = jax.random.split(key)
    r_f = jax.random.normal(key_f, (features, size), jnp.float32)
    return r_f, jax.random.normal(key_g, (classes, size), jnp.float32)


def _pair(features: ArrayLike, probabilities: ArrayLike) -> tuple[jax.Array, jax.Array]:
    f, p = as_float("features", features, 2), as_float("probabilities", probabilities, 2)
    if f.shape[0] != p.shape[0]:
        raise ValueError(f"Expected features and probabilities of the same examples, got {f.shape} and {p.shape}.")
    if f.dtype != p.dtype:
        raise TypeError(f"Expected `features` and `probabilities` in one precision, got {f.dtype} and {p.dtype}.")
    return f, jax.lax.stop_gradient(p)
