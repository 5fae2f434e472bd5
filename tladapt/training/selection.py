"""All validators at all kept checkpoints of some runs: what each chooses, and, afterwards, how good that was."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.data import Domain, Scenario
from tladapt.errors import RunFolderError, UsageError
from tladapt.evaluation import VALIDATORS, Validator, predict
from tladapt.evaluation.comparison import Candidate, Judgement, Pick, disagreement, judge, pick
from tladapt.training.assemble import build, held_out
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.evaluate import Evaluator, Predictor, Weights
from tladapt.training.features import extract, features_of
from tladapt.training.gather import Folders, Run, check_data, gather, own_data, readable
from tladapt.training.result import read_weights, weights_like

Watcher = Callable[[int, int, str], None]
"""Told how many checkpoints are done, of how many, and which run is being looked at."""


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """What every validator chooses among the checkpoints of some runs.

    Attributes:
      scenario: name of the problem.
      folders: of the runs, by the name that candidates call them.
      candidates: every checkpoint with its scores; no label of the target was needed for them.
      picks: by validator, what it chooses of them.
      judgement: how good the choices were by the target's test labels, an oracle's word; None without a test set.
      notes: what was left out, and why.
    """

    scenario: str
    folders: Mapping[str, Path]
    candidates: tuple[Candidate, ...]
    picks: Mapping[str, Pick]
    judgement: Judgement | None
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat record a checkpoint, as for a CSV; what knows test labels has "oracle" in its name."""
        found = []
        for place, candidate in enumerate(self.candidates):
            row: dict[str, Any] = {
                "run": candidate.run,
                "step": candidate.step,
                "folder": str(self.folders[candidate.run]),
            }
            row["source/accuracy"] = candidate.source_accuracy
            row |= {f"validator/{name}": score for name, score in candidate.scores.items()}
            row |= candidate.details
            row["collapsed"] = candidate.collapsed
            row["chosen_by"] = " ".join(name for name, found in self.picks.items() if found.choice == place)
            if self.judgement is not None:
                row["oracle/target/accuracy"] = self.judgement.accuracies[place]
            found.append(row)
        return found

    def record(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""

        def at(place: int | None) -> dict[str, Any] | None:
            return None if place is None else {"run": self.candidates[place].run, "step": self.candidates[place].step}

        validators: dict[str, Any] = {}
        for name, found in self.picks.items():
            chosen = None if found.choice is None else self.candidates[found.choice]
            entry = {
                "choice": at(found.choice),
                "score": None if chosen is None else chosen.scores[name],
                "ties": found.ties,
                "doubt": "" if chosen is None else chosen.doubts.get(name, ""),
                "without_guard": at(found.unguarded),
                "within_runs": {run: self.candidates[place].step for run, place in found.within.items()},
            }
            if self.judgement is not None:
                entry["oracle"] = self.judgement.verdicts[name]._asdict()
            validators[name] = entry
        record: dict[str, Any] = {
            "scenario": self.scenario,
            "validators": validators,
            "disagreement": disagreement(self.candidates, self.picks),
            "checkpoints": self.rows(),
            "notes": list(self.notes),
        }
        if self.judgement is not None:
            best, last, blind = self.judgement.best, self.judgement.last, self.judgement.blind
            accuracy = self.judgement.accuracies[best]
            record["oracle"] = {"choice": at(best), "accuracy": accuracy, "last_steps": last, "all_checkpoints": blind}
        return record

    def __repr__(self) -> str:
        def words(place: int | None) -> str:
            return "nothing" if place is None else f"{self.candidates[place].run} step {self.candidates[place].step}"

        chosen = ", ".join(f"{name}: {words(found.choice)}" for name, found in self.picks.items())
        return f"Selection({self.scenario}, {len(self.candidates)} checkpoints; {chosen})"


def select(
    folders: Folders,
    scenario: Scenario | None = None,
    *,
    validators: Sequence[str | Validator] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    watcher: Watcher | None = None,
    **objects: Any,
) -> Selection:
    """Compare all validators over the kept checkpoints of runs: choices first, by no label of the target; then regret.

    Scores are computed anew from each checkpoint, with outputs of the source's validation examples and of the whole
    unlabelled target in evaluation mode. The target's test labels are looked at once all choices stand.

    Args:
      folders: of runs on one scenario; a folder that holds run folders stands for all of them. Runs need not have
        finished.
      scenario: the data that the runs were trained on; None: loaded again by the name in their folders.
      validators: names, or objects of your own; None: all registered.
      data_dir: where data sets are, for `scenario=None`.
      watcher: called after each checkpoint.
      **objects: `backbone=`, `method=`: parts of your own that the runs were made with.

    Returns:
      The choices, their regret against the oracle where the scenario has a test set, and every score.

    Raises:
      UsageError: for runs on different data, data that is not the runs' own, or validators that share a name.
      RunFolderError: for a folder that holds no run, or runs without a checkpoint that can be read.
    """
    notes: list[str] = []
    runs = gather(folders, objects, notes)
    if not runs:
        raise RunFolderError(f"there is no checkpoint to choose from. {' '.join(notes)}")
    chosen = validators_of(validators)
    scenario = own_data(runs[0], data_dir) if scenario is None else scenario
    scenario = readable(runs[0], scenario)
    check_data(runs, scenario)
    candidates, answers = _candidates(runs, scenario, chosen, notes, watcher)
    if not candidates:
        raise RunFolderError(f"no checkpoint could be read. {' '.join(notes)}")
    picks = pick(candidates)
    # Only now, with every choice made, are labels of the target looked at.
    judgement = None
    if scenario.test is not None:
        judgement = judge(candidates, picks, [float(np.mean(answer == scenario.test.y)) for answer in answers])
    folders_of = {run.name: run.place.path for run in runs}
    return Selection(scenario.name, folders_of, tuple(candidates), picks, judgement, tuple(notes))


def _candidates(
    runs: Sequence[Run], scenario: Scenario, validators: Sequence[Validator], notes: list[str], watcher: Watcher | None
) -> tuple[list[Candidate], list[np.ndarray]]:
    """Return every checkpoint's scores, and the classes that it gives to the test inputs, whose labels stay outside."""
    test = None if scenario.test is None else scenario.test.unlabelled()
    blind = without_test(scenario)
    candidates, answers, done = [], [], 0
    total = sum(len(run.steps) for run in runs)
    predictors: dict[str, Predictor] = {}
    for run in runs:
        evaluator, like, seen_test = evaluator_of(run, blind, test, validators, predictors)
        for step in run.steps:
            try:
                weights = read_weights(Checkpoints(run.place.checkpoints), step, like)
            except RunFolderError as error:
                notes.append(f"Left out: {error}")
                weights = None
            if weights is not None:
                candidate, answer = _looked_at(run, step, evaluator, weights, seen_test)
                candidates.append(candidate)
                answers.append(answer)
            done += 1
            if watcher is not None:
                watcher(done, total, run.name)
    return candidates, answers


def without_test(scenario: Scenario) -> Scenario:
    """Return a scenario's twin without a test set: an evaluator of it has no label of the target to look at."""
    return Scenario(
        scenario.source, scenario.target, validation=scenario.validation, classes=scenario.classes, name=scenario.name
    )


def _looked_at(
    run: Run, step: int, evaluator: Evaluator, weights: Weights, test: Domain | None
) -> tuple[Candidate, np.ndarray]:
    adapted = evaluator.adapted(weights)
    seen = evaluator.seen(weights, adapted)
    row = evaluator.scores(seen)
    names = [validator.name for validator in evaluator.validators]
    own = {key: value for key, value in row.items() if key.split("/")[0] in names}
    candidate = Candidate(
        run=run.name,
        step=step,
        scores={name: row[f"validator/{name}"] for name in names},
        collapsed=row["collapsed"] or "",
        source_accuracy=row["source/accuracy"],
        predictions=predict(seen.target_logits).astype(np.int32),
        details={key: value for key, value in own.items() if not isinstance(value, str)},
        doubts={key.removesuffix("/doubt"): value for key, value in own.items() if key.endswith("/doubt")},
    )
    answer = np.zeros(0, np.int64)
    if test is not None:
        answer = predict(evaluator.predictor.outputs(adapted, test, "target").logits)
    return candidate, answer


def evaluator_of(
    run: Run,
    scenario: Scenario,
    test: Domain | None,
    validators: Sequence[Validator],
    predictors: dict[str, Predictor],
) -> tuple[Evaluator, Weights, Domain | None]:
    """Return a run's evaluator, weights of the shapes of its checkpoints, and the test inputs as its steps see them.

    Args:
      run: whose checkpoints are to be looked at.
      scenario: the problem, without its test set.
      test: unlabelled inputs of the test set, where predictions for them are wanted.
      validators: what scores.
      predictors: what is compiled already: runs that differ by their seed share it. What is new is added.
    """
    seed, config = int(run.record["seed"]), run.config
    if config.transfer == "features":
        whole, (config, scenario, frozen) = config, extract(config, scenario)
        test = test and dataclasses.replace(test, x=features_of(whole, frozen, test.x, test.name))
    sources, validation = held_out(scenario, seed)
    counts = (len(sources), sum(len(domain) for domain in sources), len(scenario.target))
    network, predictor = build(config, scenario.target.shape, len(scenario.classes), counts, seed)
    parts = {name: run.record[name] for name in ("method", "backbone", "recipe")}
    sizes = [counts, scenario.target.shape, len(scenario.classes)]
    predictor = predictors.setdefault(json.dumps([parts, sizes], sort_keys=True), predictor)
    evaluator = Evaluator(predictor, scenario, validation, validators, sources)
    return evaluator, weights_like(network, config, seed), test


def validators_of(given: Sequence[str | Validator] | None) -> list[Validator]:
    """Return validators by name or as they are, all registered ones for None.

    Raises:
      UsageError: for none, or two of one name.
    """
    found = [VALIDATORS[item]() if isinstance(item, str) else item for item in (VALIDATORS if given is None else given)]
    names = [validator.name for validator in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not found:
        came = f"more than one {twice[0]!r}" if twice else "none"
        raise UsageError(f"validators must be one or more, each of another name; got {came}.")
    return found
