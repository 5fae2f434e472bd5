"""How far domains are apart: against values known beforehand, and against a plain reference."""

from __future__ import annotations

import numpy as np
import pytest

from tladapt.errors import UsageError
from tladapt.evaluation.distances import MULTIPLES, mmd_test, proxy_a_distance


def normal(n: int, d: int = 4, *, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def naive_mmd(source: np.ndarray, target: np.ndarray, bandwidth: float) -> float:
    """The biased form, pair by pair."""

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        return float(
            np.mean([sum(np.exp(-((x - y) ** 2).sum() / (m * bandwidth)) for m in MULTIPLES) for x in a for y in b])
        )

    return mean(source, source) + mean(target, target) - 2 * mean(source, target)


def test_one_distribution_is_near_0_and_disjoint_domains_are_2():
    same = [proxy_a_distance(normal(400, seed=2 * i), normal(400, seed=2 * i + 1)) for i in range(5)]
    assert max(found.distance for found in same) < 0.25
    assert 0.42 < np.mean([found.error for found in same]) < 0.58
    assert proxy_a_distance(normal(100), normal(100, shift=20.0, seed=1)).distance == 2.0


def test_the_error_is_that_of_the_best_line():
    # Two unit normals a distance s apart: the best line errs with probability Phi(-s / 2) = 0.3085 for s = 1.
    source, target = normal(4000, 1), normal(4000, 1, shift=1.0, seed=1)
    found = proxy_a_distance(source, target)
    assert found.examples == 4000
    assert found.error == pytest.approx(0.3085, abs=0.025)
    assert found.distance == pytest.approx(2 * (1 - 2 * found.error))


def test_the_classifier_is_judged_on_examples_that_it_was_not_trained_on():
    # 60 dimensions for 50 training examples: any split of one sample is separable, so training error would be 0.
    found = proxy_a_distance(normal(50, 60), normal(50, 60, seed=1))
    assert found.error > 0.25


def test_scale_of_a_feature_and_unequal_sizes_make_no_difference():
    source, target = normal(300), normal(200, shift=0.7, seed=1)
    factors = np.array([1.0, 1e6, 1e-6, 3.0])
    first, second = proxy_a_distance(source, target), proxy_a_distance(source * factors, target * factors)
    assert first.distance == pytest.approx(second.distance, abs=0.05) and first.examples == 200


def test_constant_features_say_nothing():
    source, target = np.ones((40, 3)), np.ones((40, 3))
    found = proxy_a_distance(source, target)
    assert found.error == 0.5 and found.distance == 0.0


def test_mmd_is_the_mean_over_pairs():
    source, target = normal(17), normal(23, shift=0.5, seed=1)
    found = mmd_test(source, target, bandwidth=3.0, permutations=20)
    assert found.value == pytest.approx(naive_mmd(source, target, 3.0), rel=1e-9)


def test_mmd_of_a_sample_with_itself_is_0_and_a_shift_is_found():
    x = normal(60)
    same = mmd_test(x, x, bandwidth=8.0)
    assert same.value == pytest.approx(0.0, abs=1e-12) and same.p == 1.0
    apart = mmd_test(x, normal(60, shift=1.0, seed=1), bandwidth=8.0)
    assert apart.p == pytest.approx(1 / 501) and apart.value > 3 * apart.null
    assert mmd_test(x + 100, normal(60, shift=101.0, seed=1), bandwidth=8.0).value == pytest.approx(apart.value)


def test_p_of_equal_distributions_is_uniform():
    values = [
        mmd_test(normal(40, seed=2 * i), normal(30, seed=2 * i + 1), bandwidth=8.0, permutations=99).p
        for i in range(60)
    ]
    assert 0.35 < np.mean(values) < 0.65  # 0.5, with a deviation of 0.037 over 60 draws
    assert np.mean(np.array(values) <= 0.2) < 0.4


def test_a_fixed_bandwidth_orders_targets_by_their_distance():
    source = normal(150)
    values = [mmd_test(source, normal(150, shift=s, seed=1), bandwidth=8.0).value for s in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)


def test_large_samples_are_thinned():
    assert mmd_test(normal(3000), normal(3000, shift=2.0, seed=1), bandwidth=8.0, limit=100).p < 0.01


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((normal(10), normal(10, 3)), "one width"),
        ((normal(10)[:, 0], normal(10)), r"\[n_s, d\]"),
        ((normal(3), normal(10)), "at least 4"),
        ((np.full((9, 2), np.nan), normal(9, 2)), "not finite"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, words):
    with pytest.raises(UsageError, match=words):
        proxy_a_distance(*arguments)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.nan])
def test_a_bandwidth_is_positive(bandwidth):
    with pytest.raises(UsageError, match="bandwidth must be a positive number"):
        mmd_test(normal(9), normal(9), bandwidth=bandwidth)
    with pytest.raises(UsageError, match="permutations must be at least 1"):
        mmd_test(normal(9), normal(9), bandwidth=1.0, permutations=0)
