import math

import numpy as np
import pytest
from scipy import stats

from tladapt.errors import UsageError
from tladapt.evaluation.ranks import average_ranks, critical_difference, groups_within, problem_ranks, rank_test

# Demšar, JMLR 7 (2006), table 6: AUC of C4.5 and three variants of it (m, cf, m+cf) on 14 data sets. Its ranks tell two
# scores apart that are printed as 0.975 both: the 0.9751.
C45 = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
# The same paper, table 5: critical values of Nemenyi's test for 2 to 10 classifiers.
Q05 = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)
Q10 = (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920)


def test_ranks_of_the_published_example():
    assert problem_ranks(C45)[9].tolist() == [2.5] * 4
    assert problem_ranks(C45)[7].tolist() == [2.5, 2.5, 4, 1]
    np.testing.assert_allclose(average_ranks(C45), [3.143, 2.000, 2.893, 1.964], atol=5e-4)  # printed there


def test_rank_test_of_the_published_example():
    # 9.28 and 3.69 are printed there, and do not correct for the ties; without ties the two agree.
    ranks, n, k = average_ranks(C45), 14, 4
    plain = 12 * n / (k * (k + 1)) * ((ranks**2).sum() - k * (k + 1) ** 2 / 4)
    assert plain == pytest.approx(9.28, abs=0.005) and (n - 1) * plain / (n * (k - 1) - plain) == pytest.approx(
        3.69, abs=0.005
    )
    ties = sum(count**3 - count for row in C45 for count in np.unique(row, return_counts=True)[1])
    assert rank_test(C45).chi_square == pytest.approx(plain / (1 - ties / (n * k * (k**2 - 1))))


@pytest.mark.parametrize(("n", "k", "digits"), [(5, 3, 1), (12, 6, 8), (7, 4, 1)])
def test_rank_test_equals_scipy(n, k, digits):
    scores = np.random.default_rng(n).normal(size=(n, k)).round(digits)  # one digit: many ties
    found, expected = rank_test(scores), stats.friedmanchisquare(*scores.T)
    assert (found.chi_square, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    f = (n - 1) * expected.statistic / (n * (k - 1) - expected.statistic)
    assert found.f == pytest.approx(f)
    assert found.f_p == pytest.approx(1 - stats.f.cdf(f, k - 1, (k - 1) * (n - 1)))


def test_ranks_at_their_limits():
    always = rank_test([[3.0, 2.0, 1.0]] * 4)
    assert always.chi_square == pytest.approx(8) and math.isinf(always.f)
    assert always.f_p == pytest.approx((1 / 6) ** 3)
    assert rank_test([[2.0, 1.0]] * 2).f_p == pytest.approx(0.5)  # two problems agree on two methods by luck
    assert rank_test([[0.5, 0.5]] * 3) == (0, 1, 0, 1)


@pytest.mark.parametrize(("level", "table"), [(0.05, Q05), (0.10, Q10)])
def test_critical_values_are_those_of_the_tables(level, table):
    # Without the factor of k and n: 6 n = k (k + 1) leaves q itself.
    found = [critical_difference(k, 1, level=level) / math.sqrt(k * (k + 1) / 6) for k in range(2, 11)]
    np.testing.assert_allclose(found, table, atol=0.002)


def test_more_problems_make_the_difference_smaller():
    assert critical_difference(5, 40) == pytest.approx(critical_difference(5, 10) / 2)
    assert critical_difference(4, 14, level=0.1) == pytest.approx(1.12, abs=0.005)  # Demšar, section 3.2.4


def test_groups():
    assert groups_within([1.0, 2.0, 3.0], 2.0) == [(0, 1, 2)]  # none inside another; equal to the difference is within
    assert groups_within([3.0, 1.0, 2.0], 1.5) == [(1, 2), (2, 0)]
    assert groups_within([1.0, 4.0], 2.0) == []
    assert groups_within([2.0, 2.0], 0.1) == [(0, 1)]


def test_groups_are_all_the_largest_ones():
    rng = np.random.default_rng(3)
    for _ in range(20):
        ranks, difference = rng.uniform(1, 8, size=7), rng.uniform(0.3, 3)
        found = groups_within(ranks.tolist(), difference)
        alike = {frozenset(group) for group in found}
        # Naively: every set of methods between two of them that spans no more than the difference, the maximal ones.
        spans = {
            frozenset(int(i) for i in np.flatnonzero((ranks >= a) & (ranks <= b)))
            for a in ranks
            for b in ranks
            if 0 <= b - a <= difference
        }
        largest = {one for one in spans if len(one) > 1 and not any(one < other for other in spans)}
        assert alike == largest and len(found) == len(alike)


def test_what_has_no_rank_is_refused():
    with pytest.raises(UsageError, match=r"got nan at \[1, 0\]"):
        average_ranks([[0.5, 0.6], [math.nan, 0.7]])
    with pytest.raises(UsageError, match=r"got shape \(3,\)"):
        average_ranks([0.1, 0.2, 0.3])
    with pytest.raises(UsageError, match="got 1 and 2"):
        rank_test([[0.1, 0.2]])
    with pytest.raises(UsageError, match="methods=1"):
        critical_difference(1, 5)
