"""Mixup: what is mixed, what the labels become, and that losses see both."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import moment
from tladapt import losses, methods
from tladapt.data.augment import Mixture, mixup
from tladapt.errors import UsageError
from tladapt.methods import classification
from tladapt.methods.base import SourceOutputs
from tladapt.training import Recipe
from tladapt.training.passes import Mixed
from tladapt.training.step import purpose_key

KEY = jax.random.key(5)


def test_each_example_is_mixed_with_another_of_its_domain():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(400, 3, 2)), jnp.float32)
    y = jnp.arange(400)
    mix = jax.jit(mixup, static_argnames=("alpha", "domains"))
    mixed, (partner, share) = mix(KEY, x, y, alpha=0.5, domains=2)
    assert mixed.shape == x.shape and mixed.dtype == x.dtype
    assert sorted(partner[:200].tolist()) == list(range(200))  # a permutation of the first domain
    assert sorted(partner[200:].tolist()) == list(range(200, 400))
    s = np.asarray(share)[:, None, None]
    np.testing.assert_allclose(mixed, s * x + (1 - s) * np.asarray(x)[np.asarray(partner)], atol=1e-6)
    assert 0.5 <= share.min() < 0.55 and 0.98 < share.max() <= 1
    # max(b, 1 - b) of Beta(1, 1) is uniform in [0.5, 1].
    even = mix(KEY, x, y, alpha=1.0)[1].share
    assert abs(float(even.mean()) - 0.75) < 0.03
    assert float(share.mean()) > 0.8  # Beta(0.5, 0.5) is heavy at its ends
    np.testing.assert_array_equal(mixed, mix(KEY, x, y, alpha=0.5, domains=2)[0])
    assert not np.array_equal(mixed, mix(jax.random.key(6), x, y, alpha=0.5, domains=2)[0])


def test_indices_cannot_be_mixed():
    with pytest.raises(UsageError, match=r"mixup blends inputs .*int32"):
        mixup(KEY, jnp.zeros((4, 3), jnp.int32), jnp.zeros(4, jnp.int32), alpha=1.0)


def test_the_classification_is_the_cross_entropy_of_mixed_labels():
    rng = np.random.default_rng(1)
    logits, other = (jnp.asarray(rng.normal(size=(7, 4)), jnp.float32) for _ in range(2))
    y, partner = (jnp.asarray(rng.integers(0, 4, 7), jnp.int32) for _ in range(2))
    share = jnp.asarray(rng.uniform(0.5, 1.0, 7), jnp.float32)
    source = SourceOutputs(logits, y, y, y, logits, logits, Mixture(partner, share))
    seen = types.SimpleNamespace(source=source)
    for smoothing in (0.0, 0.1):
        q = np.asarray(share)[:, None] * np.eye(4)[y] + (1 - np.asarray(share)[:, None]) * np.eye(4)[partner]
        q = (1 - smoothing) * q + smoothing / 4
        for given, used in ((None, logits), (other, other)):
            expected = -(q * np.asarray(jax.nn.log_softmax(used))).sum(axis=1).mean()
            found = classification(seen, logits=given, smoothing=smoothing).value
            np.testing.assert_allclose(found, expected, rtol=1e-5)
    seen.source = source._replace(mixture=Mixture(partner, jnp.ones(7)))  # nothing of another in any
    np.testing.assert_allclose(classification(seen).value, losses.cross_entropy(logits, y), rtol=1e-6)


def test_the_step_learns_mixtures_of_the_source_alone():
    plain, mixing = (moment(methods.mcd(), stage=0, mixup=alpha) for alpha in (0.0, 1.0))
    key = purpose_key(mixing.state.seed, "step", mixing.state.step)
    (raw, x), (bare, before) = (
        jax.jit(each.step.passes.batches)(each.state.inputs, each.arrays, each.piece, key) for each in (mixing, plain)
    )
    assert isinstance(raw["source"], Mixed) and not isinstance(bare["source"], Mixed)
    np.testing.assert_array_equal(x["target"], before["target"])
    partner, share = (np.asarray(part) for part in raw["source"].mixture)
    y = np.asarray(raw["source"].y)
    q = share[:, None] * np.eye(3)[y] + (1 - share[:, None]) * np.eye(3)[partner]
    network, state = mixing.assembly.parts.network, mixing.state
    log = jax.jit(mixing.step)(state, mixing.arrays, mixing.piece)[1]
    out = network.forward(state.params, state.statistics["shared"], x["source"], mode="train", key=key)
    head = state.params["second_classifier"]
    second = np.asarray(out.features) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    for term, logits in (("classification", out.logits), ("second_classification", second)):
        expected = -(q * np.asarray(jax.nn.log_softmax(logits))).sum(axis=1).mean()
        np.testing.assert_allclose(log[f"loss/{term}"], expected, rtol=1e-4)
        one_hot = -(np.eye(3)[y] * np.asarray(jax.nn.log_softmax(logits))).sum(axis=1).mean()
        assert abs(one_hot - expected) > 1e-3


def test_the_recipe_checks_its_number():
    assert Recipe().mixup == 0.0
    for wrong in (-0.1, float("nan")):
        with pytest.raises(UsageError, match=r"recipe.mixup must be a finite number from 0"):
            Recipe(mixup=wrong)
