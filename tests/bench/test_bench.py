"""A grid in this process: runs, outcomes, what fails, what is kept."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from tests.cli.toy import points
from tladapt.bench import Benchmark, Problem, Setting, bench, read_csv, read_failures, read_outcomes, write_csv
from tladapt.bench.grid import Place, grid
from tladapt.bench.outcomes import reason
from tladapt.bench.run import pending
from tladapt.errors import MissingDataError, RunFolderError
from tladapt.models.backbones import MLP
from tladapt.training import Config, Recipe


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A benchmark of one problem that is there, and of one whose labels cannot be."""
    folder = tmp_path_factory.mktemp("data")
    (sx, sy), (tx, _), (vx, vy) = points(60, 0.0, 0), points(45, 0.4, 1), points(45, 0.4, 2)
    arrays = {"source_x": sx, "source_y": sy, "target_x": tx, "test_x": vx, "test_y": vy}
    np.savez(folder / "good.npz", **arrays, classes=np.array(["ant", "bee", "cat"]))
    np.savez(folder / "bad.npz", **{**arrays, "source_y": sy + 7}, classes=np.array(["ant", "bee", "cat"]))
    recipe = Recipe(name="small", batch_size=6, learning_rate=0.05)
    config = Config(backbone=MLP(widths=(8,)), recipe=recipe, steps=10, log_every=5, evaluations=2)
    return Benchmark(
        name="toy",
        title="clouds",
        problems=tuple(Problem(name=name, data=str(folder / f"{name}.npz")) for name in ("good", "bad")),
        settings=(Setting(name="common", config=config, rows=("nearest_neighbour", "source_only", "dann")),),
        seeds=2,
        metric="mean_class_accuracy",
    )


@pytest.fixture(scope="module")
def done(toy, tmp_path_factory):
    """The folder of the whole grid, its outcomes, and what was told."""
    out, told = tmp_path_factory.mktemp("grid") / "out", []
    outcomes = bench(toy, out, tell=told.append)
    return out, outcomes, told


def test_every_cell_has_a_run_folder_of_its_own_and_an_outcome(toy, done):
    out, outcomes, _ = done
    assert [(o.problem, o.method, o.seed) for o in outcomes] == [
        ("good", "nearest_neighbour", 0),
        ("good", "source_only", 0),
        ("good", "source_only", 1),
        ("good", "dann", 0),
        ("good", "dann", 1),
    ]
    for outcome in outcomes:
        folder = out / outcome.folder
        summary = json.loads((folder / "summary.json").read_text())
        assert outcome.last == summary["target/mean_class_accuracy"] and outcome.metric == "mean_class_accuracy"
        assert outcome.config_hash in folder.name
        if outcome.method != "nearest_neighbour":
            rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            shares = {row["step"]: row["target/mean_class_accuracy"] for row in rows if row["kind"] == "eval"}
            assert outcome.chosen == shares[summary["chosen/step"]] and outcome.oracle == max(shares.values())
            assert outcome.steps == 10 and outcome.recipe == "small" and outcome.backbone == "mlp"


def test_last_chosen_and_oracle_are_told_apart_by_the_official_metric(done, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    folder = next((out / "runs").glob("good-dann-seed0-*"))
    summary = json.loads((folder / "summary.json").read_text())
    shares = {5: (0.9, 0.1), 7: (0.2, 0.8), 10: (0.5, 0.3)}  # class means and accuracies; 5 is best, 7 was chosen
    rows = [
        {"kind": "eval", "step": step, "target/mean_class_accuracy": mean, "target/accuracy": plain, "collapsed": False}
        for step, (mean, plain) in shares.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changed = {**summary, "chosen/step": 7, "target/mean_class_accuracy": 0.5, "target/accuracy": 0.3}
    (folder / "summary.json").write_text(json.dumps(changed))
    (found,) = (one for one in read_outcomes(out) if (one.method, one.seed) == ("dann", 0))
    assert (found.last, found.chosen, found.oracle, found.chosen_step, found.collapsed) == (0.5, 0.2, 0.9, 7, False)


def test_a_problem_that_cannot_be_trained_is_kept_apart_and_stops_nothing(toy, done):
    out, _, told = done
    failures = read_failures(out)
    assert sorted((f["problem"], f["method"], f["seed"]) for f in failures.values()) == [
        ("bad", "dann", 0), ("bad", "dann", 1), ("bad", "nearest_neighbour", 0),
        ("bad", "source_only", 0), ("bad", "source_only", 1),
    ]  # fmt: skip
    assert all("labels go up to 9" in failure["error"] for failure in failures.values())
    ends = [event for event in told if event["kind"] != "step"]
    assert sorted(event["kind"] for event in ends) == ["failed"] * 5 + ["finished"] * 5
    assert not pending(Place(out), grid(toy))
    assert len(pending(Place(out), grid(toy), retry_failed=False)) == 0


def test_a_second_call_trains_nothing_and_a_retry_what_failed(toy, done, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    told = []
    again = bench(toy, out, tell=told.append)
    assert not told and [dataclasses.astuple(o) for o in again] == [dataclasses.astuple(o) for o in done[1]]
    bench(toy, out, methods=["dann"], retry_failed=True, tell=told.append)
    assert [event["kind"] for event in told] == ["failed", "failed"] and len(read_failures(out)) == 5


def test_an_unfinished_run_goes_on_to_the_same_numbers(toy, done, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    folder = next((out / "runs").glob("good-dann-seed1-*"))
    (folder / "summary.json").unlink()  # killed just before the end
    told = []
    again = bench(toy, out, tell=told.append)
    assert {event["cell"] for event in told} == {folder.name} and told[-1]["kind"] == "finished"
    assert told[0]["step"] == 10  # from the last checkpoint on
    assert [o.last for o in again] == [o.last for o in done[1]]


def test_data_that_is_not_there_fails_no_run(toy, tmp_path):
    gone = dataclasses.replace(toy, problems=(Problem(name="gone", data=str(tmp_path / "gone.npz")),))
    with pytest.raises(Exception, match=r"gone\.npz") as caught:
        bench(gone, tmp_path / "out", methods=["source_only"], seeds=[0])
    assert isinstance(caught.value, MissingDataError)
    assert not (tmp_path / "out" / "failed").exists()


def test_outcomes_go_to_a_csv_and_back(done, tmp_path):
    write_csv(tmp_path / "o.csv", done[1])
    back = read_csv(tmp_path / "o.csv")
    for one, other in zip(done[1], back, strict=True):
        for name, value in dataclasses.asdict(one).items():
            read = getattr(other, name)
            if isinstance(value, float):
                assert (math.isnan(value) and math.isnan(read)) or read == pytest.approx(value, abs=1e-6), name
            else:
                assert read == value and type(read) is type(value), name


def test_a_folder_that_is_no_grid_is_told(tmp_path):
    with pytest.raises(RunFolderError, match=r"is not the folder of a grid: it has no bench\.json"):
        read_outcomes(tmp_path)


def test_the_line_of_an_error_that_says_most():
    assert reason("no data\nget it from: there") == "no data"
    assert reason("Traceback (most recent call last):\n  File ...\nValueError: 3") == "ValueError: 3"
    assert reason("") == "for no known reason"
