"""A full disk or a folder that cannot be written ends in words, with the last good checkpoint intact."""

from __future__ import annotations

import builtins
import errno
import itertools
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
import pytest

import tladapt
from tests.training import problems
from tladapt.errors import RunFolderError
from tladapt.training.assemble import assemble
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.folder import RunFolder, jsonable, write_whole

CONFIG = problems.config("source_only", backbone=problems.DROPPING)


def full(after: int, concerns: Callable[..., bool], function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` for a disk that is full after some calls that concern it."""
    count = 0

    def limited(*args: Any, **options: Any) -> Any:
        nonlocal count
        if concerns(*args, **options):
            count += 1
            if count > after:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args, **options)

    return limited


def log(path: Any, mode: str = "r", *args: Any, **options: Any) -> bool:
    return str(path).endswith("metrics.jsonl") and mode == "ab"


def summary(old: Any, new: Any) -> bool:
    return str(new).endswith("summary.json")


def outputs(path: Any, mode: str = "r", *args: Any, **options: Any) -> bool:
    return "outputs.npz" in str(path) and mode == "wb"


def weights(old: Any, new: Any) -> bool:
    return str(new).endswith("model.safetensors")


def always(*args: Any, **options: Any) -> bool:
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    tladapt.run(CONFIG, problems.scenario(), out=folder)
    return folder


@pytest.mark.parametrize(
    ("owner", "name", "concerns", "after", "left", "words"),
    [
        (builtins, "open", log, 8, [10, 20], r"metrics.jsonl could not be written: No space left on device"),
        (
            ocp.CheckpointManager,
            "save",
            always,
            2,
            [10, 20],
            r"step 30 could not be written.*No space.*there: 10, 20\.",
        ),
        (os, "replace", summary, 0, [10, 20, 30, 40], r"summary.json could not be written: No space left on device"),
        (os, "replace", weights, 0, [10, 20, 30, 40], r"could not be written: No space left on device.*--resume"),
        (builtins, "open", outputs, 0, [10, 20, 30, 40], r"outputs.npz could not be written: No space left on device"),
    ],
    ids=["log", "checkpoint", "summary", "model", "outputs"],
)
def test_disk_that_fills_up(
    owner: Any, name: str, concerns: Any, after: int, left: list[int], words: str, whole: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, full(after, concerns, getattr(owner, name)))
        with pytest.raises(RunFolderError, match=words):
            tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.steps() == left
    assert not problems.differing(checkpoints.read(left[-1]), Checkpoints(whole / "checkpoints").read(left[-1]))
    tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run", resume=True)
    problems.assert_same_folder(whole, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.part")) and not list((tmp_path / "run").rglob("*tmp*"))


class FullDisk:
    """Lets some operations in new checkpoints through, and fails every later one, whoever asks for it."""

    def __init__(self) -> None:
        self.left: float = math.inf
        sys.addaudithook(self.hook)  # it cannot be taken away again, and costs nothing while `left` is infinite

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.left == math.inf or event not in ("open", "os.mkdir", "os.rename"):
            return
        if "orbax-checkpoint-tmp" in str(args[0]) and not (event == "open" and args[1] == "r"):
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def full_disk() -> FullDisk:
    return FullDisk()


# Threads of the writing library that end after the one that failed have nobody left to tell.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_disk_that_is_full_within_a_checkpoint(full_disk: FullDisk, tmp_path: Path) -> None:
    """The writing library itself fails, at each of the files and folders that it makes."""
    state = assemble(CONFIG, problems.scenario(), 0).state
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(state)
    later = state._replace(step=state.step + 10)
    for operations in range(14):
        full_disk.left = operations
        try:
            with pytest.raises(RunFolderError, match=r"step 10 could not be written to .*: No space left on device"):
                checkpoints.save(later)
        finally:
            full_disk.left = math.inf
        assert checkpoints.steps() == [0]
        assert not problems.differing(checkpoints.read(0), problems.arrays(state))
    checkpoints.save(later)
    assert checkpoints.steps() == [0, 10]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "0",
        "10",
    ]  # nothing half-done is left
    assert not problems.differing(checkpoints.read(10), problems.arrays(later))


def test_room_on_the_disk_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = assemble(CONFIG, problems.scenario(), 0).state
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=500_000))
    with pytest.raises(RunFolderError, match=r"No space left on device \(0.0 MB needed, 0.5 free\).*are there: none"):
        Checkpoints(tmp_path / "checkpoints").save(state)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_folder_that_cannot_be_made(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(RunFolderError, match=r"config.json could not be written: .*choose another one with --out"):
        tladapt.run(CONFIG, problems.scenario(), out=tmp_path / place)
    assert (tmp_path / "file").read_text() == "a file, not a folder"


def test_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a.json", b"old")
    monkeypatch.setattr(os, "fsync", full(0, always, os.fsync))
    with pytest.raises(RunFolderError, match=r"a.json could not be written: No space left on device"):
        write_whole(tmp_path / "a.json", b"new and longer")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_json_has_no_word_for_nan(tmp_path: Path) -> None:
    import numpy as np

    record = {"a": float("nan"), "b": [float("inf"), np.float32(0.5)], "c": np.arange(2), 3: np.bool_(True)}
    assert jsonable(record) == {"a": None, "b": [None, 0.5], "c": [0, 1], "3": True}
    folder = RunFolder(tmp_path)
    folder.write_json("x.json", record)
    assert json.loads((tmp_path / "x.json").read_text()) == jsonable(record)


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"is not a run's folder: it has no config.json"):
        tladapt.open_run(tmp_path)
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(RunFolderError, match=r"config.json cannot be read"):
        tladapt.open_run(tmp_path)


def test_ten_checkpoints_stay_with_the_newest_and_the_chosen(tmp_path: Path) -> None:
    state = assemble(CONFIG, problems.scenario(), 0).state
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 16):
        checkpoints.save(state._replace(step=state.step + step), protect=[4])
    steps = checkpoints.steps()
    assert 4 in steps and steps[0] == 1 and steps[-1] == 15
    assert 10 <= len(steps) <= 12
    assert max(later - earlier for earlier, later in itertools.pairwise(steps)) <= 3
