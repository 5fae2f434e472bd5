"""Clusters without labels, and what labels say of them afterwards."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.losses.naive import plain_entropy
from tladapt.errors import UsageError
from tladapt.evaluation import agreement_with_labels, k_means


def clouds(n: int = 60, apart: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(n) % 3)
    return (apart * np.eye(3)[y] + rng.normal(size=(n, 3))).astype(np.float32), y


def test_clouds_are_found_and_the_names_of_clusters_are_no_matter() -> None:
    f, y = clouds()
    found = agreement_with_labels(k_means(f, 3), y)
    assert found[:3] == (1.0, 1.0, 1.0)
    assert sorted(found.matching) == [0, 1, 2]
    assert (found.matching[k_means(f, 3)] == y).all()


def test_clusters_are_the_same_each_time_and_at_any_scale() -> None:
    f, y = clouds(apart=1.0)
    first = k_means(f, 4, restarts=2)
    np.testing.assert_array_equal(k_means(f, 4, restarts=2), first)
    assert agreement_with_labels(k_means(1e200 * f.astype(np.float64), 4, restarts=2), first).accuracy == 1.0
    assert first.dtype == np.int64 and set(first) == {0, 1, 2, 3}
    assert agreement_with_labels(first, y).accuracy < 0.9


def test_fewer_distinct_features_than_clusters_are_no_trouble() -> None:
    found = k_means(np.ones((5, 2)), 3)
    assert set(found) == {0}
    assert agreement_with_labels(found, [0, 0, 0, 1, 1])[:3] == (0.0, 0.0, 0.6)


@pytest.mark.parametrize(("clusters", "classes"), [(3, 3), (5, 3), (2, 4)])
def test_numbers_by_their_definitions(clusters: int, classes: int) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(40) % classes
    u = np.where(rng.random(40) < 0.6, y % clusters, rng.integers(clusters, size=40))
    u[:clusters] = np.arange(clusters)
    found = agreement_with_labels(u, y)
    joint = np.array([[np.mean((u == a) & (y == b)) for b in range(classes)] for a in range(clusters)])
    a, b = joint.sum(axis=1), joint.sum(axis=0)
    mutual = sum(joint[i, j] * math.log(joint[i, j] / (a[i] * b[j])) for i, j in np.ndindex(joint.shape) if joint[i, j])
    assert found.nmi == pytest.approx(2 * mutual / (plain_entropy(a) + plain_entropy(b)))
    size = max(clusters, classes)
    square = np.zeros((size, size))
    square[:clusters, :classes] = joint
    best = max(sum(square[i, p[i]] for i in range(size)) for p in itertools.permutations(range(size)))
    assert found.accuracy == pytest.approx(best)
    assert (found.matching == -1).sum() == max(0, clusters - classes)
    pairs = list(itertools.combinations(range(40), 2))
    same_u, same_y = (np.array([v[i] == v[j] for i, j in pairs]) for v in (u, y))
    both, expected = (same_u & same_y).sum(), same_u.sum() * same_y.sum() / len(pairs)
    assert found.ari == pytest.approx((both - expected) / ((same_u.sum() + same_y.sum()) / 2 - expected))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.ones(3), 2), "got shape"),
        ((np.full((3, 1), np.nan), 2), "not finite"),
        ((np.ones((3, 1)), 4), "from 1 to the 3"),
        ((np.ones((3, 1)), 0), "from 1 to the 3"),
    ],
)
def test_mistakes(arguments: tuple, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        k_means(*arguments)


def test_mistakes_in_measuring() -> None:
    with pytest.raises(UsageError, match="restarts"):
        k_means(np.ones((3, 1)), 1, restarts=0)
    with pytest.raises(UsageError, match="got shapes"):
        agreement_with_labels([0, 1], [0, 1, 1])
    with pytest.raises(UsageError, match="labels must be integers from 0"):
        agreement_with_labels([0, 1], [0, -1])
