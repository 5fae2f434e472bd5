"""What a search found: its trials, the best of them, and the files that say so."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.bench.search.command_line import train_command
from tladapt.bench.search.space import with_values
from tladapt.bench.search.trial import ORACLE, Search
from tladapt.fields import show
from tladapt.training.config import Config, config_json
from tladapt.training.folder import RunFolder, jsonable, write_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One set of values, and what came of it.

    Attributes:
      number: from 0 on, in the order in which they were drawn.
      values: of the searched fields.
      score: of the validator, or by test labels in an oracle's search; None where it has none.
      reason: why it has none: "collapsed, ...", "diverged, ...", "not done".
      source_accuracy: at the chosen steps, a mean over seeds; None without a score.
      steps: that the validator chose, one a seed.
      runs: names of its run folders.
    """

    number: int
    values: Mapping[str, Any]
    score: float | None
    reason: str
    source_accuracy: float | None
    steps: tuple[int, ...]
    runs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SearchResult:
    """The trials of a search and the best of them.

    Attributes:
      out: the search's folder.
      scenario: name of the problem.
      method: name of the method.
      validator: name of what scored; "oracle": the target's test labels.
      trials: in order.
      best: the one with the highest score, of equals the first; None where none has a score.
      config: its config; None without one.
      command: that trains it with new seeds; None where the config or the data have no names.
      fields: which were searched, with their ranges as text.
      notes: what is to be known of the validator.
      oracle_accuracy: accuracy of the best trial's chosen checkpoints on the target's test labels, a mean over seeds:
        no part of the search, an oracle's word. None without a test set.
    """

    out: Path
    scenario: str
    method: str
    validator: str
    trials: tuple[Trial, ...]
    best: Trial | None
    config: Config | None
    command: str | None
    fields: Mapping[str, str]
    notes: tuple[str, ...]
    oracle_accuracy: float | None

    @property
    def is_oracle(self) -> bool:
        """Whether labels of the target scored."""
        return self.validator == ORACLE

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat record a trial; all names begin with "oracle/" where labels of the target scored."""
        prefix = f"{ORACLE}/" if self.is_oracle else ""
        key = "target/accuracy" if self.is_oracle else f"validator/{self.validator}"
        rows = []
        for trial in self.trials:
            row: dict[str, Any] = {"trial": trial.number, key: trial.score, "source/accuracy": trial.source_accuracy}
            row |= {name: trial.values.get(name) for name in self.fields}
            row |= {"steps": " ".join(map(str, trial.steps)), "reason": trial.reason, "runs": " ".join(trial.runs)}
            rows.append({f"{prefix}{name}": value for name, value in row.items()})
        return rows

    def record(self) -> dict[str, Any]:
        """Return the best trial as JSON-able values: what `best.json` says."""
        best = self.best
        record: dict[str, Any] = {
            "scenario": self.scenario,
            "method": self.method,
            "validator": self.validator,
            "trials": len(self.trials),
            "without_score": sum(trial.score is None for trial in self.trials),
            "searched": dict(self.fields),
            "trial": None if best is None else best.number,
            "oracle/score" if self.is_oracle else "score": None if best is None else best.score,
            "values": {} if best is None else dict(best.values),
            "runs": [] if best is None else list(best.runs),
            "command": self.command,
            "config": None if self.config is None else config_json(self.config),
            "notes": list(self.notes),
        }
        if self.is_oracle:
            record[ORACLE] = "labels of the target were looked at: an upper bound, and no result"
        if self.oracle_accuracy is not None:
            record["oracle/target/accuracy"] = self.oracle_accuracy
        return record


def collect(search: Search) -> SearchResult:
    """Return what a search has found so far."""
    study = search.study()
    trials = []
    for record in study.records():
        facts, values = record.user_attrs, study.values(record.params)
        trials.append(
            Trial(
                number=record.number,
                values=values,
                score=record.value if record.state.is_finished() else None,
                reason=facts.get("reason", "") if record.state.is_finished() else "not done",
                source_accuracy=facts.get("source/accuracy"),
                steps=tuple(facts.get("steps", ())),
                runs=tuple(facts.get("runs", ())),
            )
        )
    scored = [trial for trial in trials if trial.score is not None]
    best = max(scored, key=lambda trial: (trial.score, -trial.number), default=None)
    config = None if best is None else with_values(search.config, best.values)
    command = None
    if config is not None:
        kept = str(search.out / "best")
        command = train_command(config, search.scenario, seed=search.seeds, seeds=5, out=kept)
    method: Any = search.config.method
    return SearchResult(
        out=search.out,
        scenario=search.scenario.name,
        method=method.name,
        validator=search.validator,
        trials=tuple(trials),
        best=best,
        config=config,
        command=command,
        fields={name: str(each) for name, each in search.space.items()},
        notes=tuple(_notes(search)),
        oracle_accuracy=None if best is None else _accuracy(search.out, best),
    )


def _notes(search: Search) -> list[str]:
    method: Any = search.config.method
    if search.validator in method.improves:
        return [
            f"{method.name} drives up what {search.validator} measures while it trains, so scores flatter strong"
            " settings of it. Search by source_accuracy, dev or class_ami too, and see whether they agree."
        ]
    return []


def _accuracy(out: Path, best: Trial) -> float | None:
    """Return the target accuracy of a trial's chosen checkpoints; it is asked for once the choice stands."""
    found: list[Any] = []
    for name, step in zip(best.runs, best.steps, strict=True):
        rows = RunFolder(out / "runs" / name).rows()
        found += [row.get("target/accuracy") for row in rows if row["kind"] == "eval" and row["step"] == step]
    return float(np.mean(found)) if found and None not in found else None


def write_result(found: SearchResult) -> None:
    """Write `best.json` and `trials.csv` into the search's folder."""
    RunFolder(found.out).write_json("best.json", found.record())
    rows = found.rows()
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in jsonable(rows):
            writer.writerow({name: "" if value is None else _cell(value) for name, value in row.items()})
    write_whole(found.out / "trials.csv", text.getvalue().encode())


def _cell(value: Any) -> Any:
    return show(tuple(value)) if isinstance(value, list) else show(value) if isinstance(value, bool) else value
