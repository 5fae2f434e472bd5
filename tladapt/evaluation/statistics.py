"""Numbers over seeds: spread, intervals, paired tests, and Holm's correction for many of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError


class Interval(NamedTuple):
    """A mean, the two ends of its interval (NaN for a single value), and how many values it rests on."""

    mean: float
    low: float
    high: float
    n: int


class PairedTest(NamedTuple):
    """Two paired samples compared, a minus b.

    Attributes:
      difference: mean of `a_i - b_i`, with its 95 % t-interval.
      p: of the paired t-test, two-sided; NaN for fewer than 2 pairs.
      wilcoxon_p: of Wilcoxon's signed-rank test, two-sided; NaN for fewer than 6 pairs, where it cannot reach 0.05.
    """

    difference: Interval
    p: float
    wilcoxon_p: float


def spread(values: Any) -> float:
    """Sample standard deviation, `sqrt(sum (x - mean)^2 / (n - 1))`; NaN for a single value.

    Example:
      >>> spread([1.0, 3.0])
      1.4142135623730951
    """
    x = _vector(values)
    return float(x.std(ddof=1)) if len(x) > 1 else math.nan


def mean_and_interval(values: Any, *, level: float = 0.95) -> Interval:
    """Mean and its t-interval, `mean +- t_{n-1} * spread / sqrt(n)`.

    Args:
      values: `[n]` numbers, one a seed.
      level: of the interval, in (0, 1).

    Raises:
      UsageError: for no values.

    Example:
      >>> mean, low, high, n = mean_and_interval([0.80, 0.82, 0.84])
      >>> round(mean, 3), round(low, 3), round(high, 3), n
      (0.82, 0.77, 0.87, 3)
    """
    from scipy import stats

    x = _vector(values)
    mean = float(x.mean())
    half = float(stats.t.ppf(0.5 + level / 2, len(x) - 1)) * spread(x) / math.sqrt(len(x)) if len(x) > 1 else math.nan
    return Interval(mean, mean - half, mean + half, len(x))


def paired_test(a: Any, b: Any) -> PairedTest:
    """Compare two methods on the same seeds: paired t-test, and Wilcoxon's signed-rank test from 6 pairs on.

    Convention: differences that are all equal leave no variance; then p is 1 where they are 0, and 0 elsewhere.

    Args:
      a: `[n]` numbers of one method.
      b: `[n]` numbers of the other, in the same order of seeds.

    Raises:
      UsageError: for no pairs, or lengths that differ.

    Source: Student, Biometrika 6 (1908); Wilcoxon, Biometrics Bulletin 1 (1945).

    Example:
      >>> test = paired_test([0.84, 0.85, 0.83], [0.77, 0.76, 0.78])
      >>> round(test.difference.mean, 3), round(test.p, 3), test.wilcoxon_p
      (0.07, 0.026, nan)
    """
    from scipy import stats

    first, second = _vector(a), _vector(b)
    if len(first) != len(second):
        raise UsageError(f"paired samples must have one length, got {len(first)} and {len(second)}.")
    differences = first - second
    n = len(differences)
    difference = mean_and_interval(differences)
    p = wilcoxon_p = math.nan
    if n > 1:
        deviation = spread(differences)
        # Equal up to rounding: differences of numbers near 1 carry an error near 1e-16 each.
        if deviation <= 1e-14 * max(1.0, np.abs(first).max(), np.abs(second).max()):
            p = 1.0 if abs(difference.mean) <= 1e-14 else 0.0
        else:
            p = float(2 * stats.t.sf(abs(difference.mean) / (deviation / math.sqrt(n)), n - 1))
    if n >= 6:
        wilcoxon_p = float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    return PairedTest(difference, p, wilcoxon_p)


def welch_test(a: Any, b: Any) -> tuple[Interval, float]:
    """Compare two methods on seeds of their own by Welch's t-test: the difference of means, and p, two-sided.

    With s = spread^2 / n of each side, `difference +- t_v sqrt(s_a + s_b)`,
    `v = (s_a + s_b)^2 / (s_a^2 / (n_a - 1) + s_b^2 / (n_b - 1))`.

    Convention: sides without any spread leave the difference as its own interval; then p is 1 where it is 0, else 0.

    Args:
      a: `[n_a]` numbers of one method.
      b: `[n_b]` numbers of the other.

    Returns:
      The mean of `a` minus that of `b` with its 95 % interval (its n is the smaller side's), and p.

    Raises:
      UsageError: for fewer than two numbers on a side.

    Source: Welch, Biometrika 34 (1947).

    Example:
      >>> difference, p = welch_test([0.84, 0.85, 0.83], [0.77, 0.76, 0.78])
      >>> round(difference.mean, 3), round(difference.low, 3), round(difference.high, 3), p < 0.01
      (0.07, 0.047, 0.093, True)
    """
    from scipy import stats

    first, second = _vector(a), _vector(b)
    if min(len(first), len(second)) < 2:
        raise UsageError(f"Welch's test needs two numbers or more on each side, got {len(first)} and {len(second)}.")
    mean, n = float(first.mean() - second.mean()), min(len(first), len(second))
    parts = [float(x.var(ddof=1)) / len(x) for x in (first, second)]
    error = math.sqrt(sum(parts))
    # Equal up to rounding: means of numbers near 1 carry an error near 1e-16 each.
    if error <= 1e-14 * max(1.0, float(np.abs(first).max()), float(np.abs(second).max())):
        return Interval(mean, mean, mean, n), 1.0 if abs(mean) <= 1e-14 else 0.0
    freedom = error**4 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (first, second), strict=True))
    half = float(stats.t.ppf(0.975, freedom)) * error
    return Interval(mean, mean - half, mean + half, n), float(2 * stats.t.sf(abs(mean) / error, freedom))


def holm(p_values: Any) -> np.ndarray:
    """Holm's step-down correction: `p'_(k) = max_{j <= k} min(1, (m - j + 1) p_(j))`, in the order given.

    Args:
      p_values: `[m]` p-values of one family of tests; a NaN stays NaN and does not count.

    Returns:
      `[m]` corrected p-values: rejecting where they are below alpha keeps the chance of any false rejection below it.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statistics 6 (1979).

    Example:
      >>> holm([0.01, 0.04, 0.03])
      array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = np.minimum(1.0, p[order] * np.arange(len(order), 0, -1))
    corrected[order] = np.maximum.accumulate(steps) if len(order) else steps
    return corrected


def _vector(values: Any) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0:
        raise UsageError(f"expected a non-empty vector of numbers, one a seed, got shape {x.shape}.")
    return x
