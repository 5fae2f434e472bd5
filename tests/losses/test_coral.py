"""Deep CORAL: value, invariances, weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

# Compiled once a shape: eagerly every operation would be compiled by itself.
coral = jax.jit(losses.coral)


def two_batches(n_s=9, n_t=7, d=4):
    mix = naive.batch(7, d, d)
    return naive.batch(0, n_s, d), naive.batch(1, n_t, d) @ mix


@pytest.mark.parametrize("n_s,n_t,d", [(9, 7, 4), (2, 33, 1), (5, 5, 8)])
def test_value_equals_naive_reference_in_float64(n_s, n_t, d):
    source, target = two_batches(n_s, n_t, d)
    with jax.enable_x64(True):
        value = coral(jnp.asarray(source), jnp.asarray(target))
        assert value.dtype == jnp.float64
        assert float(value) == pytest.approx(naive.coral(source, target), rel=1e-12)


def test_equals_numpy_covariance():
    source, target = two_batches()
    difference = np.cov(source.T) - np.cov(target.T)
    assert float(coral(jnp.float32(source), jnp.float32(target))) == pytest.approx(
        (difference**2).sum() / (4 * 4**2), rel=1e-5
    )


def test_means_do_not_matter_and_rotations_neither():
    source, target = (jnp.float32(x) for x in two_batches())
    value = float(coral(source, target))
    assert float(coral(source + 3.0, target - 5.0)) == pytest.approx(value, rel=1e-4)
    q = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (4, 4)))[0]
    assert float(coral(source @ q, target @ q)) == pytest.approx(value, rel=1e-4)


def test_zero_after_whitening_and_colouring():
    """The shallow form maps the source onto the target's covariance: nothing is left for the loss."""
    source, target = two_batches(50, 60)

    def root(c, power):
        values, vectors = np.linalg.eigh(c)
        return vectors @ np.diag(values**power) @ vectors.T

    mapped = source @ root(np.cov(source.T), -0.5) @ root(np.cov(target.T), 0.5)
    assert float(coral(jnp.float32(mapped), jnp.float32(target))) == pytest.approx(0, abs=1e-8)
    assert float(coral(jnp.float32(source), jnp.float32(target))) > 0.01


def test_one_example_has_no_covariance():
    target = jnp.float32(two_batches()[1])
    value, gradient = jax.value_and_grad(coral)(jnp.ones((1, 4)), target)
    assert float(value) == pytest.approx(float((np.cov(target.T) ** 2).sum()) / 64, rel=1e-5)
    np.testing.assert_array_equal(gradient, 0)


def test_integer_weights_are_shares():
    source, target = (jnp.float32(x) for x in two_batches())
    w = jnp.float32([1, 2, 3, 0, 1, 1, 1, 1, 1])
    a = np.asarray(w) / 11
    centred = np.asarray(source) - a @ np.asarray(source)
    covariance = (a[:, None] * centred).T @ centred / (1 - (a**2).sum())
    expected = ((covariance - np.cov(np.asarray(target).T)) ** 2).sum() / 64
    assert float(coral(source, target, source_weights=w)) == pytest.approx(expected, rel=1e-4)
