"""Transferability scores: against plain references, against what is known beforehand, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA

from tladapt.errors import UnknownNameError, UsageError
from tladapt.evaluation import rank_models, softmax
from tladapt.evaluation.transferability import (
    TRANSFERABILITY,
    gbc,
    h_score,
    leep,
    logme,
    nce,
    regularized_h_score,
)

FEATURES = {"logme": logme, "h_score": h_score, "regularized_h_score": regularized_h_score, "gbc": gbc}


def clouds(
    n: int = 47, d: int = 5, classes: int = 3, apart: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return points around a centre a class, `[n, d]`, and their classes, in unequal counts."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, classes + 1, size=n), classes - 1)
    y[:classes] = np.arange(classes)
    return apart * rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d)), y


def rotation(d: int, seed: int = 3) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def log_density(f: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """The evidence as it is defined: the density of y under its Gaussian, for each example."""
    covariance = f @ f.T / alpha + np.eye(len(f)) / beta
    return float(multivariate_normal.logpdf(y, np.zeros(len(f)), covariance)) / len(f)


@pytest.mark.parametrize(("n", "d"), [(31, 4), (9, 14)])
def test_logme_is_the_maximum_of_the_evidence(n: int, d: int) -> None:
    f, y = clouds(n, d, apart=0.6)
    best = []
    for c in range(3):
        target = (y == c).astype(float)
        # Anywhere on a wide grid, and uphill from the best place there, there is no more evidence to be found.
        grid = [(a, b) for a in np.linspace(-6, 12, 19) for b in np.linspace(-3, 9, 13)]
        values = [log_density(f, target, *np.exp(point)) for point in grid]
        start = grid[int(np.argmax(values))]
        found = minimize(lambda x, y=target: -log_density(f, y, *np.exp(x)), start, method="Nelder-Mead", tol=1e-9)
        best.append(-found.fun)
    assert logme(f, y) == pytest.approx(np.mean(best), abs=1e-6)


def iterated(f: np.ndarray, y: np.ndarray) -> float:
    """LogME by the fixed point of the paper, alpha = gamma / |m|^2 and beta = (n - gamma) / |residual|^2."""
    n, d = f.shape
    total = 0.0
    for c in np.unique(y):
        target, alpha, beta = (y == c).astype(float), 1.0, 1.0
        for _ in range(500):
            precision = alpha * np.eye(d) + beta * f.T @ f
            m = beta * np.linalg.solve(precision, f.T @ target)
            gamma = d - alpha * np.trace(np.linalg.inv(precision))
            alpha, beta = gamma / (m @ m), (n - gamma) / ((target - f @ m) ** 2).sum()
        total += log_density(f, target, alpha, beta)
    return total / len(np.unique(y))


def test_logme_is_where_the_iteration_of_the_paper_ends() -> None:
    f, y = clouds(60, 6, apart=1.0)
    assert logme(f, y) == pytest.approx(iterated(f, y), abs=1e-8)


def test_logme_keeps_its_bounds_where_the_published_code_divides_by_0() -> None:
    y = np.arange(12) % 3
    exact = np.eye(3)[y]  # the labels themselves: no residual, so no bound on the evidence
    assert math.isfinite(logme(exact, y)) and logme(exact, y) > 3.0
    nothing = logme(np.zeros((12, 4)), y)  # no weights: y ~ N(0, I / beta), beta = n / |y|^2
    assert nothing == pytest.approx(np.mean([-0.5 * math.log(2 * math.pi * (y == c).mean()) - 0.5 for c in range(3)]))
    assert logme(exact, y) > nothing


def naive_h_score(f: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """By the definition, with covariances written out."""
    x = f - f.mean(axis=0)
    g = np.stack([x[y == label].mean(axis=0) for label in y])
    covariance = x.T @ x / len(x)
    mean = np.trace(covariance) / len(covariance)
    shrunk = (1 - alpha) * covariance + alpha * mean * np.eye(len(covariance))
    return float((1 - alpha) * np.trace(np.linalg.pinv(shrunk) @ g.T @ g / len(x)))


@pytest.mark.parametrize(("n", "d"), [(47, 5), (15, 40)])
def test_h_scores_by_their_definitions(n: int, d: int) -> None:
    f, y = clouds(n, d, apart=0.7)
    if n > d:
        assert h_score(f, y) == pytest.approx(naive_h_score(f, y, 0.0), rel=1e-9)
    assert regularized_h_score(f, y) == pytest.approx(naive_h_score(f, y, ledoit_wolf(f)[1]), rel=1e-9)


def test_h_score_is_between_0_and_one_less_than_the_classes() -> None:
    y = np.arange(40) % 4
    one = np.random.default_rng(0).normal(size=(10, 6))
    assert h_score(np.repeat(one, 4, axis=0), y) == pytest.approx(0.0, abs=1e-12)  # class means are equal
    assert h_score(np.random.default_rng(1).normal(size=(4, 6))[y], y) == pytest.approx(3.0)
    assert h_score(np.ones((40, 6)), y) == regularized_h_score(np.ones((40, 6)), y) == 0.0
    wide = np.random.default_rng(2).normal(size=(40, 60))  # as many directions as examples: any labels fit
    assert h_score(wide, y) == pytest.approx(3.0)
    assert regularized_h_score(wide, y) < 1.5


def test_h_score_does_not_change_under_invertible_maps_nor_by_copies_of_features() -> None:
    f, y = clouds(60, 6)
    mixed = f @ np.random.default_rng(4).normal(size=(6, 6)) + 100.0
    assert h_score(mixed, y) == pytest.approx(h_score(f, y), rel=1e-8)
    assert regularized_h_score(mixed, y) != pytest.approx(regularized_h_score(f, y), rel=1e-3)
    copies = np.concatenate([f, f @ rotation(6)], axis=1).astype(np.float32)  # singular but for float32's rounding
    assert h_score(copies, y) == pytest.approx(h_score(f, y), rel=1e-4)


def naive_gbc(f: np.ndarray, y: np.ndarray, spherical: bool, components: int) -> float:
    x = PCA(min(components, *f.shape)).fit_transform(f)
    total = 0.0
    for c in np.unique(y):
        for other in np.unique(y):
            if c != other:
                a, b = x[y == c], x[y == other]
                s, t = a.var(axis=0), b.var(axis=0)
                if spherical:
                    s, t = np.full_like(s, s.mean()), np.full_like(t, t.mean())
                m = (s + t) / 2
                distance = ((a.mean(0) - b.mean(0)) ** 2 / m).sum() / 8
                distance += 0.5 * np.log(m / np.sqrt(s * t)).sum()
                total -= math.exp(-distance)
    return total


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_gbc_by_its_definition(covariance: str) -> None:
    f, y = clouds(50, 9, apart=0.4)
    for components in (3, 64):
        expected = naive_gbc(f, y, covariance == "spherical", components)
        assert -6 < gbc(f, y, covariance=covariance, components=components) == pytest.approx(expected, rel=1e-9)
    assert TRANSFERABILITY["gbc_spherical"](f, y) == gbc(f, y, covariance="spherical")


def test_gbc_is_the_integral_of_the_overlap() -> None:
    """exp(-D) is the integral of sqrt(p q): in one dimension, where it can be summed up."""
    f, y = clouds(40, 1, classes=2, apart=0.8)
    grid = np.linspace(-15, 15, 6001)
    p, q = (np.exp(-((grid - x.mean()) ** 2) / (2 * x.var())) / x.std() for x in (f[y == 0, 0], f[y == 1, 0]))
    overlap = np.sqrt(p * q).sum() * (grid[1] - grid[0]) / math.sqrt(2 * math.pi)
    assert gbc(f, y) == pytest.approx(-2 * overlap, rel=1e-6)


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_gbc_at_its_ends(covariance: str) -> None:
    f = np.random.default_rng(0).normal(size=(20, 4))
    y = np.repeat([0, 1, 2], 20)
    assert gbc(np.concatenate([f, f, f]), y, covariance=covariance) == pytest.approx(-6.0)
    assert gbc(np.concatenate([f, f + 100, f - 100]), y, covariance=covariance) == pytest.approx(0.0, abs=1e-9)
    assert gbc(np.ones((60, 4)), y, covariance=covariance) == -6.0
    collapsed = np.eye(3)[y]  # classes without any variation
    assert gbc(collapsed, y, covariance=covariance) == pytest.approx(0.0, abs=1e-9)


def naive_leep(theta: np.ndarray, y: np.ndarray) -> float:
    n, z = theta.shape
    total = 0.0
    for i in range(n):
        likelihood = 0.0
        for k in range(z):
            joint = sum(theta[j, k] for j in range(n) if y[j] == y[i]) / n
            mass = sum(theta[j, k] for j in range(n)) / n
            if mass > 0:
                likelihood += joint / mass * theta[i, k]
        total += math.log(likelihood)
    return total / n


def test_leep_by_its_definition_with_classes_that_nobody_predicts() -> None:
    rng = np.random.default_rng(0)
    y, theta = rng.integers(3, size=23), softmax(2 * rng.normal(size=(23, 7)))
    theta[:, [2, 5]] = 0.0
    theta /= theta.sum(axis=1, keepdims=True)
    assert leep(theta, y) == pytest.approx(naive_leep(theta, y), rel=1e-12)
    entropy = -sum(p * math.log(p) for p in np.bincount(y) / 23)
    assert -entropy <= leep(theta, y) <= 0
    assert leep(np.full((23, 4), 0.25), y) == pytest.approx(-entropy)  # a model that says nothing


def test_nce_is_leep_of_certain_predictions() -> None:
    rng = np.random.default_rng(1)
    z, y = rng.integers(5, size=41), rng.integers(3, size=41)
    assert nce(z, y) == pytest.approx(leep(np.eye(9)[z], y), rel=1e-12)
    counts = np.array([[np.sum((z == a) & (y == b)) for b in range(3)] for a in range(5)]) / 41
    conditional = -sum(p * math.log(p / counts[a].sum()) for a in range(5) for p in counts[a] if p > 0)
    assert nce(z, y) == pytest.approx(-conditional, rel=1e-12)
    assert nce(z, z % 2) == leep(np.eye(5)[z], z % 2) == 0.0  # the label is a function of z
    soft = softmax(3.0 * np.eye(9)[z] + 0.1 * rng.normal(size=(41, 9)))
    assert TRANSFERABILITY["nce"](soft, y) == nce(z, y)


@pytest.mark.parametrize("name", TRANSFERABILITY)
def test_labels_that_fit_score_above_labels_drawn_by_lot(name: str) -> None:
    f, y = clouds(90, 8)
    score = TRANSFERABILITY[name]
    if score.reads == "probabilities":
        f = softmax(f)
    assert score(f, y) > max(score(f, np.random.default_rng(seed).permutation(y)) for seed in range(5))
    assert score.summary and score.name == name


@pytest.mark.parametrize("name", TRANSFERABILITY)
def test_names_of_classes_and_order_of_examples_are_no_matter(name: str) -> None:
    f, y = clouds()
    score, order = TRANSFERABILITY[name], np.random.default_rng(5).permutation(len(y))
    if score.reads == "probabilities":
        f = softmax(f)
    other = np.array([40, 7, 0])[y]  # with gaps
    assert score(f[order], other[order]) == pytest.approx(score(f, y), rel=1e-9)


@pytest.mark.parametrize("name", FEATURES)
def test_rotation_and_scale_of_all_features_change_nothing(name: str) -> None:
    f, y = clouds()
    turned = 1e7 * f @ rotation(5)
    assert FEATURES[name](turned, y) == pytest.approx(FEATURES[name](f, y), rel=1e-7)


@pytest.mark.parametrize("name", TRANSFERABILITY)
def test_degenerate_features_give_a_number(name: str) -> None:
    y = np.array([0, 1, 2, 2])  # two classes of one example
    score = TRANSFERABILITY[name]
    for f in (np.full((4, 3), 1 / 3), np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 2, 2]], np.eye(3)[[1, 1, 1, 2]]):
        for dtype in (np.float32, np.float64):
            assert math.isfinite(score(f.astype(dtype), y))


@pytest.mark.parametrize("name", TRANSFERABILITY)
@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        (np.ones((4, 2)) / 2, [1, 1, 1, 1], "at least two classes"),
        (np.ones((4, 2)) / 2, [0, 1, 0], "got shape"),
        (np.ones((4, 2)) / 2, [0.0, 1.0, 0.0, 1.0], "class indices"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], "finite|non-negative"),
    ],
)
def test_what_cannot_be_scored_is_said(name: str, features: np.ndarray, labels: list, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TRANSFERABILITY[name](features, np.array(labels))


def test_mistakes_of_one_score() -> None:
    with pytest.raises(UsageError, match=r"Logits\? tladapt.evaluation.softmax"):
        leep(np.array([[2.0, -1.0], [0.0, 3.0]]), np.array([0, 1]))
    with pytest.raises(UsageError, match="source_labels must be integers"):
        nce(np.array([[1, 0], [0, 1]]), np.array([0, 1]))
    with pytest.raises(UsageError, match="covariance must be"):
        gbc(np.eye(2), np.array([0, 1]), covariance="full")
    with pytest.raises(UsageError, match="components must be at least 1"):
        gbc(np.eye(2), np.array([0, 1]), components=0)


def models() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    y = np.arange(90) % 3
    rng = np.random.default_rng(0)
    features = {
        name: rng.normal(size=(90, d)) + apart * np.eye(d)[y]
        for name, d, apart in (("blind", 4, 0.0), ("fair", 6, 2.0), ("good", 5, 4.0))
    }
    return features, {name: softmax(2 * f) for name, f in features.items()}, y


def test_models_are_ranked_by_the_mean_of_their_ranks() -> None:
    features, probabilities, y = models()
    found = rank_models(features, y, probabilities)
    assert [row.model for row in found.rows] == ["good", "fair", "blind"]
    assert [row.rank_average for row in found.rows] == [1.0, 2.0, 3.0]
    assert found.counted == found.scores == ("logme", "regularized_h_score", "gbc", "leep", "nce")
    assert found.rows[0].scores["logme"] == logme(features["good"], y) and found.rows[0].features == 5
    assert {value for others in found.agreement.values() for value in others.values()} == {1.0}
    assert found.notes == () and "good" in str(found.record()["rows"][0])


def test_equal_models_share_their_rank() -> None:
    features, _, y = models()
    found = rank_models({"one": features["fair"], "two": features["fair"], "best": features["good"]}, y)
    assert [(row.model, row.rank_average) for row in found.rows] == [("best", 1.0), ("one", 2.5), ("two", 2.5)]


def test_scores_that_some_models_have_not_are_shown_and_do_not_count() -> None:
    features, probabilities, y = models()
    del probabilities["good"]
    found = rank_models(features, y, probabilities)
    assert found.counted == ("logme", "regularized_h_score", "gbc")
    by_name = {row.model: row for row in found.rows}
    assert math.isnan(by_name["good"].scores["leep"]) and by_name["fair"].ranks["leep"] == 1.0
    assert "leep and nce read the probabilities" in found.notes[0]
    assert found.rows[0].model == "good"


def test_an_h_score_that_says_nothing_does_not_count() -> None:
    features, _, y = models()
    features["wide"] = np.random.default_rng(1).normal(size=(90, 200))
    found = rank_models(features, y, scores=("h_score", "gbc"))
    assert found.counted == ("gbc",) and "wide" in found.notes[0] and "regularized_h_score" in found.notes[0]
    assert max(found.rows, key=lambda row: row.scores["h_score"]).model == "wide"


def test_mistakes_in_ranking() -> None:
    features, probabilities, y = models()
    with pytest.raises(UsageError, match="there is no model"):
        rank_models({}, y)
    with pytest.raises(UsageError, match="probabilities of other, and no features"):
        rank_models(features, y, {"other": probabilities["good"]})
    with pytest.raises(UsageError, match="features of 'good' must have one row for each of the 90 labels"):
        rank_models({"good": features["good"][:4]}, y)
    with pytest.raises(UnknownNameError, match="Did you mean 'logme'"):
        rank_models(features, y, scores=("logmee",))
    with pytest.raises(UsageError, match="one or more of"):
        rank_models(features, y, scores="logme")
