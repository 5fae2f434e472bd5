"""Losses and validators against scikit-learn and SciPy, which come with every installation."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy as scipy_entropy
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.covariance import EmpiricalCovariance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    adjusted_mutual_info_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
)
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances, rbf_kernel
from sklearn.preprocessing import StandardScaler

from tests.losses import naive
from tladapt import losses
from tladapt.evaluation import ValidationOutputs
from tladapt.evaluation.comparison import rank_correlation
from tladapt.evaluation.validators import (
    ClassAMI,
    DeepEmbeddedValidation,
    Entropy,
    InformationMaximization,
    SoftNeighborhoodDensity,
    SourceAccuracy,
    dev,
)

S, T = naive.batch(0, 13, 5), naive.batch(1, 9, 5, 1.4) + 0.5
Z, Z2 = naive.batch(2, 9, 4, 2.5), naive.batch(3, 9, 4, 2.5)
LABELS = np.random.default_rng(4).integers(4, size=9)
P, Q = softmax(Z, axis=1), softmax(Z2, axis=1)
D_S, D_T = naive.batch(6, 13, 1)[:, 0], naive.batch(7, 9, 1)[:, 0]


def in_float64(loss, *arrays):
    with jax.enable_x64(True):
        value = jax.jit(loss)(*map(jnp.asarray, arrays))
        assert value.dtype == jnp.float64
        return float(value)


def mk_mmd(estimator):
    z = np.concatenate([S, T])
    bandwidth = euclidean_distances(z, squared=True).sum() / (len(z) ** 2 - len(z))

    def k(a, b):
        return sum(rbf_kernel(a, b, gamma=1 / (m * bandwidth)) for m in (0.25, 0.5, 1, 2, 4))

    def within(x):
        return k(x, x).mean() if estimator == "biased" else k(x, x)[~np.eye(len(x), dtype=bool)].mean()

    return within(S) + within(T) - 2 * k(S, T).mean()


def coral():
    c_s, c_t = (EmpiricalCovariance().fit(x).covariance_ * len(x) / (len(x) - 1) for x in (S, T))
    return np.linalg.norm(c_s - c_t) ** 2 / (4 * 5**2)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


LOSSES = {
    "mk_mmd": (losses.mk_mmd, (S, T), lambda: mk_mmd("unbiased")),
    "mk_mmd/biased": (functools.partial(losses.mk_mmd, estimator="biased"), (S, T), lambda: mk_mmd("biased")),
    "coral": (losses.coral, (S, T), coral),
    "cross_entropy": (losses.cross_entropy, (Z, LABELS), lambda: log_loss(LABELS, P, labels=range(4))),
    "domain_adversarial": (
        losses.domain_adversarial,
        (D_S, D_T),
        lambda: log_loss(
            np.repeat([1, 0], [13, 9]),
            sigmoid(np.concatenate([D_S, D_T])),
            sample_weight=np.repeat([1 / 13, 1 / 9], [13, 9]),
        ),
    ),
    "domain_accuracy": (
        losses.domain_accuracy,
        (D_S, D_T),
        lambda: balanced_accuracy_score(np.repeat([1, 0], [13, 9]), np.concatenate([D_S, D_T]) > 0),
    ),
    "entropy": (losses.entropy, (Z,), lambda: scipy_entropy(P, axis=1).mean()),
    "diversity": (losses.diversity, (Z,), lambda: scipy_entropy(P.mean(axis=0))),
    "information_maximization": (
        losses.information_maximization,
        (Z,),
        # The mutual information of example and class as a mean divergence from the mean prediction.
        lambda: -scipy_entropy(P, P.mean(axis=0)[None, :], axis=1).mean(),
    ),
    "classifier_discrepancy": (losses.classifier_discrepancy, (Z, Z2), lambda: mean_absolute_error(P, Q)),
    "consistency": (functools.partial(losses.consistency, confidence=0.0), (Z, Z2), lambda: mean_squared_error(P, Q)),
    "pseudo_label": (losses.pseudo_label, (Z,), lambda: -log_softmax(Z, axis=1).max(axis=1).mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    loss, arrays, expected = LOSSES[name]
    assert in_float64(loss, *arrays) == pytest.approx(expected(), rel=1e-9)


# ---- validators ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen():
    """A model that errs on some of three classes whose clusters touch, on domains that lie a little apart."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3

    def features(shift):
        return 2.5 * np.eye(3, 6)[labels] + rng.normal(size=(240, 6)) + shift

    held_out, trained, target = features(0.0), features(0.0), features(np.array([0.5, 0, 0, 0, 0, 0.3]))
    return ValidationOutputs(held_out, 2 * held_out[:, :3], labels, target, 2 * target[:, :3], trained)


def test_entropy_im_and_source_accuracy(seen):
    p = softmax(seen.target_logits, axis=1)
    assert Entropy().score(seen) == pytest.approx(-scipy_entropy(p, axis=1).mean(), rel=1e-12)
    im = scipy_entropy(p, p.mean(axis=0)[None, :], axis=1).mean()
    assert InformationMaximization().score(seen) == pytest.approx(im, rel=1e-9)
    right = accuracy_score(seen.source_labels, seen.source_logits.argmax(axis=1))
    assert 0.7 < SourceAccuracy().score(seen) == right < 1


def test_snd(seen):
    similarity = cosine_similarity(softmax(seen.target_logits, axis=1)) / 0.05
    np.fill_diagonal(similarity, -np.inf)
    expected = scipy_entropy(softmax(similarity, axis=1), axis=1).mean()
    assert SoftNeighborhoodDensity().score(seen) == pytest.approx(expected, rel=1e-9)


def test_class_ami(seen):
    """The clustering is the tightest of many; on these clusters k-means finds it from any start."""
    tightest = KMeans(3, n_init=50, random_state=7).fit_predict(seen.target_features)
    expected = adjusted_mutual_info_score(seen.target_logits.argmax(axis=1), tightest)
    assert 0.2 < expected < 0.95
    assert ClassAMI().score(seen) == pytest.approx(expected, abs=1e-9)


def test_dev(seen, monkeypatch):
    """The whole chain again: standardised logistic regression, Bayes' rule for the ratio, NumPy's covariance."""
    monkeypatch.setattr(dev, "_STRENGTHS", (1e-2,))  # the choice among strengths is told apart below
    rng = np.random.default_rng(0)
    fit_s, fit_t = (rng.permutation(x)[48:] for x in (seen.source_training_features, seen.target_features))
    scaler = StandardScaler().fit(np.concatenate([fit_s, fit_t]))
    x, y = scaler.transform(np.concatenate([fit_s, fit_t])), np.repeat([0, 1], [len(fit_s), len(fit_t)])
    classifier = LogisticRegression(C=1 / (1e-2 * len(x)), tol=1e-8, max_iter=1000).fit(x, y)
    p = classifier.predict_proba(scaler.transform(seen.source_features))
    w = p[:, 1] / p[:, 0] * len(fit_s) / len(fit_t)
    wrong = (seen.source_logits.argmax(axis=1) != seen.source_labels).astype(float)
    covariance = np.cov(w * wrong, w)
    eta = -covariance[0, 1] / covariance[1, 1]
    found = DeepEmbeddedValidation().assess(seen)
    assert found.score == pytest.approx(-((w * wrong).mean() + eta * w.mean() - eta), rel=1e-3)
    assert found.details["effective_sample_size"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-3)
    assert found.details["mean_weight"] == pytest.approx(w.mean(), rel=1e-3)
    losses_ = -log_softmax(seen.source_logits, axis=1)[np.arange(240), seen.source_labels]
    assert DeepEmbeddedValidation(loss="cross_entropy")._losses(seen.source_logits, seen.source_labels) == (
        pytest.approx(losses_, rel=1e-9)
    )
    assert math.isclose(log_loss(seen.source_labels, softmax(seen.source_logits, axis=1)), losses_.mean(), rel_tol=1e-9)


def test_the_strength_is_the_one_with_the_least_held_out_log_loss(seen):
    """In 60 dimensions and with 40 examples of each domain, weak penalties overfit: the strongest has to win."""
    rng = np.random.default_rng(0)
    source, target, at = rng.normal(size=(40, 60)), rng.normal(size=(40, 60)), rng.normal(size=(30, 60))
    weights = dev.density_ratio(source, target, at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dev, "_STRENGTHS", (1.0,))
        np.testing.assert_array_equal(weights, dev.density_ratio(source, target, at))
        patch.setattr(dev, "_STRENGTHS", (1e-4,))
        assert dev.density_ratio(source, target, at).std() > 10 * weights.std()


def test_rank_correlation():
    rng = np.random.default_rng(0)
    for _ in range(5):
        first, second = rng.integers(6, size=12).astype(float), rng.normal(size=12)
        assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, rel=1e-12)
