"""LogME: how well a Bayesian linear model explains the labels by the features, averaged over all its weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tladapt.evaluation.transferability.base import checked, indicators, transferability

_POINTS, _ROUNDS = 33, 5  # of the line search: 33 points, five times, each within a sixteenth of the last interval
_LEAST, _MOST = math.log(1e-12), math.log(1e8)  # of alpha / beta, in units of the largest squared singular value


@transferability("logme", "log evidence of the labels under a Bayesian linear model of the features", reads="features")
def logme(features: Any, labels: Any) -> float:
    r"""LogME, the logarithm of the maximum evidence of the labels given the features, for each example and class.

    For each class c, with y_i = 1 where example i is of c and 0 elsewhere, features F `[n, d]`, weights
    w ~ N(0, I / alpha) and labels y ~ N(F w, I / beta):

      LogME = 1/C sum_c 1/n max_{alpha, beta} log N(y; 0, F F^T / alpha + I / beta).

    For a given ratio r = alpha / beta the best beta is n / q(r) with q(r) = y^T (I + F F^T / r)^{-1} y. What is left,

      -n/2 log q(r) - 1/2 log det(I + F F^T / r) + n/2 (log n - 1 - log 2 pi),

    is one number's function, taken from one singular value decomposition of F for all classes, and is searched for its
    maximum. The score does not change where features are rotated or all multiplied by one number; it is not changed by
    zero columns, and features are not centred. It has no natural zero: compare it on one set of labels alone.

    Args:
      features: `[n, d]` floats.
      labels: `[n]` class indices; classes without an example do not count.

    Returns:
      The score, finite; higher is better.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, or fewer than two classes.

    Deviations from the paper:
      1. The maximum is found by the line search above. The published code iterates alpha and beta until they change by
         1 %, at most 11 times, and may stop short of it.
      2. Where the labels are an exact linear function of the features, the evidence has no bound, and the published
         code divides by a residual of 0. Here r stays above 1e-12 of the largest squared singular value.

    Source: You, Liu, Wang, Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021,
      arXiv 2102.11005; code: thuml/LogME.

    Example:
      >>> import numpy as np
      >>> f, y = np.array([[1.0, 0.1], [0.9, 0.0], [0.1, 1.0], [0.0, 0.8]]), np.array([0, 0, 1, 1])
      >>> logme(f, y) > logme(f, y[[0, 2, 1, 3]])
      True
    """
    f, y = checked(features, labels)
    n = len(f)
    targets = indicators(y)  # [n, C]
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    explained = u.T @ targets  # [k, C]
    squares = explained**2
    rest = ((targets - u @ explained) ** 2).sum(axis=0)  # [C]: what no weights explain
    power = s**2  # [k]

    def evidence(log_ratio: np.ndarray) -> np.ndarray:
        ratio = np.exp(log_ratio)[None, :]  # [1, C]
        shrunk = ratio + power[:, None]  # [k, C]
        q = (squares * (ratio / shrunk)).sum(axis=0) + rest
        return np.asarray(-0.5 * n * np.log(q) - 0.5 * np.log(shrunk / ratio).sum(axis=0))

    largest = math.log(power[0]) if power[0] > 0 else 0.0  # features that are all 0 say nothing at any ratio
    low, high = (np.full(targets.shape[1], largest + bound) for bound in (_LEAST, _MOST))
    for _ in range(_ROUNDS):
        grid = np.linspace(low, high, _POINTS)  # [points, C]
        values = np.stack([evidence(point) for point in grid])
        best = values.argmax(axis=0)
        columns = np.arange(len(best))
        low, high = grid[np.maximum(best - 1, 0), columns], grid[np.minimum(best + 1, _POINTS - 1), columns]
    top = values.max(axis=0) / n + 0.5 * (math.log(n) - 1.0 - math.log(2 * math.pi))
    return float(top.mean())
