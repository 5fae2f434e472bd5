"""All validators side by side over a grid's checkpoints: what each would choose, and how good that was."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tladapt.bench.selection.scores import Pool, candidates_of, evaluations, in_log, pools
from tladapt.data import Scenario
from tladapt.errors import RunFolderError
from tladapt.evaluation import Validator
from tladapt.evaluation.comparison import Candidate, Judgement, Pick, judge, pick
from tladapt.evaluation.statistics import Interval, mean_and_interval
from tladapt.training.evaluate import Predictor
from tladapt.training.gather import check_data, gather, own_data, readable
from tladapt.training.selection import Watcher, validators_of


class ProblemSelection(NamedTuple):
    """What each validator chooses on one problem.

    Attributes:
      name: of the problem.
      candidates: every checkpoint of every run on it.
      picks: by validator, its choices: of all candidates, and of each run's.
      alone: by run, what each validator chooses of that run's own candidates.
      judgement: how good the choices are by the target's test labels.
    """

    name: str
    candidates: tuple[Candidate, ...]
    picks: Mapping[str, Pick]
    alone: Mapping[str, Mapping[str, Pick]]
    judgement: Judgement


class Line(NamedTuple):
    """One validator over all problems, or something to compare it with; all of it knows the target's test labels.

    Means are over problems, each with its 95 % t-interval.

    Attributes:
      name: the validator, "last step", "any step" or "oracle".
      regret_within: how far its choices are below the best checkpoint of the run that they are from.
      regret: how far its choice of all runs' checkpoints on a problem is below the best of them.
      rank_correlation: Spearman's, of score and test accuracy over a problem's checkpoints that pass the guard.
      unguarded: `regret` of what it would choose without the collapse guard.
      collapsed_runs: in how many runs it would choose a collapsed model of its own accord.
      stopped_runs: in how many of these the guard made it choose another one; in the rest nothing passed.
      collapsed_problems: on how many problems it would choose a collapsed model of all runs'.
      stopped_problems: on how many of these the guard made it choose another one.
    """

    name: str
    regret_within: Interval
    regret: Interval
    rank_correlation: Interval
    unguarded: Interval
    collapsed_runs: int = 0
    stopped_runs: int = 0
    collapsed_problems: int = 0
    stopped_problems: int = 0


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SelectionReport:
    """Validators over the checkpoints of a grid.

    Attributes:
      out: the grid's folder.
      problems: each with its choices.
      lines: a line a validator, the best by `regret_within` first.
      baselines: "last step", "any step" and "oracle", to compare with.
      notes: what was left out, and why.
    """

    out: Path
    problems: tuple[ProblemSelection, ...]
    lines: tuple[Line, ...]
    baselines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return sum(len(problem.alone) for problem in self.problems)

    @property
    def checkpoints(self) -> int:
        """How many checkpoints could be chosen."""
        return sum(len(problem.candidates) for problem in self.problems)

    @property
    def collapsed(self) -> int:
        """How many of these the guard refuses."""
        return sum(bool(candidate.collapsed) for problem in self.problems for candidate in problem.candidates)


def selection_report(
    out: str | os.PathLike[str],
    *,
    validators: Sequence[str | Validator] | None = None,
    scenarios: Mapping[str, Scenario] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    watcher: Watcher | None = None,
    **objects: Any,
) -> SelectionReport:
    """Compare validators over the checkpoints of all finished runs in a folder, problem by problem.

    Scores that the runs logged are read; others are computed from checkpoints and kept in `out/selection`. Choices
    are made by scores and the collapse guard alone; the logged accuracies on the target's test set then tell how good
    they were. Where every score is in the logs (`validators=("im", "entropy", "source_accuracy")`), no model is loaded.

    Args:
      out: folder of a grid, or any folder of run folders.
      validators: names, or objects of your own; None: all registered.
      scenarios: data by the name of its scenario, for runs that were made from Python.
      data_dir: where data sets are, for the others.
      watcher: called after each run, with the name of its problem.
      **objects: `backbone=`, `method=`: parts of your own that the runs were made with.

    Raises:
      UsageError: for validators that share a name, or data that are not the runs' own.
      RunFolderError: for a folder without a finished run that knows its accuracy on a test set.
    """
    place = Path(out)
    notes: list[str] = []
    chosen = validators_of(validators)
    runs = gather(place / "runs" if (place / "runs").is_dir() else place, objects, notes)
    finished = []
    for run in runs:
        if (run.place.path / "summary.json").is_file():
            finished.append(run)
        else:
            notes.append(f"Left out: {run.name} has not finished.")
    groups = pools(finished, place)
    logs = [(run, evaluations(run)) for run in finished]
    all_steps = all(in_log(run, validator, rows) for run, rows in logs for validator in chosen)
    predictors: dict[str, Predictor] = {}
    problems, done = [], 0

    def tell(name: str) -> None:
        nonlocal done
        done += 1
        if watcher is not None:
            watcher(done, len(finished), name)

    for pool in groups:
        candidates, values = candidates_of(
            pool,
            chosen,
            _loader(pool, scenarios or {}, data_dir),
            kept=place / "selection",
            all_steps=all_steps,
            predictors=predictors,
            notes=notes,
            tell=tell,
        )
        if not candidates or not all(map(math.isfinite, values)):
            notes.append(f"Left out: {pool.name} has no checkpoint with an accuracy on a labelled test set.")
            continue
        problems.append(compare(pool.name, candidates, values))
    if not problems:
        raise RunFolderError(f"there is nothing in {place} to compare. {' '.join(notes)}")
    lines, baselines = summarise(problems)
    return SelectionReport(
        out=place, problems=tuple(problems), lines=lines, baselines=baselines, notes=tuple(_shortened(notes))
    )


def _shortened(notes: Sequence[str]) -> list[str]:
    """Return notes with one in the place of those that say the same of several runs."""
    found: dict[str, list[str]] = {}
    for note in dict.fromkeys(notes):
        run, _, what = note.removeprefix("Left out: ").partition(" ")
        found.setdefault(what, []).append(run)
    return [
        f"Left out: {runs[0]} {what}" if len(runs) == 1 else f"Left out, {len(runs)} runs such as {runs[0]}: {what}"
        for what, runs in found.items()
    ]


def _loader(
    pool: Pool, scenarios: Mapping[str, Scenario], data_dir: str | os.PathLike[str] | None
) -> Callable[[], Scenario]:
    """Return what loads a problem's data, once."""
    loaded: list[Scenario] = []

    def load() -> Scenario:
        if not loaded:
            given = scenarios.get(pool.runs[0].record["scenario"]["name"])
            scenario = readable(pool.runs[0], own_data(pool.runs[0], data_dir) if given is None else given)
            check_data(pool.runs, scenario)
            loaded.append(scenario)
        return loaded[0]

    return load


def compare(name: str, candidates: Sequence[Candidate], values: Sequence[float]) -> ProblemSelection:
    """Return the choices on one problem, and, once they stand, how good they were.

    Args:
      name: of the problem.
      candidates: every checkpoint of every run.
      values: of each on the target's test labels, in [0, 1].
    """
    runs: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        runs.setdefault(candidate.run, []).append(candidate)
    picks = pick(candidates)
    alone = {run: pick(own) for run, own in runs.items()}
    return ProblemSelection(name, tuple(candidates), picks, alone, judge(candidates, picks, values))


def summarise(problems: Sequence[ProblemSelection]) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return a line a validator over all problems, and the lines to compare them with."""
    lines = [_line(name, problems) for name in problems[0].picks]
    lines.sort(key=lambda line: (math.isnan(line.regret_within.mean), line.regret_within.mean, line.name))
    best = [problem.judgement.accuracies[problem.judgement.best] for problem in problems]
    within = [_within(problem) for problem in problems]
    none = _mean([])
    last = [top - problem.judgement.last for top, problem in zip(best, problems, strict=True)]
    blind = [top - problem.judgement.blind for top, problem in zip(best, problems, strict=True)]
    zero = _mean([0.0] * len(problems))
    return tuple(lines), (
        Line("last step", _mean([at_last for at_last, _ in within]), _mean(last), none, none),
        Line("any step", _mean([anywhere for _, anywhere in within]), _mean(blind), none, none),
        Line("oracle", zero, zero, none, none),
    )


def _line(name: str, problems: Sequence[ProblemSelection]) -> Line:
    verdicts = [problem.judgement.verdicts[name] for problem in problems]
    unguarded = []
    for problem in problems:
        place, values = problem.picks[name].unguarded, problem.judgement.accuracies
        unguarded.append(math.nan if place is None else values[problem.judgement.best] - values[place])
    whole = [_stopped(problem.picks[name], problem.candidates) for problem in problems]
    each = [
        _stopped(picks[name], [one for one in problem.candidates if one.run == run])
        for problem in problems
        for run, picks in problem.alone.items()
    ]
    return Line(
        name=name,
        regret_within=_mean([verdict.regret_within for verdict in verdicts]),
        regret=_mean([verdict.regret for verdict in verdicts]),
        rank_correlation=_mean([verdict.rank_correlation for verdict in verdicts]),
        unguarded=_mean(unguarded),
        collapsed_runs=sum(collapsed for collapsed, _ in each),
        stopped_runs=sum(stopped for _, stopped in each),
        collapsed_problems=sum(collapsed for collapsed, _ in whole),
        stopped_problems=sum(stopped for _, stopped in whole),
    )


def _stopped(found: Pick, candidates: Sequence[Candidate]) -> tuple[bool, bool]:
    """Return whether a choice without the guard is a collapsed model, and whether the guard led to another one."""
    collapsed = found.unguarded is not None and bool(candidates[found.unguarded].collapsed)
    return collapsed, collapsed and found.choice is not None


def _within(problem: ProblemSelection) -> tuple[float, float]:
    """Return how far the last step, and any step by lot, are below the best of their run, a mean over runs."""
    last, blind = [], []
    for run in problem.alone:
        own = [place for place, candidate in enumerate(problem.candidates) if candidate.run == run]
        values = [problem.judgement.accuracies[place] for place in own]
        end = max(own, key=lambda place: problem.candidates[place].step)
        last.append(max(values) - problem.judgement.accuracies[end])
        blind.append(max(values) - float(np.mean(values)))
    return float(np.mean(last)), float(np.mean(blind))


def _mean(values: Sequence[float]) -> Interval:
    known = [value for value in values if math.isfinite(value)]
    return mean_and_interval(known) if known else Interval(math.nan, math.nan, math.nan, 0)
