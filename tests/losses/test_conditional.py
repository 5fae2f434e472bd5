"""CDAN's conditional maps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.losses import naive
from tladapt.losses import conditional_map, conditional_product, random_conditional_map, random_maps


def pair(n=5, d=3, classes=4):
    return jnp.float32(naive.batch(0, n, d)), jax.nn.softmax(jnp.float32(naive.batch(1, n, classes)))


def test_map_is_the_outer_product():
    f, p = pair()
    h = np.asarray(conditional_map(f, p))
    assert h.shape == (5, 12)
    for i in range(5):
        np.testing.assert_allclose(h[i], np.outer(p[i], f[i]).ravel(), rtol=1e-6)


def test_a_certain_prediction_fills_its_block_only():
    f, _ = pair()
    h = np.asarray(conditional_map(f, jax.nn.one_hot(jnp.full(5, 2), 4))).reshape(5, 4, 3)
    np.testing.assert_array_equal(h[:, 2], f)
    np.testing.assert_array_equal(np.delete(h, 2, axis=1), 0)


def test_permuting_classes_permutes_blocks():
    f, p = pair()
    order = np.array([2, 0, 3, 1])
    h = np.asarray(conditional_map(f, p)).reshape(5, 4, 3)
    np.testing.assert_array_equal(np.asarray(conditional_map(f, p[:, order])).reshape(5, 4, 3), h[:, order])


def test_product_equals_the_layer_on_the_map_with_its_gradients():
    f, p = pair()
    w = jax.random.normal(jax.random.key(0), (4, 3, 6))
    plain = conditional_map(f, p) @ w.reshape(12, 6)
    np.testing.assert_allclose(conditional_product(f, p, w), plain, rtol=1e-5, atol=1e-6)
    by_f, by_w = jax.grad(lambda f, w: jnp.sum(conditional_product(f, p, w) ** 2), argnums=(0, 1))(f, w)
    one, other = jax.grad(lambda f, w: jnp.sum((conditional_map(f, p) @ w.reshape(12, 6)) ** 2), argnums=(0, 1))(f, w)
    np.testing.assert_allclose(by_f, one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_w, other, rtol=1e-4, atol=1e-5)


def test_product_forms_no_map_and_nothing_larger_than_the_smaller_of_two():
    """Its largest array is [n, C, min(d, k)], the map's [n, C, d]."""
    for d, k in ((12, 5), (5, 12)):
        f, p, w = jnp.ones((7, d)), jnp.ones((7, 4)), jnp.ones((4, d, k))
        jaxpr = jax.make_jaxpr(conditional_product)(f, p, w).jaxpr
        made = [v.aval.size for equation in jaxpr.eqns for v in equation.outvars if v.aval.shape != w.shape]
        assert max(made) <= max(7 * 4 * min(d, k), w.size)


@pytest.mark.parametrize("form", ["map", "product", "random"])
def test_probabilities_are_detached_and_features_are_not(form):
    f, p = pair()
    kernel, (r_f, r_g) = jnp.ones((4, 3, 2)), random_maps(jax.random.key(0), 3, 4, 7)
    fn = {
        "map": conditional_map,
        "product": lambda f, p: conditional_product(f, p, kernel),
        "random": lambda f, p: random_conditional_map(f, p, r_f, r_g),
    }[form]
    by_f, by_p = jax.grad(lambda f, p: jnp.sum(fn(f, p) ** 2), argnums=(0, 1))(f, p)
    assert np.all(np.asarray(by_f) != 0)
    np.testing.assert_array_equal(by_p, 0)


def test_random_map_keeps_inner_products_on_average():
    """E <T(f, p), T(f', p')> = <f, f'> <p, p'>: over 4,000 dimensions, within 5 standard errors."""
    f, p = pair(2)
    r_f, r_g = random_maps(jax.random.key(3), 3, 4, size=4000)
    h = np.asarray(random_conditional_map(f, p, r_f, r_g))
    terms = h[0] * h[1] * 4000
    expected = float(f[0] @ f[1]) * float(p[0] @ p[1])
    assert abs(terms.mean() - expected) < 5 * terms.std() / np.sqrt(4000)
    assert (h**2).sum(1) == pytest.approx(np.asarray((f**2).sum(1) * (p**2).sum(1)), rel=0.3)


def test_random_maps_are_independent_standard_normals():
    r_f, r_g = random_maps(jax.random.key(0), 50, 50, 400)
    assert float(r_f.std()) == pytest.approx(1, abs=0.02)
    assert float(r_g.std()) == pytest.approx(1, abs=0.02)
    assert abs(float(jnp.mean(r_f * r_g))) < 0.05


def test_mistakes_are_told():
    f, p = pair()
    with pytest.raises(ValueError, match="same examples"):
        conditional_map(f[:3], p)
    with pytest.raises(ValueError, match=r"C=4, d=3"):
        conditional_product(f, p, jnp.ones((3, 4, 2)))
    with pytest.raises(ValueError, match="one width"):
        random_conditional_map(f, p, jnp.ones((3, 5)), jnp.ones((4, 6)))
    with pytest.raises(ValueError, match=r"\[d=3, D\]"):
        random_conditional_map(f, p, jnp.ones((4, 5)), jnp.ones((3, 5)))
