"""Cross entropy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt.losses import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_equals_naive_reference_in_float64(smoothing):
    logits, labels = naive.batch(0, 7, 5, 3.0), np.array([0, 4, 2, 2, 1, 0, 3])
    with jax.enable_x64(True):
        value = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), smoothing=smoothing)
        assert value.dtype == jnp.float64
        assert float(value) == pytest.approx(naive.cross_entropy(logits, labels, smoothing), rel=1e-12)


def test_gradient_is_softmax_minus_target():
    logits, labels = jnp.float32(naive.batch(0, 4, 3)), jnp.array([0, 2, 1, 1])
    gradient = jax.grad(cross_entropy)(logits, labels)
    expected = (jax.nn.softmax(logits) - jax.nn.one_hot(labels, 3)) / 4
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_unknown_label_is_not_class_c_minus_one():
    """An index of -1 would read the last class: it has to be seen, unless its weight is 0."""
    logits = jnp.float32(naive.batch(0, 3, 4))
    for bad in (-1, 4, 100):
        labels = jnp.array([0, bad, 2])
        assert np.isnan(float(cross_entropy(logits, labels)))
        value, gradient = jax.value_and_grad(cross_entropy)(logits, labels, weights=jnp.array([1.0, 0.0, 1.0]))
        assert float(value) == pytest.approx(float(cross_entropy(logits[::2], labels[::2])), rel=1e-6)
        np.testing.assert_array_equal(gradient[1], 0)


def test_weights_are_relative_and_none_left_is_zero():
    logits, labels = jnp.float32(naive.batch(0, 3, 4)), jnp.array([0, 1, 2])
    w = jnp.array([1.0, 2.0, 3.0])
    each = jnp.stack([cross_entropy(logits[i : i + 1], labels[i : i + 1]) for i in range(3)])
    assert float(cross_entropy(logits, labels, weights=5 * w)) == pytest.approx(float(each @ w) / 6, rel=1e-6)
    value, gradient = jax.value_and_grad(cross_entropy)(logits, labels, weights=jnp.zeros(3))
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_mistakes_are_told():
    with pytest.raises(TypeError, match="integers"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2))
    with pytest.raises(ValueError, match="one class index an example"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros((2, 3), jnp.int32))
    with pytest.raises(ValueError, match="smoothing=1"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32), smoothing=1)
    with pytest.raises(ValueError, match="at least one example"):
        cross_entropy(jnp.zeros((0, 3)), jnp.zeros(0, jnp.int32))
