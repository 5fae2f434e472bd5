"""What a run of a grid came to, as one record: read from run folders, or from a CSV that was made of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tladapt.errors import RunFolderError
from tladapt.training.folder import RunFolder, write_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """One finished run of a grid; shares are in [0, 1], and NaN where they are not known."""

    benchmark: str
    """Name of the benchmark."""
    setting: str
    """Under which recipe: "common", or the name of a paper's."""
    problem: str
    """Column of the table, "B>D"."""
    method: str
    """Row of the table."""
    seed: int
    metric: str
    """What the shares are: "accuracy", "mean_class_accuracy" or "macro_f1", on the target's test set."""
    last: float
    """At the last step."""
    chosen: float
    """At the step that the run's validator chose, without a label of the target."""
    oracle: float
    """At the evaluated step that is best by test labels."""
    source: float
    """Accuracy on the source's held-out examples at the last step."""
    steps: int
    seconds: float
    is_oracle: bool = False
    """Whether labels of the target were trained on."""
    collapsed: bool = False
    """Whether the collapse guard refused every evaluation."""
    chosen_step: int = 0
    recipe: str = ""
    backbone: str = ""
    config_hash: str = ""
    folder: str = ""
    """The run's folder, relative to the grid's."""
    jax: str = ""
    tladapt: str = ""
    commit: str = ""
    cores: int = 0


def read_outcome(out: Path, name: str) -> Outcome:
    """Return the outcome of a finished run of a grid.

    Args:
      out: the grid's folder.
      name: of the run's folder.

    Raises:
      RunFolderError: for a folder that is not a finished run of a grid.
    """
    cell = RunFolder(out).read_json(f"cells/{name}.json")
    place = RunFolder(out / "runs" / name)
    config, summary, facts = (place.read_json(file) for file in ("config.json", "summary.json", "environment.json"))
    metric = cell["metric"]
    rows = {row["step"]: row for row in place.rows() if row["kind"] == "eval"}
    known = [row[f"target/{metric}"] for row in rows.values() if row.get(f"target/{metric}") is not None]
    last = _share(summary.get(f"target/{metric}"))
    # A classical estimator has no steps, and nothing to choose.
    chosen = _share(rows[summary["chosen/step"]].get(f"target/{metric}")) if rows else last
    return Outcome(
        **{field: cell[field] for field in ("benchmark", "setting", "problem", "method", "seed", "metric")},
        last=last,
        chosen=chosen,
        oracle=max(known, default=last),
        source=_share(summary.get("source/accuracy")),
        steps=summary.get("steps", 0),
        seconds=facts["seconds"],
        is_oracle=summary.get("oracle_run", False),
        collapsed=bool(rows) and all(row.get("collapsed") for row in rows.values()),
        chosen_step=summary.get("chosen/step", 0),
        recipe=summary.get("recipe", ""),
        backbone=config.get("backbone", {}).get("name", ""),
        config_hash=cell["hash"],
        folder=str(place.path.relative_to(out)),
        jax=facts["packages"]["jax"] or "",
        tladapt=facts["tladapt"],
        commit=facts["commit"] or "",
        cores=facts["cores"],
    )


def _share(value: Any) -> float:
    return math.nan if value is None else float(value)


def read_outcomes(out: Path) -> list[Outcome]:
    """Return the outcomes of all finished runs in a grid's folder, in the order of the benchmark's table.

    Raises:
      RunFolderError: for a folder that is not a grid's.
    """
    asked = read_asked(out)
    names = [path.parent.name for path in (out / "runs").glob("*/summary.json")]
    places = {
        kind: {name: place for place, name in enumerate(asked[kind])} for kind in ("settings", "problems", "methods")
    }

    def order(outcome: Outcome) -> tuple[int, int, int, int]:
        return (
            places["settings"].get(outcome.setting, len(places["settings"])),
            places["methods"].get(outcome.method, len(places["methods"])),
            places["problems"].get(outcome.problem, len(places["problems"])),
            outcome.seed,
        )

    return sorted((read_outcome(out, name) for name in names), key=order)


def read_asked(out: Path) -> dict[str, Any]:
    """Return what has been asked of a grid's folder: "benchmark", "title", "metric", "settings", "problems", "methods",
    "seeds", "command".

    Raises:
      RunFolderError: for a folder that is not a grid's.
    """
    if not (out / "bench.json").is_file():
        raise RunFolderError(f"{out} is not the folder of a grid: it has no bench.json. 'tladapt bench' makes one.")
    asked: dict[str, Any] = RunFolder(out).read_json("bench.json")
    return asked


def write_csv(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes as a CSV, a line a run, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Outcome)], lineterminator="\n")
    writer.writeheader()
    for outcome in outcomes:
        writer.writerow({name: _shown(value) for name, value in dataclasses.asdict(outcome).items()})
    write_whole(path, text.getvalue().encode())


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else round(value, 6)
    return value


def read_csv(path: Path) -> list[Outcome]:
    """Return the outcomes that `write_csv` wrote; shares are rounded to six places there."""
    with open(path, newline="") as file:
        return [_outcome(line) for line in csv.DictReader(file)]


def _outcome(line: Mapping[str, str]) -> Outcome:
    read = {"int": int, "float": lambda text: float(text) if text else math.nan, "bool": lambda text: text == "1"}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Outcome):
        values[field.name] = read.get(str(field.type), str)(line[field.name])  # type: ignore[operator]
    return Outcome(**values)


def read_failures(out: Path) -> dict[str, dict[str, Any]]:
    """Return what is known of the runs that failed, by the name of their folder: their cell, and "error"."""
    return {
        path.parent.name: {**RunFolder(out).read_json(f"cells/{path.parent.name}.json"), "error": path.read_text()}
        for path in sorted((out / "failed").glob("*/error.txt"))
    }


def reason(error: str) -> str:
    """Return the one line of an error that says most: the first of a message, the last of a traceback."""
    lines = error.strip().splitlines() or ["for no known reason"]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]
