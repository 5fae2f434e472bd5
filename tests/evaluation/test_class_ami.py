"""ClassAMI: the value on clusters that nobody can miss, its ends, and collapsed models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.evaluation import naive
from tladapt.errors import UsageError
from tladapt.evaluation import ValidationOutputs
from tladapt.evaluation.validators import ClassAMI


def seen(features, predicted, classes=3):
    z = np.eye(classes, dtype=np.float32)[predicted]
    return ValidationOutputs(features, z, np.asarray(predicted), features, z)


def blobs(n=45, classes=3, seed=0, width=4):
    """Features in clusters far apart, and which cluster each is of."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) % classes
    return (20 * np.eye(classes, width)[cluster] + rng.normal(size=(n, width))).astype(np.float32), cluster


@pytest.mark.parametrize("wrong", [0, 5, 20, 45])
def test_equals_the_naive_one_on_separate_clusters(wrong):
    features, cluster = blobs()
    predicted = cluster.copy()
    predicted[:wrong] = np.random.default_rng(1).integers(3, size=wrong)
    score = ClassAMI().score(seen(features, predicted))
    assert score == pytest.approx(naive.ami(list(predicted), list(cluster)), abs=1e-12)


def test_ends():
    features, cluster = blobs(300)
    assert ClassAMI().score(seen(features, cluster)) == pytest.approx(1)
    assert ClassAMI().score(seen(features, (cluster + 1) % 3)) == pytest.approx(1)  # names of clusters do not count
    chance = [ClassAMI().score(seen(features, np.random.default_rng(s).integers(3, size=300))) for s in range(20)]
    assert abs(np.mean(chance)) < 0.01


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("features_too", [True, False])
def test_a_model_of_one_class_scores_nothing(features_too):
    features, _ = blobs()
    features = np.ones_like(features) if features_too else features
    assert ClassAMI().score(seen(features, np.zeros(45, int))) == 0.0


def test_collapsed_features_score_nothing_and_fewer_examples_than_classes_do_no_harm():
    assert ClassAMI().score(seen(np.zeros((9, 2)), np.arange(9) % 3)) == 0.0
    assert ClassAMI().score(seen(np.eye(2), np.array([0, 1]), classes=10)) == pytest.approx(1)


def test_deterministic_and_blind_to_the_scale_of_features():
    rng = np.random.default_rng(0)
    features, predicted = rng.normal(size=(200, 5)).astype(np.float32), rng.integers(3, size=200)
    score = ClassAMI().score(seen(features, predicted))
    assert score == ClassAMI().score(seen(features, predicted)) == ClassAMI().score(seen(features * 2.0**40, predicted))


def test_many_examples_are_thinned():
    features, cluster = blobs(90)
    kept = np.linspace(0, 89, 30).astype(int)
    assert ClassAMI(limit=30).score(seen(features, cluster)) == ClassAMI().score(seen(features[kept], cluster[kept]))


def test_what_is_not_finite_scores_nan():
    features, cluster = blobs()
    features[3, 1] = np.inf
    assert math.isnan(ClassAMI().score(seen(features, cluster)))


@pytest.mark.parametrize("field", ["restarts", "limit"])
def test_mistakes(field):
    with pytest.raises(UsageError, match=f"class_ami: {field} must be at least"):
        ClassAMI(**{field: 0})
