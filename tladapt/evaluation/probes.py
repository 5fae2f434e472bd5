"""What fixed features are worth: a linear probe and a nearest-neighbour probe, trained on labelled features alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.metrics import classification_metrics

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
"""C of the logistic regression: the larger, the weaker the penalty."""
_HELD_OUT = 0.2  # share of each class that C is chosen on
_CELLS = 2**22  # distances held at once: 32 MiB


class LinearProbe(NamedTuple):
    """What a linear classifier on the features reaches.

    Attributes:
      logits: `[n_test, C]`, minus infinity for classes that the training labels lack.
      metrics: of the test examples, as from `classification_metrics`: "accuracy", "mean_class_accuracy", ...
      strength: C that was used.
      held_out: accuracy on the held-out training examples by C; empty where C was given.
      converged: whether the solver reached its tolerance.
    """

    logits: np.ndarray
    metrics: dict[str, Any]
    strength: float
    held_out: dict[float, float]
    converged: bool


class NeighbourProbe(NamedTuple):
    """What the nearest training examples say.

    Attributes:
      shares: `[n_test, C]`, the share of the k neighbours that are of each class, give or take a millionth where
        nearness decides between equals.
      metrics: of the test examples, as from `classification_metrics`; calibration is that of the shares.
    """

    shares: np.ndarray
    metrics: dict[str, Any]


def linear_probe(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    standardize: bool = True,
    strength: float | None = None,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> LinearProbe:
    """Train a logistic regression on fixed features and test it on others.

    `min_{W, b} 1/2 ||W||^2 + C sum_i CE(W f_i + b, y_i)`. Where C is not given, it is the one whose classifier is most
    often right on a fifth of each class held out of the *training* examples (of equals, the smallest); then the
    classifier is trained on all of them. Test labels are compared with, and choose nothing.

    Args:
      train_features: `[n, d]` floats.
      train_labels: `[n]` class indices.
      test_features: `[n_test, d]`.
      test_labels: `[n_test]`.
      standardize: centre and scale each feature by the examples that the classifier is trained on.
      strength: C, where it shall not be chosen.
      strengths: what C is chosen from.
      seed: of the choice of held-out examples.

    Returns:
      Logits and metrics of the test examples, and how C was chosen.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, fewer than two classes, or a C that is not
        positive.

    Source: Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016, arXiv
      1610.01644; the choice of C as in Kornblith, Shlens, Le, CVPR 2019, arXiv 1805.08974, on held-out examples.

    Example:
      >>> import numpy as np
      >>> y = np.arange(60) % 3
      >>> f = 4.0 * np.eye(3)[y] + np.random.default_rng(0).normal(size=(60, 3))
      >>> linear_probe(f[:30], y[:30], f[30:], y[30:]).metrics["accuracy"] > 0.9
      True
    """
    f, y, g, z = _checked(train_features, train_labels, test_features, test_labels)
    if len(np.unique(y)) < 2:
        raise UsageError(f"a linear probe needs training labels of at least two classes, got class {y[0]} alone.")
    tried = tuple(sorted(strengths)) if strength is None else (strength,)
    if not tried or not all(np.isfinite(c) and c > 0 for c in tried):
        raise UsageError(f"C must be a positive number, got {tried if strength is None else strength!r}.")
    held_out: dict[float, float] = {}
    if len(tried) > 1:
        kept, out = _split(y, seed)
        if len(out) == 0:
            raise UsageError("no class has two training examples to choose C with; give it, such as strength=1.0.")
        for c in tried:
            logits, _ = _logistic(f[kept], y[kept], f[out], classes=int(y.max()) + 1, c=c, standardize=standardize)
            held_out[c] = float(np.mean(logits.argmax(axis=1) == y[out]))
    best = max(tried, key=lambda c: (held_out.get(c, 0.0), -c))
    classes = int(max(y.max(), z.max())) + 1
    logits, converged = _logistic(f, y, g, classes=classes, c=best, standardize=standardize)
    return LinearProbe(logits, classification_metrics(logits, z, classes), best, held_out, converged)


def knn_probe(
    train_features: Any,
    train_labels: Any,
    test_features: Any,
    test_labels: Any,
    *,
    neighbours: int = 1,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> NeighbourProbe:
    """Class each test example as most of its nearest training examples are; exact, and in blocks.

    Of classes with equally many votes, the one whose nearest example is nearest counts; of training examples that are
    equally near, the first.

    Args:
      train_features: `[n, d]` floats.
      train_labels: `[n]` class indices.
      test_features: `[n_test, d]`.
      test_labels: `[n_test]`; they are compared with, and choose nothing.
      neighbours: k, in 1 ... n.
      metric: "euclidean" distance, or "cosine": of features divided by their norms (all-zero features stay 0).

    Returns:
      Shares of the votes, and metrics of the test examples.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, an unknown metric, or k out of range.

    Source: Cover and Hart, "Nearest Neighbor Pattern Classification", IEEE Trans. Information Theory 13 (1967).

    Example:
      >>> train, test = [[0.0], [1.0], [9.0]], [[2.0], [8.0]]
      >>> [knn_probe(train, [0, 0, 1], test, [0, 1], neighbours=k).metrics["accuracy"] for k in (1, 3)]
      [1.0, 0.5]
    """
    f, y, g, z = _checked(train_features, train_labels, test_features, test_labels)
    nearest = nearest_neighbours(f, g, neighbours, metric=metric)[0]
    classes = int(max(y.max(), z.max())) + 1
    votes, nearness = np.zeros((2, len(g), classes))
    rows = np.arange(len(g))
    for place in reversed(range(neighbours)):  # the nearest of a class comes last, and stays
        label = y[nearest[:, place]]
        votes[rows, label] += 1.0
        nearness[rows, label] = neighbours - place
    shares = votes + 1e-6 * nearness / neighbours
    shares /= shares.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):  # minus infinity for a class without a vote
        metrics = classification_metrics(np.log(shares), z, classes)
    return NeighbourProbe(shares, metrics)


def nearest_neighbours(
    train_features: Any, features: Any, neighbours: int, *, metric: Literal["euclidean", "cosine"] = "euclidean"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the nearest training examples `[n, k]`, the nearest first, and their distances `[n, k]`.

    Args:
      train_features: `[n_train, d]` floats.
      features: `[n, d]`.
      neighbours: k, in 1 ... n_train.
      metric: "euclidean", or "cosine": Euclidean distance of the features divided by their norms.

    Raises:
      UsageError: for shapes that do not fit, an unknown metric, or k out of range.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    f, g = np.asarray(train_features, dtype=np.float64), np.asarray(features, dtype=np.float64)
    if f.ndim != 2 or g.ndim != 2 or f.shape[1] != g.shape[1]:
        raise UsageError(f"expected features [n_train, d] and [n, d] of one width, got {f.shape} and {g.shape}.")
    if metric not in ("euclidean", "cosine"):
        raise UsageError(f"metric must be 'euclidean' or 'cosine', got {metric!r}.")
    if not 1 <= neighbours <= len(f):
        raise UsageError(f"neighbours must be from 1 to the {len(f)} training examples, got {neighbours!r}.")
    if metric == "cosine":
        f, g = _unit(f), _unit(g)
    else:  # distances are as before, and squares lose no digits to a large common mean
        mean = f.mean(axis=0)
        f, g = f - mean, g - mean
    own, rows = (f**2).sum(axis=1), max(1, _CELLS // len(f))
    index = np.empty((len(g), neighbours), np.int64)
    with threadpool_limits(1):
        for first in range(0, len(g), rows):
            block = g[first : first + rows]
            apart = own[None, :] - 2.0 * block @ f.T  # [rows, n_train], but for the square of the test example
            if neighbours == 1:
                index[first : first + rows] = apart.argmin(axis=1)[:, None]
                continue
            some = np.sort(np.argpartition(apart, neighbours - 1, axis=1)[:, :neighbours], axis=1)
            order = np.argsort(np.take_along_axis(apart, some, axis=1), axis=1, kind="stable")
            index[first : first + rows] = np.take_along_axis(some, order, axis=1)
    # The differences themselves: no digit is lost where examples are equal.
    distances = np.stack([np.linalg.norm(g - f[index[:, place]], axis=1) for place in range(neighbours)], axis=1)
    return index, distances


def _unit(features: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(norm > 0, norm, 1.0))


def _checked(f: Any, y: Any, g: Any, z: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    found: list[np.ndarray] = []
    for what, features, labels in (("train", f, y), ("test", g, z)):
        x, own = np.asarray(features, dtype=np.float64), np.asarray(labels)
        if x.ndim != 2 or own.shape != (len(x),) or 0 in x.shape:
            raise UsageError(
                f"expected {what}_features [n, d] and {what}_labels [n], none empty, got shapes {x.shape} and"
                f" {own.shape}."
            )
        if own.dtype.kind not in "iu" or own.min() < 0:
            raise UsageError(f"{what}_labels must be class indices from 0, got {own.dtype} such as {own[:3].tolist()}.")
        if not np.isfinite(x).all():
            raise UsageError(f"{what}_features hold values that are not finite; leave these examples out.")
        found += [x, own.astype(np.int64)]
    if found[0].shape[1] != found[2].shape[1]:
        raise UsageError(
            f"train_features have {found[0].shape[1]} columns and test_features {found[2].shape[1]}: features of one"
            " model were expected."
        )
    return found[0], found[1], found[2], found[3]


def _split(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions to train on and to hold out: a fifth of each class, none of a class of one example."""
    rng = np.random.default_rng(seed)
    out = []
    for label in np.unique(y):
        own = rng.permutation(np.flatnonzero(y == label))
        count = min(max(1, round(_HELD_OUT * len(own))), len(own) - 1)
        out.append(own[:count])
    held = np.sort(np.concatenate(out))
    return np.setdiff1d(np.arange(len(y)), held), held


def _logistic(
    f: np.ndarray, y: np.ndarray, g: np.ndarray, *, classes: int, c: float, standardize: bool
) -> tuple[np.ndarray, bool]:
    """Return logits `[len(g), classes]` of a logistic regression on (f, y), and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    if standardize:
        mean, deviation = f.mean(axis=0), f.std(axis=0)
        # What varies by its own rounding alone is constant, and says nothing.
        scale = np.where(deviation > 1e-7 * np.abs(f).max(axis=0), deviation, np.inf)
        f, g = (f - mean) / scale, (g - mean) / scale
    model = LogisticRegression(C=c, max_iter=2000)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged`
        model.fit(f, y)
    scores = model.decision_function(g)
    if scores.ndim == 1:  # of two classes scikit-learn gives the logit of the second against the first
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    logits = np.full((len(g), classes), -np.inf)
    logits[:, model.classes_] = scores
    return logits, bool(np.max(model.n_iter_) < model.max_iter)
