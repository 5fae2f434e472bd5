"""Anomaly scores and their measures: against definitions, scikit-learn, and what is known beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from tladapt.errors import UsageError
from tladapt.evaluation.anomaly import (
    anomaly_metrics,
    energy,
    mahalanobis_distance,
    max_softmax,
    neighbour_distance,
)


def clouds(n: int, d: int = 5, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (4 * np.eye(d)[y] + rng.normal(size=(n, d)) * np.linspace(0.2, 2, d)).astype(np.float32), y


@pytest.mark.parametrize(("n", "m", "decimals"), [(40, 30, 6), (40, 30, 1), (7, 1, 1), (1, 60, 0)])
def test_measures_are_scikit_learns_with_ties_too(n: int, m: int, decimals: int) -> None:
    rng = np.random.default_rng(n)
    normal, anomalous = rng.normal(size=n).round(decimals), (rng.normal(size=m) + 0.7).round(decimals)
    scores, truth = np.concatenate([normal, anomalous]), np.repeat([0, 1], [n, m])
    found = anomaly_metrics(normal, anomalous)
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.aupr == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.fpr95 == pytest.approx(false[np.argmax(true >= 0.95 - 1e-12)])
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in anomalous for b in normal])
    assert found.auroc == pytest.approx(wins, abs=1e-12)


def test_measures_at_their_ends() -> None:
    assert anomaly_metrics([0, 1], [2, 3]) == (1.0, 1.0, 0.0)
    assert anomaly_metrics([2, 3], [0, 1])[::2] == (0.0, 1.0)
    assert anomaly_metrics([1, 1, 1], [1]) == (0.5, 0.25, 1.0)
    assert anomaly_metrics([0.0, -np.inf], [np.inf]) == (1.0, 1.0, 0.0)
    # 19 of 20 anomalies are 95 %: the last one may be missed.
    assert anomaly_metrics([0.5], [0.0] + [1.0] * 19).fpr95 == 0.0
    assert anomaly_metrics([0.5], [0.0] * 2 + [1.0] * 19).fpr95 == 1.0


def test_mahalanobis_by_its_definition() -> None:
    (f, y), (g, _) = clouds(60), clouds(11, seed=1)
    within = np.concatenate([f[y == c] - f[y == c].astype(np.float64).mean(axis=0) for c in range(3)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(within).covariance_)
    means = [f[y == c].astype(np.float64).mean(axis=0) for c in range(3)]
    expected = [min(float((x - mean) @ precision @ (x - mean)) for mean in means) for x in g.astype(np.float64)]
    np.testing.assert_allclose(mahalanobis_distance(f, g, y + 5), expected, rtol=1e-6)
    one = LedoitWolf().fit(f.astype(np.float64))
    np.testing.assert_allclose(mahalanobis_distance(f, g), one.mahalanobis(g), rtol=1e-6)


def test_mahalanobis_with_fewer_examples_than_features() -> None:
    (f, y), (g, _) = clouds(12, 40), clouds(9, 40, seed=1)
    within = np.concatenate([f[y == c] - f[y == c].astype(np.float64).mean(axis=0) for c in range(3)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(within).covariance_)
    means = [f[y == c].astype(np.float64).mean(axis=0) for c in range(3)]
    expected = [min(float((x - mean) @ precision @ (x - mean)) for mean in means) for x in g.astype(np.float64)]
    np.testing.assert_allclose(mahalanobis_distance(f, g, y), expected, rtol=1e-6)
    flat = np.concatenate([f, np.zeros((12, 1), np.float32)], axis=1)  # a direction without any variation
    assert np.isfinite(mahalanobis_distance(flat, flat, y)).all()


def test_neighbour_distance_by_its_definition() -> None:
    (f, _), (g, _) = clouds(30), clouds(7, seed=1)
    plain = np.sort(np.linalg.norm(g[:, None].astype(np.float64) - f[None], axis=2), axis=1)
    np.testing.assert_allclose(neighbour_distance(f, g, neighbours=3, unit=False), plain[:, 2], rtol=1e-6)
    np.testing.assert_allclose(
        neighbour_distance(f, 7 * g, neighbours=3), neighbour_distance(100 * f, g, neighbours=3), rtol=1e-6
    )


def test_scores_of_logits() -> None:
    z = np.random.default_rng(0).normal(size=(6, 4)) * 5
    np.testing.assert_allclose(max_softmax(z), [-max(np.exp(row) / np.exp(row).sum()) for row in z])
    for temperature in (1.0, 2.5):
        expected = [-temperature * math.log(sum(math.exp(v / temperature) for v in row)) for row in z]
        np.testing.assert_allclose(energy(z, temperature=temperature), expected)
    assert np.isfinite(energy(np.array([[1e5, -1e5]]))).all()


@pytest.mark.parametrize(
    "score",
    [
        lambda f, g, y: neighbour_distance(f, g),
        lambda f, g, y: mahalanobis_distance(f, g, y),
        lambda f, g, y: max_softmax(g[:, :3]),
        lambda f, g, y: energy(g[:, :3]),
    ],
)
def test_anomalies_score_above_normal_examples(score: Any) -> None:
    (f, y), (g, _) = clouds(150), clouds(60, seed=1)
    odd = np.random.default_rng(2).normal(size=(60, 5)) - 1.0
    assert anomaly_metrics(score(f, g, y), score(f, odd, y)).auroc > 0.85


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: anomaly_metrics([], [1.0]), "normal must be"),
        (lambda: anomaly_metrics([1.0], [np.nan]), "anomalous must be"),
        (lambda: energy(np.eye(2), temperature=0.0), "temperature"),
        (lambda: max_softmax(np.array([[np.nan, 1.0]])), "logits hold"),
        (lambda: mahalanobis_distance(np.eye(2), np.eye(3)), "2 columns and features 3"),
        (lambda: mahalanobis_distance(np.eye(2), np.eye(2), [0]), "train_labels must be 2"),
        (lambda: mahalanobis_distance(np.eye(2), np.eye(2), [0, 1]), "do not vary"),
        (lambda: neighbour_distance(np.eye(2), np.ones(2)), "features must be"),
        (lambda: neighbour_distance(np.eye(2), np.eye(2)), "from 1 to the 2"),
    ],
)
def test_mistakes(call: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
