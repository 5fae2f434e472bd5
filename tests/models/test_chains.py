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
from tladapt.models.weights.store import flatten

SMALL = ("alexnet", "densenet_small", "resnet_bottlenecks", "vgg11_bn")
LARGE = [pytest.param("inception_v3", marks=pytest.mark.slow)]


def network(name, **options):
    """Return the network of a golden file, and a batch of its inputs."""
    _, about = golden.load(name)
    model = golden.model_of({**about, "options": {**about["options"], **options}})
    return model, jnp.asarray(golden.inputs(about["input"]))


def gradients(model, x):
    """Return features, gradients and new statistics of a step in training mode, without dropout."""
    model.train()
    for _, part in nnx.iter_graph(model):
        if isinstance(part, nnx.Dropout):
            part.deterministic = True
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params, rest):
        model = nnx.merge(graph, params, rest, copy=True)
        features = model.features(x)
        return jnp.square(features).mean(), (features, nnx.as_pure(nnx.state(model, nnx.BatchStat)))

    step = jit(jax.value_and_grad(loss, has_aux=True), convolutions=True)
    (_, (features, statistics)), gradient = step(nnx.as_pure(params), nnx.as_pure(rest))
    return features, flatten(gradient), flatten(statistics)


@pytest.mark.parametrize("name", ["densenet_small", pytest.param("resnet_bottlenecks", marks=pytest.mark.slow)])
def test_recomputing_blocks_changes_no_number(name):
    with jax.enable_x64(True):
        kept, again = (
            gradients(model, x.astype(jnp.float64)) for model, x in (network(name), network(name, remat=True))
        )
    np.testing.assert_allclose(kept[0], again[0], rtol=1e-12)
    for ours, theirs in zip(kept[1:], again[1:], strict=True):
        assert ours.keys() == theirs.keys()
        assert max(golden.closeness(ours[path], theirs[path]) for path in ours if np.any(theirs[path])) < 1e-5


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
    arrays, _ = golden.load(name)
    model, x = network(name)
    graph, state = nnx.split(model)
    features = jit(lambda s: nnx.merge(graph, s, copy=True).features(x.astype(jnp.bfloat16)), convolutions=True)
    found = features(nnx.as_pure(state))
    assert found.dtype == jnp.bfloat16
    assert golden.closeness(found.astype(jnp.float32), arrays["features"]) < 0.1

    def train(state):
        model = nnx.merge(graph, state, copy=True)
        model.train()
        outputs = model(x.astype(jnp.bfloat16))
        return outputs, nnx.as_pure(nnx.state(model, nnx.BatchStat))

    outputs, statistics = jax.eval_shape(train, nnx.as_pure(state))
    assert outputs.features.dtype == outputs.logits.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(statistics))


@pytest.mark.parametrize("name", ["alexnet", "inception_v3", "vgg11_bn"])
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
