"""One trial of a search: its runs, one a seed, and the score that a validator gives to what it chooses of them."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tladapt.bench.locks import locked
from tladapt.bench.search.space import Space, with_values
from tladapt.bench.search.study import Sampler, Study
from tladapt.data import Scenario
from tladapt.errors import DivergenceError
from tladapt.evaluation import choose, oracle
from tladapt.training import Callback, run
from tladapt.training.config import Config, config_json, fingerprint

ORACLE = "oracle"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """What is asked of a search; a process that works on it needs nothing else.

    Attributes:
      config: what is searched around, its validator the one that scores.
      scenario: the problem.
      out: the search's folder.
      space: what is searched.
      oracle: score by the target's test labels, and say so everywhere.
      trials: how many.
      seeds: how many runs a trial has, of the seeds from 0 on.
      sampler: how values are drawn.
      seed: what they are drawn from.
    """

    config: Config
    scenario: Scenario
    out: Path
    space: Space
    oracle: bool
    trials: int
    seeds: int
    sampler: Sampler
    seed: int

    @property
    def validator(self) -> str:
        """Name of what scores."""
        validator: Any = self.config.validator
        return ORACLE if self.oracle else str(validator.name)

    def study(self) -> Study:
        """Return the study in the search's folder."""
        return Study(self.out / "study", self.space, sampler=self.sampler, seed=self.seed, trials=self.trials)

    def names(self, config: Config) -> list[str]:
        """Return the names of the run folders of a config, one a seed."""
        method: Any = config.method
        problem = re.sub(r"[^A-Za-z0-9.+-]+", "_", self.scenario.name).strip("_")[:80]
        label = re.sub(r"[^A-Za-z0-9.+-]+", "_", method.name)
        return [f"{problem}-{label}-seed{seed}-{fingerprint(config_json(config))}" for seed in range(self.seeds)]


class Scored(NamedTuple):
    """What came of a trial: its score, or None and the reason; and what else is to be kept of it."""

    score: float | None
    facts: Mapping[str, Any]


def work(search: Search, callbacks: Sequence[Callback] = (), *, parent: int | None = None) -> None:
    """Do trials until there is none left to do.

    Args:
      search: what is asked.
      callbacks: watchers of the runs.
      parent: number of the process that started this one: it ends with it, after the trial in hand.

    Raises:
      TladaptError: for anything but a run that diverged; the trial is gone on with when the search is.
    """
    study = search.study()
    while parent is None or os.getppid() == parent:
        taken = study.take()
        if taken is None:
            return
        trial, lock = taken
        try:
            values = study.values(trial.params)
            study.tell(trial, *score_of(search, values, callbacks))
        finally:
            lock.release()


def score_of(search: Search, values: Mapping[str, Any], callbacks: Sequence[Callback]) -> Scored:
    """Train a trial's runs, or go on with them, and return its score.

    The score is that of the checkpoint that the validator chooses behind the collapse guard, a mean over seeds. A trial
    with a run that diverges, or of which no checkpoint passes the guard, has none.
    """
    config = with_values(search.config, values)
    scores, sources, steps = [], [], []
    names = search.names(config)
    facts: dict[str, Any] = {"runs": names}
    for seed, name in enumerate(names):
        try:
            with locked(search.out / "study" / f"{name}.lock"):  # another trial may have the same values
                result = run(config, search.scenario, seed, search.out / "runs" / name, callbacks, resume=True)
        except DivergenceError as error:
            return Scored(None, {**facts, "reason": f"diverged, seed {seed}: {error}"})
        found = oracle(result.history) if search.oracle else choose(result.history, search.validator)
        assert found is not None  # a test set is asked for before an oracle's search
        if not found.passed:
            return Scored(None, {**facts, "reason": f"collapsed, seed {seed}: {found.reason}"})
        (row,) = (row for row in result.history if row["kind"] == "eval" and row["step"] == found.step)
        scores.append(found.score)
        sources.append(row["source/accuracy"])
        steps.append(found.step)
    return Scored(
        float(np.mean(scores)),
        {**facts, "scores": scores, "source/accuracy": float(np.mean(sources)), "steps": steps},
    )
