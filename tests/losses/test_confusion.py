"""Minimum class confusion."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

# Compiled once a shape: eagerly every operation would be compiled by itself.
minimum_class_confusion = jax.jit(losses.minimum_class_confusion, static_argnames=("temperature",))


@pytest.mark.parametrize("n,classes,temperature", [(7, 5, 2.5), (36, 3, 1.0), (2, 6, 4.0)])
def test_value_equals_the_matrix_form_in_float64(n, classes, temperature):
    logits = naive.batch(0, n, classes, 4.0)
    with jax.enable_x64(True):
        value = minimum_class_confusion(jnp.asarray(logits), temperature=temperature)
        assert float(value) == pytest.approx(naive.minimum_class_confusion(logits, temperature), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 5, 31])
def test_uniform_is_one_minus_one_over_c(classes):
    assert float(minimum_class_confusion(jnp.zeros((9, classes)))) == pytest.approx(1 - 1 / classes, rel=1e-6)


def test_certain_predictions_of_every_class_are_zero():
    value, gradient = jax.value_and_grad(minimum_class_confusion)(1e4 * jnp.eye(5))
    assert float(value) == pytest.approx(0, abs=1e-7)
    assert np.all(np.isfinite(gradient))


def test_stays_in_its_interval_and_finite_where_classes_are_empty():
    """Certain predictions of one class: every other column underflows, which is 0/0 in the matrix form."""
    for scale in (1.0, 30.0, 1e4):
        logits = jnp.float32(scale * naive.batch(0, 6, 10))
        value, gradient = jax.value_and_grad(minimum_class_confusion)(logits.at[:, 3].add(5 * scale))
        assert 0 <= float(value) <= 1
        assert np.all(np.isfinite(gradient))


def test_the_weights_are_detached():
    """The gradient is that of the formula with w held fixed."""
    with jax.enable_x64(True):
        logits = jnp.asarray(naive.batch(0, 6, 4, 3.0))

        def with_weights(z, w):
            q = jax.nn.softmax(z / 2.5, axis=1)
            m = (q * w[:, None]).T @ q
            m = m / m.sum(1)[:, None]
            return (m.sum() - jnp.trace(m)) / 4

        q = jax.nn.softmax(logits / 2.5, axis=1)
        w = 1 + jnp.exp(jnp.sum(q * jnp.log(q), axis=1))
        expected = jax.grad(with_weights)(logits, w)
        np.testing.assert_allclose(jax.grad(minimum_class_confusion)(logits), expected, rtol=1e-9, atol=1e-14)


def test_weight_two_is_the_example_twice_and_none_left_is_zero():
    logits = jnp.float32(naive.batch(0, 4, 3, 3.0))
    weighted = minimum_class_confusion(logits, weights=jnp.array([2.0, 1.0, 1.0, 1.0]))
    twice = minimum_class_confusion(jnp.concatenate([logits, logits[:1]]))
    assert float(weighted) == pytest.approx(float(twice), rel=1e-5)
    value, gradient = jax.value_and_grad(lambda z: minimum_class_confusion(z, weights=jnp.zeros(4)))(logits)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_temperature_has_to_be_positive():
    with pytest.raises(ValueError, match="temperature=0"):
        minimum_class_confusion(jnp.zeros((2, 2)), temperature=0)
