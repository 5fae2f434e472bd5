"""Shifts of labels and of densities: counts, priors, weights that are known because they were made."""

from __future__ import annotations

import numpy as np
import pytest

from tladapt import shifts
from tladapt.data import Domain, Scenario
from tladapt.data.shifts.resampling import counts_of, largest
from tladapt.errors import UsageError

CLASSES = ("a", "b", "c", "d")


def problem(*, counts: tuple[int, ...] = (50, 50, 50, 50), features: int = 5, shift: float = 0.0) -> Scenario:
    """Gaussian inputs whose first feature says which example it is."""
    rng = np.random.default_rng(3)

    def domain(name: str) -> Domain:
        y = rng.permutation(np.repeat(np.arange(4), counts))
        x = rng.normal(size=(len(y), features)) * np.linspace(3, 1, features) + shift
        return Domain(x.astype(np.float32), y, name=name, groups=np.arange(len(y)) // 2)

    return Scenario(domain("source"), domain("target"), domain("test"), classes=CLASSES, name="g")


def labels(scenario: Scenario) -> np.ndarray:
    return np.bincount(scenario._oracle_labels, minlength=4)


def fact(scenario: Scenario) -> dict:
    return scenario.origin["shifts"][-1]["facts"]


@pytest.mark.parametrize("prior", [(0.1, 0.2, 0.3, 0.4), (0.0, 0.5, 0.5, 0.0), (0.97, 0.01, 0.01, 0.01)])
def test_priors_are_met_to_within_rounding_and_no_example_is_taken_twice(prior):
    clean = problem()
    moved = shifts.LabelShift(prior=prior).apply(clean)
    for y in (moved._oracle_labels, moved.test.y):
        counts = np.bincount(y, minlength=4)
        assert (np.abs(counts - counts.sum() * np.array(prior)) < 1).all()
        assert counts.max() == 50 and counts.sum() >= 50  # as many as there can be
    for before, after in ((clean.target, moved.target), (clean.test, moved.test)):
        places = [int(np.flatnonzero((before.x == x).all(1))[0]) for x in after.x]
        assert places == sorted(set(places))
        np.testing.assert_array_equal(after.groups, before.groups[places])
    places = [int(np.flatnonzero((clean.test.x == x).all(1))[0]) for x in moved.test.x]
    np.testing.assert_array_equal(moved.test.y, clean.test.y[places])  # examples keep their labels
    assert fact(moved)["counts"] == labels(moved).tolist()
    np.testing.assert_allclose(fact(moved)["prior"], labels(moved) / labels(moved).sum())
    assert fact(moved)["before"] == [0.25] * 4
    assert moved.target.y is None


def test_size_and_what_is_too_much():
    moved = shifts.LabelShift(prior=(0.1, 0.2, 0.3, 0.4), size=20).apply(problem())
    assert labels(moved).tolist() == [2, 4, 6, 8] and len(moved.test) == 126
    with pytest.raises(UsageError, match=r"would keep 200 examples;.*there can be 126.*scarcest class is 'd'"):
        shifts.LabelShift(prior=(0.1, 0.2, 0.3, 0.4), size=200).apply(problem())
    with pytest.raises(UsageError, match="prior has 2 numbers, and there are 4 classes"):
        shifts.LabelShift(prior=(0.5, 0.5)).apply(problem())
    nobody = Scenario(problem().source, problem().target.unlabelled(), problem().test, classes=CLASSES)
    with pytest.raises(UsageError, match=r"the target 'target' has none.*of=source"):
        shifts.LabelShift(alpha=1.0).apply(nobody)
    assert len(shifts.LabelShift(alpha=1.0, of="source").apply(nobody).source[0]) < 200


@pytest.mark.parametrize("seed", range(20))
def test_the_most_that_there_can_be(seed):
    rng = np.random.default_rng(seed)
    prior, available = rng.dirichlet(np.full(6, 0.5)), rng.integers(1, 40, size=6)
    most = largest(prior, available)
    assert (counts_of(prior, most) <= available).all()
    for more in range(most + 1, most + 60):
        assert (counts_of(prior, more) > available).any()


def test_dirichlet_priors_are_drawn_from_the_seed_and_spread_with_alpha():
    shift = shifts.LabelShift(alpha=0.5, seed=4)
    prior = shift.prior_of(np.full(4, 0.25), CLASSES)
    np.testing.assert_array_equal(prior, shift.prior_of(np.full(4, 0.25), CLASSES))
    assert prior.sum() == pytest.approx(1)

    def spread(alpha: float) -> float:
        drawn = [shifts.LabelShift(alpha=alpha, seed=s).prior_of(np.full(4, 0.25), CLASSES) for s in range(200)]
        return float(np.var(drawn, axis=0).mean())

    for alpha in (0.5, 5.0):  # the variance of a Dirichlet's entry: (1/C)(1 - 1/C) / (C alpha + 1)
        assert spread(alpha) == pytest.approx(0.25 * 0.75 / (4 * alpha + 1), rel=0.2)


def test_tweak_one_and_knock_out():
    moved = shifts.TweakOne(label="c", prior=0.7).apply(problem())
    assert labels(moved).tolist() == [7, 7, 50, 7]  # 0.7 of 71; 0.1 each of the others
    moved = shifts.KnockOut(label="b", share=0.3).apply(problem())
    assert labels(moved).tolist() == [50, 35, 50, 50]
    assert np.bincount(moved.test.y).tolist() == [50, 35, 50, 50]
    with pytest.raises(UsageError, match=r"no class 'bb'\. "):
        shifts.KnockOut(label="bb", share=0.3).apply(problem())
    assert len(shifts.KnockOut(label="b", share=0.3, of="source").apply(problem()).source[0]) == 185


def test_a_long_tail():
    clean = problem(counts=(100, 100, 100, 100))
    moved = shifts.Imbalance(ratio=8, of="source").apply(clean)
    assert np.bincount(moved.source[0].y).tolist() == pytest.approx([100, 50, 25, 12.5], abs=1)
    assert labels(moved).tolist() == [100] * 4
    orders = {
        tuple(np.argsort(labels(shifts.Imbalance(ratio=8, order="random", seed=s).apply(clean)))) for s in range(6)
    }
    assert len(orders) > 1
    with pytest.raises(UsageError, match="none would be of class 'c'"):
        shifts.Imbalance(ratio=10_000).apply(clean)


def test_missing_classes_keep_names_and_indices():
    partial = shifts.MissingClasses(classes=("a", "c")).apply(problem())
    assert labels(partial).tolist() == [0, 50, 0, 50] and partial.classes == CLASSES
    assert set(partial.test.y) == {1, 3} and set(partial.source[0].y) == {0, 1, 2, 3}
    opened = shifts.MissingClasses(classes=("d",), of="source").apply(problem())
    assert set(opened.source[0].y) == {0, 1, 2} and opened.classes == CLASSES and labels(opened)[3] == 50
    with pytest.raises(UsageError, match="none would stay"):
        shifts.MissingClasses(classes=CLASSES).apply(problem())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_concept_shift_swaps_two_classes_for_a_share(share):
    clean = problem()
    moved = shifts.ConceptShift(first="a", second="d", share=share).apply(clean)
    for before, after in ((clean._oracle_labels, moved._oracle_labels), (clean.test.y, moved.test.y)):
        counts = np.zeros((4, 4), int)
        np.add.at(counts, (before, after), 1)
        swapped = round(50 * share)
        assert counts.tolist() == [
            [50 - swapped, 0, 0, swapped],
            [0, 50, 0, 0],
            [0, 0, 50, 0],
            [swapped, 0, 0, 50 - swapped],
        ]
    np.testing.assert_array_equal(moved.target.x, clean.target.x)
    np.testing.assert_array_equal(moved.source[0].y, clean.source[0].y)


@pytest.mark.parametrize("of", ["target", "source"])
def test_importance_weights_make_the_source_look_like_the_target(of):
    """With one distribution before the shift, weighted means over the source are means over the target."""
    clean = problem(counts=(3000, 3000, 3000, 3000), features=2)
    moved = shifts.CovariateShift(strength=1.5, of=of).apply(clean)
    (weights,) = (np.array(each) for each in fact(moved)["importance_weights"])
    source, target = moved.source[0].x.astype(np.float64), moved.target.x.astype(np.float64)
    assert len(weights) == len(source) and weights.mean() == pytest.approx(1, abs=0.05)
    gap = abs(source[:, 0].mean() - target[:, 0].mean())
    assert gap > 0.9  # three is the deviation along the principal direction
    weighted = (weights @ source) / weights.sum()
    np.testing.assert_allclose(weighted, target.mean(0), atol=0.2)
    np.testing.assert_allclose(weights @ source**2 / weights.sum(), (target**2).mean(0), rtol=0.1)
    kept = moved.target if of == "target" else moved.source[0]
    assert 0.3 * 12_000 < len(kept) < 0.9 * 12_000


def test_a_density_ratio_of_ones_own():
    clean = problem(counts=(400, 400, 400, 400), features=2)
    moved = shifts.CovariateShift(by=lambda x: np.where(x[:, 1] > 0, 1.0, 0.25)).apply(clean)
    high = clean.target.x[:, 1] > 0
    assert (moved.target.x[:, 1] > 0).sum() == high.sum()  # accepted always
    assert (moved.target.x[:, 1] <= 0).sum() == pytest.approx(0.25 * (~high).sum(), rel=0.2)
    (weights,) = fact(moved)["importance_weights"]
    ratio = np.array(weights)[moved.source[0].x[:, 1] > 0].mean() / np.min(weights)
    assert ratio == pytest.approx(4) and moved.origin["name"] is None
    with pytest.raises(UsageError, match="finite numbers above 0"):
        shifts.CovariateShift(by=lambda x: x[:, 1]).apply(clean)
    with pytest.raises(UsageError, match="Did you mean 'principal'"):
        shifts.CovariateShift(by="princpal")


@pytest.mark.parametrize("within", ["principal", "random"])
def test_a_subspace_turns_and_distances_stay(within):
    clean = problem(features=6, shift=2.0)
    moved = shifts.SubspaceShift(angle=60, planes=2, within=within).apply(clean)
    before, after = clean.target.x.astype(np.float64), moved.target.x.astype(np.float64)
    np.testing.assert_allclose(after.mean(0), before.mean(0), atol=1e-5)
    left, right = before - before.mean(0), after - after.mean(0)
    np.testing.assert_allclose(left @ left.T, right @ right.T, atol=1e-4)  # orthogonal
    turn = np.linalg.lstsq(left, right, rcond=None)[0].T  # x' = R x
    angles = np.sort(np.angle(np.linalg.eigvals(turn), deg=True))
    np.testing.assert_allclose(angles, [-60, -60, 0, 0, 60, 60], atol=1e-2)
    test = (clean.test.x - before.mean(0)) @ turn.T + before.mean(0)  # the test set by the same map
    np.testing.assert_allclose(moved.test.x, test, atol=1e-3)
    if within == "principal":
        first = np.linalg.eigh(np.cov(left.T))[1][:, -1]
        assert abs(first @ turn @ first) == pytest.approx(0.5, abs=1e-3)  # cos 60
    with pytest.raises(UsageError, match="4 planes need 8 features; inputs have 6"):
        shifts.SubspaceShift(planes=4).apply(clean)
