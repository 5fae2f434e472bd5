"""MCD: two heads, and three updates a step that pull in different directions."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import gradients, leaves_by_block, moment, one_update, same
from tladapt import methods
from tladapt.errors import UsageError

A, B, C = 0, 1, 2
PLAIN = {"momentum": 0.0, "learning_rate": 0.01}


def before_and_after(number, term):
    """Return the discrepancy on one batch before and after a small step of one update that has this term alone."""
    found = moment(one_update(methods.mcd(), number, term), **PLAIN)
    state, before = found.go()
    after = found.go(state._replace(step=found.state.step))[1]
    return float(before[f"loss/{term}"]), float(after[f"loss/{term}"])


def test_b_drives_the_classifiers_apart_and_c_brings_the_features_to_where_they_agree():
    before, after = before_and_after(B, "disagreement")
    assert after > before
    before, after = before_and_after(C, "discrepancy")
    assert after < before


def test_a_step_is_a_then_b_then_c_as_often_as_asked():
    found = moment(methods.mcd(repeat=2))
    state = found.state
    for number in (A, B, C, C):
        once = moment(one_update(methods.mcd(), number))
        state, _ = once.go(state._replace(step=found.state.step))
    whole, _ = found.go()
    for left, right in zip(jax.tree.leaves(whole.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-7)
    thrice, _ = moment(methods.mcd(repeat=3)).go()
    assert not same(thrice.params["backbone"], whole.params["backbone"])
    assert same(thrice.params["classifier"], whole.params["classifier"])


def test_equal_heads_agree_and_nothing_moves():
    for number, term in ((B, "disagreement"), (C, "discrepancy")):
        found = moment(one_update(methods.mcd(), number, term), momentum=0.9)
        params = {**found.state.params, "second_classifier": found.state.params["classifier"]}
        state, log = found.go(found.state._replace(params=params))
        assert float(log[f"loss/{term}"]) == 0.0
        assert not any(np.any(leaf) for leaves in leaves_by_block(state.optimizer).values() for leaf in leaves)


def test_the_second_classifier_is_like_the_first_and_starts_elsewhere():
    params = moment(methods.mcd()).state.params
    first, second = params["classifier"], params["second_classifier"]
    assert jax.tree.map(jnp.shape, first) == jax.tree.map(jnp.shape, second)
    assert not same(first, second)


def test_the_second_classifier_learns_the_source_as_the_first_does():
    moved = gradients(one_update(methods.mcd(), A))
    assert all(any(np.any(leaf) for leaf in moved[block]) for block in ("classifier", "second_classifier"))


def test_both_classifiers_predict_together():
    rng = np.random.default_rng(0)
    features, first, second = (jnp.asarray(rng.normal(size=(50, 3)), jnp.float32) for _ in range(3))

    def head(given):
        assert given is features
        return second

    ctx = types.SimpleNamespace(
        forward=lambda x, domain: methods.Forward(features, first, None), heads={"second_classifier": head}
    )
    out = methods.mcd().predict(ctx, None, "target")
    predicted = np.argmax(np.asarray(first) + np.asarray(second), axis=1)
    np.testing.assert_array_equal(np.argmax(out.logits, axis=1), predicted)
    assert np.any(predicted != np.argmax(first, axis=1)) and np.any(predicted != np.argmax(second, axis=1))


@pytest.mark.parametrize("fields", [{"repeat": 0}, {"weight": -0.1}])
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(UsageError, match=f"method 'mcd': {next(iter(fields))} must lie in"):
        methods.mcd(**fields)
