"""DANN: the reversal, lambda, and the discriminator's loss."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import gradients, moment, same
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.training.config import BATCHNORM_PRESETS

SEPARATE = {"batchnorm": BATCHNORM_PRESETS["separate"]}  # the source passes alone, as it does for source_only


def test_without_lambda_the_model_follows_source_only_to_the_bit():
    adapted = gradients(methods.dann(weight=0.0), **SEPARATE)
    alone = gradients(methods.source_only(), **SEPARATE)
    for block in ("backbone", "bottleneck", "classifier"):
        assert same(adapted[block], alone[block]), block
    assert not same(gradients(methods.dann(), **SEPARATE)["backbone"], alone["backbone"])


def test_the_discriminator_learns_at_its_full_rate_whatever_lambda():
    full = gradients(methods.dann())["discriminator"]
    assert any(np.any(leaf) for leaf in full)
    for weight in (0.0, 0.3):
        assert same(gradients(methods.dann(weight=weight))["discriminator"], full)


def test_the_domain_loss_is_log_2_where_the_discriminator_knows_nothing():
    found = moment(methods.dann())
    _, log = found.go()
    # 0.67 to 0.81 with seeds 0 to 4: an untrained discriminator guesses, on features whose domains do differ.
    np.testing.assert_allclose(log["loss/domain"], math.log(2), atol=0.2)
    params = {**found.state.params, "discriminator": jax.tree.map(jnp.zeros_like, found.state.params["discriminator"])}
    _, log = found.go(found.state._replace(params=params))
    np.testing.assert_allclose(log["loss/domain"], math.log(2), rtol=1e-6)
    assert float(log["discriminator/accuracy"]) == 0.5


def test_lambda_grows_from_zero_to_less_than_its_weight():
    values = [float(moment(methods.dann(weight=0.5), progress=p).go()[1]["lambda"]) for p in (0.0, 0.1, 0.99)]
    assert values[0] == 0.0
    np.testing.assert_allclose(values[1], 0.5 * 0.462117, rtol=1e-5)  # 2 / (1 + e^-1) - 1
    assert values[1] < values[2] < 0.5


def test_a_batch_normalised_discriminator_keeps_its_statistics_in_the_state():
    found = moment(methods.dann(hidden=(8,), batch_norm=True))
    state, _ = found.go()
    assert jax.tree.leaves(found.state.head_statistics["discriminator"])
    assert not same(state.head_statistics["discriminator"], found.state.head_statistics["discriminator"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": -1.0}, r"weight must lie in \[0, inf\), got -1.0"),
        ({"weight": math.nan}, "weight"),
        ({"schedule": "ganin"}, "Did you mean 'ganin2016'"),
    ],
)
def test_fields_out_of_range_are_refused(fields, words):
    with pytest.raises(UsageError, match=words):
        methods.dann(**fields)
