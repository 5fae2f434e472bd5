import math

import numpy as np
import pytest
from scipy import stats

from tladapt.errors import UsageError
from tladapt.evaluation.statistics import holm, mean_and_interval, paired_test, spread


def test_interval_equals_scipy():
    values = np.random.default_rng(0).normal(size=7)
    mean, low, high, n = mean_and_interval(values)
    expected = stats.t.interval(0.95, 6, loc=values.mean(), scale=stats.sem(values))
    assert (mean, n) == (pytest.approx(values.mean()), 7)
    np.testing.assert_allclose((low, high), expected)
    assert mean_and_interval(values, level=0.5).high < high


def test_a_single_value_has_no_spread():
    assert math.isnan(spread([0.5]))
    mean, low, high, n = mean_and_interval([0.5])
    assert (mean, n) == (0.5, 1) and math.isnan(low) and math.isnan(high)
    assert spread([1, 2, 3, 4]) == pytest.approx(np.std([1, 2, 3, 4], ddof=1))


@pytest.mark.parametrize("n", [2, 3, 6, 12])
def test_paired_test_equals_scipy(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.5, 1, size=n), rng.normal(size=n)
    test = paired_test(a, b)
    expected = stats.ttest_rel(a, b)
    assert test.p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose((test.difference.low, test.difference.high), expected.confidence_interval(0.95))
    if n < 6:
        assert math.isnan(test.wilcoxon_p)
    else:
        assert test.wilcoxon_p == pytest.approx(stats.wilcoxon(a, b).pvalue)


def test_the_pairing_matters():
    seeds = np.array([0.60, 0.70, 0.80, 0.90])
    better = seeds + np.array([0.01, 0.011, 0.009, 0.012])
    assert paired_test(better, seeds).p < 0.01 < 0.5 < stats.ttest_ind(better, seeds).pvalue


def test_differences_without_variance():
    assert paired_test([1.0, 2.0], [1.0, 2.0]).p == 1
    assert paired_test([0.8, 0.9], [0.7, 0.8]).p == 0
    assert paired_test(np.ones(6), np.ones(6)).wilcoxon_p == 1
    assert math.isnan(paired_test([1.0], [0.0]).p)


def test_wilcoxon_bears_ties_and_zeros():
    p = paired_test([1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 6, 8]).wilcoxon_p
    assert 0 < p < 1


def naive_holm(values):
    """Reject one after the other, smallest first; the corrected p is the smallest alpha at which that goes so far."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    out, top = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        top = max(top, min(1.0, (len(values) - rank) * values[i]))
        out[i] = top
    return out


def test_holm_equals_a_naive_one():
    for m in (1, 2, 9):
        values = np.random.default_rng(m).random(m) ** 2
        np.testing.assert_allclose(holm(values), naive_holm(values.tolist()))


def test_holm_passes_over_what_is_unknown():
    corrected = holm([0.01, math.nan, 0.02])
    np.testing.assert_allclose(corrected[[0, 2]], [0.02, 0.02])
    assert math.isnan(corrected[1])
    assert holm([]).shape == (0,)


def test_errors():
    with pytest.raises(UsageError, match="one length, got 2 and 3"):
        paired_test([1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="non-empty vector"):
        mean_and_interval([])
