"""LEEP and NCE: how much the classes that a source model predicts tell about the labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.transferability.base import checked_labels, indicators, transferability


@transferability("leep", "log likelihood of the labels through the source model's own classes", reads="probabilities")
def leep(probabilities: Any, labels: Any) -> float:
    r"""LEEP, the mean log likelihood of the labels where each is drawn through the source model's classes.

    With probabilities theta_iz of the source model's classes z,

      P(y, z) = 1/n sum_{i: y_i = y} theta_iz,  P(y | z) = P(y, z) / sum_y' P(y', z),
      LEEP = 1/n sum_i log sum_z P(y_i | z) theta_iz  <= 0.

    Convention: a class z that has no probability anywhere (0/0) adds nothing to any sum.

    Args:
      probabilities: `[n, Z]`, rows that sum to 1: softmax of the source model's logits on the data set.
      labels: `[n]` class indices.

    Returns:
      The score, in [-H(Y), 0]; higher is better.

    Raises:
      UsageError: for shapes that do not fit, rows that are no probabilities, or fewer than two classes.

    Source: Nguyen, Hassner, Seeger, Archambeau, "LEEP: A New Measure to Evaluate Transferability of Learned
      Representations", ICML 2020, arXiv 2002.12462.

    Example:
      >>> leep([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [1, 1, 0, 0])
      0.0
    """
    y = checked_labels(labels)
    theta = _probabilities(probabilities, len(y))  # [n, Z]
    targets = indicators(y)  # [n, C]
    joint = targets.T @ theta  # [C, Z]
    mass = joint.sum(axis=0)
    conditional = joint / np.where(mass > 0, mass, 1.0)  # [C, Z]
    likelihood = (conditional[y] * theta).sum(axis=1)  # [n]
    return float(np.minimum(np.log(likelihood), 0.0).mean()) + 0.0  # above 0 by rounding alone


def nce(source_labels: Any, labels: Any) -> float:
    r"""Negative conditional entropy of the labels given the class that the source model predicts.

    With hard source labels z_i,

      NCE = -H(Y | Z) = 1/n sum_i log P(y_i | z_i),  P(y | z) = #{y_i = y, z_i = z} / #{z_i = z}.

    It is 0 where the label is a function of z, and equals LEEP of one-hot probabilities.

    Args:
      source_labels: `[n]` integers, the source model's class of each example.
      labels: `[n]` class indices.

    Returns:
      The score, in [-H(Y), 0]; higher is better.

    Raises:
      UsageError: for shapes that do not fit, or fewer than two classes.

    Source: Tran, Nguyen, Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019,
      arXiv 1908.08142.

    Example:
      >>> nce([5, 5, 8, 8], [1, 1, 0, 0])
      0.0
    """
    y, z = checked_labels(labels), np.asarray(source_labels)
    if z.shape != y.shape or z.dtype.kind not in "iu":
        raise UsageError(f"source_labels must be integers of shape {y.shape}, got {z.dtype} of shape {z.shape}.")
    z = np.unique(z, return_inverse=True)[1]
    counts = np.zeros((y.max() + 1, z.max() + 1))
    np.add.at(counts, (y, z), 1.0)
    return float(np.log(counts[y, z] / counts.sum(axis=0)[z]).mean()) + 0.0


@transferability(
    "nce", "negative entropy of the labels given the source model's predicted class", reads="probabilities"
)
def _nce_of_probabilities(probabilities: Any, labels: Any) -> float:
    return nce(_probabilities(probabilities, len(np.atleast_1d(labels))).argmax(axis=1), labels)


def _probabilities(probabilities: Any, n: int) -> np.ndarray:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or len(p) != n or p.shape[1] == 0:
        raise UsageError(f"expected probabilities [n, Z] for {n} labels, got shape {p.shape}.")
    # Softmax in bfloat16 sums to 1 within a percent.
    if not (np.isfinite(p).all() and (p >= 0).all() and (np.abs(p.sum(axis=1) - 1.0) < 0.02).all()):
        raise UsageError(
            "probabilities must be non-negative with rows that sum to 1,"
            f" got values in [{p.min():.4g}, {p.max():.4g}] and row sums in [{p.sum(axis=1).min():.4g},"
            f" {p.sum(axis=1).max():.4g}]. Logits? tladapt.evaluation.softmax(logits) turns them into probabilities."
        )
    return np.asarray(p / p.sum(axis=1, keepdims=True))
