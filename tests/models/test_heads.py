"""Discriminators, bottlenecks and classifiers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tladapt.models import Bottleneck, Discriminator, MLPClassifier, WeightNormLinear


def features(count=6, width=5, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(count, width)), jnp.float32)


@pytest.mark.parametrize("hidden", [(), (4,), (8, 3)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_discriminator_gives_one_logit_an_example(hidden, batch_norm):
    module = Discriminator(5, hidden, batch_norm=batch_norm, rngs=nnx.Rngs(0))
    logits = module(features())
    assert logits.shape == (6,) and len(module.hidden) == len(hidden)
    assert bool(jax.tree.leaves(nnx.state(module, nnx.BatchStat))) == (batch_norm and bool(hidden))
    assert (logits < 0.0).any() or (logits > 1.0).any()  # logits, not probabilities


def test_discriminator_is_what_it_says():
    module = Discriminator(5, (4,), rngs=nnx.Rngs(0))
    x = np.asarray(features())
    hidden = np.maximum(x @ np.asarray(module.hidden[0].linear.kernel[...]), 0.0)
    wanted = hidden @ np.asarray(module.out.kernel[...])
    np.testing.assert_allclose(module(features()), wanted[:, 0], rtol=1e-5, atol=1e-6)


def test_classifier_and_dropout():
    module = MLPClassifier(5, 3, (8,), dropout=0.5, rngs=nnx.Rngs(0))
    x = features()
    assert module(x).shape == (6, 3) and not np.array_equal(module(x), module(x))
    module.eval()
    np.testing.assert_array_equal(module(x), module(x))
    assert MLPClassifier(5, 3, rngs=nnx.Rngs(0))(x).shape == (6, 3)


def test_bottleneck_without_relu_is_normalised():
    module = Bottleneck(5, 4, batch_norm=True, relu=False, rngs=nnx.Rngs(0))
    y = module(features(64))
    assert module.out_features == 4 and module.linear.bias is None
    np.testing.assert_allclose(y.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std(0), 1.0, rtol=1e-3)
    assert (Bottleneck(5, 4, rngs=nnx.Rngs(0))(features()) >= 0.0).all()


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        Bottleneck(5, 4, dropout=1.5, rngs=nnx.Rngs(0))


def test_weight_norm():
    layer = WeightNormLinear(5, 3, rngs=nnx.Rngs(0))
    x = features()
    np.testing.assert_allclose(layer(x), x @ layer.direction[...], rtol=1e-5, atol=1e-6)  # lengths start at |v|
    before = layer(x)
    layer.direction[...] = 7.0 * layer.direction[...]
    np.testing.assert_allclose(layer(x), before, rtol=1e-5, atol=1e-6)  # the length of v does not matter
    layer.scale[...] = jnp.array([1.0, 2.0, 3.0])
    layer.bias[...] = jnp.array([0.0, 1.0, 0.0])
    direction = np.asarray(layer.direction[...], np.float64)
    kernel = direction / np.sqrt((direction**2).sum(0)) * [1.0, 2.0, 3.0]
    np.testing.assert_allclose(layer(x), np.asarray(x) @ kernel + [0.0, 1.0, 0.0], rtol=1e-5, atol=1e-6)
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
