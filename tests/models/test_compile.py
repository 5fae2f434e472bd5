"""What the compiler makes of a scanned training step, and what is said about foreign convolutions."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from tladapt.models import build_model, conv2d, foreign_convolutions, has_convolutions, jit
from tladapt.models import compile as compiling


class PlainNetwork(nnx.Module):
    """What a user may bring: flax's own convolution and pooling."""

    def __init__(self, *, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)

    def __call__(self, x):
        return nnx.max_pool(nnx.relu(self.conv(x)), (2, 2), strides=(2, 2)).mean((1, 2))


def training_step(backbone, shape=(16, 16, 1)):
    """Return (step, carry, batch) of plain SGD on a sum of squares of the logits."""
    graph, params, rest = nnx.split(build_model(backbone, shape, 3, rngs=nnx.Rngs(0)), nnx.Param, ...)

    def step(carry, x):
        def loss(params):
            model = nnx.merge(graph, params, carry[1], copy=True)
            value = jnp.square(model(x).logits).mean()
            return value, nnx.as_pure(nnx.state(model, nnx.Not(nnx.Param)))

        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(carry[0])
        return (jax.tree.map(lambda p, g: p - 0.1 * g, carry[0], gradients), rest), value

    x = jnp.asarray(np.random.default_rng(0).uniform(size=(8, *shape)), jnp.float32)
    return step, (nnx.as_pure(params), nnx.as_pure(rest)), x


@pytest.mark.parametrize("backbone", ["lenet", "digits_cnn"])
def test_a_scanned_step_has_canonical_convolutions_only(backbone):
    step, carry, x = training_step(backbone)
    xs = jnp.stack([x, x, x])
    compiled = jit(lambda carry, xs: lax.scan(step, carry, xs), convolutions=True).lower(carry, xs).compile()
    text = compiled.as_text()
    layouts = re.findall(r"dim_labels=([\w>\-]+)", text)
    assert len(layouts) >= 5 and set(layouts) == {"b01f_01io->b01f"}
    assert "select-and-scatter" not in text
    assert "while" in text  # it is a loop still
    _, losses = compiled(carry, xs)
    one_by_one = []
    for _ in range(3):
        carry, value = jax.jit(step)(carry, x)
        one_by_one.append(value)
    np.testing.assert_allclose(losses, jnp.stack(one_by_one), rtol=1e-4)


def test_plain_convolutions_are_foreign_and_ours_are_not():
    for backbone in ("lenet", "digits_cnn", "mlp"):
        step, carry, x = training_step(backbone)
        assert foreign_convolutions(step, carry, x) == ()
        assert has_convolutions(step, carry, x) == (backbone != "mlp")
    step, carry, x = training_step(PlainNetwork)
    shapes = jax.eval_shape(lambda *a: a, carry, x)
    found = foreign_convolutions(step, *shapes)
    assert len(found) == 1 and found[0].startswith("convolution of (")
    assert foreign_convolutions(lambda x: nnx.Conv(1, 4, (3, 3), rngs=nnx.Rngs(0))(x), x) == ()  # forward only


def test_foreign_convolutions_are_found_inside_other_programs():
    x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))

    def plain(kernel):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).sum()

    gradient = jax.grad(plain)
    for wrapped in (
        jax.jit(gradient),
        lambda k: lax.scan(lambda c, _: (c + gradient(c), None), k, None, length=2)[0],
        lambda k: lax.cond(k.sum() > 0.0, gradient, lambda k: k, k),
        jax.checkpoint(gradient),
        lambda k: lax.while_loop(lambda c: c.sum() < 0.0, gradient, k),
    ):
        assert len(foreign_convolutions(wrapped, kernel)) == 1
    assert foreign_convolutions(jax.jit(jax.grad(lambda k: conv2d(x, k).sum())), kernel) == ()


def options_of(monkeypatch, **arguments):
    """Return the compiler options that reach `jax.jit`."""
    seen = {}
    monkeypatch.setattr(jax, "jit", lambda fn, **options: seen.update(options))
    jit(lambda x: x, **arguments)
    return seen


def test_reductions_only_where_there_are_convolutions(monkeypatch):
    monkeypatch.setattr(compiling, "_understands_reductions_only", lambda: True)
    wanted = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}
    assert options_of(monkeypatch, convolutions=True)["compiler_options"] == wanted
    assert options_of(monkeypatch, convolutions=False)["compiler_options"] is None
    mine = options_of(
        monkeypatch, convolutions=True, compiler_options={"xla_a": 1}, donate_argnums=(0,), keep_unused=True
    )
    assert mine == {"compiler_options": wanted | {"xla_a": 1}, "donate_argnums": (0,), "keep_unused": True}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert options_of(monkeypatch, convolutions=True)["compiler_options"] is None


def test_a_compiler_that_does_not_know_the_option_is_left_to_itself(monkeypatch):
    monkeypatch.setattr(compiling, "_REDUCTIONS_ONLY", {"xla_no_such_option_at_all": "1"})
    compiling._understands_reductions_only.cache_clear()
    try:
        assert jit(lambda x: 2.0 * x, convolutions=True)(jnp.ones(2)).sum() == 4.0
        assert compiling._understands_reductions_only.cache_info().misses == 1
        jit(lambda x: 3.0 * x, convolutions=True)
        assert compiling._understands_reductions_only.cache_info().misses == 1  # asked once
    finally:
        compiling._understands_reductions_only.cache_clear()


def test_donation_reaches_jax():
    x = jnp.ones(4)
    jit(lambda x: x + 1.0, convolutions=True, donate_argnums=0)(x)
    assert x.is_deleted()
