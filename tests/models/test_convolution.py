"""conv2d against lax's convolution and its automatic derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tladapt.models import conv2d

# (height, width), channels in, out, kernel, strides, padding, dilation, groups: odd sizes, remainders that no window
# reaches, paddings wider than the kernel, kernels of one pixel.
CASES = {
    "same": ((8, 7), 3, 4, (5, 3), (1, 1), "SAME", (1, 1), 1),
    "valid": ((8, 7), 3, 4, (3, 3), (1, 1), "VALID", (1, 1), 1),
    "pairs": ((6, 6), 2, 3, (3, 3), (1, 1), ((2, 0), (1, 3)), (1, 1), 1),
    "even kernel": ((6, 5), 2, 3, (4, 2), (1, 1), "SAME", (1, 1), 1),
    "whole image": ((5, 5), 2, 3, (5, 5), (1, 1), "VALID", (1, 1), 1),
    "stride 2 same": ((8, 7), 3, 4, (3, 3), (2, 2), "SAME", (1, 1), 1),
    "stride 2 valid": ((8, 8), 3, 4, (3, 3), (2, 2), "VALID", (1, 1), 1),
    "pointwise stride 2": ((7, 8), 3, 4, (1, 1), (2, 2), "SAME", (1, 1), 1),
    "stride 3, 1": ((11, 6), 2, 3, (3, 2), (3, 1), ((1, 1), (0, 1)), (1, 1), 1),
    "wide padding": ((5, 5), 2, 3, (2, 2), (2, 2), ((4, 3), (3, 4)), (1, 1), 1),
    "dilation": ((9, 9), 2, 3, (3, 3), (1, 1), "SAME", (2, 3), 1),
    "stride and dilation": ((12, 11), 2, 3, (3, 3), (2, 3), "SAME", (2, 2), 1),
    "groups": ((6, 6), 4, 8, (3, 3), (1, 1), "SAME", (1, 1), 2),
    "pointwise": ((7, 8), 3, 4, (1, 1), (1, 1), "VALID", (1, 1), 1),
    "depthwise dilated": ((9, 8), 4, 4, (3, 2), (1, 2), ((2, 1), (0, 1)), (2, 1), 4),
    "depthwise, two filters a channel": ((6, 7), 3, 6, (3, 3), (2, 1), "SAME", (1, 1), 3),
    "depthwise stride 2": ((7, 7), 4, 4, (3, 3), (2, 2), "SAME", (1, 1), 4),
}


def reference(x, kernel, *, strides, padding, dilation, groups):
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def case(name, dtype=np.float32):
    size, c_in, c_out, window, strides, padding, dilation, groups = CASES[name]
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(3, *size, c_in)), dtype)
    kernel = jnp.asarray(generator.normal(size=(*window, c_in // groups, c_out)), dtype)
    options = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return x, kernel, options


def loss_of(convolution, options, x, kernel):
    y = convolution(x, kernel, **options)
    return (y * jnp.cos(y)).sum()  # a cotangent that differs everywhere


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_value_and_gradients_are_those_of_lax(name, dtype, tolerance):
    with jax.enable_x64(dtype is np.float64):
        x, kernel, options = case(name, dtype)
        np.testing.assert_allclose(
            conv2d(x, kernel, **options), reference(x, kernel, **options), rtol=tolerance, atol=tolerance
        )
        ours = jax.jit(jax.grad(lambda *a: loss_of(conv2d, options, *a), (0, 1)))(x, kernel)
        autodiff = jax.jit(jax.grad(lambda *a: loss_of(reference, options, *a), (0, 1)))(x, kernel)
        for got, wanted in zip(ours, autodiff, strict=True):
            assert got.dtype == dtype and got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * float(jnp.abs(wanted).max()))


@pytest.mark.parametrize("name", ["same", "stride 2 same", "groups"])
def test_bfloat16(name):
    x, kernel, options = case(name)
    low = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    y = conv2d(*low, **options)
    gradients = jax.grad(lambda x, kernel: conv2d(x, kernel, **options).sum(), (0, 1))(*low)
    wanted = jax.grad(lambda x, kernel: conv2d(x, kernel, **options).sum(), (0, 1))(
        *(a.astype(np.float32) for a in low)
    )
    assert y.dtype == jnp.bfloat16
    for got, full in zip(gradients, wanted, strict=True):
        assert got.dtype == jnp.bfloat16
        # 2^-8 of the largest value is half a step of bfloat16 there; a few of them add up.
        np.testing.assert_allclose(got.astype(np.float32), full, atol=4 * 2**-8 * float(jnp.abs(full).max()))


@pytest.mark.parametrize("name", ["same", "pairs", "stride 2 valid", "wide padding", "stride and dilation", "groups"])
def test_second_order(name):
    """Gradient of a gradient penalty, as critics with a Lipschitz constraint and virtual adversaries need it."""
    with jax.enable_x64(True):
        x, kernel, options = case(name, np.float64)

        def penalty(convolution, x, kernel):
            gradient = jax.grad(lambda x: loss_of(convolution, options, x, kernel))(x)
            own = jax.grad(lambda kernel: loss_of(convolution, options, x, kernel))(kernel)
            return (gradient**3).sum() + (own**2).sum()

        ours = jax.jit(jax.grad(lambda *a: penalty(conv2d, *a), (0, 1)))(x, kernel)
        autodiff = jax.jit(jax.grad(lambda *a: penalty(reference, *a), (0, 1)))(x, kernel)
        for got, wanted in zip(ours, autodiff, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10 * float(jnp.abs(wanted).max()))


def test_other_devices_keep_the_compilers_own_derivatives(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x, kernel, options = case("same")
    text = str(jax.make_jaxpr(jax.grad(lambda *a: loss_of(conv2d, options, *a), (0, 1)))(x, kernel))
    assert "custom_vjp" not in text and "conv_general_dilated" in text


def test_vmap_over_kernels():
    x, kernel, options = case("same")
    kernels = jnp.stack([kernel, 2.0 * kernel])
    gradients = jax.vmap(jax.grad(lambda k: loss_of(conv2d, options, x, k)))(kernels)
    one = jax.grad(lambda k: loss_of(conv2d, options, x, k))(kernels[1])
    np.testing.assert_allclose(gradients[1], one, rtol=1e-4, atol=1e-4 * float(jnp.abs(one).max()))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"x": jnp.zeros((8, 8, 3))}, "takes x"),
        ({"x": jnp.zeros((1, 8, 8, 2))}, "channels do not fit"),
        ({"x": jnp.zeros((1, 2, 8, 3))}, "the kernel covers"),
        ({"padding": "same-ish"}, "padding must be"),
        ({"padding": ((1, 1),)}, "padding must be"),
        ({"strides": 0}, "strides must be"),
        ({"dilation": (1, 1, 1)}, "dilation must be"),
    ],
)
def test_what_does_not_fit_is_said(change, words):
    arguments = {"x": jnp.zeros((1, 8, 8, 3)), "padding": "VALID", **change}
    with pytest.raises(ValueError, match=words):
        conv2d(arguments.pop("x"), jnp.zeros((3, 3, 3, 4)), **arguments)


def test_dtypes_must_agree():
    with pytest.raises(TypeError, match="one floating dtype"):
        conv2d(jnp.zeros((1, 8, 8, 3), jnp.bfloat16), jnp.zeros((3, 3, 3, 4)))
