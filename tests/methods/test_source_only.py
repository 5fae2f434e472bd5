"""The two ends of a comparison: no adaptation sees no target, and the oracle says that it is one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tests.methods.toy import STEPS, config, moment, scenario
from tladapt import losses, methods
from tladapt.errors import UsageError
from tladapt.training.assemble import assemble


def test_without_adaptation_the_target_is_not_looked_at():
    found = moment(methods.source_only(), batch_norm=True)
    assert set(found.piece) == set(found.arrays) == {"source"}
    state, _ = found.go()
    # The running mean of the first layer: momentum 0.9 on 0, then a tenth of the mean over the source's batch alone.
    x = np.asarray(found.arrays["source"]["x"])[np.asarray(found.piece["source"]["index"])]
    kernel = np.asarray(found.state.params["backbone"]["layers"][0]["linear"]["kernel"])
    mean = state.statistics["shared"]["backbone"]["layers"][0]["norm"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * np.mean(x @ kernel, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "stage"), [(methods.source_only(smoothing=0.2), 0), (methods.shot(smoothing=0.2), 0)]
)
def test_label_smoothing_reaches_the_cross_entropy(method, stage):
    found = moment(method, stage=stage)
    # An untrained classifier of zeros has no opinion; one with opinions pays for them.
    bias = {**found.state.params["classifier"], "bias": jnp.array([3.0, 0.0, 0.0])}
    weights = jax.tree.map(jnp.zeros_like, {name: leaf for name, leaf in bias.items() if name in ("kernel", "scale")})
    params = {**found.state.params, "classifier": {**bias, **weights}}
    _, log = found.go(found.state._replace(params=params))
    labels = np.asarray(found.arrays["source"]["y"])[np.asarray(found.piece["source"]["index"])]
    logits = jnp.tile(jnp.array([[3.0, 0.0, 0.0]]), (13, 1))
    expected = losses.cross_entropy(logits, jnp.asarray(labels), smoothing=0.2)
    np.testing.assert_allclose(log["loss/classification"], expected, rtol=1e-5)
    assert abs(float(expected) - float(losses.cross_entropy(logits, jnp.asarray(labels)))) > 0.01


def test_the_oracle_trains_on_the_labelled_target_and_says_so():
    found = assemble(config(methods.target_only()), scenario(), 0)
    assert found.scenario.is_oracle
    trained = found.scenario.source[0]
    assert trained.y is not None and np.array_equal(trained.x, scenario().target.x)


def test_the_oracle_needs_labels_of_the_target():
    bare = tladapt.Scenario(scenario().source, tladapt.Domain(scenario().target.x))
    with pytest.raises(UsageError, match="no labels of the target, so there is no oracle"):
        tladapt.run(tladapt.Config(method="target_only", steps=STEPS), bare)
