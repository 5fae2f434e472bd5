"""Trackers watch: they write down what a run logs, and change none of its numbers."""

from __future__ import annotations

import builtins
import dataclasses
import sys
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import tladapt
from tests.cli.toy import FAST, SMALL, call, points
from tests.training import problems
from tladapt.errors import MissingPackageError

CONFIG = problems.config("source_only", steps=20, evaluations=2)


class Writer:
    """What of tensorboardX's writer is used, remembered."""

    made: ClassVar[list[Writer]] = []

    def __init__(self, folder: str, purge_step: int | None = None):
        self.folder, self.purge_step = folder, purge_step
        self.scalars: dict[tuple[str, int], float] = {}
        self.texts: list[str] = []
        self.flushed, self.closed = 0, False
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name, step] = value

    def add_text(self, name: str, text: str, step: int) -> None:
        self.texts.append(text)

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[Writer]:
    module = types.ModuleType("tensorboardX")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    monkeypatch.setattr(Writer, "made", [])
    return Writer.made


def test_every_number_of_the_log_becomes_a_point_and_no_number_of_the_run_changes(writers, tmp_path):
    plain = tladapt.run(CONFIG, problems.scenario())
    watched = tladapt.run(CONFIG, problems.scenario(), callbacks=[tladapt.callbacks.tensorboard(tmp_path / "tb")])
    problems.assert_same_result(plain, watched)
    (writer,) = writers
    assert writer.folder == str(tmp_path / "tb" / "seed0") and writer.closed and writer.flushed == 2
    for row in watched.history:
        for name, value in row.items():
            if name not in ("kind", "step", "stage", "collapsed"):
                assert writer.scalars[name, row["step"]] == value
    assert writer.scalars["end/chosen/target/accuracy", 20] == watched.metrics["chosen/target/accuracy"]
    assert not any(isinstance(value, (bool, str)) for value in writer.scalars.values())


def test_a_callback_that_scribbles_on_its_row_changes_nothing():
    def scribble(event):
        event.row.clear()
        event.row["loss/classification"] = -1.0

    problems.assert_same_result(
        tladapt.run(CONFIG, problems.scenario()), tladapt.run(CONFIG, problems.scenario(), callbacks=[scribble])
    )


def test_each_seed_has_a_folder_of_its_own(writers, tmp_path):
    config = dataclasses.replace(CONFIG, steps=10, evaluations=1)
    callback = tladapt.callbacks.tensorboard(tmp_path / "tb")
    results = tladapt.run_seeds(config, problems.scenario(), [3, 4], callbacks=[callback])
    assert [Path(writer.folder).name for writer in writers] == ["seed3", "seed4"]
    for writer, result in zip(writers, results, strict=True):
        assert writer.scalars["end/source/accuracy", 10] == result.metrics["source/accuracy"]


def test_a_resumed_run_drops_the_points_that_it_makes_again(writers, tmp_path):
    stopping = [tladapt.callbacks.tensorboard(tmp_path / "tb"), problems.stop("train", 15)]
    with pytest.raises(problems.Stopped):
        tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run", callbacks=stopping)
    going_on = [tladapt.callbacks.tensorboard(tmp_path / "tb")]
    tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run", callbacks=going_on, resume=True)
    assert [writer.purge_step for writer in writers] == [None, 11]
    assert ("loss/classification", 20) in writers[1].scalars and ("loss/classification", 10) not in writers[1].scalars


def test_without_the_package_one_message_says_what_to_install(monkeypatch, tmp_path):
    found = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == "tensorboardX":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match=r'pip install "tladapt\[tensorboard\]"'):
        tladapt.callbacks.tensorboard(tmp_path)


def test_event_files_can_be_read_by_others(tmp_path):
    pytest.importorskip("tensorboardX")  # of the extra `tensorboard`
    from tensorboardX.proto.event_pb2 import Event

    config = dataclasses.replace(CONFIG, steps=10, evaluations=1)
    result = tladapt.run(config, problems.scenario(), callbacks=[tladapt.callbacks.tensorboard(tmp_path)])
    found = {}
    for content in records(next((tmp_path / "seed0").glob("events.out.tfevents.*"))):
        event = Event.FromString(content)
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
    for row in problems.numbers(result.history):
        assert found["loss/classification", row["step"]] == pytest.approx(row["loss/classification"], rel=1e-6)
    assert found["target/accuracy", 10] == pytest.approx(result.metrics["target/accuracy"], rel=1e-6)


def records(path: Path):
    """Yield the records of a TFRecord file: length, its checksum, content, its checksum."""
    content = path.read_bytes()
    while content:
        length = int.from_bytes(content[:8], "little")
        yield content[12 : 12 + length]
        content = content[16 + length :]


def test_the_command_writes_into_the_runs_folder(writers, tmp_path):
    (sx, sy), (tx, _) = points(40, 0.0, 0), points(40, 0.5, 1)
    np.savez(tmp_path / "toy.npz", source_x=sx, source_y=sy, target_x=tx)
    arguments = [
        "train",
        "--data",
        str(tmp_path / "toy.npz"),
        *SMALL,
        *FAST,
        "--out",
        str(tmp_path / "run"),
        "--json",
        "--tensorboard",
    ]
    assert call(*arguments).status == 0
    assert writers[0].folder == str(tmp_path / "run" / "tensorboard" / "seed0") and writers[0].closed
