"""AdaBN: the source model, and the target's statistics in the place of the source's."""

import dataclasses

import jax
import numpy as np
import pytest

import tladapt
from tests.methods.toy import config, draw, same, scenario
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.training.assemble import assemble
from tladapt.training.config import BATCHNORM_PRESETS
from tladapt.training.evaluate import Weights
from tladapt.training.target_statistics import measured

STEPS = 40


def run(method, problem=None, **options):
    chosen = dataclasses.replace(config(method, batch_norm=True, **options), steps=STEPS)
    return tladapt.run(chosen, scenario() if problem is None else problem)


@pytest.fixture(scope="module")
def adapted():
    return run(methods.adabn())


@pytest.fixture(scope="module")
def alone():
    return run(methods.source_only())


def test_parameters_are_those_of_source_only_and_statistics_are_not(adapted, alone):
    assert same(adapted.weights.params, alone.weights.params)
    assert not same(adapted.weights.statistics, alone.weights.statistics)
    assert adapted.metrics["source/accuracy"] == alone.metrics["source/accuracy"]
    assert adapted.metrics["target/accuracy"] > alone.metrics["target/accuracy"]


def test_it_is_source_only_under_the_policy_that_measures_the_target(adapted):
    policy = run(methods.source_only(), batchnorm=BATCHNORM_PRESETS["target"])
    assert same(adapted.weights, policy.weights)
    assert adapted.metrics["target/accuracy"] == policy.metrics["target/accuracy"]
    assert adapted.metrics["recipe"] == "custom"  # one table, one recipe: the method has not renamed it


def test_measuring_again_changes_nothing(adapted):
    evaluator = assemble(config(methods.adabn(), batch_norm=True), scenario(), 0).evaluator
    again = evaluator.adapted(Weights(*adapted.weights))
    for first, second in zip(
        jax.tree.leaves(adapted.weights.statistics), jax.tree.leaves(again.statistics), strict=True
    ):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_the_source_in_the_place_of_the_target_changes_about_nothing():
    x, y = draw(300, 0)
    problem = tladapt.Scenario(
        tladapt.Domain(x, y), tladapt.Domain(x), test=tladapt.Domain(x, y), validation=tladapt.Domain(x, y)
    )
    # Batches of the whole source: their statistics are the measured ones, but for how long ago they were taken.
    options = {"batch_size": 300, "learning_rate": 0.001}
    first, second = (run(method, problem, **options) for method in (methods.adabn(), methods.source_only()))
    np.testing.assert_allclose(first.predict_proba(x), second.predict_proba(x), atol=0.05)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_batches_are_pooled_by_the_law_of_total_variance(momentum):
    """Three uneven batches with different means: var = E[var] + Var[mean], the variance of all examples."""
    x = np.random.default_rng(0).normal(size=(23, 4)) + np.linspace(0, 9, 23)[:, None]

    def passes(statistics, index):
        batch = {"mean": x[index].mean(0), "var": x[index].var(0)}
        return {"norm": {name: momentum * statistics["norm"][name] + (1 - momentum) * batch[name] for name in batch}}

    with jax.enable_x64(True):
        old = {"norm": {"mean": np.zeros(4), "var": np.ones(4)}}
        found = measured(passes, old, 23, 10)["norm"]
        np.testing.assert_allclose(found["mean"], x.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["var"], x.var(0), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_norm": False}, r"'adabn' replaces .* this network has no such layer.*--backbone.batch_norm true"),
        ({"batch_norm": True, "batchnorm": BATCHNORM_PRESETS["frozen"]}, "'adabn' replaces .* statistics='frozen'"),
    ],
)
def test_a_network_whose_predictions_it_could_not_change_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        assemble(config(methods.adabn(), **options), scenario(), 0)


def test_it_can_be_combined():
    both = methods.combine(methods.adabn(), methods.mcc())
    assert both.target_statistics
    found = assemble(config(both, batch_norm=True), scenario(), 0)
    assert found.parts.network.policy.evaluation == "target"
    with pytest.raises(UsageError, match=r"'adabn\+mcc' replaces"):
        assemble(config(both), scenario(), 0)
    assert not methods.combine(methods.dann(), methods.mcc()).target_statistics
