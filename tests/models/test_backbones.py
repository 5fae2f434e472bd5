"""Backbones: shapes, options, wrong inputs, the same network for the same seed."""

from __future__ import annotations

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tladapt.errors import UnknownNameError, UsageError
from tladapt.models import BACKBONES, MLP, Auto, Backbone, DigitsCNN, LeNet
from tladapt.models.backbones import Published, WindowCNN

SMALL = [name for name in BACKBONES if not issubclass(BACKBONES[name], Published)]
BUILDS = [
    (MLP(), (30,), 128),
    (MLP(widths=(7,), batch_norm=True, dropout=0.1), (4, 4, 2), 7),
    (LeNet(), (16, 16, 1), 128),
    (LeNet(hidden=(), padding="valid"), (28, 28, 1), 768),  # 48 maps of 4 x 4, as in the DANN paper's MNIST network
    (LeNet(widths=(4, 6), kernel=3, hidden=(20, 10)), (9, 13, 3), 10),
    (DigitsCNN(), (16, 16, 3), 128),
    (DigitsCNN(widths=(8, 8), kernel=5, features=12, batch_norm=False, dropout=0.5), (28, 31, 1), 12),
    (WindowCNN(), (21, 3), 128),
    (WindowCNN(widths=(6, 5), kernels=(4, 3), dropout=0.5), (8, 2), 5),
    (Auto(), (30,), 128),
    (Auto(), (32, 32, 3), 128),
    (Auto(), (6, 6, 1), 128),
]


def inputs(shape, count=4):
    return jnp.asarray(np.random.default_rng(0).uniform(size=(count, *shape)), jnp.float32)


@pytest.mark.parametrize("spec, shape, width", BUILDS, ids=lambda value: str(value))
def test_features(spec, shape, width):
    module = spec.build(shape, rngs=nnx.Rngs(0))
    x = inputs(shape)
    features = module(x)
    assert features.shape == (4, width) and module.out_features == width and features.dtype == jnp.float32
    low = jax.ShapeDtypeStruct(x.shape, jnp.bfloat16)
    graph, state = nnx.split(module)
    assert jax.eval_shape(lambda s, x: nnx.merge(graph, s, copy=True)(x), nnx.as_pure(state), low).dtype == jnp.bfloat16
    again = spec.build(shape, rngs=nnx.Rngs(0))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(again, nnx.Param), nnx.state(module, nnx.Param))
    # Every parameter matters.
    graph, params, rest = nnx.split(again, nnx.Param, ...)
    rest = nnx.as_pure(rest)
    gradient_of = jax.jit(jax.grad(lambda params: jnp.square(nnx.merge(graph, params, rest, copy=True)(x) - 1.0).sum()))
    gradients = gradient_of(nnx.as_pure(params))
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert float(jnp.abs(gradient).max()) > 0.0, path


def test_auto_goes_by_the_shape():
    shapes = ((30,), (6, 6, 1), (40, 6), (40, 32, 1))
    assert [Auto().choose(shape).name for shape in shapes] == ["mlp", "mlp", "window_cnn", "digits_cnn"]


def random_state(module):
    return jax.tree.leaves(nnx.state(module, nnx.RngState))


def test_random_state_only_with_dropout():
    for name in SMALL:
        shape = {"identity": (16,), "window_cnn": (16, 2)}.get(name, (16, 16, 1))
        assert not random_state(BACKBONES[name]().build(shape, rngs=nnx.Rngs(0)))
    module = DigitsCNN(dropout=0.5).build((16, 16, 1), rngs=nnx.Rngs(0))
    assert random_state(module)
    x = inputs((16, 16, 1))
    module.train()
    assert not np.array_equal(module(x), module(x))
    module.eval()
    np.testing.assert_array_equal(module(x), module(x))


def test_evaluation_depends_on_each_example_alone():
    module = DigitsCNN().build((16, 16, 1), rngs=nnx.Rngs(0))
    x = inputs((16, 16, 1))
    module(x)
    module.eval()
    np.testing.assert_allclose(module(x)[:1], module(x[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "spec, shape, words",
    [
        (LeNet(), (64,), "vectors of 64 numbers. Use 'mlp'"),
        (DigitsCNN(), (64,), "vectors of 64 numbers"),
        (LeNet(), (28, 28), "Give a grey image its channel"),
        (DigitsCNN(), (4, 16, 1), "at least 8 x 8 pixels"),
        (DigitsCNN(), (3, 32, 32), "channels first"),
        (LeNet(padding="valid"), (15, 15, 1), "at least 16 x 16"),
        (LeNet(), (1, 2, 3, 4), "these inputs have shape"),
        (Auto(), (224, 224, 3), "Name a backbone"),
        (Auto(), (28, 28), "Name window_cnn if they are; give grey images their channel"),
        (WindowCNN(), (64,), "Give a single channel its axis"),
        (WindowCNN(), (8, 8, 1), "reads windows"),
        (MLP(), (), "at least one number"),
    ],
)
def test_wrong_inputs_are_said(spec, shape, words):
    with pytest.raises(UsageError, match=words):
        spec.build(shape, rngs=nnx.Rngs(0))


def test_the_smallest_images_are_read():
    for spec, size in ((LeNet(), 4), (LeNet(padding="valid"), 16), (DigitsCNN(), 8)):
        assert spec.build((size, size, 1), rngs=nnx.Rngs(0))(inputs((size, size, 1))).shape == (4, 128)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLP(widths=()),
        lambda: MLP(dropout=1.0),
        lambda: MLP(widths=(0,)),
        lambda: LeNet(widths=(1, 2, 3)),
        lambda: LeNet(padding="full"),
        lambda: DigitsCNN(kernel=0),
        lambda: WindowCNN(widths=(8, 8)),
        lambda: WindowCNN(kernels=(5, 8, 0)),
        lambda: DigitsCNN(widths=()),
        lambda: DigitsCNN(features=2.5),
    ],
)
def test_wrong_fields_are_said(make):
    with pytest.raises(UsageError, match="backbone '"):
        make()


def test_registry():
    assert set(SMALL) == {"mlp", "lenet", "digits_cnn", "window_cnn", "identity", "auto", "progressive"}
    for name in BACKBONES:
        kind = BACKBONES[name]
        assert issubclass(kind, Backbone) and kind.name == name and kind.summary
        own = [cls for cls in kind.__mro__ if issubclass(cls, Backbone) and not cls.__dict__.get("family")]
        source = "".join(inspect.getsource(cls) for cls in own)  # a variant has no text of its own
        for field in dataclasses.fields(kind):
            assert f"    {field.name}: " in source and field.default is not dataclasses.MISSING
    with pytest.raises(UnknownNameError, match="Did you mean 'lenet'"):
        BACKBONES["lennet"]


def test_identity():
    spec = BACKBONES["identity"]()
    module = spec.build((5,), rngs=nnx.Rngs(0))
    x = inputs((5,))
    np.testing.assert_array_equal(module(spec.prepare(x)), x)
    views = jnp.stack([x, x + 1.0], axis=1)  # [n, 2, 5]: predictions are made from the first
    np.testing.assert_array_equal(spec.prepare(views), x)
    assert module.out_features == 5
    with pytest.raises(UsageError, match="takes features as they are"):
        spec.build((8, 8, 3), rngs=nnx.Rngs(0))
