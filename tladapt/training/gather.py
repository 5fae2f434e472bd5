"""Finding runs that are there: in folders and folders of folders, with their configs, checkpoints and data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tladapt.data import Scenario, load
from tladapt.data.texts import tokenized
from tladapt.errors import RunFolderError, UsageError
from tladapt.registry import suggest
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.config import PARTS, Config, config_from_json
from tladapt.training.folder import RunFolder
from tladapt.training.keeper import data_checksums
from tladapt.training.start import text_preprocessing

Folders = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]


class Run(NamedTuple):
    """A run, finished or not.

    Attributes:
      name: its path, seen from the folder that all runs are in.
      place: its folder.
      record: its `config.json`.
      config: the same, resolved.
      steps: which have a checkpoint.
    """

    name: str
    place: RunFolder
    record: Mapping[str, Any]
    config: Config
    steps: tuple[int, ...]


def run_folders(places: Folders) -> list[Path]:
    """Return the run folders that paths name or hold, in order and once each.

    Raises:
      RunFolderError: for a path that is no folder, or holds no run.
    """
    found: dict[Path, Path] = {}
    for place in [places] if isinstance(places, (str, os.PathLike)) else places:
        path = Path(place)
        if not path.is_dir():
            raise RunFolderError(f"there is no folder {path}. Give folders made by 'tladapt train --out'.")
        inside = []
        for here, below, files in os.walk(path):
            below.sort()
            if "config.json" in files:
                inside.append(Path(here))
                below.clear()  # a run's model has a config, too
        if not inside:
            raise RunFolderError(
                f"{path} is not a run's folder and holds none: there is no config.json in it. Give folders made by"
                " 'tladapt train --out'."
            )
        for run in inside:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def gather(folders: Folders, objects: Mapping[str, Any], notes: list[str]) -> list[Run]:
    """Return the runs whose checkpoints may be compared without labels of the target; `notes` gets the others.

    Args:
      folders: of runs, or of folders of runs.
      objects: parts of a user's own by name ("backbone", "method"), for the runs that were made with one.
      notes: a word is added for each run that is left out.
    """
    for part in objects:
        if part not in PARTS:
            raise UsageError(f"a run has {', '.join(PARTS)} and no {part!r}.{suggest(part, PARTS)}")
    paths = run_folders(folders)
    if not paths:
        raise RunFolderError("no folder was given. Give folders made by 'tladapt train --out'.")
    parent = os.path.commonpath([path.resolve().parent for path in paths])
    found = []
    for path in paths:
        place, name = RunFolder(path), os.path.relpath(path.resolve(), parent)
        record = place.read_json("config.json")
        steps = tuple(Checkpoints(place.checkpoints).steps())
        if record.get("scenario", {}).get("oracle"):
            notes.append(f"Left out: {name} is an oracle run, trained on labels of the target.")
        elif not steps:
            notes.append(f"Left out: {name} has no checkpoint.")
        else:
            found.append(Run(name, place, record, _config(record, objects), steps))
    return found


def _config(record: Mapping[str, Any], objects: Mapping[str, Any]) -> Config:
    """Return the config of a run but for its validator and penalty, which may be a user's own and do not predict."""
    plain = {**record, "validator": {"name": "im"}, "penalty": None}

    def is_own(part: str) -> bool:
        described = plain[part]
        return not isinstance(described, Mapping) or "own" in described or described.get("name") not in PARTS[part]

    given = {part: thing for part, thing in objects.items() if part in ("method", "backbone") and is_own(part)}
    return config_from_json(plain, **given).resolved()


def own_data(run: Run, data_dir: str | os.PathLike[str] | None) -> Scenario:
    """Return the scenario that a run was trained on, loaded by the name and options in its folder.

    Raises:
      UsageError: for a run that was made from Python.
    """
    about = run.record["scenario"]
    if not about["data"]:
        raise UsageError(
            f"{run.name} was made from Python, so its folder does not say how to load its data; give it:"
            " tladapt.select(folders, scenario), or --data NAME."
        )
    return load(about["data"], data_dir, **about["options"])


def readable(run: Run, scenario: Scenario) -> Scenario:
    """Return a scenario with token ids in the place of texts, as the run's own tokenizer makes them."""
    if not scenario.target.is_text:
        return scenario
    texts = text_preprocessing(run.config)
    return tokenized(scenario, texts.tokenizer, texts.length)


def trained_on(place: RunFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return checksums of the arrays that a run was trained on, and its classes: what makes its problem.

    Args:
      place: the run's folder.
      record: its `config.json`.
    """
    data = place.read_json("environment.json")["data"]
    arrays = {name: checksum for name, checksum in data.items() if name != "test"}
    return {**arrays, "classes": record["scenario"]["classes"]}


def check_data(runs: Sequence[Run], scenario: Scenario) -> None:
    """Raise unless all runs were trained on the arrays of this scenario."""

    def words(run: Run) -> str:
        about = run.record["scenario"]
        options = ", ".join(f"{key}={value}" for key, value in about["options"].items())
        return f"{run.name} on {about['name']}" + (f" ({options})" if options else "")

    first = trained_on(runs[0].place, runs[0].record)
    for run in runs[1:]:
        if trained_on(run.place, run.record) != first:
            raise UsageError(
                "scores compare checkpoints of one scenario only, and these runs were trained on different data:"
                f" {words(runs[0])}; {words(run)}. Compare them separately."
            )
    now = {**data_checksums(scenario), "classes": list(scenario.classes)}
    other = [name for name, value in first.items() if now.get(name) != value]
    if other:
        raise UsageError(
            f"{scenario.name} as it is now is not what {words(runs[0])} was trained on: {', '.join(other)} differ."
            " Give the runs' own data."
        )
