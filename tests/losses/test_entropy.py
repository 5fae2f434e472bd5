"""Entropies: bounds, values, saturation."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

# Compiled once a shape: eagerly every operation would be compiled by itself.
certainty_weights = jax.jit(losses.certainty_weights, static_argnames=("detach",))
diversity = jax.jit(losses.diversity)
entropy = jax.jit(losses.entropy)
information_maximization = jax.jit(losses.information_maximization)


@pytest.mark.parametrize("name", ["entropy", "diversity", "information_maximization"])
def test_value_equals_naive_reference_in_float64(name):
    loss = {"entropy": entropy, "diversity": diversity, "information_maximization": information_maximization}[name]
    logits = naive.batch(0, 7, 5, 3.0)
    with jax.enable_x64(True):
        value = loss(jnp.asarray(logits))
        assert value.dtype == jnp.float64
        assert float(value) == pytest.approx(getattr(naive, name)(logits), rel=1e-12)


def test_bounds():
    """0 <= mean H(p) <= H(mean p) <= log C, by concavity."""
    for seed in range(20):
        logits = jnp.float32(naive.batch(seed, 9, 6, 4.0))
        h, d = float(entropy(logits)), float(diversity(logits))
        assert 0 <= h <= d <= math.log(6) + 1e-6
        assert -math.log(6) - 1e-6 <= float(information_maximization(logits)) <= 1e-6


def test_one_hot_balanced_predictions_have_minus_log_c():
    logits = 200.0 * jnp.eye(5)
    assert float(information_maximization(logits)) == pytest.approx(-math.log(5), rel=1e-6)
    assert float(entropy(logits)) == pytest.approx(0, abs=1e-6)


def test_uniform_predictions():
    assert float(entropy(jnp.zeros((4, 7)))) == pytest.approx(math.log(7), rel=1e-6)
    assert float(diversity(jnp.zeros((4, 7)))) == pytest.approx(math.log(7), rel=1e-6)


def test_collapsed_predictions_have_no_diversity():
    logits = jnp.zeros((6, 4)).at[:, 2].set(300.0)  # the other probabilities underflow to exactly 0
    for loss in (entropy, diversity, information_maximization):
        value, gradient = jax.value_and_grad(loss)(logits)
        assert float(value) == pytest.approx(0, abs=1e-6)
        assert np.all(np.isfinite(gradient))


def test_a_class_masked_by_minus_infinity_is_left_out():
    logits = jnp.float32(naive.batch(0, 5, 4))
    masked = jnp.concatenate([logits, jnp.full((5, 1), -jnp.inf)], axis=1)
    for loss in (entropy, diversity):
        value, gradient = jax.value_and_grad(loss)(masked)
        assert float(value) == pytest.approx(float(loss(logits)), rel=1e-6)
        assert np.all(np.isfinite(gradient))


def test_gradient_equals_numerical():
    with jax.enable_x64(True):
        logits = jnp.asarray(naive.batch(0, 3, 4))
        for loss in (entropy, diversity):
            gradient = np.asarray(jax.grad(loss)(logits))
            step = jnp.zeros_like(logits).at[1, 2].set(1e-6)
            numerical = float(loss(logits + step) - loss(logits - step)) / 2e-6
            assert gradient[1, 2] == pytest.approx(numerical, rel=1e-6)


def test_weighted_mean_prediction():
    logits = jnp.float32(naive.batch(0, 3, 4))
    w = jnp.array([2.0, 1.0, 1.0])
    repeated = jnp.concatenate([logits[:1], logits])
    for loss in (entropy, diversity, information_maximization):
        assert float(loss(logits, weights=w)) == pytest.approx(float(loss(repeated)), rel=1e-5)


def test_certainty_weights_lie_between_their_bounds():
    logits = jnp.float32(naive.batch(0, 50, 6, 5.0))
    w = np.asarray(certainty_weights(logits))
    assert w.shape == (50,)
    assert w.min() >= 1 + 1 / 6 and w.max() <= 2
    np.testing.assert_allclose(certainty_weights(jnp.zeros((1, 6))), 1 + 1 / 6, rtol=1e-6)
    np.testing.assert_allclose(certainty_weights(200 * jnp.eye(6)), 2, rtol=1e-6)


def test_certainty_weights_are_detached_unless_asked():
    logits = jnp.float32(naive.batch(0, 5, 6))
    np.testing.assert_array_equal(jax.grad(lambda z: certainty_weights(z).sum())(logits), 0)
    assert np.any(np.asarray(jax.grad(lambda z: certainty_weights(z, detach=False).sum())(logits)) != 0)
