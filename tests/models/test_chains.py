"""What networks with published weights can do: recomputation, bfloat16, several layers at once, dropout."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models import golden
from tladapt.errors import UsageError
from tladapt.models import BACKBONES, jit
from tladapt.models.backbones.plain import ConvUnit
from tladapt.models.backbones.published import Chain
from tladapt.models.heads import DenseBlock
from tladapt.models.layers import global_average
from tladapt.models.normalization import NormOptions
from tladapt.models.weights.store import flatten

SMALL = ("alexnet", "densenet_small", "resnet_bottlenecks", "vgg11_bn")
LARGE = [pytest.param("inception_v3", marks=pytest.mark.slow)]


def network(name, **options):
    """Return the network of a golden file, and a batch of its inputs."""
    _, about = golden.load(name)
    model = golden.model_of({**about, "options": {**about["options"], **options}})
    return model, jnp.asarray(golden.inputs(about["input"]))


class Tiny(Chain):
    """Three stages with parameters: batch-normalised, plain, and with dropout."""

    def __init__(self, rngs):
        self.first = ConvUnit(3, 4, 3, padding=1, norm=NormOptions(), rngs=rngs)
        self.second = ConvUnit(4, 4, 3, padding=1, strides=2, rngs=rngs)
        self.last = DenseBlock(4, 16, relu=False, dropout=0.5, rngs=rngs)
        self.out_features = 16

    def stages(self):
        yield "first", self.first
        yield "second", self.second
        yield "pool", global_average
        yield "last", self.last


def step(model, x):
    """Return features, gradients, and the new statistics and counts of dropout after a step in training mode."""
    model.train()
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params, rest):
        model = nnx.merge(graph, params, rest, copy=True)
        features = model(x)
        return jnp.square(features).mean(), (features, nnx.as_pure(nnx.state(model, (nnx.BatchStat, nnx.RngCount))))

    compiled = jit(jax.value_and_grad(loss, has_aux=True), convolutions=True)
    (_, (features, new)), gradient = compiled(nnx.as_pure(params), nnx.as_pure(rest))
    return {"features": features, "gradient": gradient, "new": new}


def same_with_recomputation(model, x, tolerance):
    """Compare a step with and without recomputation, and return what it gives."""
    steps = []
    for remat in (False, True):
        model.remat = remat
        steps.append(flatten(step(model, x)))
    assert steps[0].keys() == steps[1].keys()
    for path, value in steps[0].items():
        np.testing.assert_allclose(value, steps[1][path], rtol=tolerance, atol=tolerance, err_msg=path)
    return steps[0]


def test_recomputing_stages_changes_no_number():
    model = Tiny(nnx.Rngs(0))
    found = same_with_recomputation(model, jnp.asarray(golden.inputs((2, 8, 8, 3))), 1e-5)
    assert 0 < np.count_nonzero(found["features"]) < found["features"].size
    assert all(np.any(value) for path, value in found.items() if path.endswith(("kernel", "scale", "mean", "var")))
    assert [value for path, value in found.items() if path.endswith("dropout/rngs/count")] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "densenet_small", "resnet_bottlenecks"])
def test_recomputing_the_blocks_of_a_network_changes_no_number(name):
    with jax.enable_x64(True):
        model, x = network(name)
        same_with_recomputation(model.backbone, x.astype(jnp.float64), 1e-6)


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_every_stage_with_parameters_is_recomputed_where_that_is_asked_for(name):
    for remat in (False, True):
        model, x = network(name, remat=remat)
        graph, state = nnx.split(model)
        program = jax.make_jaxpr(lambda s, g=graph, x=x: nnx.merge(g, s, copy=True).features(x))(nnx.as_pure(state))
        modules = len(model.backbone.stage_paths())
        assert modules >= 5
        assert str(program).count("prevent_cse=True") == (modules if remat else 0)


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
def test_bfloat16_in_bfloat16_out_and_statistics_in_float32(name):
    model, x = network(name)
    graph, state = nnx.split(model)

    def train(state):
        model = nnx.merge(graph, state, copy=True)
        model.train()
        outputs = model(x.astype(jnp.bfloat16))
        return outputs, nnx.as_pure(nnx.state(model, nnx.BatchStat))

    outputs, statistics = jax.eval_shape(train, nnx.as_pure(state))
    assert outputs.features.dtype == outputs.logits.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(statistics))


@pytest.mark.parametrize(
    "name", ["resnet_bottlenecks", *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL[:2])]
)
def test_bfloat16_is_close_to_float32(name):
    arrays, _ = golden.load(name)
    model, x = network(name)
    graph, state = nnx.split(model)
    features = jit(lambda s: nnx.merge(graph, s, copy=True).features(x.astype(jnp.bfloat16)), convolutions=True)
    found = features(nnx.as_pure(state))
    assert golden.closeness(found.astype(jnp.float32), arrays["features"]) < 0.05


@pytest.mark.parametrize("name", ["alexnet", *LARGE, "vgg11_bn"])
def test_dropout_is_where_the_library_has_it_and_leaves_no_random_state_at_rate_0(name):
    places = {
        "alexnet": ["dropout", "fc1/dropout"],
        "inception_v3": ["dropout"],
        "vgg11_bn": ["fc1/dropout", "fc2/dropout"],
    }
    _, about = golden.load(name)
    spec = BACKBONES[about["backbone"]](**about["options"])
    for rate in (spec.dropout, 0.0):
        spec = dataclasses.replace(spec, dropout=rate)

        def parts(spec=spec):
            network = spec.build(tuple(about["input"][1:]), rngs=nnx.Rngs(0))
            return nnx.Dict(backbone=network, classifier=spec.classifier(network.out_features, 3, rngs=nnx.Rngs(0)))

        model = nnx.eval_shape(parts)
        found = ["/".join(map(str, path[1:])) for path, part in nnx.iter_graph(model) if isinstance(part, nnx.Dropout)]
        assert sorted(found) == (places[name] if rate else [])
        assert bool(jax.tree.leaves(nnx.state(model, nnx.RngState))) == bool(rate)


def test_taps_are_called_as_the_stages():
    model, x = network("resnet_bottlenecks")
    taps = nnx.eval_shape(lambda: model.taps(x, "layer2.1", "maxpool"))
    assert {name: tap.shape for name, tap in taps.items()} == {"maxpool": (2, 16, 12, 64), "layer2.1": (2, 8, 6, 512)}
    with pytest.raises(UsageError, match=r"'layer2.1'"):
        model.taps(x, "layer2.2")


@pytest.mark.parametrize(
    "name, options",
    [
        ("resnet50", {"blocks": (3, 4)}),
        ("densenet121", {"layers": (6, 12, 24)}),
        ("vgg16", {"depth": 12}),
        ("vgg16", {"dropout": 1.0}),
        ("alexnet", {"hidden": 0}),
        ("inception_v3", {"dropout": -0.1}),
    ],
)
def test_options_that_make_no_network_are_refused(name, options):
    with pytest.raises(UsageError, match=name):
        BACKBONES[name](**options)
