"""Layer normalisation and attention against naive float64: values, masks, dtypes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tladapt.models import LayerNorm, SelfAttention, attention


def data(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def naive(query, key, value, kept=None):
    """Return attention by loops over examples and heads; `kept`: the keys of each example that may be read."""
    n, queries, heads, d = query.shape
    result = np.zeros((n, queries, heads, d))
    for i in range(n):
        read = np.arange(key.shape[1]) if kept is None else np.flatnonzero(kept[i])
        for h in range(heads):
            weights = np.exp(query[i, :, h].astype(float) @ key[i, read, h].astype(float).T / np.sqrt(d))
            result[i, :, h] = weights / weights.sum(1, keepdims=True) @ value[i, read, h].astype(float)
    return result


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_layer_norm_is_exact_far_from_zero(shape, offset):
    x, layer = data(shape) + np.float32(offset), LayerNorm(shape[-1], epsilon=1e-3)
    scale, bias = data(shape[-1:], 1), data(shape[-1:], 2)
    layer.scale[...], layer.bias[...] = scale, bias
    wide = x.astype(np.float64)
    centred = wide - wide.mean(-1, keepdims=True)
    wanted = centred / np.sqrt(wide.var(-1, keepdims=True) + 1e-3) * scale + bias
    np.testing.assert_allclose(layer(jnp.asarray(x)), wanted, rtol=1e-5, atol=1e-5 + 1e-6 * offset)


def test_layer_norm_keeps_the_dtype_and_reads_one_width():
    layer = LayerNorm(4)
    assert layer(jnp.ones((2, 4), jnp.bfloat16)).dtype == jnp.bfloat16
    with jax.enable_x64(True):
        assert layer(jnp.ones((2, 4), jnp.float64)).dtype == jnp.float64
    with pytest.raises(ValueError, match=r"takes floating \[..., 4\], got float32 of shape \(2, 5\)"):
        layer(jnp.ones((2, 5)))


def test_attention_is_the_naive_one():
    query, key, value = data((2, 3, 2, 5)), data((2, 4, 2, 5), 1), data((2, 4, 2, 5), 2)
    np.testing.assert_allclose(attention(query, key, value), naive(query, key, value), rtol=1e-5, atol=1e-6)


def test_masked_keys_are_as_if_left_out():
    query, key, value = data((2, 3, 2, 5)), data((2, 4, 2, 5), 1), data((2, 4, 2, 5), 2)
    mask = np.array([[True, False, True, True], [True, True, False, False]])
    found = attention(query, key, value, mask=jnp.asarray(mask))
    np.testing.assert_allclose(found, naive(query, key, value, mask), rtol=1e-5, atol=1e-6)
    empty = attention(query, key, value, mask=jnp.zeros((2, 4), bool))
    np.testing.assert_allclose(empty[:, 0], value.mean(1), rtol=1e-5, atol=1e-6)


def test_scores_of_bfloat16_are_float32():
    """Scores of 257 / sqrt(2) and 256 / sqrt(2) are one number in bfloat16."""
    query = jnp.array([16.0, 1.0], jnp.bfloat16).reshape(1, 1, 1, 2)
    key = jnp.array([[16.0, 1.0], [16.0, 0.0]], jnp.bfloat16).reshape(1, 2, 1, 2)
    value = jnp.array([1.0, 0.0], jnp.bfloat16).reshape(1, 2, 1, 1)
    found = attention(query, key, value)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32).item(), 1 / (1 + np.exp(-(0.5**0.5))), atol=4e-3)


def test_self_attention():
    layer = SelfAttention(6, 2, rngs=nnx.Rngs(0))
    x = data((2, 4, 6))
    parts = [part(jnp.asarray(x)).reshape(2, 4, 2, 3) for part in (layer.query, layer.key, layer.value)]
    wanted = naive(*map(np.asarray, parts)).reshape(2, 4, 6) @ np.asarray(layer.out.kernel[...], float)
    np.testing.assert_allclose(layer(jnp.asarray(x)), wanted, rtol=1e-4, atol=1e-5)
    mask = jnp.array([[True, True, True, False]] * 2)
    np.testing.assert_allclose(layer(x, mask)[:, :3], layer(x[:, :3]), rtol=1e-5, atol=1e-6)
    assert not jax.tree.leaves(nnx.state(layer, nnx.RngState))
    with pytest.raises(ValueError, match=r"features=6 must be divisible by heads=4"):
        SelfAttention(6, 4, rngs=nnx.Rngs(0))


def test_attention_weights_are_dropped_in_training_only():
    layer = SelfAttention(6, 2, dropout=0.5, rngs=nnx.Rngs(0))
    x = data((2, 4, 6))
    trained = layer(x)
    layer.eval()
    assert np.abs(trained - layer(x)).max() > 1e-3
    np.testing.assert_array_equal(layer(x), layer(x))
