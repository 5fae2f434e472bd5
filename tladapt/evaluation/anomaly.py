"""Anomalies by features and logits: scores that need no anomaly to be known, and how well they tell anomalies apart.

In every score and everywhere below, higher is more anomalous, and an anomaly is the positive class.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.metrics import softmax
from tladapt.evaluation.probes import nearest_neighbours
from tladapt.evaluation.transferability.h_score import centred, shrinkage


class AnomalyMetrics(NamedTuple):
    """How well a score tells anomalies from normal examples; what is positive is an anomaly.

    Attributes:
      auroc: probability that an anomaly scores above a normal example, ties counted half; 0.5 is chance.
      aupr: area under precision over recall (average precision); chance is the share of anomalies.
      fpr95: share of normal examples that score as high as the threshold that catches 95 % of the anomalies; lower is
        better.
    """

    auroc: float
    aupr: float
    fpr95: float


def neighbour_distance(train_features: Any, features: Any, *, neighbours: int = 5, unit: bool = True) -> np.ndarray:
    """Distance of each example to its k-th nearest training example, `||f - f_(k)||`.

    Args:
      train_features: `[n_train, d]` floats, of normal examples.
      features: `[n, d]`.
      neighbours: k.
      unit: divide all features by their norms first, as in the paper.

    Returns:
      `[n]` float64; higher is more anomalous.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, or k out of range.

    Source: Sun, Ming, Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022, arXiv
      2204.06507.

    Example:
      >>> neighbour_distance([[1.0, 0.0], [1.0, 0.1]], [[2.0, 0.0], [0.0, 1.0]], neighbours=1).round(2)
      array([0.  , 1.34])
    """
    f, g = _finite("train_features", train_features), _finite("features", features)
    return nearest_neighbours(f, g, neighbours, metric="cosine" if unit else "euclidean")[1][:, -1]


def mahalanobis_distance(train_features: Any, features: Any, train_labels: Any = None) -> np.ndarray:
    r"""Squared Mahalanobis distance to the nearest class, `min_c (f - mu_c)^T S^{-1} (f - mu_c)`.

    mu_c are the means of the classes and S is the covariance within them, shared by all. Without labels there is one
    mean and one covariance.

    Args:
      train_features: `[n_train, d]` floats, of normal examples.
      features: `[n, d]`.
      train_labels: `[n_train]` class indices of the normal examples, or None.

    Returns:
      `[n]` float64; higher is more anomalous.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, or training features that do not vary.

    Deviations from the paper:
      1. S is Ledoit and Wolf's mixture of the empirical covariance and a spherical one, so that it is invertible with
         fewer examples than features, too.
      2. One layer, and no perturbation of the input.

    Source: Lee, Lee, Lee, Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
      Attacks", NeurIPS 2018, arXiv 1807.03888; Ledoit and Wolf, J. Multivariate Analysis 88 (2004).

    Example:
      >>> import numpy as np
      >>> f = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 5.0]
      >>> near, far = mahalanobis_distance(f, [[0.0, 9.0], [9.0, 0.0]])
      >>> bool(near < far)
      True
    """
    f, g = _finite("train_features", train_features), _finite("features", features)
    if f.shape[1] != g.shape[1]:
        raise UsageError(f"train_features have {f.shape[1]} columns and features {g.shape[1]}.")
    y = np.zeros(len(f), np.int64) if train_labels is None else np.asarray(train_labels)
    if y.shape != (len(f),) or y.dtype.kind not in "iu":
        raise UsageError(f"train_labels must be {len(f)} class indices, got {y.dtype} of shape {y.shape}.")
    y = np.unique(y, return_inverse=True)[1]
    counts = np.bincount(y)
    means = np.zeros((len(counts), f.shape[1]))
    np.add.at(means, y, f)
    means /= counts[:, None]
    within = centred(f - means[y])
    if len(within.singular) == 0:
        raise UsageError("train_features do not vary within their classes, so there is no covariance to measure with.")
    alpha, power = shrinkage(within, f.shape[1]), within.singular**2 / len(f)
    spherical = alpha * power.sum() / f.shape[1]
    if spherical == 0 and len(power) < f.shape[1]:
        spherical = np.finfo(np.float64).eps * power.sum()
    # In principal axes S is diagonal; what is outside of them varies by the spherical part alone.
    apart = np.full(len(g), np.inf)
    for mean in means:
        x = g - mean
        inside = x @ within.right.T  # [n, k]
        outside = np.maximum((x**2).sum(axis=1) - (inside**2).sum(axis=1), 0.0)
        own = (inside**2 / ((1 - alpha) * power + spherical)).sum(axis=1)
        if len(power) < f.shape[1]:
            own += outside / spherical
        apart = np.minimum(apart, own)
    return apart


def max_softmax(logits: Any) -> np.ndarray:
    """Negative largest probability, `-max_c softmax(z)_c`, in [-1, -1/C].

    Args:
      logits: `[n, C]`.

    Returns:
      `[n]` float64; higher is more anomalous.

    Source: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
      Networks", ICLR 2017, arXiv 1610.02136.

    Example:
      >>> max_softmax([[0.0, 0.0], [9.0, -9.0]]).round(3)
      array([-0.5, -1. ])
    """
    return -softmax(_finite("logits", logits)).max(axis=1)


def energy(logits: Any, *, temperature: float = 1.0) -> np.ndarray:
    """Free energy, `-T log sum_c exp(z_c / T)`.

    Args:
      logits: `[n, C]`.
      temperature: T, > 0.

    Returns:
      `[n]` float64; higher is more anomalous.

    Raises:
      UsageError: for a temperature that is not positive.

    Source: Liu, Wang, Owens, Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020, arXiv 2010.03759.

    Example:
      >>> energy([[0.0, 0.0], [9.0, 0.0]]).round(2)
      array([-0.69, -9.  ])
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise UsageError(f"temperature must be a positive number, got {temperature!r}.")
    z = _finite("logits", logits) / temperature
    top = z.max(axis=1)
    return np.asarray(-temperature * (top + np.log(np.exp(z - top[:, None]).sum(axis=1))))


def anomaly_metrics(normal: Any, anomalous: Any) -> AnomalyMetrics:
    """Measure how well a score tells anomalies from normal examples: AUROC, AUPR and FPR at 95 % recall, all exact.

    AUROC is `P(a > b) + P(a = b) / 2` for an anomaly's score a and a normal one's b, by ranks. AUPR is
    `sum_k (R_k - R_{k-1}) P_k` over the distinct thresholds, without interpolation.

    Args:
      normal: `[n]` scores of normal examples.
      anomalous: `[m]` scores of anomalies; higher should be more anomalous.

    Raises:
      UsageError: for empty vectors, or scores that are NaN.

    Source: Mann and Whitney, Annals of Mathematical Statistics 18 (1947); the anomaly as the positive class as in
      Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019, arXiv 1812.04606.

    Example:
      >>> anomaly_metrics([0.1, 0.2, 0.3, 0.7], [0.7, 0.8])
      AnomalyMetrics(auroc=0.9375, aupr=0.8333333333333333, fpr95=0.25)
    """
    from scipy.stats import rankdata  # comes with scikit-learn

    b, a = np.asarray(normal, dtype=np.float64), np.asarray(anomalous, dtype=np.float64)
    for name, scores in (("normal", b), ("anomalous", a)):
        if scores.ndim != 1 or len(scores) == 0 or np.isnan(scores).any():
            raise UsageError(f"{name} must be a non-empty vector of scores without NaN, got shape {scores.shape}.")
    ranks = rankdata(np.concatenate([a, b]))  # equal scores share their mean rank
    auroc = (ranks[: len(a)].sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b))
    thresholds = np.unique(np.concatenate([a, b]))[::-1]  # falling: each catches what scores at least as high
    caught = len(a) - np.searchsorted(np.sort(a), thresholds)  # [thresholds]
    alarms = len(b) - np.searchsorted(np.sort(b), thresholds)
    precision = caught / (caught + alarms)
    aupr = float((np.diff(caught, prepend=0) / len(a) * precision).sum())
    enough = int(np.argmax(caught >= math.ceil(0.95 * len(a) - 1e-9)))
    return AnomalyMetrics(float(auroc), aupr, float(alarms[enough] / len(b)))


def _finite(name: str, array: Any) -> np.ndarray:
    x = np.asarray(array, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise UsageError(f"{name} must be a non-empty array [n, d], got shape {x.shape}.")
    if not np.isfinite(x).all():
        raise UsageError(f"{name} hold values that are not finite; leave these examples out.")
    return x
