"""Whether transfer did harm: the verdict, its interval, and what it must not be given."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Any

import pytest
from scipy import stats

from tladapt.errors import UsageError
from tladapt.evaluation import negative_transfer, paired_test, welch_test

HIGH, LOW = (0.75, 0.77, 0.74), (0.70, 0.71, 0.69)
SCRATCH = "training from scratch"


def runs(accuracies: Sequence[float], *, first: int = 0, method: str = "dann", **more: Any) -> list[dict[str, Any]]:
    return [
        {"scenario": "toy", "method": method, "seed": first + i, "target/accuracy": accuracy, **more}
        for i, accuracy in enumerate(accuracies)
    ]


def test_seeds_that_both_have_are_paired() -> None:
    found = negative_transfer(runs(LOW), [*reversed(runs(HIGH)), *runs([0.1], first=9)], against=SCRATCH)
    test = paired_test(LOW, HIGH)
    assert found.outcome == "negative" and found.paired
    assert (found.difference, found.p) == (test.difference, test.p)
    assert "On toy, dann is worse than training from scratch, by 5.3 points: negative transfer" in found.text
    ends = f"{100 * test.difference.low:+.1f} to {100 * test.difference.high:+.1f} points over 3 seeds"
    assert ends in found.text
    better = negative_transfer(runs(HIGH), runs(LOW), against=SCRATCH)
    assert better.outcome == "positive" and "is better than training from scratch, by 5.3 points" in better.text


def test_seeds_of_their_own_are_compared_by_their_means() -> None:
    found = negative_transfer(runs(LOW), runs(HIGH, first=10), against="source-only")
    expected = stats.ttest_ind(LOW, HIGH, equal_var=False)
    ends = expected.confidence_interval()
    assert found.outcome == "negative" and not found.paired
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference[1:3] == pytest.approx((ends.low, ends.high))
    assert "of 3 and 3 runs, not paired" in found.text
    one_shared = negative_transfer(runs(LOW), runs(HIGH, first=2), against="source-only")
    assert not one_shared.paired and one_shared.p == found.p


def test_what_decides_nothing_is_said_so() -> None:
    found = negative_transfer(runs((0.70, 0.80, 0.60)), runs((0.75, 0.74, 0.76)), against=SCRATCH)
    assert found.outcome == "undecided" and found.difference.low < 0 < found.difference.high
    assert "5.0 points below training from scratch, which decides nothing" in found.text
    single = negative_transfer(runs([0.2]), runs([0.9]), against=SCRATCH)  # far apart, and one seed all the same
    assert single.outcome == "undecided" and math.isnan(single.p) and "prove little" in single.text
    assert negative_transfer(runs([0.2]), runs(HIGH), against=SCRATCH).outcome == "undecided"
    equal = negative_transfer(runs(HIGH), runs(HIGH), against=SCRATCH)
    assert equal.outcome == "undecided" and equal.p == 1.0


def test_results_are_named_by_their_folders() -> None:
    def results(accuracies: Sequence[float], name: str) -> list[Any]:
        return [
            types.SimpleNamespace(metrics=metrics, folder=f"runs/{name}/seed{metrics['seed']}")
            for metrics in runs(accuracies)
        ]

    found = negative_transfer(results((*LOW, 0.7), "tuned"), results(HIGH, "scratch"), against=SCRATCH)
    assert found.text.endswith(
        "Runs runs/tuned/seed0, runs/tuned/seed1, runs/tuned/seed2 and 1 more against runs/scratch/seed0,"
        " runs/scratch/seed1, runs/scratch/seed2."
    )


@pytest.mark.parametrize(
    ("adapted", "baseline", "words"),
    [
        ([], runs(HIGH), "no adapted run"),
        (runs(LOW), [], "no baseline run"),
        (runs(LOW) + runs([0.5]), runs(HIGH), "two adapted runs of seed 0"),
        (runs(LOW), runs(HIGH, scenario="other"), "one scenario can be compared, got other, toy"),
        (runs(LOW[:1]) + runs(LOW[1:], first=1, method="mmd"), runs(HIGH), r"several methods \(dann, mmd\)"),
        (runs(LOW), runs(HIGH, oracle_run=True), "baseline run of seed 0 was trained on labels of the target"),
        (runs([None]), runs(HIGH), "no labelled test set"),
    ],
)
def test_mistakes(adapted: list[Any], baseline: list[Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        negative_transfer(adapted, baseline, against=SCRATCH)


def test_welch_without_spread_and_with_too_few_numbers() -> None:
    assert welch_test([0.5, 0.5], [0.4, 0.4]) == ((pytest.approx(0.1),) * 3 + (2,), 0.0)
    assert welch_test([0.5, 0.5], [0.5, 0.5])[1] == 1.0
    with pytest.raises(UsageError, match="two numbers or more on each side, got 1 and 2"):
        welch_test([0.5], [0.4, 0.5])
