"""Pseudo-labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

# Compiled once a shape: eagerly every operation would be compiled by itself.
cross_entropy = jax.jit(losses.cross_entropy)
pseudo_label = jax.jit(losses.pseudo_label, static_argnames=("threshold",))


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_value_equals_naive_reference_in_float64(threshold):
    logits = naive.batch(0, 9, 4, 2.0)
    with jax.enable_x64(True):
        value = float(pseudo_label(jnp.asarray(logits), threshold=threshold))
    assert value == pytest.approx(naive.pseudo_label(logits, threshold), rel=1e-12)


@pytest.mark.parametrize("threshold", [1.0, 1.5])
def test_nothing_passes_a_threshold_of_one(threshold):
    logits = 1e4 * jnp.float32(naive.batch(0, 9, 4))  # probabilities of exactly 1
    value, gradient = jax.value_and_grad(lambda z: pseudo_label(z, threshold=threshold))(logits)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)
    other = jnp.argmin(logits, axis=1)  # labels that would cost a lot, held with a confidence of exactly 1
    assert float(pseudo_label(logits, other, threshold=threshold, confidence=jnp.ones(9))) == 0


def test_labels_are_fixed_and_masked_examples_count():
    logits = jnp.array([[3.0, 0.0], [0.1, 0.0]])
    gradient = np.asarray(jax.grad(lambda z: pseudo_label(z, threshold=0.9))(logits))
    expected = (np.asarray(jax.nn.softmax(logits[0])) - [1, 0]) / 2  # over both examples, not over the one that passed
    np.testing.assert_allclose(gradient[0], expected, atol=1e-6)
    np.testing.assert_array_equal(gradient[1], 0)


def test_given_labels_and_confidence():
    logits, labels = jnp.float32(naive.batch(0, 4, 3)), jnp.array([2, 0, 1, 1])
    assert float(pseudo_label(logits, labels)) == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-6)
    sure = jnp.array([0.99, 0.2, 0.3, 0.98])
    value = float(pseudo_label(logits, labels, threshold=0.9, confidence=sure))
    assert value == pytest.approx(float(cross_entropy(logits[::3], labels[::3])) / 2, rel=1e-6)
    with pytest.raises(ValueError, match="confidence"):
        pseudo_label(logits, labels, confidence=jnp.ones(3))
