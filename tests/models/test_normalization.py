"""Batch normalisation against naive float64, far from zero, in both modes and on several devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from tladapt.models import BatchNorm, batch_norm

SHAPES = [(7, 3), (5, 4, 3, 2), (2, 1), (3, 1, 1, 4)]


def data(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(1.5, 2.0, size=shape).astype(dtype)


def naive(x, scale, bias, epsilon=1e-5):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) / np.sqrt(variance + epsilon) * scale + bias, mean, variance


@pytest.mark.parametrize("shape", SHAPES)
def test_value(shape):
    x, scale, bias = data(shape), data(shape[-1:], 1), data(shape[-1:], 2)
    for got, wanted in zip(
        batch_norm(x, scale, bias), naive(*(a.astype(np.float64) for a in (x, scale, bias))), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_first_and_second_order(shape):
    """Against autodiff of the textbook formula, in float64, through the output and through both statistics."""
    with jax.enable_x64(True):
        x, scale, bias = (
            jnp.asarray(a)
            for a in (data(shape, 0, np.float64), data(shape[-1:], 1, np.float64), data(shape[-1:], 2, np.float64))
        )
        weights = jnp.asarray(data(shape, 3, np.float64))

        def textbook(x, scale, bias):
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axes, keepdims=True)
            variance = jnp.square(x - mean).mean(axes, keepdims=True)
            one = (1,) * (x.ndim - 1) + (-1,)
            y = (x - mean) / jnp.sqrt(variance + 1e-5) * scale.reshape(one) + bias.reshape(one)
            return y, mean.reshape(-1), variance.reshape(-1)

        def loss(layer, x, scale, bias):
            y, mean, variance = layer(x, scale, bias)
            return (weights * jnp.sin(y)).sum() + (mean**3).sum() + (variance**2).sum()

        def penalty(layer, *arguments):
            return sum((g**2).sum() for g in jax.grad(lambda *a: loss(layer, *a), (0, 1, 2))(*arguments))

        for function in (loss, penalty):
            ours = jax.jit(jax.grad(lambda *a, f=function: f(batch_norm, *a), (0, 1, 2)))(x, scale, bias)
            autodiff = jax.jit(jax.grad(lambda *a, f=function: f(textbook, *a), (0, 1, 2)))(x, scale, bias)
            for got, wanted in zip(ours, autodiff, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9 * max(1.0, float(jnp.abs(wanted).max())))


@pytest.mark.parametrize("offset, first", [(1e4, 0.0), (-3e5, 0.0), (1e4, 30.0)])
def test_far_from_zero(offset, first):
    """E[x^2] - E[x]^2 in float32 is wrong by 100 % and more here; an outlying first example must not matter either."""
    x = data((64, 6, 6, 3)).astype(np.float64)
    x[0] += first
    x = (x + offset).astype(np.float32)
    wanted, mean, variance = naive(x.astype(np.float64), 1.0, 0.0)
    y, got_mean, got_variance = batch_norm(x, jnp.ones(3), jnp.zeros(3))
    np.testing.assert_allclose(got_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(got_variance, variance, rtol=1e-4)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=2e-5)


def test_constant_channels_stay_finite():
    x = jnp.full((8, 3), 1000.1)
    y, _, variance = batch_norm(x, jnp.ones(3), jnp.zeros(3))
    gradient = jax.grad(lambda x: (batch_norm(x, jnp.ones(3), jnp.zeros(3))[0] * jnp.arange(24.0).reshape(8, 3)).sum())(
        x
    )
    np.testing.assert_array_equal(variance, 0.0)
    np.testing.assert_array_equal(y, 0.0)
    assert np.isfinite(gradient).all()


def test_running_statistics_are_torchs():
    layer = BatchNorm(2, momentum=0.9)
    first, second = data((5, 2)), data((4, 3, 3, 2), 1)
    mean, variance = np.zeros(2), np.ones(2)
    for x in (first, second):
        layer(jnp.asarray(x))
        flat = x.reshape(-1, 2).astype(np.float64)
        mean = 0.9 * mean + 0.1 * flat.mean(0)
        variance = 0.9 * variance + 0.1 * flat.var(0, ddof=1)  # unbiased
    np.testing.assert_allclose(layer.mean[...], mean, rtol=1e-5)
    np.testing.assert_allclose(layer.var[...], variance, rtol=1e-5)


def test_evaluation_uses_running_statistics_and_leaves_them():
    layer = BatchNorm(2)
    layer.mean[...], layer.var[...] = jnp.array([1.0, -1.0]), jnp.array([4.0, 0.25])
    layer.scale[...], layer.bias[...] = jnp.array([2.0, 1.0]), jnp.array([0.5, 0.0])
    before = jax.tree.map(np.asarray, nnx.state(layer))
    x = data((3, 2))
    view = nnx.view(layer, use_running_average=True)
    wanted = (x - [1.0, -1.0]) / np.sqrt(np.array([4.0, 0.25]) + 1e-5) * [2.0, 1.0] + [0.5, 0.0]
    np.testing.assert_allclose(view(x), wanted, rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.asarray, nnx.state(layer)))
    assert not layer.use_running_average and view.mean is layer.mean
    layer.eval()
    assert layer.use_running_average
    layer.train()
    assert not layer.use_running_average


def test_attributes_and_trained_output_are_those_of_flax():
    ours, flax = BatchNorm(3), nnx.BatchNorm(3, momentum=0.9, rngs=nnx.Rngs(0))
    x = jnp.asarray(data((6, 4, 4, 3)))
    np.testing.assert_allclose(ours(x), flax(x), rtol=1e-4, atol=1e-5)
    assert nnx.state(ours).keys() == nnx.state(flax).keys()
    for name in ("mean", "var", "scale", "bias"):
        assert type(getattr(ours, name)) is type(getattr(flax, name))
    np.testing.assert_allclose(ours.mean[...], flax.mean[...], rtol=1e-5, atol=1e-6)


def test_bfloat16_inputs_have_float32_statistics():
    layer = BatchNorm(2)
    x = jnp.asarray(data((4096, 2))).astype(jnp.bfloat16)
    assert layer(x).dtype == jnp.bfloat16
    exact = np.asarray(x, np.float64)
    assert layer.mean[...].dtype == layer.var[...].dtype == jnp.float32
    np.testing.assert_allclose(layer.mean[...], 0.1 * exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.var[...], 0.9 + 0.1 * exact.var(0, ddof=1), rtol=1e-5)
    layer.eval()
    assert layer(x).dtype == jnp.bfloat16


@pytest.mark.parametrize("devices", [2, 8])
def test_statistics_are_those_of_the_global_batch(devices):
    mesh = jax.make_mesh(
        (devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices]
    )
    x, scale, bias = jnp.asarray(data((16, 3, 3, 4))), jnp.ones(4), jnp.zeros(4)
    weights = jnp.asarray(data((16, 3, 3, 4), 1))

    @jax.jit
    def run(x, weights):
        def loss(x):
            y, mean, variance = batch_norm(x, scale, bias)
            return (weights * y).sum(), (mean, variance)

        return jax.grad(loss, has_aux=True)(x)

    split = NamedSharding(mesh, PartitionSpec("data"))
    alone, spread = run(x, weights), run(jax.device_put(x, split), jax.device_put(weights, split))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), alone, spread)


def test_another_width_is_said():
    with pytest.raises(ValueError, match=r"takes floating \[n, ..., 3\]"):
        BatchNorm(3)(jnp.zeros((2, 4)))
