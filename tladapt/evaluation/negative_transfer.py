"""Whether transfer did harm: runs against training from scratch, or against source-only, over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tladapt.errors import UsageError
from tladapt.evaluation.statistics import Interval, paired_test, welch_test

_ACCURACY = "target/accuracy"


class TransferVerdict(NamedTuple):
    """What transfer gained or cost.

    Attributes:
      outcome: "negative" where the whole interval of the difference lies below 0, "positive" where it lies above,
        "undecided" where it holds 0 or there is none.
      difference: accuracy of the runs minus that of the baseline, a fraction, with its 95 % t-interval.
      p: of the t-test, two-sided; NaN without an interval.
      paired: whether the difference is taken seed by seed.
      text: the verdict in words, with the runs that it rests on.
    """

    outcome: Literal["negative", "positive", "undecided"]
    difference: Interval
    p: float
    paired: bool
    text: str


def negative_transfer(adapted: Sequence[Any], baseline: Sequence[Any], *, against: str) -> TransferVerdict:
    """Say whether runs are worse on the target's test set than a baseline that was trained without the transfer.

    Where at least two seeds are on both sides, differences are taken on the seeds that both have (paired t-test).
    Otherwise, with at least two runs on each side, the means are compared (Welch's t-test). With fewer runs the
    difference is told, and nothing is decided.

    Args:
      adapted: runs of one setting: results of `tladapt.run` or `tladapt.open_run`, or their `summary.json` as
        dictionaries.
      baseline: runs of the baseline on the same scenario, likewise.
      against: what the baseline is, in words: "training from scratch", "source-only".

    Returns:
      The verdict.

    Raises:
      UsageError: for no run, runs of several scenarios or methods, a seed that comes twice, runs without a labelled
        test set, or oracle runs.

    Source: the term as in Wang, Dai, Poczos, Carbonell, "Characterizing and Avoiding Negative Transfer", CVPR 2019,
      arXiv 1811.09751.

    Example:
      >>> def run(seed, accuracy):
      ...     return {"scenario": "toy", "method": "dann", "seed": seed, "target/accuracy": accuracy}
      >>> tuned = [run(0, 0.70), run(1, 0.71), run(2, 0.69)]
      >>> found = negative_transfer(tuned, [run(0, 0.75), run(1, 0.77), run(2, 0.75)], against="training from scratch")
      >>> found.outcome, found.paired, round(found.difference.mean, 3)
      ('negative', True, -0.057)
    """
    mine, other = _by_seed(adapted, "adapted"), _by_seed(baseline, "baseline")
    scenarios = {str(run.get("scenario")) for run in (*mine.values(), *other.values())}
    if len(scenarios) > 1:
        raise UsageError(f"runs of one scenario can be compared, got {', '.join(sorted(scenarios))}.")
    common = [seed for seed in mine if seed in other]
    first = [float(mine[seed][_ACCURACY]) for seed in (common if len(common) > 1 else mine)]
    second = [float(other[seed][_ACCURACY]) for seed in (common if len(common) > 1 else other)]
    paired = len(common) > 1
    difference = Interval(sum(first) / len(first) - sum(second) / len(second), math.nan, math.nan, 1)
    p = math.nan
    if paired:
        test = paired_test(first, second)
        difference, p = test.difference, test.p
    elif min(len(first), len(second)) > 1:
        difference, p = welch_test(first, second)
    outcome: Literal["negative", "positive", "undecided"] = "undecided"
    if difference.high < 0:
        outcome = "negative"
    elif difference.low > 0:
        outcome = "positive"
    method, scenario = next(iter(mine.values())).get("method"), scenarios.pop()
    text = _in_words(outcome, difference, f"On {scenario}, {method}", against, len(first), len(second), paired=paired)
    return TransferVerdict(outcome, difference, p, paired, f"{text} {_named(adapted, baseline)}".rstrip())


def _by_seed(runs: Sequence[Any], called: str) -> dict[Any, Mapping[str, Any]]:
    """Return the metrics of runs by seed."""
    found: dict[Any, Mapping[str, Any]] = {}
    for run in runs:
        metrics: Mapping[str, Any] = getattr(run, "metrics", run)
        seed = metrics.get("seed")
        if metrics.get("oracle_run"):
            raise UsageError(f"the {called} run of seed {seed} was trained on labels of the target: an oracle's.")
        if metrics.get(_ACCURACY) is None:
            raise UsageError(f"the {called} run of seed {seed} has no {_ACCURACY}: there was no labelled test set.")
        if seed in found:
            raise UsageError(f"there are two {called} runs of seed {seed}; give runs of one setting, one a seed.")
        found[seed] = metrics
    if not found:
        raise UsageError(f"there is no {called} run to compare.")
    if len(methods := {str(metrics.get("method")) for metrics in found.values()}) > 1:
        raise UsageError(
            f"the {called} runs are of several methods ({', '.join(sorted(methods))}); give one at a time."
        )
    return found


def _in_words(
    outcome: str, difference: Interval, who: str, against: str, mine: int, other: int, *, paired: bool
) -> str:
    points = 100 * abs(difference.mean)
    side = "below" if difference.mean < 0 else "above"
    if math.isnan(difference.low):
        return (
            f"{who} ends {points:.1f} points {side} {against} ({mine} and {other} runs). So few runs prove little:"
            " train both with the same three seeds or more."
        )
    over = f"over {mine} seeds" if paired else f"of {mine} and {other} runs, not paired"
    ends = f"95 % interval of the difference {100 * difference.low:+.1f} to {100 * difference.high:+.1f} points {over}"
    if outcome == "negative":
        return f"{who} is worse than {against}, by {points:.1f} points: negative transfer ({ends})."
    if outcome == "positive":
        return f"{who} is better than {against}, by {points:.1f} points ({ends})."
    return f"{who} ends {points:.1f} points {side} {against}, which decides nothing ({ends})."


def _named(adapted: Sequence[Any], baseline: Sequence[Any]) -> str:
    """Name the folders that the verdict rests on, where there are some."""
    parts = []
    for word, runs in (("Runs", adapted), ("against", baseline)):
        folders = [str(run.folder) for run in runs if getattr(run, "folder", None) is not None]
        if len(folders) < len(runs):
            return ""
        parts.append(f"{word} {', '.join(folders[:3])}{f' and {len(folders) - 3} more' if len(folders) > 3 else ''}")
    return f"{' '.join(parts)}."
