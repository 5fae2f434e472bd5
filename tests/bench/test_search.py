"""A search: reproducible, resumable, blind to labels of the target, and honest about what it could not score."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.bench import SearchResult, tune
from tladapt.bench.locks import FileLock
from tladapt.bench.search.study import Study, grid_of
from tladapt.data import Scenario
from tladapt.errors import MissingPackageError, UsageError
from tladapt.evaluation import choose
from tladapt.ranges import Choice, Range
from tladapt.training import Config

pytest.importorskip("optuna", reason="searches need optuna (extra 'search')")

ROOT = Path(__file__).resolve().parents[2]
FAST: dict[str, Any] = {"steps": 10, "evaluations": 2}
SPACE: dict[str, Any] = {"method.weight": Range(0.1, 10.0, log=True), "method.temperature": Choice((1.0, 2.5))}
CONFIG = problems.config("mcc", **FAST)


def search(out: Path, config: Config = CONFIG, scenario: Scenario | None = None, **options: Any) -> SearchResult:
    given = {"trials": 3, "ranges": SPACE, "sampler": "random", **options}
    return tune(config, problems.scenario() if scenario is None else scenario, out=out, **given)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(tmp_path_factory.mktemp("search") / "mcc")


def files(out: Path) -> tuple[bytes, bytes]:
    best = (out / "best.json").read_bytes().replace(str(out).encode(), b"OUT")
    return (out / "trials.csv").read_bytes(), best


def test_each_trial_is_a_run_and_its_score_is_that_of_the_checkpoint_that_the_validator_chooses(
    found: SearchResult,
) -> None:
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    for trial in found.trials:
        (name,) = trial.runs
        assert name.startswith("toy-mcc-seed0-")
        run = tladapt.open_run(found.out / "runs" / name)
        assert (run.config.method.weight, run.config.method.temperature) == tuple(trial.values.values())
        assert trial.score == choose(run.history, "im").score
        assert trial.source_accuracy == run.metrics["chosen/source/accuracy"]
        assert trial.steps == (run.metrics["chosen/step"],)
    assert len({trial.runs for trial in found.trials}) == 3
    scores = [trial.score for trial in found.trials]
    assert found.best is not None and found.best.score == max(scores)


def test_what_is_written(found: SearchResult) -> None:
    best = json.loads((found.out / "best.json").read_text())
    assert found.best is not None
    assert best["values"] == found.best.values and best["score"] == found.best.score
    run = json.loads((found.out / "runs" / found.best.runs[0] / "config.json").read_text())
    assert best["config"] == {name: run[name] for name in best["config"]}
    assert best["command"] is None  # data and network were made in Python
    assert 0 <= best["oracle/target/accuracy"] <= 1
    assert [key for key in best if "accuracy" in key] == ["oracle/target/accuracy"]
    assert "target" not in (found.out / "trials.csv").read_text()


def test_a_method_that_trains_on_what_the_validator_measures_is_said(found: SearchResult) -> None:
    assert len(found.notes) == 1 and "mcc drives up what im measures" in found.notes[0]


def test_called_again_nothing_is_trained_and_more_trials_go_on(found: SearchResult, tmp_path: Path) -> None:
    shutil.copytree(found.out, tmp_path / "copy")
    before = files(tmp_path / "copy")
    trained: list[Any] = []
    again = search(tmp_path / "copy", callbacks=[trained.append])
    assert not trained and files(again.out) == before
    more = search(tmp_path / "copy", trials=4, callbacks=[trained.append])
    assert trained and more.trials[:3] == found.trials and len(more.trials) == 4


def test_stopped_and_called_again_it_is_as_if_never_stopped(found: SearchResult, tmp_path: Path) -> None:
    stops = iter([("train", 5), ("eval", 10), ("start", 0), ("end", 10)])
    stop: Any = next(stops)

    def callback(event: Any) -> None:
        nonlocal stop
        if (event.kind, event.step) == stop:
            stop = next(stops, None)
            raise problems.Stopped

    for _ in range(4):
        with pytest.raises(problems.Stopped):
            search(tmp_path / "again", callbacks=[callback])
    again = search(tmp_path / "again", callbacks=[callback])
    assert again.trials == found.trials
    assert files(again.out) == files(found.out)
    for trial in found.trials:
        problems.assert_same_folder(found.out / "runs" / trial.runs[0], again.out / "runs" / trial.runs[0])


def test_labels_of_the_target_change_nothing_but_the_oracle(found: SearchResult, tmp_path: Path) -> None:
    plain = problems.scenario()
    order = np.random.default_rng(1).permutation(35)
    test = dataclasses.replace(plain.test, y=plain.test.y[order])
    other = search(
        tmp_path / "other", scenario=Scenario(plain.source, plain.target, test, classes=plain.classes, name="toy")
    )
    assert other.trials == found.trials and other.best == found.best
    assert (other.out / "trials.csv").read_bytes() == (found.out / "trials.csv").read_bytes()
    assert other.oracle_accuracy != found.oracle_accuracy
    blind = search(tmp_path / "blind", scenario=problems.scenario(labelled=False), trials=1)
    assert blind.oracle_accuracy is None and "oracle" not in (blind.out / "best.json").read_text()


def test_the_oracle_carries_its_name_everywhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"says so in the name of its folder.*mcc-oracle"):
        search(tmp_path / "mcc", validator="oracle")
    upper = search(tmp_path / "mcc-oracle", validator="oracle", trials=2)
    assert upper.is_oracle and upper.best is not None
    run = tladapt.open_run(upper.out / "runs" / upper.best.runs[0])
    assert upper.best.score == run.metrics["oracle/target/accuracy"] == upper.oracle_accuracy
    assert all(key.startswith("oracle/") for row in upper.rows() for key in row)
    best = json.loads((upper.out / "best.json").read_text())
    assert best["validator"] == "oracle" and "labels of the target" in best["oracle"] and "score" not in best
    with pytest.raises(UsageError, match="no labelled test set"):
        search(tmp_path / "x-oracle", scenario=problems.scenario(labelled=False), validator="oracle")
    with pytest.raises(UsageError, match="trains on labels of the target"):
        search(tmp_path / "upper", problems.config("target_only", **FAST))


def test_runs_that_diverge_or_collapse_have_no_score_and_a_reason(tmp_path: Path) -> None:
    config = problems.config("source_only", **FAST)
    rates = {"recipe.learning_rate": Choice((0.0, 0.05, 1e30))}
    found = search(tmp_path / "rates", config, ranges=rates, sampler="grid", seeds=2)
    by_rate = {trial.values["recipe.learning_rate"]: trial for trial in found.trials}
    assert by_rate[1e30].score is None and by_rate[1e30].reason.startswith("diverged, seed 0: ")
    assert found.best is not None and found.best.values["recipe.learning_rate"] in (0.0, 0.05)
    assert found.config is not None and found.config.recipe.name == "toy*"
    healthy = by_rate[0.05]
    scores = [choose(tladapt.open_run(found.out / "runs" / name).history, "im").score for name in healthy.runs]
    assert healthy.score == pytest.approx(np.mean(scores)) and len(scores) == 2
    assert [name.split("-")[2] for name in healthy.runs] == ["seed0", "seed1"]


def test_a_model_that_the_guard_refuses_throughout_has_no_score(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tladapt.training.evaluate.collapse", lambda seen: "every example is predicted as class 1")
    found = search(tmp_path / "collapsed", trials=1)
    assert found.best is None and found.config is None and found.command is None
    assert found.trials[0].reason.startswith("collapsed, seed 0: no evaluation passed the collapse guard")
    assert json.loads((found.out / "best.json").read_text())["without_score"] == 1


def test_a_folder_of_another_search_is_refused(found: SearchResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds another search: config.steps: 10 in the folder, 15 asked for"):
        search(found.out, problems.config("mcc", steps=15, evaluations=2))
    with pytest.raises(UsageError, match=r"another search: space.method.temperature"):
        search(found.out, ranges={**SPACE, "method.temperature": Range(1.0, 2.0)})
    with pytest.raises(UsageError, match=r"another search: data.source 0"):
        search(found.out, scenario=problems.scenario(seed=1))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty \(notes.txt\)"):
        search(tmp_path)


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ("mcc", {"trials": 0}, "trials must be a whole number of at least 1, got 0"),
        ("mcc", {"sampler": "tep"}, "Unknown sampler 'tep'. Did you mean 'tpe'"),
        ("mcc", {"validator": "mi"}, "Unknown validator 'mi'. Did you mean 'im'"),
        ("mcc", {"ranges": {"method.wieght": "1..2"}}, "method 'mcc' has no field 'wieght'. Did you mean 'weight'"),
        ("mcc", {"ranges": {"weight": "1..2"}}, "'weight' cannot be searched: a field is method.NAME"),
        ("mcc", {"ranges": {"penalty.weight": "1..2"}}, "the config has none"),
        ("mcc", {"ranges": {"method.schedule": None}}, "method.schedule declares no range; give one"),
        ("mcc", {"ranges": {"method.temperature": "0..2"}}, "temperature must lie in"),
        ("mcc", {"ranges": {"method.weight": "2..1"}}, "goes from a number to a larger one, got 2.0..1.0"),
        ("mcc", {"fixed": ["method.wait"]}, "method 'mcc' has no field 'wait'"),
        ("mcc", {"fixed": ["method.weight", "method.temperature"], "ranges": None}, "there is nothing to search"),
        ("source_only", {"ranges": None}, "method 'source_only' declares no ranges"),
        ("mcc", {"sampler": "grid", "trials": 3}, "the smallest grid .* has 4 points, and there are 3 trials"),
    ],
)
def test_mistakes_are_said_before_anything_is_trained(config: str, options: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        search(tmp_path / "out", problems.config(config, **FAST), **options)
    assert not list(tmp_path.glob("out/runs/*"))


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'tladapt\[search\]'"):
        search(tmp_path / "out")
    assert not list(tmp_path.iterdir())


# ---- drawing, without training ---------------------------------------------------------------------------------------


def draw(folder: Path, trials: int, sampler: Any = "tpe", score: Any = None) -> list[dict[str, Any]]:
    """Do the trials of a study whose score is a function of the values."""
    drawn = []
    while (taken := Study(folder, SPACE, sampler=sampler, seed=3, trials=trials).take()) is not None:
        trial, lock = taken
        study = Study(folder, SPACE, sampler=sampler, seed=3, trials=trials)
        drawn.append(study.values(trial.params))
        study.tell(trial, None if score is None else score(drawn[-1]), {"reason": "test"})
        lock.release()
    return drawn


def test_values_lie_in_their_ranges_and_the_seed_decides(tmp_path: Path) -> None:
    first = draw(tmp_path / "a", 14, score=lambda values: -abs(values["method.weight"] - 1.0))
    assert first == draw(tmp_path / "b", 14, score=lambda values: -abs(values["method.weight"] - 1.0))
    assert first != draw(tmp_path / "c", 14, score=lambda values: -abs(values["method.weight"] - 9.0))  # it learns
    assert all(0.1 <= values["method.weight"] <= 10 and values["method.temperature"] in (1.0, 2.5) for values in first)
    assert all(values["method.weight"] == float(f"{values['method.weight']:.4g}") for values in first)
    near = [abs(np.log10(values["method.weight"])) for values in first]
    assert np.mean(near[10:]) < np.mean(near[:10])  # a Parzen estimator comes closer than chance


def test_a_grid_has_all_points_once(tmp_path: Path) -> None:
    drawn = draw(tmp_path / "grid", 7, sampler="grid")
    assert drawn == grid_of(SPACE, 7) and len(drawn) == 6
    assert sorted({values["method.weight"] for values in drawn}) == [0.1, 1.0, 10.0]


def test_two_processes_never_have_the_same_trial_and_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    one = Study(tmp_path, SPACE, sampler="random", seed=0, trials=2)
    other = Study(tmp_path, SPACE, sampler="random", seed=0, trials=2)
    (first, lock), (second, _) = one.take(), other.take()  # type: ignore[misc]
    assert (first.number, second.number) == (0, 1) and other.take() is None
    lock.release()  # as the operating system does when a process dies
    taken = other.take()
    assert taken is not None and taken[0].number == 0 and taken[0].params == first.params


def test_half_a_line_at_the_end_of_the_journal_is_dropped(tmp_path: Path) -> None:
    draw(tmp_path, 2, score=lambda values: 1.0)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    assert Study(tmp_path, SPACE, sampler="tpe", seed=3, trials=2).ended() == 2
    assert journal.read_bytes() == whole


def test_locks_exclude_each_other(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.acquire(patience=0) and not other.acquire(patience=0)
    one.release()
    assert other.acquire(patience=0)
    other.release()


@pytest.mark.slow
def test_killed_from_outside_at_random_moments(found: SearchResult, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, tests.conftest;"
        " from tests.bench.test_search import search; search(pathlib.Path(sys.argv[1]))"
    )
    chance = random.Random(0)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "again")], cwd=ROOT) as process:
            seen = len(list(tmp_path.rglob("*")))
            while process.poll() is None and len(list(tmp_path.rglob("*"))) == seen:
                time.sleep(0.05)  # up to the first file that it writes
            time.sleep(chance.uniform(0.0, 6.0))
            process.kill()
    again = search(tmp_path / "again")
    assert again.trials == found.trials and files(again.out) == files(found.out)
    for trial in found.trials:
        problems.assert_same_folder(found.out / "runs" / trial.runs[0], again.out / "runs" / trial.runs[0])


@pytest.mark.slow
def test_several_processes_share_a_search(tmp_path: Path) -> None:
    said: list[Any] = []
    whole = search(tmp_path / "one", trials=4)
    shared = search(tmp_path / "two", trials=4, jobs=2, watcher=lambda *words: said.append(words))
    assert [trial.values for trial in shared.trials] == [trial.values for trial in whole.trials]
    # A process of its own compiles in its own way: the numbers are the same to rounding.
    for one, two in zip(shared.trials, whole.trials, strict=True):
        assert (one.score, one.steps, one.runs) == (pytest.approx(two.score, rel=1e-3), two.steps, two.runs)
    assert said[-1][:2] == (4, 4)
