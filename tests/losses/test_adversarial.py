"""Gradient reversal and the discriminator's loss."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tladapt.losses import domain_accuracy, domain_adversarial, gradient_reversal


def features(w, x):
    return jnp.tanh(x @ w)


def batches():
    x_s, x_t = (jax.random.normal(jax.random.key(i), (6, 3)) for i in (0, 1))
    w, v = jax.random.normal(jax.random.key(2), (3, 4)), jax.random.normal(jax.random.key(3), (4,))
    return x_s, x_t + 1.0, w, v


def adversary(w, v, coefficient, x_s, x_t):
    f_s, f_t = features(w, x_s), features(w, x_t)
    if coefficient is not None:
        f_s, f_t = gradient_reversal(f_s, coefficient), gradient_reversal(f_t, coefficient)
    return domain_adversarial(f_s @ v, f_t @ v)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_forward_is_bit_identical(dtype):
    x = jax.random.normal(jax.random.key(0), (50,)).astype(dtype)
    y = gradient_reversal(x, 0.3)
    assert y.dtype == dtype
    np.testing.assert_array_equal(np.asarray(x).view(np.uint8), np.asarray(y).view(np.uint8))


def test_encoder_gradient_is_minus_lambda_times_the_plain_one():
    x_s, x_t, w, v = batches()
    plain = jax.grad(adversary)(w, v, None, x_s, x_t)
    reversed_ = jax.grad(adversary)(w, v, 0.3, x_s, x_t)
    assert float(jnp.abs(plain).max()) > 1e-3
    np.testing.assert_allclose(reversed_, -0.3 * plain, rtol=1e-5)


def test_discriminator_gradient_does_not_depend_on_lambda():
    x_s, x_t, w, v = batches()
    gradient = jax.grad(adversary, argnums=1)
    np.testing.assert_array_equal(gradient(w, v, 0.3, x_s, x_t), gradient(w, v, 1.7, x_s, x_t))
    np.testing.assert_array_equal(gradient(w, v, 0.3, x_s, x_t), gradient(w, v, None, x_s, x_t))


def test_lambda_zero_leaves_the_task_gradient_alone():
    x_s, x_t, w, v = batches()

    def task(w):
        return jnp.sum(features(w, x_s) ** 2)

    both = jax.grad(lambda w: task(w) + adversary(w, v, 0.0, x_s, x_t))(w)
    np.testing.assert_array_equal(both, jax.grad(task)(w))


def test_coefficient_may_be_traced_and_gets_no_gradient():
    x_s, x_t, w, v = batches()
    gradient = jax.jit(jax.grad(adversary, argnums=(0, 2)))
    for coefficient in (0.2, 0.9):
        by_w, by_coefficient = gradient(w, v, jnp.float32(coefficient), x_s, x_t)
        expected = -coefficient * jax.grad(adversary)(w, v, None, x_s, x_t)
        np.testing.assert_allclose(by_w, expected, rtol=1e-5)
        assert float(by_coefficient) == 0
    assert gradient._cache_size() == 1


def test_coefficient_keeps_its_digits_in_half_precision():
    """0.3 * 3 is 0.8984 in bfloat16; with 0.3 rounded to bfloat16 first it would be 0.9023."""
    gradient = jax.grad(lambda x: gradient_reversal(x, 0.3).astype(jnp.float32) * 3.0)(jnp.bfloat16(1.0))
    assert float(gradient) == -0.8984375


def test_reversal_refuses_what_would_do_nothing_or_twice():
    with pytest.raises(ValueError, match="minus sign itself"):
        gradient_reversal(jnp.ones(3), -1.0)
    with pytest.raises(TypeError, match="floating"):
        gradient_reversal(jnp.arange(3), 1.0)
    with pytest.raises(ValueError, match="scalar"):
        gradient_reversal(jnp.ones(3), jnp.ones(3))


def test_an_integer_coefficient_is_a_number_too():
    assert float(jax.grad(lambda x: gradient_reversal(x, 1) ** 2)(3.0)) == -6


def test_a_tie_is_log_two_whatever_the_sizes():
    assert float(domain_adversarial(jnp.zeros(5), jnp.zeros((3, 1)))) == pytest.approx(math.log(2), rel=1e-6)


def test_each_domain_counts_one_half():
    value = domain_adversarial(jnp.full(90, 2.0), jnp.full(10, 2.0))
    expected = 0.5 * math.log1p(math.exp(-2)) + 0.5 * math.log1p(math.exp(2))
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_swapping_domains_is_flipping_the_sign_of_the_discriminator():
    x_s, x_t, w, v = batches()
    one = jax.grad(adversary)(w, v, 1.0, x_s, x_t)
    other = jax.grad(adversary)(w, -v, 1.0, x_t, x_s)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_accuracy_of_chance_perfection_and_the_opposite():
    high, low = jnp.full(7, 3.0), jnp.full(5, -3.0)
    assert float(domain_accuracy(high, low)) == 1
    assert float(domain_accuracy(low, high)) == 0
    assert float(domain_accuracy(high, high)) == 0.5
    assert float(domain_accuracy(jnp.zeros(7), jnp.zeros(5))) == 0.5
    # balanced: 90 right source examples do not make up for 10 wrong target ones
    assert float(domain_accuracy(jnp.full(90, 1.0), jnp.full(10, 1.0))) == 0.5
    weights = jnp.array([1.0, 0.0])
    assert float(domain_accuracy(jnp.array([1.0, -1.0]), low, source_weights=weights)) == 1


def test_logits_of_a_wrong_shape_are_told():
    with pytest.raises(ValueError, match="one logit an example"):
        domain_adversarial(jnp.zeros((5, 2)), jnp.zeros(5))
    with pytest.raises(ValueError, match="source_weights"):
        domain_adversarial(jnp.zeros(5), jnp.zeros(5), source_weights=jnp.ones(4))


def test_the_sum_of_the_weights_is_a_constant_to_the_gradient():
    """d L / d w_i = 1/2 BCE_i / sum w: nothing from the sum, as in the official code of CDAN."""
    source, target = jnp.array([0.3, -1.2, 2.0]), jnp.array([0.5, -0.1])
    w_s, w_t = jnp.array([1.2, 1.9, 1.5]), jnp.array([1.1, 1.7])
    by_s, by_t = jax.grad(
        lambda a, b: domain_adversarial(source, target, source_weights=a, target_weights=b), argnums=(0, 1)
    )(w_s, w_t)
    np.testing.assert_allclose(by_s, 0.5 * np.log1p(np.exp(-np.asarray(source))) / 4.6, rtol=1e-5)
    np.testing.assert_allclose(by_t, 0.5 * np.log1p(np.exp(np.asarray(target))) / 2.8, rtol=1e-5)
