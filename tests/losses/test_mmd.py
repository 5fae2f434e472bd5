"""MK-MMD: values, the identities of its estimators, invariances, weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt import losses

# Compiled once a shape: eagerly every operation would be compiled by itself.
mk_mmd = jax.jit(losses.mk_mmd, static_argnames=("estimator", "multiples", "bandwidth"))

ESTIMATORS = ("unbiased", "biased", "linear")


def two_batches(n_s=11, n_t=7, d=4, seed=0, shift=0.7):
    return naive.batch(seed, n_s, d), naive.batch(seed + 1, n_t, d, 1.4) + shift


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("n_s,n_t,d", [(8, 8, 3), (11, 7, 5), (2, 2, 1), (33, 64, 2)])
def test_value_equals_naive_reference_in_float64(estimator, n_s, n_t, d):
    if estimator == "linear":
        n_t = n_s
    source, target = two_batches(n_s, n_t, d)
    with jax.enable_x64(True):
        value = mk_mmd(jnp.asarray(source), jnp.asarray(target), estimator=estimator)
        assert value.dtype == jnp.float64
        assert float(value) == pytest.approx(naive.mk_mmd(source, target, estimator), rel=1e-12, abs=1e-13)


def test_own_bandwidth_and_multiples():
    source, target = two_batches()
    with jax.enable_x64(True):
        value = float(mk_mmd(jnp.asarray(source), jnp.asarray(target), multiples=(1.0, 3.0), bandwidth=2.5))
    assert value == pytest.approx(naive.mk_mmd(source, target, multiples=(1, 3), bandwidth=2.5), rel=1e-12)


def test_biased_is_never_negative_and_zero_for_identical_batches():
    for seed in range(20):
        source, target = two_batches(seed=seed, shift=0.0)
        assert float(mk_mmd(jnp.float32(source), jnp.float32(target), estimator="biased")) >= 0
    source = jnp.float32(source)
    assert float(mk_mmd(source, source[::-1], estimator="biased")) == pytest.approx(0, abs=1e-6)


def test_difference_of_biased_and_unbiased():
    """V - U = (m - avg_{i != j} K_ss) / n_s + the same for t, m the number of kernels (k(x, x) = m)."""
    source, target = two_batches(9, 5)
    b = 3.0

    def average_off_diagonal(x):
        distances = ((x[:, None] - x[None, :]) ** 2).sum(-1)
        kernel = sum(np.exp(-distances / (m * b)) for m in (0.25, 0.5, 1, 2, 4))
        return kernel[~np.eye(len(x), dtype=bool)].mean()

    expected = (5 - average_off_diagonal(source)) / 9 + (5 - average_off_diagonal(target)) / 5
    with jax.enable_x64(True):
        s, t = jnp.asarray(source), jnp.asarray(target)
        difference = mk_mmd(s, t, estimator="biased", bandwidth=b) - mk_mmd(s, t, bandwidth=b)
    assert float(difference) == pytest.approx(expected, rel=1e-12)


def test_unbiased_can_be_negative_and_is_zero_on_average():
    """Over splits of one distribution the mean of U is 0 within 4 standard errors; that of V is far above."""
    draw = jax.random.normal(jax.random.key(0), (200, 2, 16, 3))
    unbiased = np.asarray(jax.vmap(lambda z: mk_mmd(z[0], z[1], bandwidth=4.0))(draw))
    biased = np.asarray(jax.vmap(lambda z: mk_mmd(z[0], z[1], bandwidth=4.0, estimator="biased"))(draw))
    error = unbiased.std(ddof=1) / np.sqrt(len(unbiased))
    assert unbiased.min() < 0
    assert abs(unbiased.mean()) < 4 * error
    assert biased.mean() > 20 * error


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_symmetric_and_invariant_to_shift_and_scale(estimator):
    source, target = (jnp.float32(x) for x in two_batches(8, 8))
    value = float(mk_mmd(source, target, estimator=estimator))
    assert float(mk_mmd(target, source, estimator=estimator)) == pytest.approx(value, rel=1e-5, abs=1e-6)
    # powers of two: the inputs themselves are then shifted and scaled without rounding to speak of
    assert float(mk_mmd(64 * source, 64 * target, estimator=estimator)) == pytest.approx(value, rel=1e-5)
    assert float(mk_mmd(source / 1024, target / 1024, estimator=estimator)) == pytest.approx(value, rel=1e-5)
    assert float(mk_mmd(source + 128, target + 128, estimator=estimator)) == pytest.approx(value, rel=1e-3)


def test_distances_keep_their_digits_far_from_the_origin():
    """Centred first: without it a mean of 1,000 leaves no digit of distances around 1 in float32."""
    source, target = two_batches(40, 40)
    source, target = np.float32(source + 1000), np.float32(target + 1000)
    expected = naive.mk_mmd(source.astype(np.float64), target.astype(np.float64))
    assert float(mk_mmd(source, target)) == pytest.approx(expected, rel=1e-4)


def test_bandwidth_has_no_gradient():
    source, target = (jnp.float32(x) for x in two_batches())
    z = np.concatenate([source, target]).astype(np.float64)
    n = len(z)
    b = float(((z[:, None] - z[None, :]) ** 2).sum() / (n * n - n))
    automatic = jax.grad(lambda s: mk_mmd(s, target))(source)
    fixed = jax.grad(lambda s: mk_mmd(s, target, bandwidth=b))(source)
    np.testing.assert_allclose(automatic, fixed, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_gradient_equals_numerical(estimator):
    source, target = two_batches(5, 6, 3)
    with jax.enable_x64(True):
        s, t = jnp.asarray(source), jnp.asarray(target)

        def loss(t):
            return mk_mmd(s, t, estimator=estimator, bandwidth=3.0)

        gradient = np.asarray(jax.grad(loss)(t))
        for i, j in [(0, 0), (3, 2), (5, 1)]:
            step = jnp.zeros_like(t).at[i, j].set(1e-6)
            numerical = float(loss(t + step) - loss(t - step)) / 2e-6
            assert gradient[i, j] == pytest.approx(numerical, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_nan_in_an_example_of_weight_zero_is_gone(estimator):
    source, target = (jnp.float32(x) for x in two_batches(6, 5))
    padded = jnp.concatenate([jnp.full((2, 4), jnp.nan), source])
    weights = jnp.array([0, 0, 1, 1, 1, 1, 1, 1], jnp.float32)

    def loss(s, w):
        return mk_mmd(s, target, estimator=estimator, source_weights=w)

    expected, expected_gradient = jax.value_and_grad(lambda s: mk_mmd(s, target, estimator=estimator))(source)
    value, gradient = jax.value_and_grad(loss)(padded, weights)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient[2:], expected_gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(gradient[:2], 0)


def test_weights_are_relative_and_count_examples():
    source, target = (jnp.float32(x) for x in two_batches(6, 5))
    w = jnp.array([1, 2, 1, 3, 0.5, 1], jnp.float32)
    value = float(mk_mmd(source, target, source_weights=w))
    assert float(mk_mmd(source, target, source_weights=10 * w)) == pytest.approx(value, rel=1e-5)
    # weight 2 is the example twice, for the biased form and a fixed bandwidth
    twice = mk_mmd(jnp.concatenate([source, source[:1]]), target, estimator="biased", bandwidth=2.0)
    w = jnp.array([2, 1, 1, 1, 1, 1], jnp.float32)
    weighted = mk_mmd(source, target, estimator="biased", bandwidth=2.0, source_weights=w)
    assert float(weighted) == pytest.approx(float(twice), rel=1e-5)


def test_nothing_left_gives_zero_and_no_gradient():
    source, target = (jnp.float32(x) for x in two_batches(6, 5))
    for weights in (jnp.zeros(6), jnp.zeros(6).at[0].set(1.0)):
        value, gradient = jax.value_and_grad(lambda s, w=weights: mk_mmd(s, target, source_weights=w))(source)
        assert np.isfinite(value) and np.all(np.isfinite(gradient))
    value, gradient = jax.value_and_grad(lambda s: mk_mmd(s, target, source_weights=jnp.zeros(6)))(source)
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e3, 1e-20])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_constant_batch_gives_zero_value_and_zero_gradient(estimator, level):
    """33 rows: a mean of 33 equal float32 numbers is not always that number."""
    constant = jnp.full((33, 5), level, jnp.float32)
    value, gradients = jax.value_and_grad(lambda s, t: mk_mmd(s, t, estimator=estimator), argnums=(0, 1))(
        constant, constant
    )
    assert float(value) == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(gradients[0], 0)


def test_half_precision_is_computed_in_float32():
    source, target = (jnp.asarray(x, jnp.bfloat16) for x in two_batches(16, 16))
    value = mk_mmd(source, target)
    assert value.dtype == jnp.float32
    expected = mk_mmd(source.astype(jnp.float32), target.astype(jnp.float32))
    assert float(value) == float(expected)
    assert jax.grad(lambda s: mk_mmd(s, target))(source).dtype == jnp.bfloat16


def test_linear_leaves_the_odd_example_out():
    source, target = (jnp.float32(x) for x in two_batches(7, 7))
    value = mk_mmd(source, target, estimator="linear", bandwidth=2.0)
    assert float(value) == pytest.approx(float(mk_mmd(source[:6], target[:6], estimator="linear", bandwidth=2.0)))


@pytest.mark.parametrize(
    "change,message",
    [
        ({"estimator": "quadratic"}, "unbiased, biased, linear"),
        ({"estimator": "linear"}, "n_s=6, n_t=5"),
        ({"multiples": ()}, "positive"),
        ({"multiples": (1.0, -2.0)}, "positive"),
        ({"bandwidth": 0.0}, "positive"),
        ({"source_weights": np.ones(4, np.float32)}, "one weight an example"),
    ],
)
def test_mistakes_are_told(change, message):
    source, target = (jnp.float32(x) for x in two_batches(6, 5))
    with pytest.raises(ValueError, match=message):
        mk_mmd(source, target, **change)


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="flatten"):
        mk_mmd(jnp.zeros((2, 3, 3)), jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="one width"):
        mk_mmd(jnp.zeros((2, 4)), jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="two examples"):
        mk_mmd(jnp.zeros((1, 3)), jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="takes no weights"):
        mk_mmd(jnp.zeros((2, 3)), jnp.zeros((2, 3)), estimator="linear", source_weights=jnp.ones(2))
    with pytest.raises(TypeError, match="floating"):
        mk_mmd(jnp.zeros((2, 3), jnp.int32), jnp.zeros((2, 3)))
