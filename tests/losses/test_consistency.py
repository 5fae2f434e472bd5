"""Self-ensembling: consistency and class balance."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

# Compiled once a shape: eagerly every operation would be compiled by itself.
class_balance = jax.jit(losses.class_balance)
confidence_mask = jax.jit(losses.confidence_mask, static_argnames=("threshold",))
consistency = jax.jit(losses.consistency, static_argnames=("confidence",))


def test_values_equal_naive_references_in_float64():
    student, teacher = naive.batch(0, 9, 5, 3.0), naive.batch(1, 9, 5, 3.0)
    with jax.enable_x64(True):
        s, t = jnp.asarray(student), jnp.asarray(teacher)
        for confidence in (0.0, 0.7):
            expected = naive.consistency(student, teacher, confidence)
            assert float(consistency(s, t, confidence=confidence)) == pytest.approx(expected, rel=1e-12)
        assert float(class_balance(s)) == pytest.approx(naive.class_balance(student), rel=1e-12)


def test_teacher_has_no_gradient_and_masked_examples_neither():
    student = jnp.zeros((2, 3)).at[0, 1].set(1.0)
    teacher = jnp.array([[9.0, 0.0, 0.0], [0.5, 0.0, 0.0]])  # only the first is above 0.968
    by_student, by_teacher = jax.grad(consistency, argnums=(0, 1))(student, teacher)
    np.testing.assert_array_equal(by_teacher, 0)
    np.testing.assert_array_equal(by_student[1], 0)
    assert np.any(np.asarray(by_student[0]) != 0)


def test_masked_examples_count_in_the_denominator():
    student = jnp.zeros((4, 2))
    teacher = jnp.array([[50.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert float(consistency(student, teacher)) == pytest.approx(0.25 / 4, rel=1e-6)
    assert float(consistency(student, jnp.zeros((4, 2)))) == 0


def test_confidence_is_a_strict_threshold():
    logits = jnp.array([[0.0, 0.0], [3.0, 0.0]])
    np.testing.assert_array_equal(confidence_mask(logits, threshold=0.5), [0, 1])
    np.testing.assert_array_equal(confidence_mask(logits, threshold=0.0), [1, 1])
    np.testing.assert_array_equal(confidence_mask(1e4 * logits, threshold=1.0), [0, 0])


def test_balance_is_least_for_even_use_and_finite_for_none():
    """Its minimum is the entropy of a coin with probability 1/C."""
    least = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert float(class_balance(jnp.zeros((3, 4)))) == pytest.approx(least, rel=1e-6)
    assert float(class_balance(20.0 * jnp.eye(4))) == pytest.approx(least, rel=1e-6)
    collapsed = jnp.zeros((3, 4)).at[:, 0].set(300.0)  # class 0 has probability 1 to the last bit
    value, gradient = jax.value_and_grad(class_balance)(collapsed)
    # -1/4 log exp(-300) for three classes, -3/4 log(3 exp(-300)) for the one, over four classes
    assert float(value) == pytest.approx((3 * 75 + 225 - 0.75 * math.log(3)) / 4, rel=1e-5)
    assert np.all(np.isfinite(gradient)) and np.any(np.asarray(gradient) != 0)


def test_balance_with_weights():
    logits = jnp.float32(naive.batch(0, 4, 3))
    twice = class_balance(jnp.concatenate([logits, logits[:1]]))
    assert float(class_balance(logits, weights=jnp.array([2.0, 1, 1, 1]))) == pytest.approx(float(twice), rel=1e-5)
    value, gradient = jax.value_and_grad(lambda z: class_balance(z, weights=jnp.zeros(4)))(logits)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="two classes"):
        class_balance(jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="same examples"):
        consistency(jnp.zeros((3, 2)), jnp.zeros((4, 2)))
