"""What needs distances or Gaussians, against POT (Python Optimal Transport)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

ot = pytest.importorskip("ot", reason="POT is not installed: pip install 'tladapt[reference]'", exc_type=ImportError)

coral = jax.jit(losses.coral)  # compiled once: eagerly every operation would be compiled by itself
mk_mmd = jax.jit(losses.mk_mmd, static_argnames=("estimator", "multiples"))
S, T = naive.batch(0, 13, 5), naive.batch(1, 9, 5, 1.4) + 0.5


def test_mmd_with_the_gaussian_kernel_of_pot() -> None:
    """POT's kernel is exp(-d^2 / (2 sigma^2)), ours exp(-d^2 / (m b)): 2 sigma^2 = m b."""
    multiples, bandwidth = (0.5, 2.0), 3.0

    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return sum(ot.utils.kernel(a, b, method="gaussian", sigma=np.sqrt(m * bandwidth / 2)) for m in multiples)

    expected = k(S, S).mean() + k(T, T).mean() - 2 * k(S, T).mean()
    with jax.enable_x64(True):
        value = mk_mmd(jnp.asarray(S), jnp.asarray(T), estimator="biased", multiples=multiples, bandwidth=bandwidth)
    assert float(value) == pytest.approx(expected, rel=1e-10)


def test_automatic_bandwidth_is_the_mean_squared_distance_of_pot() -> None:
    z = np.concatenate([S, T])
    distances = ot.dist(z, z)  # squared Euclidean
    bandwidth = distances.sum() / (len(z) ** 2 - len(z))
    with jax.enable_x64(True):
        s, t = jnp.asarray(S), jnp.asarray(T)
        assert float(mk_mmd(s, t)) == pytest.approx(float(mk_mmd(s, t, bandwidth=bandwidth)), rel=1e-10)


def test_coral_follows_the_bures_distance_of_pot_in_one_dimension() -> None:
    """Between centred Gaussians on a line W_2 = |s - t|, and CORAL = (s^2 - t^2)^2 / 4 = W_2^2 (s + t)^2 / 4."""
    s, t = S[:, :1] - S[:, :1].mean(), T[:, :1] - T[:, :1].mean()
    deviation_s, deviation_t = s.std(ddof=1), t.std(ddof=1)
    distance = ot.gaussian.bures_wasserstein_distance(
        np.zeros(1), np.zeros(1), np.array([[deviation_s**2]]), np.array([[deviation_t**2]])
    )
    with jax.enable_x64(True):
        value = float(coral(jnp.asarray(s), jnp.asarray(t)))
    assert value == pytest.approx(distance**2 * (deviation_s + deviation_t) ** 2 / 4, rel=1e-8)
