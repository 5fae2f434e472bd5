"""L2-SP: a pull to where the run started."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tests.methods.toy import gradients, leaves_by_block, moment
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.penalties import L2SP, PENALTIES, PenaltyStart

PARAMS = {
    "backbone": {"kernel": jnp.array([[1.0, 2.0], [3.0, 4.0]]), "bias": jnp.array([0.5, -0.5])},
    "classifier": {"kernel": jnp.array([[1.0], [-1.0]])},
}


def start(params):
    return PenaltyStart(params=params, logits=None, source=None, target=None, key=jax.random.key(0))


def moved(by):
    return jax.tree.map(lambda leaf: leaf + by, PARAMS)


def test_it_is_zero_with_zero_gradient_at_the_start():
    penalty = L2SP(weight=0.3)
    memory = penalty.prepare(start(PARAMS))
    value, gradient = jax.value_and_grad(penalty.value)(PARAMS, memory)
    assert float(value) == 0.0
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(gradient))  # and not NaN


def test_value_and_gradient_are_those_of_the_formula():
    penalty = L2SP(weight=0.3)
    value, gradient = jax.value_and_grad(penalty.value)(moved(2.0), penalty.prepare(start(PARAMS)))
    np.testing.assert_allclose(value, 0.5 * 0.3 * 8 * 4.0, rtol=1e-6)  # eight parameters, each 2 away
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, 0.3 * 2.0, rtol=1e-6)


def test_the_classifier_can_be_left_alone():
    penalty = L2SP(weight=1.0, classifier=False)
    value, gradient = jax.value_and_grad(penalty.value)(moved(1.0), penalty.prepare(start(PARAMS)))
    np.testing.assert_allclose(value, 0.5 * 6, rtol=1e-6)
    assert not np.any(gradient["classifier"]["kernel"])


def test_the_anchor_is_where_the_run_starts_and_does_not_move():
    penalty = L2SP(weight=0.5)
    found = moment(methods.dann(hidden=(8,)), penalty=penalty, batch_norm=True)
    assert set(found.state.penalty) == {"backbone", "bottleneck", "classifier"}  # neither heads nor statistics
    state, log = found.go()
    assert float(log["loss/penalty"]) == 0.0 and float(log["weight/penalty"]) == 1.0
    after, log = found.go(state)
    assert float(log["loss/penalty"]) > 0.0
    for block, leaves in leaves_by_block(after.penalty).items():
        for leaf, first in zip(leaves, leaves_by_block(found.state.params)[block], strict=True):
            np.testing.assert_array_equal(leaf, first)


def test_its_gradient_is_added_to_the_methods():
    def at_distance(penalty):
        found = moment(methods.source_only(), penalty=penalty, momentum=0.9)
        params = jax.tree.map(lambda leaf: leaf + 0.1, found.state.params)
        return leaves_by_block(found.go(found.state._replace(params=params))[0].optimizer)

    with_it, without = at_distance(L2SP(weight=0.5)), at_distance(None)
    for block, leaves in with_it.items():
        for leaf, bare in zip(leaves, without[block], strict=True):
            np.testing.assert_allclose(leaf - bare, 0.05, rtol=1e-3, atol=1e-6)


def test_a_head_is_not_pulled():
    # At the start the penalty is flat, so the discriminator's gradient is the method's own to the bit.
    with_it, without = (gradients(methods.dann(hidden=(8,)), penalty=p) for p in (L2SP(weight=5.0), None))
    for leaf, bare in zip(with_it["discriminator"], without["discriminator"], strict=True):
        np.testing.assert_array_equal(leaf, bare)


def test_it_goes_by_its_name():
    assert PENALTIES["l2sp"] is L2SP
    assert tladapt.Config(penalty="l2sp").resolved().penalty == L2SP()


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(UsageError, match="weight must be 0 or more"):
        L2SP(weight=weight)


def test_a_penalty_without_its_parts_says_what_to_define():
    class Mine(tladapt.Penalty):
        pass

    assert Mine.name == "mine"
    with pytest.raises(NotImplementedError, match=r"Mine must define prepare\(self, start\)"):
        Mine().prepare(start(PARAMS))
    with pytest.raises(NotImplementedError, match=r"Mine must define value\(self, params, memory\)"):
        Mine().value(PARAMS, None)
