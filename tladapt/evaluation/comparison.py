"""Validators side by side: what each would choose of many checkpoints, and, afterwards, how good that was.

The first half sees no label of the target; `judge` does, and whatever it returns is an oracle's word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError


class Candidate(NamedTuple):
    """A checkpoint that may be chosen, and what is known of it without a label of the target.

    Attributes:
      run: which run it is of.
      step: after which step.
      scores: by validator; higher is better, NaN where it cannot be told.
      collapsed: why the collapse guard refuses it; empty where it passes.
      source_accuracy: on held-out source examples.
      predictions: class of each unlabelled target example `[n_t]`, integers.
      details: other numbers of the validators, by name ("dev/effective_sample_size").
      doubts: by validator, why its score should not be trusted.
    """

    run: str
    step: int
    scores: Mapping[str, float]
    collapsed: str
    source_accuracy: float
    predictions: Any
    details: Mapping[str, float]
    doubts: Mapping[str, str]


class Pick(NamedTuple):
    """What one validator chooses; numbers are positions in the list of candidates.

    Attributes:
      choice: of all candidates that pass the guard; None where none passes with a finite score.
      ties: how many other candidates have the same score; of equals the latest step counts, then the first in order.
      unguarded: what it would choose without the guard.
      within: its choice in each run by itself; the last step where none passes, as in a run.
    """

    choice: int | None
    ties: int
    unguarded: int | None
    within: Mapping[str, int]


class Verdict(NamedTuple):
    """How good a validator's choice was by the target's test labels: an oracle's word.

    Attributes:
      accuracy: of the choice on the target's test set; NaN without a choice.
      regret: by how much the best candidate is better.
      regret_within: the same, mean over runs, each choosing among its own checkpoints.
      rank_correlation: Spearman's, of score and accuracy over the candidates that pass the guard; NaN for fewer than 3.
    """

    accuracy: float
    regret: float
    regret_within: float
    rank_correlation: float


class Judgement(NamedTuple):
    """Verdicts by validator, and what to compare them with; all of it knows the target's test labels.

    Attributes:
      accuracies: of each candidate.
      verdicts: by validator.
      best: position of the best candidate (of equals, the earliest step).
      last: mean accuracy of the runs' last steps: no choice at all.
      blind: mean accuracy of all candidates: a choice by lot.
    """

    accuracies: tuple[float, ...]
    verdicts: Mapping[str, Verdict]
    best: int
    last: float
    blind: float


def pick(candidates: Sequence[Candidate]) -> dict[str, Pick]:
    """Return what each validator chooses; no label of the target is needed or seen.

    Args:
      candidates: with scores of the same validators.

    Raises:
      UsageError: for no candidate.
    """
    if not candidates:
        raise UsageError("there is no checkpoint to choose from.")
    runs = _positions(candidates)
    everything = range(len(candidates))
    picks = {}
    for name in candidates[0].scores:
        scores = np.array([candidate.scores[name] for candidate in candidates], dtype=np.float64)
        fit = np.isfinite(scores) & np.array([not candidate.collapsed for candidate in candidates])

        def best(among: Sequence[int], passing: np.ndarray, scores: np.ndarray = scores) -> int | None:
            kept = [i for i in among if passing[i]]
            return max(kept, key=lambda i: (scores[i], candidates[i].step, -i), default=None)

        choice = best(everything, fit)
        ties = 0 if choice is None else int((scores[fit] == scores[choice]).sum()) - 1
        within = {}
        for run, among in runs.items():
            own = best(among, fit)
            within[run] = max(among, key=lambda i: candidates[i].step) if own is None else own
        picks[name] = Pick(choice, ties, best(everything, np.isfinite(scores)), within)
    return picks


def judge(candidates: Sequence[Candidate], picks: Mapping[str, Pick], accuracies: Sequence[float]) -> Judgement:
    """Compare choices that have been made with accuracies on the target's test labels.

    Args:
      candidates: those that were chosen from.
      picks: the choices, by validator.
      accuracies: of each candidate on the target's test set, in [0, 1].
    """
    right = np.asarray(accuracies, dtype=np.float64)
    best = max(range(len(candidates)), key=lambda i: (right[i], -candidates[i].step, -i))
    runs = _positions(candidates)
    passing = np.array([not candidate.collapsed for candidate in candidates])
    verdicts = {}
    for name, found in picks.items():
        scores = np.array([candidate.scores[name] for candidate in candidates], dtype=np.float64)
        accuracy = math.nan if found.choice is None else float(right[found.choice])
        within = [right[runs[run]].max() - right[choice] for run, choice in found.within.items()]
        correlation = rank_correlation(scores[passing], right[passing])
        verdicts[name] = Verdict(accuracy, float(right[best]) - accuracy, float(np.mean(within)), correlation)
    ends = [max(among, key=lambda i: candidates[i].step) for among in runs.values()]
    return Judgement(tuple(map(float, right)), verdicts, best, float(right[ends].mean()), float(right.mean()))


def rank_correlation(first: Any, second: Any) -> float:
    """Spearman's rank correlation in [-1, 1] over pairs that are finite; equal values share their mean rank.

    Args:
      first: `[n]`.
      second: `[n]`.

    Returns:
      The correlation; NaN for fewer than 3 pairs, or where one side is constant.

    Example:
      >>> round(rank_correlation([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 5.0, 20.0]), 2)
      0.8
    """
    from scipy.stats import rankdata  # comes with scikit-learn

    pairs = np.array([first, second], dtype=np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if pairs.shape[1] < 3:
        return math.nan
    ranks = np.array([rankdata(row) for row in pairs])
    ranks -= ranks.mean(axis=1, keepdims=True)
    scale = math.sqrt(float((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / scale if scale > 0 else math.nan


def disagreement(candidates: Sequence[Candidate], picks: Mapping[str, Pick]) -> dict[str, dict[str, float]]:
    """Return, for each two validators with a choice, the share of target examples that their models class differently.

    It needs no label: models that are both right cannot disagree, so at least half of it is lost by one of them.
    """
    chosen = {name: found.choice for name, found in picks.items() if found.choice is not None}

    def share(one: int, other: int) -> float:
        return float(np.mean(np.asarray(candidates[one].predictions) != np.asarray(candidates[other].predictions)))

    return {one: {other: share(chosen[one], chosen[other]) for other in chosen} for one in chosen}


def _positions(candidates: Sequence[Candidate]) -> dict[str, list[int]]:
    """Return the positions of each run's candidates."""
    runs: dict[str, list[int]] = {}
    for position, candidate in enumerate(candidates):
        runs.setdefault(candidate.run, []).append(position)
    return runs
