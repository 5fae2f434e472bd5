"""The discrepancy of two classifiers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt.losses import classifier_discrepancy


def test_value_equals_naive_reference_in_float64():
    a, b = naive.batch(0, 7, 5, 3.0), naive.batch(1, 7, 5, 3.0)
    with jax.enable_x64(True):
        value = float(classifier_discrepancy(jnp.asarray(a), jnp.asarray(b)))
    assert value == pytest.approx(naive.classifier_discrepancy(a, b), rel=1e-12)


def test_mean_over_classes_too():
    """Opposite certain predictions differ by 2 in L1, and by 2/C here."""
    a, b = 100 * jnp.eye(5)[:1], 100 * jnp.eye(5)[1:2]
    assert float(classifier_discrepancy(a, b)) == pytest.approx(2 / 5, rel=1e-6)


def test_identical_heads_have_no_discrepancy_and_no_gradient():
    a = jnp.float32(naive.batch(0, 7, 5))
    value, gradients = jax.value_and_grad(classifier_discrepancy, argnums=(0, 1))(a, a)
    assert float(value) == 0
    np.testing.assert_array_equal(gradients[0], 0)
    np.testing.assert_array_equal(gradients[1], 0)


def test_symmetric():
    a, b = jnp.float32(naive.batch(0, 7, 5)), jnp.float32(naive.batch(1, 7, 5))
    assert float(classifier_discrepancy(a, b)) == float(classifier_discrepancy(b, a)) > 0


def test_other_examples_are_told():
    with pytest.raises(ValueError, match="same examples"):
        classifier_discrepancy(jnp.zeros((3, 2)), jnp.zeros((4, 2)))
