"""Discrepancies as methods: DAN's, and a user's function."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import gradients, moment, same
from tladapt import Method, losses, methods
from tladapt.errors import UsageError
from tladapt.methods import Logged, classification


@pytest.mark.parametrize(("on", "width"), [("features", 6), ("logits", 3)])
def test_a_users_function_receives_both_domains(on, width):
    shapes = []

    def fn(source, target):
        shapes.append((source.shape, target.shape))
        return 3.0 + 0.0 * jnp.sum(source) * jnp.sum(target)

    _, log = moment(methods.discrepancy(fn, on, 0.5)).go()
    assert shapes == [((13, width), (13, width))]
    assert float(log["loss/discrepancy"]) == 3.0
    assert float(log["weight/discrepancy"]) == float(log["lambda"]) == 0.5


def test_source_comes_first():
    class Means(Method):
        def loss(self, ctx):
            found = {name: Logged(jnp.mean(getattr(ctx, name).features)) for name in ("source", "target")}
            return {"classification": classification(ctx), **found}

    _, means = moment(Means()).go()
    assert float(means["source"]) != float(means["target"])
    for name, fn in (("source", lambda source, target: jnp.mean(source)), ("target", lambda s, t: jnp.mean(t))):
        assert float(moment(methods.discrepancy(fn)).go()[1]["loss/discrepancy"]) == float(means[name])


def test_mmd_is_the_discrepancy_of_mk_mmd():
    by_name = gradients(methods.mmd(weight=0.3))
    by_function = gradients(methods.discrepancy(losses.mk_mmd, weight=0.3, schedule="ganin2016"))
    assert same(by_name, by_function)


def test_the_estimators_differ_by_what_their_diagonals_add():
    value = {
        name: float(moment(methods.mmd(estimator=name)).go()[1]["loss/mmd"])
        for name in ("unbiased", "biased", "linear")
    }
    assert value["unbiased"] < value["biased"] < 10.0
    assert value["linear"] not in (value["unbiased"], value["biased"])


def test_a_term_that_is_no_scalar_is_named():
    with pytest.raises(UsageError, match=r"term 'discrepancy' must be a scalar, got shape \(6,\)"):
        moment(methods.discrepancy(lambda source, target: source.mean(0) - target.mean(0))).go()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: methods.discrepancy(losses.coral, on="logit"), "must be 'features' or 'logits', got 'logit'"),
        (lambda: methods.discrepancy(losses.coral, schedule="gaussian"), "Unknown lambda schedule 'gaussian'"),
        (lambda: methods.discrepancy("coral"), "needs a function"),
        (lambda: methods.mmd(estimator="unbaised"), "unbiased, biased, linear; got 'unbaised'"),
        (lambda: methods.mmd(weight=-1.0), "weight must lie in"),
        (lambda: methods.source_only(smoothing=1.0), "smoothing must lie in"),
    ],
)
def test_what_cannot_be_is_refused_at_once(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_mmd_does_not_reach_the_classifier():
    with_it, alone = gradients(methods.mmd()), gradients(methods.discrepancy(lambda s, t: jnp.float32(0.0)))
    assert same(with_it["classifier"], alone["classifier"])
    assert any(np.any(a != b) for a, b in zip(with_it["backbone"], alone["backbone"], strict=True))
