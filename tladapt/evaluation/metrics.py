"""How good predictions are: accuracy, per class, macro-F1, calibration, and an interval over independent units.

Everything here is NumPy on whole arrays, in float64. A row of logits with a NaN in it predicts no class (-1): it counts
as wrong and stands in no column of the confusion matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tladapt.errors import UsageError

_NORMAL_975 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution
_RESAMPLES = 2000  # bootstrap resamples: the 2.5 % and 97.5 % points rest on 50 draws each
_CELLS = 2**22  # indices drawn at once: bounds the memory of the bootstrap at 32 MiB


def softmax(logits: Any) -> np.ndarray:
    """Probabilities of logits: `p_c = exp(z_c - max z) / sum_k exp(z_k - max z)`, in float64.

    Args:
      logits: `[..., C]`, any float dtype.

    Returns:
      `[..., C]` float64; a row with a NaN or +inf gives NaN.

    Example:
      >>> softmax([[0.0, 0.0], [1000.0, 0.0]])
      array([[0.5, 0.5],
             [1. , 0. ]])
    """
    z = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf: the NaN says enough
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))


def entropy(probabilities: Any) -> np.ndarray:
    """Shannon entropy over the last axis in nats, `H(p) = -sum_c p_c ln p_c`, with `0 ln 0 = 0`.

    Args:
      probabilities: `[..., C]`, rows that sum to 1.

    Returns:
      `[...]` float64, in [0, ln C].

    Example:
      >>> [round(float(h), 4) for h in entropy([[0.5, 0.5], [1.0, 0.0]])]
      [0.6931, 0.0]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    logarithm = np.log(np.where(p > 0, p, 1.0))
    return np.asarray(np.where(np.isnan(p), np.nan, -p * logarithm).sum(axis=-1)) + 0.0  # + 0.0: no negative zero


def predict(logits: Any) -> np.ndarray:
    """Index of the largest logit `[n]`, int64 (the first of equals); -1 for a row with a NaN.

    Args:
      logits: `[n, C]`.
    """
    z = np.asarray(logits)
    return np.where(np.isnan(z).any(axis=-1), -1, z.argmax(axis=-1)).astype(np.int64)


def accuracy(logits: Any, labels: Any) -> float:
    """Share of examples whose largest logit is that of their label, in [0, 1].

    Args:
      logits: `[n, C]`.
      labels: `[n]` integers in [0, C).

    Raises:
      UsageError: for shapes that do not match, no examples, or labels outside [0, C).

    Example:
      >>> accuracy([[2.0, 1.0], [0.0, 3.0]], [0, 0])
      0.5
    """
    z, y = _checked(logits, labels)
    return float((predict(z) == y).mean())


def confusion_matrix(logits: Any, labels: Any) -> np.ndarray:
    """Counts `[C, C]` (int64): entry `[i, j]` is how many examples of class i were predicted as class j.

    Args and errors as in `accuracy`.

    Example:
      >>> confusion_matrix([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0]], [0, 0, 1])
      array([[1, 1],
             [0, 1]])
    """
    z, y = _checked(logits, labels)
    classes = z.shape[1]
    predicted = predict(z)
    cell = (y * classes + predicted)[predicted >= 0]
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes)  # [C, C]


def per_class_accuracy(logits: Any, labels: Any) -> np.ndarray:
    """Share of each class's examples that were predicted right (its recall) `[C]`; NaN for a class without examples.

    Args and errors as in `accuracy`.

    Example:
      >>> per_class_accuracy([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]], [0, 0])
      array([0.5, nan, nan])
    """
    z, y = _checked(logits, labels)
    examples = np.bincount(y, minlength=z.shape[1])
    right = np.bincount(y[predict(z) == y], minlength=z.shape[1])
    return np.where(examples > 0, right / np.maximum(examples, 1), np.nan)


def mean_class_accuracy(logits: Any, labels: Any) -> float:
    """Mean of the accuracies of the classes that have examples, in [0, 1] (VisDA's official number).

    Args and errors as in `accuracy`.
    """
    return float(np.nanmean(per_class_accuracy(logits, labels)))


def macro_f1(logits: Any, labels: Any) -> float:
    """Mean over classes of `F1_c = 2 TP_c / (examples_c + predictions_c)`, in [0, 1].

    Convention: a class that has neither an example nor a prediction is left out, as scikit-learn does by default.
    Args and errors as in `accuracy`.

    Example:
      >>> macro_f1([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0]], [0, 0, 1])
      0.6666666666666666
    """
    z, y = _checked(logits, labels)
    predicted = predict(z)
    examples = np.bincount(y, minlength=z.shape[1])
    predictions = np.bincount(predicted[predicted >= 0], minlength=z.shape[1])
    right = np.bincount(y[predicted == y], minlength=z.shape[1])
    seen = examples + predictions > 0
    return float((2 * right[seen] / (examples + predictions)[seen]).mean())


def expected_calibration_error(logits: Any, labels: Any, *, bins: int = 15) -> float:
    """Mean distance of confidence to accuracy, `ECE = sum_m |B_m| / n * |accuracy(B_m) - confidence(B_m)|`, in [0, 1].

    `B_m` holds the examples whose largest probability lies in `((m - 1) / bins, m / bins]`.

    Args:
      logits: `[n, C]`.
      labels: `[n]` integers in [0, C).
      bins: how many bins of equal width.

    Returns:
      The error; NaN where a probability is not finite.

    Raises:
      UsageError: as in `accuracy`.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv 1706.04599.

    Example:
      >>> expected_calibration_error([[0.0, 0.0], [0.0, 0.0]], [0, 1])  # half sure, half right
      0.0
    """
    z, y = _checked(logits, labels)
    confidence = softmax(z).max(axis=-1)  # [n]
    if not np.isfinite(confidence).all():
        return math.nan
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = (predict(z) == y).astype(np.float64) - confidence
    # |B_m| / n * |mean gap| = |sum of gaps| / n: no division by an empty bin.
    return float(np.abs(np.bincount(which, weights=gap, minlength=bins)).sum() / len(y))


def accuracy_interval(correct: Any, groups: Any = None, *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of an accuracy, over independent units rather than over examples.

    Where each example is its own unit: Wilson's score interval. Where units hold several examples (pictures of one
    digit, scans of one patient): percentile bootstrap over units, 2,000 resamples; all of a unit's examples come along.
    Where all units have one and the same accuracy, resampling shows no spread at all: Wilson's interval over units.

    Args:
      correct: `[n]` booleans: was the example predicted right?
      groups: `[n]` integers: the unit of each example. None: each its own.
      seed: of the bootstrap's resamples.

    Returns:
      `(low, high)`, fractions in [0, 1].

    Raises:
      UsageError: for no examples, or groups of another length.

    Source: Wilson, JASA 22 (1927); Field and Welsh, "Bootstrapping clustered data", JRSS B 69 (2007).

    Example:
      >>> [round(end, 3) for end in accuracy_interval([True] * 8 + [False] * 2)]
      [0.49, 0.943]
      >>> [round(end, 3) for end in accuracy_interval([True] * 8 + [False] * 2, groups=[0] * 5 + [1] * 5)]
      [0.6, 1.0]
    """
    hits = np.asarray(correct, dtype=np.float64)
    if hits.ndim != 1 or len(hits) == 0:
        raise UsageError(f"correct must be a non-empty vector with one entry an example, got shape {hits.shape}.")
    if groups is None:
        return _wilson(float(hits.mean()), len(hits))
    if np.shape(groups) != hits.shape:
        raise UsageError(f"groups must have one entry for each of the {len(hits)} examples, got {np.shape(groups)}.")
    unit = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(unit).astype(np.float64)  # [units]
    right = np.bincount(unit, weights=hits)  # [units]
    units = len(sizes)
    if units == len(hits) or np.ptp(right / sizes) == 0:
        return _wilson(float(hits.mean()), units)
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS // units)
    accuracies = []
    for first in range(0, _RESAMPLES, at_once):
        drawn = rng.integers(0, units, size=(min(at_once, _RESAMPLES - first), units))
        accuracies.append(right[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(accuracies), [0.025, 0.975])
    return float(low), float(high)


def classification_metrics(
    logits: Any, labels: Any, classes: int | Sequence[str], groups: Any = None
) -> dict[str, float | list[Any]]:
    """All numbers about a labelled test set, as one flat dictionary ready for JSON.

    Args:
      logits: `[n, C]`.
      labels: `[n]` integers in [0, C).
      classes: the class names in the order of the indices, or how many there are.
      groups: `[n]` the independent unit of each example, or None; see `accuracy_interval`.

    Returns:
      `accuracy`, `mean_class_accuracy`, `macro_f1`, `ece` (fractions in [0, 1]); `interval` `[low, high]`, the 95 %
      interval of the accuracy; `per_class_accuracy` (a list of C, None for a class without examples).

    Raises:
      UsageError: for shapes that do not match, no examples, or labels outside [0, C).

    Example:
      >>> metrics = classification_metrics([[2.0, 1.0], [0.0, 3.0]], [0, 1], ["cat", "dog"])
      >>> metrics["accuracy"], metrics["per_class_accuracy"]
      (1.0, [1.0, 1.0])
    """
    z, y = _checked(logits, labels)
    expected = classes if isinstance(classes, int) else len(classes)
    if z.shape[1] != expected:
        raise UsageError(f"logits have {z.shape[1]} columns, but there are {expected} classes.")
    recalls = per_class_accuracy(z, y)
    return {
        "accuracy": accuracy(z, y),
        "mean_class_accuracy": mean_class_accuracy(z, y),
        "macro_f1": macro_f1(z, y),
        "ece": expected_calibration_error(z, y),
        "interval": list(accuracy_interval(predict(z) == y, groups)),
        "per_class_accuracy": [None if np.isnan(recall) else float(recall) for recall in recalls],
    }


def _wilson(share: float, n: int) -> tuple[float, float]:
    z2 = _NORMAL_975**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_975 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _checked(logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    z, y = np.asarray(logits), np.asarray(labels)
    if z.ndim != 2 or y.shape != (len(z),):
        raise UsageError(f"expected logits [n, C] and labels [n], got shapes {z.shape} and {y.shape}.")
    if len(y) == 0:
        raise UsageError("there are no examples to score: logits and labels are empty.")
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= z.shape[1]:
        raise UsageError(
            f"labels must be integers in [0, {z.shape[1]}), got dtype {y.dtype} in [{y.min()}, {y.max()}]."
            " Leave out the examples whose label is unknown."
        )
    return z.astype(np.float64), y.astype(np.int64)
