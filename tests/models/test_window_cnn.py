"""The network over time against the published one, written out in NumPy: features while training and in evaluation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tladapt.models import has_convolutions, temporal
from tladapt.models.backbones import WindowCNN
from tladapt.models.temporal import conv1d

RNG = np.random.default_rng(0)


def naive(x, kernels, statistics=None):
    """Return features `[n, d]` in float64: PyTorch's Conv1d, BatchNorm1d, ReLU, MaxPool1d(2, 2, padding=1), mean."""
    for block, kernel in enumerate(kernels):  # [k, c_in, c_out]
        half = len(kernel) // 2
        padded = np.pad(x, ((0, 0), (half, half), (0, 0)))
        steps = padded.shape[1] - len(kernel) + 1
        x = np.stack([np.einsum("nkc,kco->no", padded[:, t : t + len(kernel)], kernel) for t in range(steps)], axis=1)
        mean, variance = (x.mean((0, 1)), x.var((0, 1))) if statistics is None else statistics[block]
        x = np.maximum((x - mean) / np.sqrt(variance + 1e-5), 0)
        padded = np.pad(x, ((0, 0), (1, 1), (0, 0)), constant_values=-np.inf)
        pooled = [padded[:, 2 * t : 2 * t + 2].max(axis=1) for t in range(padded.shape[1] // 2)]
        x = np.stack(pooled, axis=1)
    return x.mean(axis=1)


def test_features_are_those_of_the_published_network():
    time = 11
    network = WindowCNN(widths=(4, 6, 5), kernels=(5, 8, 8)).build((time, 3), rngs=nnx.Rngs(0))
    x = RNG.normal(size=(7, time, 3))
    kernels = [np.asarray(layer.kernel[...], np.float64) for layer in network.convolutions]
    assert [kernel.shape for kernel in kernels] == [(5, 3, 4), (8, 4, 6), (8, 6, 5)]
    np.testing.assert_allclose(network(jnp.asarray(x, jnp.float32)), naive(x, kernels), rtol=1e-3, atol=2e-5)
    network.eval()
    statistics = [(np.asarray(norm.mean[...]), np.asarray(norm.var[...])) for norm in network.norms]
    expected = naive(x[:2], kernels, statistics)
    np.testing.assert_allclose(network(jnp.asarray(x[:2], jnp.float32)), expected, rtol=1e-3, atol=2e-5)


def test_stages():
    network = WindowCNN(widths=(4, 6), kernels=(5, 8)).build((16, 3), rngs=nnx.Rngs(0))
    assert network.stage_names() == ("block0", "block1", "average")
    taps = network.taps(jnp.ones((2, 16, 3)), ("block0", "block1"))
    assert taps["block0"].shape == (2, 9, 4) and taps["block1"].shape == (2, 6, 6)


@pytest.mark.parametrize(("size", "padding"), [(1, 0), (4, 2), (5, 0)])
def test_the_two_forms_of_the_convolution_and_their_gradients_are_equal(size, padding):
    x, kernel = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((3, 9, 2), (size, 2, 4)))
    made = {}
    for form in (temporal._unfolded, temporal._lax):
        weight = jnp.asarray(np.sin(np.arange(3 * (10 + 2 * padding - size) * 4)), jnp.float32).reshape(3, -1, 4)
        gradient_of = jax.value_and_grad(
            lambda x, kernel, form=form, w=weight: (form(x, kernel, padding) * w).sum(), (0, 1)
        )
        made[form] = jax.tree.leaves((form(x, kernel, padding), gradient_of(x, kernel)))
    for ours, theirs in zip(*made.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not has_convolutions(lambda x: conv1d(x, kernel), x)  # on CPU, where the tests run


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="one dtype, got"):
        conv1d(jnp.ones((2, 5, 3)), jnp.ones((2, 2, 4)))
    with pytest.raises(ValueError, match="covers 6 points and the padded input has 5"):
        conv1d(jnp.ones((2, 3, 1)), jnp.ones((6, 1, 4)), padding=1)
