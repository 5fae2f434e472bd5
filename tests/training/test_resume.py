"""A run that was stopped goes on to the same bits."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tests.training.problems import Stopped, Watcher, stop
from tladapt.errors import RunFolderError, UsageError
from tladapt.training import Config, Event, Interrupted
from tladapt.training.checkpoint import Checkpoints

# Checkpoints are written after 10, 20, 30 and 40 steps; the log has a line every 5. In a run of `shot` the second stage
# begins after 20 steps, and refreshes look at the target before the steps 20, 26 and 33, where chunks end, too. In that
# of `combined` chunks end after 7, 14, 21, 28, 35 and 40 steps, and it goes on from 28 with one of 7 and one of 5.
STOPS: dict[str, list[tuple[str, int]]] = {
    "source_only": [("start", 0), ("train", 5), ("eval", 20), ("train", 35), ("end", 40)],
    "dann": [("train", 15), ("eval", 40)],
    "cdan": [("train", 15), ("eval", 40)],
    "shot": [("eval", 20), ("train", 26), ("eval", 40)],
    "mean_teacher": [("train", 25)],
    "mcd": [("train", 30)],
    "combined": [("train", 35)],
}


@pytest.mark.parametrize("name", list(STOPS))
def test_run_stopped_at_events_equals_an_uninterrupted_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its steps are traced once a stage and length of a chunk; going on brings no other lengths."""
    config, scenario = problems.methods()[name], problems.scenario()
    config = dataclasses.replace(config, log_every=7) if name == "combined" else config
    dispatchers = problems.dispatchers(monkeypatch)
    whole = tladapt.run(config, scenario, seed=1, out=tmp_path / "whole")
    lengths = {"shot": [{5}, {5, 1, 2}], "combined": [{7, 5}]}.get(name, [{5}])
    assert [set(one.traces) for one in dispatchers] == lengths
    for kind, step in STOPS[name]:
        with pytest.raises(Stopped):
            tladapt.run(config, scenario, seed=1, out=tmp_path / "parts", callbacks=(stop(kind, step),), resume=True)
    watcher = Watcher()
    parts = tladapt.run(config, scenario, seed=1, out=tmp_path / "parts", callbacks=(watcher,), resume=True)
    problems.assert_same_result(whole, parts)
    problems.assert_same_folder(tmp_path / "whole", tmp_path / "parts")
    assert not watcher.notes  # nothing was damaged, so there is nothing to say
    for one in dispatchers:
        assert set(one.traces.values()) == {1} and set(one.traces) <= set().union(*lengths)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    tladapt.run(CONFIG, problems.scenario(), out=folder)
    return folder


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, stopped after 35 steps: there are checkpoints of 10, 20 and 30."""
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.raises(Stopped):
        tladapt.run(CONFIG, problems.scenario(), out=folder, callbacks=(stop("train", 35),))
    return folder


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    shutil.copytree(stopped_once, tmp_path / "run")
    return tmp_path / "run"


CONFIG = problems.config("source_only", backbone=problems.DROPPING)


def resume(folder: Path, config: Config = CONFIG, **options: Any) -> tuple[tladapt.Result, list[Event]]:
    watcher = Watcher()
    result = tladapt.run(config, problems.scenario(), out=folder, callbacks=(watcher,), resume=True, **options)
    return result, watcher.events


def notes(events: list[Event]) -> str:
    return "\n".join(event.row["text"] for event in events if event.kind == "note")


def largest_file(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(folder: Path) -> None:
    path = largest_file(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(folder: Path) -> None:
    path = largest_file(folder)
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 3, len(content), len(content) // 7):
        content[at] ^= 0xFF
    path.write_bytes(bytes(content))


def flip_one_bit(folder: Path) -> None:
    path = largest_file(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def lose_meta(folder: Path) -> None:
    shutil.rmtree(folder / "meta")


def lose_state(folder: Path) -> None:
    shutil.rmtree(folder / "state")


def lose_everything(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGE = [truncate, flip, flip_one_bit, lose_meta, lose_state, lose_everything]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_newest_checkpoint_is_passed_over_with_a_word(damage: Any, stopped: Path) -> None:
    damage(stopped / "checkpoints" / "30")
    like = tladapt.training.assemble.assemble(CONFIG, problems.scenario(), 0).state
    state, words = Checkpoints(stopped / "checkpoints").newest(like, until=40)
    assert state is not None and int(state.step) == 20
    assert len(words) == 1 and "checkpoint of step 30" in words[0]


def test_run_falls_back_and_ends_the_same(stopped: Path, whole: Path) -> None:
    flip(stopped / "checkpoints" / "30")
    result, events = resume(stopped)
    assert "checkpoint of step 30" in notes(events) and "Going on from step 20" in notes(events)
    assert [event.step for event in events if event.kind == "start"] == [20]
    problems.assert_same_folder(whole, stopped)
    assert result.history == tladapt.open_run(whole).history


def test_run_starts_anew_where_every_checkpoint_is_damaged(stopped: Path, whole: Path) -> None:
    for step in (10, 20, 30):
        truncate(stopped / "checkpoints" / str(step))
    _, events = resume(stopped)
    assert notes(events).count("cannot be read") + notes(events).count("is damaged") == 3
    assert "Going on from step 0" in notes(events)
    problems.assert_same_folder(whole, stopped)


@pytest.mark.parametrize("lost", ["all", "an evaluation"])
def test_log_that_lost_lines_is_made_anew(lost: str, stopped: Path, whole: Path) -> None:
    path = stopped / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if lost != "all" and not ('"eval"' in line and '"step": 20,' in line)]
    assert len(kept) == (0 if lost == "all" else len(lines) - 1)
    path.write_text("".join(kept) + "garbage {\n3\n")
    _, events = resume(stopped)
    assert [event.step for event in events if event.kind == "start"] == [0 if lost == "all" else 10]
    assert "the log has lost a line" in notes(events)
    problems.assert_same_folder(whole, stopped)


def test_checkpoint_of_another_model_is_refused_and_kept(stopped: Path) -> None:
    checkpoints = Checkpoints(stopped / "checkpoints")
    other = tladapt.training.assemble.assemble(problems.config("dann"), problems.scenario(), 0).state
    with pytest.raises(
        RunFolderError, match=r"do not fit this model and method: missing params/.*Was a part of your own changed"
    ):
        checkpoints.newest(other, until=40)
    assert checkpoints.steps() == [10, 20, 30]


def test_first_checkpoint_may_be_missing(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(Stopped):
        tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run", callbacks=(stop("train", 5),))
    assert not (tmp_path / "run" / "checkpoints").exists()
    resume(tmp_path / "run")
    problems.assert_same_folder(whole, tmp_path / "run")


@pytest.mark.parametrize("there", [(), ("config.json.part",), ("config.json",)])
def test_killed_while_the_folder_was_made(there: tuple[str, ...], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in there:
        (folder / name).write_bytes((whole / name.removesuffix(".part")).read_bytes())
    with pytest.raises(Stopped):
        tladapt.run(CONFIG, problems.scenario(), out=folder, callbacks=(stop("start", 0),), resume=True)
    assert json.loads((folder / "environment.json").read_text())["data"].keys() == {"source 0", "target", "test"}


def test_resume_with_another_config_names_the_fields(stopped: Path) -> None:
    recipe = dataclasses.replace(problems.RECIPE, learning_rate=0.1)
    with pytest.raises(UsageError) as error:
        resume(stopped, dataclasses.replace(CONFIG, recipe=recipe, steps=80))
    assert "recipe.learning_rate: 0.05 in the folder, 0.1 asked for" in str(error.value)
    assert "steps: 40 in the folder, 80 asked for" in str(error.value)
    assert "batch_size" not in str(error.value) and "backbone" not in str(error.value)
    with pytest.raises(UsageError, match="seed: 0 in the folder, 7 asked for"):
        resume(stopped, seed=7)
    assert Checkpoints(stopped / "checkpoints").steps() == [10, 20, 30]


def test_resume_on_other_data_is_refused(stopped: Path) -> None:
    with pytest.raises(UsageError, match="the arrays of source 0, target, test are not those"):
        tladapt.run(CONFIG, problems.scenario(seed=5), out=stopped, resume=True)


def test_resume_of_a_finished_run_returns_its_result(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    result, events = resume(whole)
    assert events == []
    problems.assert_same_result(result, tladapt.open_run(whole))
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_finished_run_with_parts_of_ones_own_is_resumed(tmp_path: Path) -> None:
    config = problems.config(problems.Breaking(at=-1), backbone=Own(nnx.Rngs(0)), steps=5, evaluations=1)
    first = tladapt.run(config, problems.scenario(), out=tmp_path / "run")
    second = tladapt.run(config, problems.scenario(), out=tmp_path / "run", resume=True)
    problems.assert_same_result(first, second)


class Own(nnx.Module):
    """A network of one's own."""

    def __init__(self, rngs: nnx.Rngs):
        self.linear = nnx.Linear(problems.SIZE, 4, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return jnp.tanh(self.linear(x))


def test_a_folder_with_a_run_or_other_files_is_left_alone(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a run already. Go on with it \(--resume\)"):
        tladapt.run(CONFIG, problems.scenario(), out=stopped)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for resumed in (False, True):
        with pytest.raises(UsageError, match=r"is not empty \(thesis.tex\)"):
            tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "mine", resume=resumed)
    with pytest.raises(UsageError, match="resume=True needs out="):
        tladapt.run(CONFIG, problems.scenario(), resume=True)


def test_resume_where_there_is_no_run_starts_one_and_says_so(tmp_path: Path) -> None:
    watcher = Watcher()
    with pytest.raises(Stopped):
        tladapt.run(
            CONFIG, problems.scenario(), out=tmp_path / "new", resume=True, callbacks=(watcher, stop("train", 5))
        )
    assert "holds no run yet" in watcher.notes[0]


def test_other_package_versions_are_said(stopped: Path) -> None:
    facts = json.loads((stopped / "environment.json").read_text())
    facts["packages"]["jax"] = "0.0.1"
    (stopped / "environment.json").write_text(json.dumps(facts))
    watcher = Watcher()
    with pytest.raises(Stopped):
        tladapt.run(CONFIG, problems.scenario(), out=stopped, resume=True, callbacks=(watcher, stop("train", 35)))
    assert "jax 0.0.1 then" in watcher.notes[0]


def test_first_ctrl_c_saves_between_two_chunks_and_resumes_to_the_same_bits(tmp_path: Path, whole: Path) -> None:
    def press(event: Event) -> None:
        if event.kind == "train" and event.step == 15:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"interrupted after step 15 of 40; saved. Go on with .* --resume"):
        tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run", callbacks=(press,))
    assert signal.getsignal(signal.SIGINT) is handler
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [10, 15]
    _, events = resume(tmp_path / "run")
    assert [event.step for event in events if event.kind == "start"] == [15]
    problems.assert_same_folder(whole, tmp_path / "run")


def test_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    def press(event: Event) -> None:
        if event.kind == "train":
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as error:
        tladapt.run(CONFIG, problems.scenario(), out=tmp_path / "run", callbacks=(press,))
    assert not isinstance(error.value, Interrupted)


def test_ctrl_c_without_a_folder() -> None:
    def press(event: Event) -> None:
        if event.kind == "train":
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"interrupted after step 5 of 40$"):
        tladapt.run(CONFIG, problems.scenario(), callbacks=(press,))
