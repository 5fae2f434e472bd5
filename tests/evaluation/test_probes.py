"""Probes of fixed features: against scikit-learn, against published numbers, and what they must not look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tladapt.errors import UsageError
from tladapt.evaluation import knn_probe, linear_probe
from tladapt.evaluation import probes as module
from tladapt.evaluation.probes import nearest_neighbours


def clouds(n: int, *, d: int = 6, apart: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 4)
    centres = apart * np.random.default_rng(99).normal(size=(4, d))
    scales = np.logspace(-1, 1, d)
    return (centres[y] + rng.normal(size=(n, d))) * scales, y


TRAIN, TEST = clouds(80), clouds(50, seed=1)


@pytest.mark.parametrize("standardize", [True, False])
def test_the_linear_probe_is_scikit_learns(standardize: bool) -> None:
    found = linear_probe(*TRAIN, *TEST, standardize=standardize, strength=0.5)
    parts = [StandardScaler()] * standardize + [LogisticRegression(C=0.5, max_iter=2000)]
    model = make_pipeline(*parts).fit(*TRAIN)
    np.testing.assert_allclose(found.logits, model.decision_function(TEST[0]), rtol=1e-3, atol=1e-3)
    assert found.metrics["accuracy"] == model.score(*TEST)
    assert found.strength == 0.5 and found.held_out == {} and found.converged


def test_the_strength_is_chosen_on_held_out_training_examples_alone() -> None:
    found = linear_probe(*TRAIN, *TEST)
    assert found.held_out.keys() == set(module.STRENGTHS)
    assert found.held_out[found.strength] == max(found.held_out.values())
    assert found.strength == min(c for c, right in found.held_out.items() if right == max(found.held_out.values()))
    other = linear_probe(*TRAIN, TEST[0], np.zeros(50, np.int64))  # another truth changes no choice
    assert (other.strength, other.held_out) == (found.strength, found.held_out)
    np.testing.assert_array_equal(other.logits, found.logits)
    fixed = linear_probe(*TRAIN, *TEST, strength=found.strength)  # then all examples are trained on
    np.testing.assert_array_equal(fixed.logits, found.logits)


def test_the_strength_matters_and_noise_asks_for_a_strong_penalty() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    f = rng.normal(size=(120, 60))
    f[:, 0] += 1.2 * y
    found = linear_probe(f, y, f, y)
    assert found.strength < 1.0 and len(set(found.held_out.values())) > 1


def test_held_out_examples_are_of_every_class_that_has_two() -> None:
    y = np.array([0] * 10 + [1] * 3 + [2])
    kept, out = module._split(y, seed=0)
    assert sorted([*kept, *out]) == list(range(14))
    assert np.bincount(y[out], minlength=3).tolist() == [2, 1, 0]
    assert (module._split(y, seed=1)[1] != out).any()


def test_classes_that_the_training_labels_lack_are_never_predicted() -> None:
    x, y = TRAIN
    few = y > 1
    found = linear_probe(x[few], y[few], *TEST, strength=1.0)
    assert found.logits.shape == (50, 4) and np.isneginf(found.logits[:, :2]).all()
    assert set(found.logits.argmax(axis=1)) == {2, 3}
    seen = knn_probe(x[few], y[few], *TEST)
    assert seen.shares.shape == (50, 4) and seen.shares[:, :2].max() == 0


def test_constant_features_say_nothing() -> None:
    x, y = TRAIN
    noise = np.random.default_rng(0).integers(2, size=(130, 3)) * np.spacing(np.float32(1e4))
    flat = np.float32(1e4) + noise  # all of it rounding
    wide = np.concatenate([x, flat[:80]], axis=1).astype(np.float32)
    test = np.concatenate([TEST[0], flat[80:]], axis=1).astype(np.float32)
    plain = linear_probe(x.astype(np.float32), y, TEST[0].astype(np.float32), TEST[1], strength=1.0)
    np.testing.assert_allclose(linear_probe(wide, y, test, TEST[1], strength=1.0).logits, plain.logits, atol=1e-3)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("neighbours", [1, 5])
def test_the_neighbours_are_scikit_learns(metric: Any, neighbours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CELLS", 3 * 80)  # blocks of three, the last one shorter
    model = KNeighborsClassifier(neighbours, metric=metric).fit(*TRAIN)
    index, distances = nearest_neighbours(TRAIN[0], TEST[0], neighbours, metric=metric)
    expected_distances, expected = model.kneighbors(TEST[0])
    np.testing.assert_array_equal(index, expected)
    if metric == "euclidean":
        np.testing.assert_allclose(distances, expected_distances, rtol=1e-9)
    else:
        np.testing.assert_allclose(distances**2 / 2, expected_distances, atol=1e-12)
    found = knn_probe(*TRAIN, *TEST, neighbours=neighbours, metric=metric)
    np.testing.assert_allclose(found.shares, model.predict_proba(TEST[0]), atol=1e-5)
    if neighbours == 1:
        assert found.metrics["accuracy"] == model.score(*TEST)


def test_ties_go_to_the_class_whose_example_is_nearest() -> None:
    train = np.array([[1.0], [2.0], [4.0], [5.0]])
    found = knn_probe(train, [1, 0, 0, 1], [[0.0], [6.0], [3.0]], [1, 1, 0], neighbours=4)
    assert found.shares.argmax(axis=1).tolist() == [1, 1, 0]
    equal = knn_probe(np.zeros((3, 2)), [2, 1, 0], np.zeros((1, 2)), [2])  # equally near: the first
    assert equal.metrics["accuracy"] == 1.0


def test_features_of_zeros_have_a_cosine() -> None:
    index, distances = nearest_neighbours(np.eye(2), np.zeros((1, 2)), 2, metric="cosine")
    assert index.tolist() == [[0, 1]] and distances.tolist() == [[1.0, 1.0]]


def test_a_large_common_mean_costs_no_digits() -> None:
    x, g = TRAIN[0] / 100, TEST[0] / 100
    index, _ = nearest_neighbours(x, g, 1)
    np.testing.assert_array_equal(nearest_neighbours(x + 1e7, g + 1e7, 1)[0], index)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: linear_probe(TRAIN[0], TRAIN[1][:9], *TEST), "train_features"),
        (lambda: linear_probe(*TRAIN, TEST[0][:, :2], TEST[1]), "test_features 2"),
        (lambda: linear_probe(TRAIN[0], np.zeros(80, int), *TEST), "at least two classes"),
        (lambda: linear_probe(*TRAIN, *TEST, strength=-1.0), "C must be a positive"),
        (lambda: linear_probe(np.eye(3), np.arange(3), np.eye(3), np.arange(3)), "strength=1.0"),
        (lambda: linear_probe(TRAIN[0], TRAIN[1] - 1, *TEST), "from 0"),
        (lambda: linear_probe(np.full((80, 6), np.inf), TRAIN[1], *TEST), "train_features hold"),
        (lambda: knn_probe(*TRAIN, *TEST, neighbours=81), "from 1 to the 80"),
        (lambda: knn_probe(*TRAIN, *TEST, neighbours=0), "from 1 to the 80"),
        (lambda: knn_probe(*TRAIN, *TEST, metric="manhattan"), "metric must be"),
        (lambda: nearest_neighbours(np.eye(2), np.eye(3), 1), "of one width"),
    ],
)
def test_mistakes(call: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


# 1-nearest neighbour on the SURF features, full protocol: the row NN of Long, Wang, Ding, Sun, Yu, "Transfer Feature
# Learning with Joint Distribution Adaptation", ICCV 2013, table 3.
PUBLISHED = {
    "caltech10-amazon": 23.70,
    "caltech10-webcam": 25.76,
    "caltech10-dslr": 25.48,
    "amazon-caltech10": 26.00,
    "amazon-webcam": 29.83,
    "amazon-dslr": 25.48,
    "webcam-caltech10": 19.86,
    "webcam-amazon": 22.96,
    "webcam-dslr": 59.24,
    "dslr-caltech10": 26.27,
    "dslr-amazon": 28.50,
    "dslr-webcam": 63.39,
}


def test_nearest_neighbours_on_surf_features_give_the_published_row() -> None:
    from scipy.io import loadmat

    folder = Path(os.environ.get("TLADAPT_DATA", "nowhere")) / "office_caltech10" / "surf"
    if not folder.is_dir():
        pytest.skip("the SURF features of Office-Caltech-10 are not in TLADAPT_DATA (office_caltech10/surf/*.mat)")
    domains = {}
    for name in ("amazon", "caltech10", "dslr", "webcam"):
        file = loadmat(folder / f"{name}.mat")
        x = file["fts"].astype(np.float64)
        x /= x.sum(axis=1, keepdims=True)
        deviation = x.std(axis=0)
        domains[name] = ((x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0), file["labels"][:, 0] - 1)
    found = {}
    for pair in PUBLISHED:
        source, target = pair.split("-")
        found[pair] = 100 * knn_probe(*domains[source], *domains[target]).metrics["accuracy"]
    assert found == {pair: pytest.approx(value, abs=0.006) for pair, value in PUBLISHED.items()}
