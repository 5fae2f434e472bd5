"""CDAN: what its discriminator looks at, the random maps, and the weights of CDAN+E."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.methods.toy import CLASSES, gradients, moment, same
from tladapt import losses, methods
from tladapt.errors import UsageError
from tladapt.methods import Start
from tladapt.methods.cdan import ConditionalDiscriminator
from tladapt.models import Discriminator
from tladapt.training.config import BATCHNORM_PRESETS

SMALL = {"hidden": (8,)}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_discriminator_is_one_on_the_conditional_map(batch_norm):
    f = jax.random.normal(jax.random.key(0), (7, 6))
    p = jax.nn.softmax(3.0 * jax.random.normal(jax.random.key(1), (7, 4)))
    contracted = ConditionalDiscriminator(6, 4, (5, 3), batch_norm=batch_norm, rngs=nnx.Rngs(0))
    plain = Discriminator(24, (5, 3), batch_norm=batch_norm, rngs=nnx.Rngs(1))
    plain.hidden[0].linear.kernel[...] = contracted.kernel[...].reshape(24, 5)
    plain.hidden[1].linear.kernel[...] = contracted.rest.hidden[0].linear.kernel[...]
    plain.out.kernel[...] = contracted.rest.out.kernel[...]
    wanted = plain(losses.conditional_map(f, p))
    assert wanted.shape == (7,)
    np.testing.assert_allclose(contracted(f, p), wanted, rtol=1e-4, atol=1e-5)


def test_its_first_layer_starts_as_that_of_a_linear_layer_on_the_map():
    kernel = ConditionalDiscriminator(30, 20, (50,), rngs=nnx.Rngs(0)).kernel[...]
    assert kernel.shape == (20, 30, 50)
    assert float(kernel.std()) == pytest.approx(600**-0.5, rel=0.02)


def sizes(features, classes):
    found = moment(methods.source_only()).assembly.parts.network.sizes
    return dataclasses.replace(found, features=features, classes=classes)


def test_the_map_is_random_where_it_would_be_large():
    assert not methods.cdan().random(sizes(128, 32))  # 4096 entries
    assert methods.cdan().random(sizes(128, 33))
    assert methods.cdan(map="random").random(sizes(2, 2))
    assert not methods.cdan(map="exact").random(sizes(2048, 65))


def test_random_maps_are_memory_that_steps_leave_alone():
    method = methods.cdan(map="random", size=11, **SMALL)
    found = moment(method)
    assert {name: leaf.shape for name, leaf in found.state.memory.items()} == {
        "feature_map": (6, 11),
        "class_map": (CLASSES, 11),
    }
    state, _ = found.go()
    assert same(state.memory, found.state.memory)


def test_random_maps_are_drawn_from_the_runs_seed():
    def drawn(method, seed=0):
        return method.memory(Start(params={}, statistics={}, sizes=sizes(6, CLASSES), key=jax.random.key(seed)))

    method = methods.cdan(map="random", size=11)
    assert same(drawn(method), drawn(method))
    assert not same(drawn(method), drawn(method, seed=1))
    assert drawn(methods.cdan()) == {}


def test_without_lambda_the_model_follows_source_only_to_the_bit():
    separate = {"batchnorm": BATCHNORM_PRESETS["separate"]}
    adapted = gradients(methods.cdan(weight=0.0, **SMALL), **separate)
    alone = gradients(methods.source_only(), **separate)
    for block in ("backbone", "bottleneck", "classifier"):
        assert same(adapted[block], alone[block]), block
    assert any(np.any(leaf) for leaf in adapted["discriminator"])


def domain_loss(method, scale):
    """Return L_d of a step whose classifier is multiplied by a number: 0 makes every prediction uniform."""
    found = moment(method)
    classifier = jax.tree.map(lambda leaf: scale * leaf, found.state.params["classifier"])
    state = found.state._replace(params={**found.state.params, "classifier": classifier})
    return float(found.go(state)[1]["loss/domain"])


def test_weights_differ_where_certainties_do():
    plain, weighted = methods.cdan(**SMALL), methods.cdan(entropy=True, **SMALL)
    assert domain_loss(weighted, 0.0) == pytest.approx(domain_loss(plain, 0.0), rel=1e-5)
    assert abs(domain_loss(weighted, 3.0) - domain_loss(plain, 3.0)) > 1e-4


def test_differentiated_weights_change_the_gradient_and_not_the_value():
    detached = methods.cdan(entropy=True, **SMALL)
    reversed_ = methods.cdan(entropy=True, entropy_grad="reversed", **SMALL)
    assert domain_loss(detached, 1.0) == domain_loss(reversed_, 1.0)
    first, second = gradients(detached), gradients(reversed_)
    assert same(first["discriminator"], second["discriminator"])
    for block in ("backbone", "classifier"):
        assert not same(first[block], second[block]), block


def test_the_domain_loss_is_log_2_where_the_discriminator_knows_nothing():
    found = moment(methods.cdan(entropy=True, **SMALL))
    zeros = jax.tree.map(jnp.zeros_like, found.state.params["discriminator"])
    _, log = found.go(found.state._replace(params={**found.state.params, "discriminator": zeros}))
    np.testing.assert_allclose(log["loss/domain"], np.log(2), rtol=1e-6)
    assert float(log["discriminator/accuracy"]) == 0.5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": -1.0}, r"weight must lie in \[0, inf\)"),
        ({"schedule": "ganin"}, "Did you mean 'ganin2016'"),
        ({"map": "randomised"}, "map must be one of auto, exact, random; got 'randomised'"),
        ({"entropy": True, "entropy_grad": "attached"}, "entropy_grad must be one of detach, reversed"),
        ({"entropy_grad": "reversed"}, "add entropy=True"),
        ({"hidden": ()}, "one hidden layer at least"),
        ({"size": 0}, "size must lie in"),
    ],
)
def test_fields_out_of_range_are_refused(fields, words):
    with pytest.raises(UsageError, match=words):
        methods.cdan(**fields)
