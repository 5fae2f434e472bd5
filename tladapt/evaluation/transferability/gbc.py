"""GBC: how much classes overlap where each is a Gaussian of the features."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.transferability.base import checked, indicators, transferability
from tladapt.evaluation.transferability.h_score import centred

_FLOOR = 1e-6  # least variance of a class, as a share of the mean variance of the projected features


@transferability("gbc", "overlap of classes as Gaussians of the features (diagonal), negated", reads="features")
def gbc(
    features: Any,
    labels: Any,
    *,
    covariance: Literal["diagonal", "spherical"] = "diagonal",
    components: int | None = 64,
) -> float:
    r"""Gaussian Bhattacharyya coefficient, the negative overlap of all ordered pairs of different classes.

    Features are projected on their first principal components. With the mean mu_c and the variances s_c of class c in
    each dimension (spherical: their mean), and s = (s_c + s_c') / 2:

      D(c, c') = 1/8 sum_j (mu_cj - mu_c'j)^2 / s_j + 1/2 sum_j [log s_j - 1/2 log s_cj - 1/2 log s_c'j],
      GBC = -sum_{c != c'} exp(-D(c, c')).

    It does not change where features are rotated, moved, or all multiplied by one number.

    Args:
      features: `[n, d]` floats.
      labels: `[n]` class indices.
      covariance: of a class.
      components: at most this many principal components; None: all.

    Returns:
      The score, in [-C (C - 1), 0]: the least where all classes are alike, 0 where none overlap; higher is better.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, fewer than two classes, an unknown
        covariance, or fewer than one component.

    Deviations from the paper:
      1. The published code leaves the factor d out of the second term of the spherical form, whose sum runs over one
         number there. Here it is the distance of the two Gaussians.
      2. Variances are at least 1e-6 of the mean variance of the projected features; the published code has a fixed
         floor of 1e-4, which depends on the features' scale.
      3. With fewer than 64 features or examples the rotation to principal axes is made all the same, so that the
         diagonal form does not depend on the axes that features come in.

    Source: Pandy, Agostinelli, Uijlings, Ferrari, Mensink, "Transferability Estimation using Bhattacharyya Class
      Separability", CVPR 2022, arXiv 2111.12780; code: google-research/google-research, stable_transfer.

    Example:
      >>> import numpy as np
      >>> f = np.random.default_rng(0).normal(size=(40, 3))
      >>> y = np.arange(40) % 2
      >>> gbc(f + 50.0 * y[:, None], y) == 0.0, gbc(np.concatenate([f, f]), np.repeat([0, 1], 40))
      (True, -2.0)
    """
    if covariance not in ("diagonal", "spherical"):
        raise UsageError(f"covariance must be 'diagonal' or 'spherical', got {covariance!r}.")
    if components is not None and components < 1:
        raise UsageError(f"components must be at least 1, or None for all, got {components!r}.")
    f, y = checked(features, labels)
    classes = int(y.max()) + 1
    found = centred(f)
    x = (found.left * found.singular)[:, :components]  # [n, k]
    if x.shape[1] == 0:  # all features are constant, so all classes are alike
        return -float(classes * (classes - 1))
    share = indicators(y) / np.bincount(y)  # [n, C]
    mean = share.T @ x  # [C, k]
    variance = share.T @ (x - mean[y]) ** 2  # [C, k]
    if covariance == "spherical":
        variance = np.repeat(variance.mean(axis=1, keepdims=True), x.shape[1], axis=1)
    variance = np.maximum(variance, _FLOOR * x.var(axis=0).mean())
    total = 0.0
    for c in range(classes - 1):
        between = (variance[c] + variance[c + 1 :]) / 2  # [C - c - 1, k]
        logarithms = np.log(between) - 0.5 * np.log(variance[c]) - 0.5 * np.log(variance[c + 1 :])
        distance = ((mean[c] - mean[c + 1 :]) ** 2 / between).sum(axis=1) / 8 + 0.5 * logarithms.sum(axis=1)
        total += 2.0 * float(np.exp(-distance).sum())
    return -total


@transferability(
    "gbc_spherical", "overlap of classes as spherical Gaussians of the features, negated", reads="features"
)
def _gbc_spherical(features: Any, labels: Any) -> float:
    return gbc(features, labels, covariance="spherical")
