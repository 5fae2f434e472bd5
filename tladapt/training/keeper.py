"""A run's memory: its log, its checkpoints, and where a run that was stopped goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.data import Scenario, examples
from tladapt.errors import UsageError
from tladapt.evaluation import choose
from tladapt.training.assemble import Assembly, weights_of
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.config import PARTS, config_json
from tladapt.training.dispatch import boundaries, evaluation_steps
from tladapt.training.folder import RunFolder, checksum, environment, jsonable
from tladapt.training.result import Result, open_run
from tladapt.training.start import weights_checksum
from tladapt.training.state import State


def record_of(assembly: Assembly, seed: int) -> dict[str, Any]:
    """Return what `config.json` says: enough to know the run, and to make it again."""
    scenario = assembly.scenario
    return {
        **config_json(assembly.config),
        "seed": seed,
        "scenario": {
            "name": scenario.name,
            "classes": list(scenario.classes),
            "shape": list(scenario.target.shape),
            "dtype": str(examples(scenario.target, np.array([0])).dtype),
            **({"texts": True} if assembly.texts is not None else {}),
            "oracle": scenario.is_oracle,
            "data": scenario.origin.get("name"),
            "options": dict(scenario.origin.get("options", {})),
        },
    }


def data_checksums(scenario: Scenario) -> dict[str, str]:
    """Return a checksum of what training saw of each domain, and of the test set."""
    found = {f"source {i}": checksum({"x": d.x, "y": d.y}) for i, d in enumerate(scenario.source)}
    found["target"] = checksum({"x": scenario.target.x})
    if scenario.test is not None:
        found["test"] = checksum({"x": scenario.test.x, "y": scenario.test.y})
    return found


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Return the fields in which two JSON values differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        inner = ((name, f"{at}.{name}" if at else name) for name in sorted({*old, *new}))
        return [word for name, path in inner for word in differences(old.get(name), new.get(name), path)]
    return [] if old == new else [f"{at}: {old!r} in the folder, {new!r} asked for"]


class Keeper:
    """Keeps a run, in a folder or in memory.

    Attributes:
      history: the lines of the log so far.
      state: where the run starts or goes on.
      finished: the result, where the folder's run has ended already.
      words: what happened to the folder, for people.
      before: features before the first step, for the picture of the embedding.
      initial: the evaluation of the model that the run starts from, where it was given one; else empty.

    Raises:
      UsageError: for a folder that holds another run, or anything else.
      RunFolderError: for a folder that cannot be written or read.
    """

    def __init__(self, out: str | os.PathLike[str] | None, record: dict[str, Any], assembly: Assembly, *, resume: bool):
        self.assembly, self.record = assembly, record
        self.state = assembly.state
        self.history: list[dict[str, Any]] = []
        self.words: list[str] = []
        self.finished: Result | None = None
        self.folder: RunFolder | None = None
        self.initial: dict[str, Any] = {}
        if out is None:
            if resume:
                raise UsageError("resume=True needs out=, the folder of the run to go on with.")
            self._evaluate_initial()
            return
        self.folder = RunFolder(out)
        self.checkpoints = Checkpoints(self.folder.checkpoints)
        if not (self.folder.path / "config.json").is_file():
            self._begin(self.folder)
            if resume:
                self.words.append(f"{self.folder.path} holds no run yet, so this one starts at step 0.")
        elif resume:
            self._resume(self.folder)
        else:
            refuse_taken(self.folder.path)
        if self.finished is None:
            self.before = assembly.evaluator.sample(weights_of(assembly.state))
            self._evaluate_initial()

    def _evaluate_initial(self) -> None:
        if self.assembly.config.init is not None:
            self.initial = self.assembly.evaluator.row(weights_of(self.assembly.state))

    def _begin(self, folder: RunFolder) -> None:
        _refuse_other_files(folder.path)
        # The config comes first: a run that is killed right after it can be resumed.
        folder.write_json("config.json", self.record)
        self._note_surroundings(folder)

    def _note_surroundings(self, folder: RunFolder) -> None:
        facts = {**environment(), "data": data_checksums(self.assembly.scenario)}
        folder.write_json("environment.json", {**facts, "weights": weights_checksum(self.assembly.config)})

    def _resume(self, folder: RunFolder) -> None:
        found = differences(folder.read_json("config.json"), jsonable(self.record))
        if found:
            shown = "; ".join(found[:10]) + (f"; and {len(found) - 10} more" if len(found) > 10 else "")
            raise UsageError(
                f"{folder.path} holds another run than the one to resume. {shown}. Give the run's own"
                " options, or choose another folder (--out)."
            )
        if not (folder.path / "environment.json").is_file():
            self._note_surroundings(folder)
        facts, data = folder.read_json("environment.json"), data_checksums(self.assembly.scenario)
        other = [name for name in sorted({*data, *facts["data"]}) if data.get(name) != facts["data"].get(name)]
        if other:
            raise UsageError(
                f"{folder.path} holds a run on other data: the arrays of {', '.join(other)} are not those that it began"
                " with. Give it the same data, or choose another folder (--out)."
            )
        if (folder.path / "summary.json").is_file():
            config = self.assembly.config
            own = {part: getattr(config, part) for part in PARTS if getattr(config, part) is not None}
            self.finished = open_run(folder.path, **own)
            return
        then, now = facts["packages"], environment()["packages"]
        newer = [f"{name} {then.get(name)} then, {now[name]} now" for name in now if now[name] != then.get(name)]
        if newer:
            self.words.append(
                f"the run began with other packages, so numbers may differ by rounding: {'; '.join(newer)}."
            )
        self.go_back(self._whole_until(folder.rows()))

    def go_back(self, until: int) -> None:
        """Stand at the newest checkpoint up to a step, or at the start; what came later is forgotten."""
        assert self.folder is not None
        state, words = self.checkpoints.newest(self.assembly.state, until=until)
        self.state = self.assembly.state if state is None else state
        done = int(self.state.step)
        self.words += [f"{word} Going on from step {done}." for word in words]
        self.checkpoints.forget_after(done)
        self.history = self.folder.cut_back(done)

    def _whole_until(self, rows: list[dict[str, Any]]) -> int:
        """Return up to which step no line of the log is missing: what is chosen at the end depends on all of them."""
        config, laid_out = self.assembly.config, self.assembly.spans
        there = {(row["kind"], row["step"]) for row in rows}
        wanted = {("eval", step) for step in evaluation_steps(laid_out, config.evaluations, config.log_every)}
        for span in laid_out:
            wanted |= {("train", first + count) for first, count in boundaries(span, config.log_every)}
        return min((step - 1 for _, step in wanted - there), default=config.steps)

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Keep a line of the log, and return it as it is kept."""
        row = jsonable(row)
        self.history.append(row)
        if self.folder is not None:
            self.folder.append([row])
        return row

    def save(self, state: State) -> None:
        """Keep a state; the one that the validator would choose now stays, too."""
        if self.folder is None:
            return
        chosen = set()
        if any(row["kind"] == "eval" for row in self.history):
            chosen.add(choose(self.history, self.assembly.config.validator.name).step)  # type: ignore[union-attr]
        self.checkpoints.save(state, protect=chosen)


def refuse_taken(path: Path) -> None:
    """Raise for a folder that holds a run."""
    if (path / "config.json").is_file():
        raise UsageError(f"{path} holds a run already. Go on with it (--resume), or choose another folder (--out).")


def _refuse_other_files(path: Path) -> None:
    """Raise for a folder with anything in it but what an earlier start that was killed may have left half-written."""
    names = sorted(p.name for p in path.iterdir() if p.suffix != ".part") if path.is_dir() else []
    if names:
        raise UsageError(f"{path} is not empty ({', '.join(names[:3])}); choose another folder (--out).")
