"""build_model in all its forms, and the model as pure arrays inside jit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tladapt.errors import UnknownNameError, UsageError
from tladapt.models import Bottleneck, DigitsCNN, LeNet, MLPClassifier, Outputs, build_model

SHAPE = (16, 16, 1)


def inputs(count=3, shape=SHAPE):
    return jnp.asarray(np.random.default_rng(0).uniform(size=(count, *shape)), jnp.float32)


class Own(nnx.Module):
    """A user's network without `out_features`, with flax's own layers."""

    def __init__(self, pooled=True, *, rngs):
        self.conv = nnx.Conv(1, 6, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.pooled = pooled

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.norm(self.conv(x))))
        return x.mean((1, 2)) if self.pooled else x


def leaves(module):
    """Return copies by path; a view would keep jit from taking a donated buffer."""
    return {
        "/".join(map(str, path)): np.array(
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        )
        for path, leaf in nnx.to_flat_state(nnx.as_pure(nnx.state(module)))
    }


@pytest.mark.parametrize(
    "backbone, width",
    [
        ("lenet", 128),
        ("auto", 128),
        (LeNet(hidden=(20,)), 20),
        (LeNet, 128),
        (Own, 6),
        (lambda *, rngs: Own(rngs=rngs), 6),
        (Own(rngs=nnx.Rngs(3)), 6),
        (nnx.Sequential(lambda x: x.reshape(x.shape[0], -1), nnx.Linear(256, 9, rngs=nnx.Rngs(0))), 9),
    ],
)
@pytest.mark.parametrize("bottleneck", [None, 5])
def test_forms_of_a_backbone(backbone, width, bottleneck):
    model = build_model(backbone, SHAPE, 10, rngs=nnx.Rngs(0), bottleneck=bottleneck)
    out = model(inputs())
    assert isinstance(out, Outputs)
    assert out.features.shape == (3, bottleneck or width) and out.logits.shape == (3, 10)
    assert model.out_features == (bottleneck or width) and model.classes == 10
    assert {path.split("/")[0] for path in leaves(model)} == {"backbone", "classifier"} | (
        {"bottleneck"} if bottleneck else set()
    )
    model.eval()
    out = model(inputs())
    np.testing.assert_array_equal(out.features, model.features(inputs()))
    np.testing.assert_array_equal(out.logits, model.classify(out.features))


def test_vectors():
    assert build_model("auto", (30,), 2, rngs=nnx.Rngs(0))(inputs(4, (30,))).logits.shape == (4, 2)


def test_factories_of_the_other_parts():
    seen = []

    def bottleneck(features, *, rngs):
        seen.append(features)
        return Bottleneck(features, 7, batch_norm=True, relu=False, rngs=rngs)

    def classifier(features, classes, *, rngs):
        seen.append((features, classes))
        return MLPClassifier(features, classes, (4,), rngs=rngs)

    model = build_model("lenet", SHAPE, 3, rngs=nnx.Rngs(0), bottleneck=bottleneck, classifier=classifier)
    assert seen == [128, (7, 3)] and isinstance(model.classifier, MLPClassifier)
    assert (
        build_model("lenet", SHAPE, 3, rngs=nnx.Rngs(0), bottleneck=lambda features, *, rngs: None).bottleneck is None
    )


def test_a_module_of_ones_own_is_not_changed():
    own = Own(rngs=nnx.Rngs(0))
    own.eval()
    before = leaves(own)
    model = build_model(own, SHAPE, 10, rngs=nnx.Rngs(0))
    assert leaves(model.backbone).keys() == before.keys()
    np.testing.assert_array_equal(model.backbone.conv.kernel[...], own.conv.kernel[...])
    model(inputs())  # moves statistics and random counts of the copy
    params = nnx.as_pure(nnx.state(model, nnx.Param))
    jax.jit(lambda params: jax.tree.map(lambda leaf: leaf + 1.0, params), donate_argnums=0)(params)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(nnx.state(own)))  # own buffers, not only own variables
    jax.tree.map(np.testing.assert_array_equal, leaves(own), before)
    assert own.norm.use_running_average and not model.backbone.norm.use_running_average


class Returns(nnx.Module):
    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"backbone": Own(pooled=False, rngs=nnx.Rngs(0))}, r"returned \[n, 16, 16, 6\].*Add a global pool"),
        ({"backbone": Returns(lambda x: x.mean())}, "must return"),
        ({"backbone": Returns(lambda x: x.sum((0, 2)))}, r"returned \[\?, 1\]"),
        ({"backbone": Returns(lambda x: (x[:, :, 0, 0], x))}, r"returned a tuple of \(\(2, 16\), \(2, 16, 16, 1\)\)"),
        ({"backbone": Returns(lambda x: x[:, :, 0, 0].astype(jnp.int32))}, "floating numbers"),
        ({"backbone": nnx.Linear(5, 6, rngs=nnx.Rngs(0))}, r"could not read inputs of shape \[n, 16, 16, 1\]"),
        ({"backbone": lambda *, rngs: 3}, "must return a flax.nnx.Module, it returned int"),
        ({"backbone": 3}, "backbone must be a name"),
        ({"backbone": "lenet", "shape": (64,)}, "Use 'mlp'"),
        ({"classes": 1}, "at least 2"),
        ({"bottleneck": 0}, "at least 1"),
        ({"bottleneck": "small"}, "bottleneck must be"),
        ({"bottleneck": lambda features, *, rngs: 3}, "bottleneck must be a flax.nnx.Module"),
        ({"classifier": lambda features, classes, *, rngs: MLPClassifier(features, 4, rngs=rngs)}, r"gives \[n, 4\]"),
        ({"classifier": lambda features, classes, *, rngs: MLPClassifier(9, classes, rngs=rngs)}, "could not read"),
    ],
)
def test_what_does_not_fit_is_said(options, words):
    arguments = {"backbone": "lenet", "shape": SHAPE, "classes": 10, **options}
    with pytest.raises(UsageError, match=words):
        build_model(
            arguments.pop("backbone"), arguments.pop("shape"), arguments.pop("classes"), rngs=nnx.Rngs(0), **arguments
        )


def test_misspelt_names_list_the_close_ones():
    with pytest.raises(UnknownNameError, match="digits_cnn"):
        build_model("digit_cnn", SHAPE, 10, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_pure_arrays_inside_jit(dropout):
    """How a training step uses a model: split once, pure arrays through jit, merge inside."""
    model = build_model(DigitsCNN(dropout=dropout), SHAPE, 10, rngs=nnx.Rngs(0))
    x = inputs(8)
    graph, params, statistics, random, rest = nnx.split(model, nnx.Param, nnx.BatchStat, nnx.RngState, ...)
    assert bool(jax.tree.leaves(random)) == bool(dropout) and not jax.tree.leaves(rest)
    params, statistics, random = nnx.as_pure(params), nnx.as_pure(statistics), nnx.as_pure(random)
    before = jax.tree.map(np.asarray, statistics)

    @jax.jit
    def forward(params, statistics, key):
        module = nnx.merge(graph, params, statistics, random, copy=True)
        if jax.tree.leaves(random):
            nnx.reseed(module, default=key, dropout=key)
        return module(x), nnx.as_pure(nnx.state(module, nnx.BatchStat))

    @jax.jit
    def evaluate(params, statistics):
        module = nnx.merge(graph, params, statistics, random, copy=True)
        view = nnx.view(module, deterministic=True, use_running_average=True, raise_if_not_found=False)
        return view(x), nnx.as_pure(nnx.state(module, nnx.BatchStat))

    one, moved = forward(params, statistics, jax.random.key(1))
    again, _ = forward(params, statistics, jax.random.key(1))
    other, _ = forward(params, statistics, jax.random.key(2))
    np.testing.assert_array_equal(one.logits, again.logits)
    assert np.array_equal(one.logits, other.logits) == (dropout == 0.0)
    assert all(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(before), strict=True))
    _, kept = evaluate(params, moved)
    jax.tree.map(np.testing.assert_array_equal, kept, moved)
    jax.tree.map(np.testing.assert_array_equal, statistics, before)
