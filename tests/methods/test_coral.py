"""Deep CORAL: covariances come together, and which outputs they are of."""

import dataclasses

import numpy as np
import pytest

import tladapt
from tests.methods.toy import config, draw, gradients, same
from tladapt import losses, methods
from tladapt.errors import UsageError


def stretched():
    """Return a problem whose target has another covariance: it is stretched along what tells two classes apart."""
    x, y = draw(300, 1)
    x[:, 0] = 3.0 * (x[:, 0] - x[:, 0].mean())
    return tladapt.Scenario(tladapt.Domain(*draw(300, 0)), tladapt.Domain(x), test=tladapt.Domain(x, y))


def test_training_brings_the_covariances_together():
    """||C_s - C_t||^2 is 83, 78, 61 without its term and 5.1, 4.7, 4.1 with it (seeds 0, 1, 2; jax 0.10.2, CPU)."""

    def distance(weight):
        run = dataclasses.replace(config(methods.coral(weight=weight, on="features"), batch_size=32), steps=100)
        found = tladapt.run(run, stretched())
        covariances = [np.cov(found.features(domain.x).T) for domain in (stretched().source[0], stretched().target)]
        return float(np.sum((covariances[0] - covariances[1]) ** 2))

    assert distance(10.0) < 0.3 * distance(0.0)


@pytest.mark.parametrize("on", ["features", "logits"])
def test_it_is_the_discrepancy_of_coral(on):
    by_name = gradients(methods.coral(weight=0.3, on=on))
    assert same(by_name, gradients(methods.discrepancy(losses.coral, on, 0.3)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": -1.0}, r"weight must lie in \[0, inf\)"),
        ({"on": "logit"}, "'features' or 'logits', got 'logit'"),
        ({"schedule": "constnat"}, "Did you mean 'constant'"),
    ],
)
def test_fields_out_of_range_are_refused(fields, words):
    with pytest.raises(UsageError, match=words):
        methods.coral(**fields)
