"""Validators side by side: choices by rule, verdicts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tladapt.errors import UsageError
from tladapt.evaluation.comparison import Candidate, disagreement, judge, pick, rank_correlation


def candidate(run, step, good, bad=0.0, collapsed="", predictions=(0, 1, 2, 3)):
    scores = {"good": good, "bad": bad}
    return Candidate(run, step, scores, collapsed, 0.9, np.array(predictions), {}, {})


GRID = [
    candidate("a", 10, 1.0, 0.9),
    candidate("a", 20, 3.0, 0.1, predictions=(0, 1, 2, 2)),
    candidate("b", 10, 2.0, 0.7, predictions=(0, 0, 0, 0)),
    candidate("b", 20, 9.0, 0.8, collapsed="one class"),
]
ACCURACIES = [0.5, 0.8, 0.7, 0.1]


def test_choices_are_the_highest_scores_that_pass():
    picks = pick(GRID)
    assert (picks["good"].choice, picks["good"].unguarded) == (1, 3)
    assert (picks["bad"].choice, picks["bad"].unguarded) == (0, 0)
    assert picks["good"].within == {"a": 1, "b": 2}
    assert picks["bad"].within == {"a": 0, "b": 2}


def test_verdicts():
    found = judge(GRID, pick(GRID), ACCURACIES)
    good, bad = found.verdicts["good"], found.verdicts["bad"]
    assert (good.accuracy, good.regret, good.regret_within) == (0.8, 0.0, 0.0)
    assert bad.accuracy == 0.5 and bad.regret == pytest.approx(0.3)
    assert bad.regret_within == pytest.approx((0.3 + 0.0) / 2)
    assert good.rank_correlation == pytest.approx(1) and bad.rank_correlation == pytest.approx(-1)
    assert found.best == 1
    assert found.last == pytest.approx((0.8 + 0.1) / 2) and found.blind == pytest.approx(0.525)


def test_ties_go_to_the_latest_step_then_to_the_first_run():
    picks = pick([candidate("a", 10, 1.0), candidate("a", 20, 1.0), candidate("b", 20, 1.0)])
    assert (picks["good"].choice, picks["good"].ties) == (1, 2)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_not_chosen(score):
    found = pick([candidate("a", 10, 1.0), candidate("a", 20, score)])["good"]
    assert (found.choice, found.unguarded) == (0, 0)


def test_nothing_passes():
    refused = [candidate("a", step, step / 10, collapsed="one class") for step in (20, 10)]
    found = pick(refused)
    assert found["good"].choice is None and found["good"].unguarded == 0
    assert found["good"].within == {"a": 0}  # the last step, as in a run
    verdict = judge(refused, found, [0.3, 0.4]).verdicts["good"]
    assert math.isnan(verdict.accuracy) and math.isnan(verdict.regret) and math.isnan(verdict.rank_correlation)
    assert verdict.regret_within == pytest.approx(0.1)
    with pytest.raises(UsageError, match="no checkpoint to choose from"):
        pick([])


def test_of_equals_the_oracle_takes_the_earliest():
    assert judge(GRID, pick(GRID), [0.5, 0.7, 0.7, 0.1]).best == 2


def test_disagreement_counts_examples_that_are_classed_differently():
    found = disagreement(GRID, pick(GRID))
    assert found == {"good": {"good": 0.0, "bad": 0.25}, "bad": {"good": 0.25, "bad": 0.0}}


def test_rank_correlation():
    assert rank_correlation([1, 2, 3], [10, 20, 15]) == pytest.approx(0.5)
    assert rank_correlation([1, 1, 2, 3], [1, 1, 2, 3]) == pytest.approx(1)  # equal values share a rank
    assert rank_correlation([1, math.nan, 2, 3], [1, 9, 2, 3]) == pytest.approx(1)
    assert math.isnan(rank_correlation([1, 2], [1, 2]))
    assert math.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))
