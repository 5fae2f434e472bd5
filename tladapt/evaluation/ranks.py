"""Methods compared over problems by their ranks: Friedman's test, Nemenyi's critical difference, and the groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError


class RankTest(NamedTuple):
    """Whether methods differ in rank at all.

    Attributes:
      chi_square: Friedman's statistic, corrected for ties, with `k - 1` degrees of freedom.
      p: its tail probability.
      f: Iman and Davenport's statistic, with `k - 1` and `(k - 1)(n - 1)` degrees of freedom.
      f_p: its tail probability: the one to report, since Friedman's is too careful where problems are few.
    """

    chi_square: float
    p: float
    f: float
    f_p: float


def problem_ranks(scores: Any) -> np.ndarray:
    """Rank the methods on each problem: 1 is the best (highest), and equal scores share the mean of their ranks.

    Args:
      scores: `[n, k]`, a row a problem and a column a method; higher is better.

    Returns:
      `[n, k]` ranks; each row sums to `k (k + 1) / 2`.

    Raises:
      UsageError: for another shape, or numbers that are not finite: a method that has no result has no rank.

    Example:
      >>> problem_ranks([[0.9, 0.7, 0.7], [0.5, 0.8, 0.6]])
      array([[1. , 2.5, 2.5],
             [3. , 1. , 2. ]])
    """
    from scipy import stats

    return np.asarray(stats.rankdata(-_matrix(scores), axis=1))


def average_ranks(scores: Any) -> np.ndarray:
    """Mean rank of each method over the problems, `R_j = 1/n sum_i r_ij`, 1 being the best possible.

    Args:
      scores: `[n, k]`, a row a problem and a column a method; higher is better.

    Returns:
      `[k]` mean ranks.

    Raises:
      UsageError: as `problem_ranks`.

    Example:
      >>> average_ranks([[0.9, 0.7, 0.7], [0.5, 0.8, 0.6]])
      array([2.  , 1.75, 2.25])
    """
    return np.asarray(problem_ranks(scores).mean(axis=0))


def rank_test(scores: Any) -> RankTest:
    """Test whether all methods have the same expected rank (Friedman), and Iman and Davenport's sharper form of it.

    With ranks `r_ij` of n problems and k methods,

        chi^2 = (k - 1) sum_j (sum_i r_ij - n (k + 1) / 2)^2 / (sum_ij r_ij^2 - n k (k + 1)^2 / 4)
        F     = (n - 1) chi^2 / (n (k - 1) - chi^2)

    which without ties is Friedman's `12 n / (k (k + 1)) (sum_j R_j^2 - k (k + 1)^2 / 4)`.

    Conventions: where every problem ties all methods there is nothing to tell apart, and both p are 1. F's p is never
    below `(1 / k!)^(n - 1)`, the chance that all problems rank k methods alike: there F is infinite, and few problems
    agree by luck.

    Args:
      scores: `[n, k]`, a row a problem and a column a method; higher is better.

    Raises:
      UsageError: for fewer than two problems or two methods; otherwise as `problem_ranks`.

    Source: Friedman, J. American Statistical Association 32 (1937); Iman and Davenport, Communications in Statistics 9
    (1980); as in Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006).

    Example:
      >>> test = rank_test([[0.9, 0.7, 0.6], [0.8, 0.6, 0.5], [0.7, 0.5, 0.6], [0.9, 0.8, 0.7]])
      >>> round(test.chi_square, 3), round(test.f, 3)
      (6.5, 13.0)
    """
    from scipy import stats

    ranks = problem_ranks(scores)
    n, k = ranks.shape
    if min(n, k) < 2:
        raise UsageError(f"a test of ranks needs two problems and two methods or more, got {n} and {k}.")
    between = float(((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    within = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if within == 0:
        return RankTest(0.0, 1.0, 0.0, 1.0)
    chi_square = (k - 1) * between / within
    rest = n * (k - 1) - chi_square
    f = (n - 1) * chi_square / rest if rest > 1e-9 * n * k else math.inf
    p, f_p = float(stats.chi2.sf(chi_square, k - 1)), float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    return RankTest(chi_square, p, f, max(f_p, math.exp((1 - n) * math.lgamma(k + 1))))


def critical_difference(methods: int, problems: int, *, level: float = 0.05) -> float:
    """Nemenyi's critical difference: mean ranks further apart than this differ, whichever two methods are compared.

    `CD = q sqrt(k (k + 1) / (6 n))`, q the upper quantile of the studentised range of k values with infinite degrees of
    freedom, over the square root of 2.

    Args:
      methods: k, 2 or more.
      problems: n, 1 or more.
      level: chance, in (0, 1), of finding any difference where there is none.

    Raises:
      UsageError: for fewer methods or problems.

    Source: Nemenyi, "Distribution-free multiple comparisons", PhD thesis, Princeton (1963); Demšar, JMLR 7 (2006).

    Example:
      >>> round(critical_difference(4, 14), 2)
      1.25
    """
    from scipy import stats

    if methods < 2 or problems < 1:
        raise UsageError(
            f"a critical difference needs two methods and a problem or more, got {methods=} and {problems=}."
        )
    q = float(stats.studentized_range.ppf(1 - level, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * problems))


def groups_within(ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Group the methods whose ranks lie within a critical difference of each other.

    Args:
      ranks: mean rank of each method.
      difference: ranks that are further apart than this differ.

    Returns:
      Positions in `ranks`, best rank first in each group; the largest groups of two or more alone, none inside
      another. A method may be in several, or in none.

    Example:
      >>> groups_within([1.2, 3.9, 2.0, 2.9], 1.0)
      [(0, 2), (2, 3), (3, 1)]
    """
    order = sorted(range(len(ranks)), key=lambda place: (ranks[place], place))
    found: list[tuple[int, ...]] = []
    reached = 0  # how far in the order the last group goes
    for start in range(len(order)):
        stop = start
        while stop < len(order) and ranks[order[stop]] - ranks[order[start]] <= difference:
            stop += 1
        if stop - start > 1 and stop > reached:
            found.append(tuple(order[start:stop]))
            reached = stop
    return found


def _matrix(scores: Any) -> np.ndarray:
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise UsageError(f"expected scores [problems, methods], got shape {x.shape}.")
    if not np.isfinite(x).all():
        problem, method = np.argwhere(~np.isfinite(x))[0]
        raise UsageError(
            f"ranks need a score of each method on each problem, got {x[problem, method]} at [{problem}, {method}]."
            " Leave out the methods that are not complete."
        )
    return x
