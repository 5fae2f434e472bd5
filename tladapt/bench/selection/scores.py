"""Every validator's score at the checkpoints of many runs: from logs, and from checkpoints for the rest.

Scores that a run's log lacks are computed once and kept beside the runs, so that a report that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tladapt.data import Scenario
from tladapt.errors import RunFolderError
from tladapt.evaluation import Validator
from tladapt.evaluation.comparison import Candidate
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.config import describe
from tladapt.training.evaluate import Predictor
from tladapt.training.folder import RunFolder, jsonable
from tladapt.training.gather import Run, trained_on
from tladapt.training.result import read_weights
from tladapt.training.selection import evaluator_of, without_test

Watcher = Callable[[int, int, str], None]
_NONE = np.zeros(0, np.int32)  # what the report needs no predictions for


class Pool(NamedTuple):
    """The runs on one problem.

    Attributes:
      name: of the problem.
      runs: on it.
      metric: the official one, whose values the logs have under "target/<metric>".
    """

    name: str
    runs: tuple[Run, ...]
    metric: str


def pools(runs: Sequence[Run], out: Path) -> list[Pool]:
    """Return runs by problem: scores compare within one problem only, and data make it, not its name.

    Args:
      runs: finished ones.
      out: the folder that they are in; a grid's says there how it calls a run's problem.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(trained_on(run.place, run.record), sort_keys=True), []).append(run)
    found: list[Pool] = []
    for group in groups.values():
        cell = _cell(out, group[0])
        name = str(cell.get("problem") or group[0].record["scenario"]["name"])
        alike = sum(pool.name.partition(" #")[0] == name for pool in found)  # another data seed, say
        found.append(Pool(f"{name} #{alike + 1}" if alike else name, tuple(group), cell.get("metric", "accuracy")))
    return found


def _cell(out: Path, run: Run) -> Mapping[str, Any]:
    file = f"cells/{run.place.path.name}.json"
    cell: Mapping[str, Any] = RunFolder(out).read_json(file) if (out / file).is_file() else {}
    return cell


def evaluations(run: Run) -> dict[int, dict[str, Any]]:
    """Return the evaluations in a run's log, by step."""
    return {row["step"]: row for row in run.place.rows() if row["kind"] == "eval"}


def in_log(run: Run, validator: Validator, rows: Mapping[int, Mapping[str, Any]]) -> bool:
    """Return whether a run's log has the scores of just this validator, its options included."""
    mine = describe(validator)
    chosen = run.record["validator"]
    if chosen.get("name") == validator.name:
        same = {**mine} == {key: value for key, value in chosen.items() if key != "own"}
    else:
        same = mine == describe(type(validator)())  # of those that did not choose, a run logs the defaults' scores
    return same and all(f"validator/{validator.name}" in row for row in rows.values())


def candidates_of(
    pool: Pool,
    validators: Sequence[Validator],
    scenario: Callable[[], Scenario],
    *,
    kept: Path,
    all_steps: bool,
    predictors: dict[str, Predictor],
    notes: list[str],
    tell: Callable[[str], None],
) -> tuple[list[Candidate], list[float]]:
    """Return the checkpoints of a problem's runs with their scores, and, for `judge`, their values on the test labels.

    Args:
      pool: the runs.
      validators: whose scores are wanted.
      scenario: loads the problem's data; it is called where a score has to be computed.
      kept: folder for the scores that are computed.
      all_steps: take every evaluation of the logs, which needs no checkpoint; else those that kept their checkpoint.
      predictors: what is compiled already.
      notes: a word is added for each checkpoint that is left out.
      tell: told the name of the problem after each of its runs.
    """
    candidates, values = [], []
    for run in pool.runs:
        rows = evaluations(run)
        steps = [step for step in sorted(rows) if all_steps or step in run.steps]
        missing = [validator for validator in validators if not in_log(run, validator, rows)]
        computed = _computed(run, steps, missing, scenario, kept, predictors, notes) if missing else {}
        for step in steps:
            row, own = rows[step], computed.get(step, {})
            if missing and step not in computed:
                continue
            scores = {
                validator.name: own[validator.name] if validator in missing else row[f"validator/{validator.name}"]
                for validator in validators
            }
            finite = {name: float("nan") if score is None else float(score) for name, score in scores.items()}
            candidates.append(
                Candidate(
                    run=run.name,
                    step=step,
                    scores=finite,
                    collapsed=row["collapsed"] or "",
                    source_accuracy=row["source/accuracy"],
                    predictions=_NONE,
                    details={},
                    doubts={},
                )
            )
            known = row.get(f"target/{pool.metric}", row.get("target/accuracy"))
            values.append(float("nan") if known is None else float(known))
        tell(pool.name)
    return candidates, values


def _computed(
    run: Run,
    steps: Sequence[int],
    missing: Sequence[Validator],
    scenario: Callable[[], Scenario],
    kept: Path,
    predictors: dict[str, Predictor],
    notes: list[str],
) -> dict[int, dict[str, float | None]]:
    """Return scores that the log lacks, by step and validator, from the disk where they were computed before."""
    file = f"{run.place.path.name}.json"
    wanted = {validator.name: describe(validator) for validator in missing}
    old = RunFolder(kept).read_json(file) if (kept / file).is_file() else {}
    same = [name for name, about in old.get("validators", {}).items() if wanted.get(name, about) == about]
    found: dict[int, dict[str, float | None]] = {
        int(step): {name: scores[name] for name in same if name in scores}
        for step, scores in old.get("steps", {}).items()
    }
    todo = {
        step: [one for one in missing if one.name not in found.get(step, {})]
        for step in steps
        if any(name not in found.get(step, {}) for name in wanted)
    }
    if todo:
        needed = [validator for validator in missing if any(validator in left for left in todo.values())]
        evaluator, like, _ = evaluator_of(run, without_test(scenario()), None, needed, predictors)
        for step in todo:
            try:
                weights = read_weights(Checkpoints(run.place.checkpoints), step, like)
            except RunFolderError as error:
                notes.append(f"Left out: {error}")
                continue
            scores = evaluator.scores(evaluator.seen(weights, evaluator.adapted(weights)))
            new = {validator.name: scores[f"validator/{validator.name}"] for validator in needed}
            found[step] = {**found.get(step, {}), **jsonable(new)}
        about = {name: old["validators"][name] for name in same} | wanted
        RunFolder(kept).write_json(file, {"validators": about, "steps": found})
    return {step: scores for step, scores in found.items() if set(wanted) <= set(scores)}
