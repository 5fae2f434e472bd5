"""Pooling against window reductions, and the two layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from tladapt.models import Conv, Linear, avg_pool, max_pool
from tladapt.models.layers import adaptive_average


def images(shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def mean_of_windows(x, window, *, strides, padding):
    padding = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, 0.0, lax.add, (1, *window, 1), (1, *strides, 1), padding) / float(np.prod(window))


POOLS = [
    (2, None, "VALID"),
    (3, None, "VALID"),
    ((2, 3), None, "VALID"),
    (2, None, "SAME"),
    (3, 2, "VALID"),
    (3, 2, ((1, 1), (1, 1))),
    (3, (1, 2), "SAME"),
    (2, 3, "VALID"),
]


@pytest.mark.parametrize("size", [(8, 6), (7, 9)])
@pytest.mark.parametrize("window, strides, padding", POOLS)
@pytest.mark.parametrize("ours, flax", [(max_pool, nnx.max_pool), (avg_pool, mean_of_windows)])
def test_pooling_is_a_window_reduction(ours, flax, window, strides, padding, size):
    x = images((3, *size, 4))
    pair = (window, window) if isinstance(window, int) else window
    steps = pair if strides is None else (strides, strides) if isinstance(strides, int) else strides
    wanted = flax(x, pair, strides=steps, padding=padding)
    np.testing.assert_allclose(ours(x, window, strides=strides, padding=padding), wanted, rtol=1e-6, atol=1e-6)
    # Random floats do not tie, so that the gradients agree too.
    got = jax.jit(jax.grad(lambda x: jnp.sin(ours(x, window, strides=strides, padding=padding)).sum()))(x)
    autodiff = jax.jit(jax.grad(lambda x: jnp.sin(flax(x, pair, strides=steps, padding=padding)).sum()))(x)
    np.testing.assert_allclose(got, autodiff, rtol=1e-5, atol=1e-6)


def test_ties_share_the_gradient():
    gradient = jax.grad(lambda x: max_pool(x, 2).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient, jnp.full((1, 2, 2, 1), 0.25))


def test_padding_never_wins_a_maximum():
    assert max_pool(jnp.full((1, 3, 3, 1), -5.0), 2, padding="SAME").max() == -5.0


PICTURE = jnp.array([[3.0, -1, 4, 1, -5], [9, 2, -6, 5, 3], [5, -8, 9, 7, -9]])[None, :, :, None]


# The numbers are those of torch.nn.functional.max_pool2d and adaptive_avg_pool2d (torch 2.15).
@pytest.mark.parametrize(
    "window, strides, pad, wanted",
    [
        (2, 2, 0, [[9, 5, 3], [5, 9, -9]]),
        (3, 2, 0, [[9, 9]]),
        (2, 2, 1, [[3, 4, 1], [9, 9, 7]]),  # a third row of windows would begin in the padding
        (3, 2, 1, [[9, 5, 5], [9, 9, 7]]),
        (2, 3, 0, [[9, 5]]),
        (3, 3, 1, [[9, 5], [5, 9]]),
        (4, 2, 0, [[9, 9]]),  # the window is larger than the picture
    ],
)
def test_the_rest_at_the_end_has_a_window_in_ceil_mode(window, strides, pad, wanted):
    padding = ((pad, pad), (pad, pad))
    got = max_pool(PICTURE, window, strides=strides, padding=padding, ceil_mode=True)
    np.testing.assert_array_equal(got[0, :, :, 0], wanted)


def test_ceil_mode_changes_nothing_where_windows_fit():
    x = images((2, 7, 9, 3))
    np.testing.assert_array_equal(max_pool(x, 3, strides=2, ceil_mode=True), max_pool(x, 3, strides=2))


@pytest.mark.parametrize(
    "sizes, wanted",
    [
        ((2, 2), [[11 / 6, 1 / 3], [11 / 6, 1.5]]),
        ((2, 3), [[3.25, 5 / 6, 1], [2, 1.5, 1.5]]),
        ((3, 4), [[1, 1.5, 2.5, -2], [5.5, -2, -0.5, 4], [-1.5, 0.5, 8, -1]]),
        (
            (5, 7),
            [
                [3, 1, 1.5, 4, 2.5, -2, -5],
                [6, 3.25, -0.25, -1, 1, 1, -1],
                [9, 5.5, -2, -6, -0.5, 4, 3],
                [7, 2, -0.75, 1.5, 3.75, 1.5, -3],
                [5, -1.5, 0.5, 9, 8, -1, -9],
            ],
        ),
        ((3, 5), PICTURE[0, :, :, 0]),
    ],
)
def test_adaptive_average_cuts_cells_as_torch_does(sizes, wanted):
    np.testing.assert_allclose(adaptive_average(PICTURE, sizes)[0, :, :, 0], wanted, rtol=1e-6)
    got = adaptive_average(PICTURE.astype(jnp.bfloat16), sizes)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got[0, :, :, 0].astype(jnp.float32), wanted, rtol=2**-8)


def test_pooling_keeps_bfloat16_and_says_what_is_too_small():
    assert max_pool(images((1, 4, 4, 1)).astype(jnp.bfloat16), 2, padding="SAME").dtype == jnp.bfloat16
    assert avg_pool(images((1, 4, 4, 1)).astype(jnp.bfloat16), 2).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match="does not fit into"):
        max_pool(jnp.zeros((1, 1, 4, 1)), 2)
    with pytest.raises(ValueError, match="pooling takes"):
        max_pool(jnp.zeros((4, 4, 1)), 2)
    with pytest.raises(ValueError, match="pooling takes"):
        adaptive_average(jnp.zeros((4, 4, 1)), 2)


def test_relu_and_bias_commute_with_the_maximum():
    x, bias = images((2, 6, 6, 3)), images((3,), 1)[None, None, None, :]

    def after(x):
        return jax.nn.relu(max_pool(x, 2) + bias)

    def before(x):
        return max_pool(jax.nn.relu(x + bias), 2)

    np.testing.assert_array_equal(after(x), before(x))
    np.testing.assert_array_equal(jax.grad(lambda x: after(x).sum())(x), jax.grad(lambda x: before(x).sum())(x))


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "VALID"}, {"groups": 2}, {"use_bias": False}])
def test_conv_is_that_of_flax_with_the_same_parameters(options):
    ours = Conv(4, 6, (3, 5), rngs=nnx.Rngs(0), **options)
    renamed = {"feature_group_count": options.get("groups", 1)} | {k: v for k, v in options.items() if k != "groups"}
    flax = nnx.Conv(4, 6, (3, 5), rngs=nnx.Rngs(1), **renamed)
    flax.kernel[...] = ours.kernel[...]
    if ours.bias is not None:
        ours.bias[...] = images((6,), 1)
        flax.bias[...] = ours.bias[...]
    x = images((2, 9, 8, 4))
    np.testing.assert_allclose(ours(x), flax(x), rtol=1e-5, atol=1e-5)


def test_linear_is_a_matrix_product_and_a_bias():
    layer = Linear(3, 2, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.array([1.0, -1.0])
    x = images((5, 3))
    np.testing.assert_allclose(layer(x), np.asarray(x) @ np.asarray(layer.kernel[...]) + [1.0, -1.0], rtol=1e-5)


@pytest.mark.parametrize(
    "layer, shape", [(Conv(3, 4, 3, rngs=nnx.Rngs(0)), (2, 8, 8, 3)), (Linear(3, 4, rngs=nnx.Rngs(0)), (2, 3))]
)
def test_layers_compute_in_the_dtype_of_their_input(layer, shape):
    x = images(shape).astype(jnp.bfloat16)
    assert layer(x).dtype == jnp.bfloat16
    graph, params = nnx.split(layer)
    gradient = jax.grad(lambda params: nnx.merge(graph, params, copy=True)(x).astype(jnp.float32).sum())(
        nnx.as_pure(params)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    with pytest.raises(TypeError, match="x / 255"):
        layer(jnp.zeros(shape, jnp.uint8))
    with pytest.raises(ValueError, match="was made for 3"):
        layer(jnp.zeros((*shape[:-1], 5)))


def test_initial_kernels_have_variance_one_over_fan_in():
    kernel = Conv(32, 64, 5, rngs=nnx.Rngs(0)).kernel[...]
    np.testing.assert_allclose(kernel.var() * 25 * 32, 1.0, rtol=0.03)  # 51,200 draws: s.d. of the ratio 0.6 %
