"""SHOT: two stages that never see both domains, a fixed classifier, pseudo-labels from centroids."""

import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import moment, same
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.methods.shot import centroid_labels


def naive_labels(features, logits):
    """The pseudo-labels of Liang et al. 2020, example by example, class by class, in float64."""
    features, logits = np.asarray(features, np.float64), np.asarray(logits, np.float64)
    rows = [np.append(f, 1.0) / math.sqrt(f @ f + 1.0) for f in features]
    n, classes = logits.shape
    weights = np.exp(logits - logits.max(1)[:, None])
    weights /= weights.sum(1)[:, None]
    labels = [int(np.argmax(row)) for row in logits]
    for _ in range(2):
        centroids = {}
        for c in sorted(set(labels)):
            centroids[c] = sum(weights[i, c] * rows[i] for i in range(n)) / sum(weights[i, c] for i in range(n))
        for i in range(n):
            cosine = {c: rows[i] @ m / (np.linalg.norm(rows[i]) * np.linalg.norm(m)) for c, m in centroids.items()}
            labels[i] = max(cosine, key=cosine.get)
        weights = np.eye(classes)[labels]
    return np.array(labels)


def predictions(n, d, classes, seed, missing=()):
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(n, classes))
    logits[:, list(missing)] -= 50.0
    features = rng.normal(size=(n, d)) + logits @ rng.normal(size=(classes, d))
    return jnp.asarray(features, jnp.float32), jnp.asarray(logits, jnp.float32)


@pytest.mark.parametrize(("n", "d", "classes", "missing"), [(37, 5, 4, ()), (101, 8, 7, (2, 6)), (3, 2, 5, (0,))])
def test_labels_are_those_of_a_naive_loop(n, d, classes, missing):
    features, logits = predictions(n, d, classes, seed=n, missing=missing)
    labels = centroid_labels(features, logits)
    np.testing.assert_array_equal(labels, naive_labels(features, logits))
    assert labels.dtype == jnp.int32
    assert not set(np.asarray(labels)) & set(missing)
    assert n < 10 or np.any(np.asarray(labels) != np.argmax(logits, 1))  # they are not the predictions again
    assert same(labels, jax.jit(centroid_labels)(features, logits))


def test_labels_follow_their_examples():
    features, logits = predictions(60, 6, 4, seed=0)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_array_equal(
        centroid_labels(features[order], logits[order]), centroid_labels(features, logits)[order]
    )


def test_a_class_that_loses_all_its_examples_is_not_assigned_in_the_second_round():
    # Class 2 is predicted once, by an example that lies with class 0, while its centroid lies with class 1, whose
    # examples have a little of it. In the second round it has no centroid; the last example is far from all others.
    features = jnp.array([[3.0, 0.0]] * 3 + [[3.0, 0.1]] + [[0.0, 3.0]] * 3 + [[-3.0, -3.0]])
    logits = jnp.array([[5.0, 0.0, 0.0]] * 3 + [[1.0, 0.0, 1.1]] + [[0.0, 2.0, 1.9]] * 3 + [[3.0, 0.0, 0.0]])
    assert 2 in np.argmax(logits, axis=1)
    labels = centroid_labels(features, logits)
    np.testing.assert_array_equal(labels, naive_labels(features, logits))
    np.testing.assert_array_equal(labels, [0, 0, 0, 0, 1, 1, 1, 0])


def context(logits, labels, index):
    target = types.SimpleNamespace(logits=jnp.asarray(logits, jnp.float32), index=jnp.asarray(index))
    return types.SimpleNamespace(target=target, memory={"labels": jnp.asarray(labels, jnp.int32)})


def test_the_loss_of_certain_balanced_predictions_is_minus_log_c():
    terms = methods.shot(weight=0.0).adapt(context(40.0 * np.eye(4)[[0, 1, 2, 3]], [0, 0, 0, 0], [0, 1, 2, 3]))
    total = sum(float(term.value) * term.weight for term in terms.values())
    np.testing.assert_allclose(total, -math.log(4), rtol=1e-6)


def test_each_example_meets_its_own_pseudo_label():
    logits, labels, index = np.random.default_rng(0).normal(size=(3, 3)), [0, 1, 2, 0, 1], [4, 0, 2]
    value = methods.shot().adapt(context(logits, labels, index))["pseudo_labels"].value
    p = np.exp(logits) / np.exp(logits).sum(1)[:, None]
    np.testing.assert_allclose(value, -np.mean(np.log(p[[0, 1, 2], [1, 0, 2]])), rtol=1e-5)


def test_a_refresh_labels_the_whole_target():
    features, logits = predictions(40, 6, 3, seed=3)
    memory = methods.shot().refresh(None, types.SimpleNamespace(features=features, logits=logits))
    assert same(memory, {"labels": centroid_labels(features, logits)})


def test_the_source_stage_has_no_target_and_the_target_stage_no_source():
    method = methods.shot(width=8)
    seen = []

    class Spy(methods.SHOT):
        def train_source(self, ctx):
            seen.append((ctx.source is None, ctx.target is None))
            return super().train_source(ctx)

        def adapt(self, ctx):
            seen.append((ctx.source is None, ctx.target is None))
            return super().adapt(ctx)

    for stage, domain in ((0, "source"), (1, "target")):
        found = moment(Spy(width=8), stage=stage)
        assert set(found.piece) == set(found.arrays) == {domain}
        found.go()
    assert seen == [(False, True), (True, False)]
    assert [stage.refresh for stage in method.stages()] == [0, 15]


def test_the_classifier_keeps_its_bits_through_the_target_stage():
    found = moment(methods.shot(width=8), stage=1, progress=0.0, weight_decay=0.01)
    state = found.state
    for _ in range(3):
        state, _ = found.go(state)
    for block in state.params:
        assert same(state.params[block], found.state.params[block]) == (block == "classifier")
    # The bottleneck's normalisation is in training mode: its running statistics follow the target.
    assert not same(state.statistics, found.state.statistics)


def test_the_classifier_is_weight_normalised_behind_a_normalised_bottleneck_of_the_asked_width():
    params = moment(methods.shot(width=8)).state.params
    assert set(params["classifier"]) == {"bias", "direction", "scale"}
    assert params["classifier"]["direction"].shape == (8, 3)
    assert "norm" in params["bottleneck"]


@pytest.mark.parametrize("fields", [{"source_share": 1.5}, {"refreshes": 0}, {"dropout": 1.0}, {"smoothing": -0.1}])
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(UsageError, match=f"method 'shot': {next(iter(fields))} must lie in"):
        methods.shot(**fields)
