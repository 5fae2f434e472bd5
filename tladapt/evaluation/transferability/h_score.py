"""H-score: how much of the features' variation lies between classes, plain and with a shrunk covariance."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tladapt.evaluation.transferability.base import checked, indicators, transferability


class Centred(NamedTuple):
    """Centred features as `left * singular @ right`, what varies by its own rounding alone left out.

    Attributes:
      left: `[n, k]`, orthonormal columns.
      singular: `[k]`, falling, all above the rounding of the features.
      right: `[k, d]`, orthonormal rows: the principal directions.
      squares: `[n]`, squared norms of the centred examples.
    """

    left: np.ndarray
    singular: np.ndarray
    right: np.ndarray
    squares: np.ndarray


def centred(features: np.ndarray, *, precision: Any = np.float64) -> Centred:
    """Return the singular value decomposition of the centred features `[n, d]`, float64.

    Args:
      features: `[n, d]` float64.
      precision: dtype that the features were computed in: singular values below its rounding count as 0.
    """
    x = features - features.mean(axis=0)
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    # Features are rounded where they are, not where they are centred: a large mean makes a large rounding error.
    size = np.sqrt((features**2).sum())
    epsilon = np.finfo(np.float64 if np.dtype(precision) == np.float64 else np.float32).eps
    kept = singular > size * epsilon * np.sqrt(max(x.shape))
    return Centred(left[:, kept], singular[kept], right[kept], (x**2).sum(axis=1))


def shrinkage(found: Centred, width: int) -> float:
    r"""Ledoit and Wolf's share of the spherical covariance in the best mixture with the empirical one, in [0, 1].

    With centred examples x_i, S = 1/n sum_i x_i x_i^T, m = tr(S) / d:
    alpha = min(1, 1/n (1/n sum_i ||x_i||^4 - ||S||_F^2) / ||S - m I||_F^2).

    Args:
      found: of the features.
      width: d, how many features there are.

    Source: Ledoit and Wolf, "A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices", Journal of
      Multivariate Analysis 88 (2004).
    """
    n = len(found.squares)
    power = found.singular**2 / n  # eigenvalues of S
    mean = power.sum() / width
    spread = (power**2).sum() - width * mean**2  # ||S - m I||_F^2
    noise = ((found.squares**2).mean() - (power**2).sum()) / n
    return float(np.clip(noise / spread, 0.0, 1.0)) if spread > 0 else 1.0


@transferability("h_score", "variation of the features between classes over all of it", reads="features")
def h_score(features: Any, labels: Any) -> float:
    r"""H-score, `tr(cov(f)^+ cov(E[f | y]))`, the variation between classes measured in units of all variation.

    With the centred features U S V^T it is sum_c n_c ||mean of U over class c||^2: 0 where class means are equal, and
    C - 1 where features are constant within each of C classes that lie apart in general position. It does not change
    under invertible linear maps.

    With no more examples than features (n <= d, general position) any labels give C - 1: the score then says nothing,
    and `regularized_h_score` is the one to use.

    Args:
      features: `[n, d]` floats; directions that vary by the rounding of their dtype alone are left out.
      labels: `[n]` class indices.

    Returns:
      The score, in [0, C - 1]; higher is better.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, or fewer than two classes.

    Source: Bao, Li, Huang, Zhang, Zheng, Zamir, Guibas, "An Information-Theoretic Approach to Transferability in Task
      Transfer Learning", ICIP 2019.

    Example:
      >>> round(h_score([[0.0, 1.0], [0.0, 1.1], [5.0, 1.0], [5.0, 1.1]], [0, 0, 1, 1]), 6)
      1.0
    """
    f, y = checked(features, labels)
    return float(_between(centred(f, precision=_dtype(features)).left, y).sum())


@transferability(
    "regularized_h_score", "the H-score with a covariance that stays invertible (Ledoit-Wolf)", reads="features"
)
def regularized_h_score(features: Any, labels: Any) -> float:
    r"""H-score with a shrunk covariance, `(1 - alpha) tr(cov_alpha(f)^{-1} cov(E[f | y]))`.

    With S the covariance of the features (divided by n), d their number and alpha from `shrinkage`:
    cov_alpha = (1 - alpha) S + alpha tr(S)/d I.

    It tells models apart where there are fewer examples than features, too; it depends on the features' scales.

    Args and errors as in `h_score`.

    Returns:
      The score, in [0, C - 1]; higher is better.

    Source: Ibrahim, Ponomareva, Mazumder, "Newer is not always better: Rethinking transferability metrics, their
      peculiarities, stability and performance", 2021, arXiv 2110.06893.

    Example:
      >>> 0.5 < regularized_h_score([[0.0, 1.0], [0.0, 1.1], [5.0, 1.0], [5.0, 1.1]], [0, 0, 1, 1]) < 1.0
      True
    """
    f, y = checked(features, labels)
    found = centred(f, precision=_dtype(features))
    alpha = shrinkage(found, f.shape[1])
    power = found.singular**2 / len(f)  # [k]
    kept = (1.0 - alpha) * power
    return float((kept / (kept + alpha * power.sum() / f.shape[1]) * _between(found.left, y)).sum())


def _between(left: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the share of each column's variation that lies between classes `[k]`; columns are centred, of norm 1."""
    counts = np.bincount(y).astype(np.float64)  # [C]
    sums = indicators(y).T @ left  # [C, k]
    return np.asarray((sums**2 / counts[:, None]).sum(axis=0))


def _dtype(features: Any) -> np.dtype[Any]:
    dtype = np.asarray(features).dtype
    return np.dtype(np.float64) if dtype.kind in "iu" else dtype
