"""`tladapt bench`: what it says, writes, keeps and refuses."""

import json
import re
from pathlib import Path

import pytest

from tests.bench.small import write_benchmark
from tests.cli.toy import call

SMALL = ("--seeds", "1", "--jobs", "1", "--problems", "A>B")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("benchmark"), steps=10)


@pytest.fixture(scope="module")
def done(file, tmp_path_factory):
    """A grid of two runs, and what the command said."""
    out = tmp_path_factory.mktemp("grid") / "out"
    said = call("bench", file, *SMALL, "--out", out)
    assert said.status == 0, said.err
    return out, said


def test_it_prints_the_table_and_writes_it(done):
    out, said = done
    assert "Clouds of points" in said.out and re.search(r"dann +\d", said.out) and "gain" in said.out
    assert "2 runs" in said.err and "source_only on A>B, seed 0: finished; 1 of 2 runs" in said.err
    for name in ("table.txt", "table.md", "table.csv", "table.tex", "report.html", "outcomes.csv", "bench.json"):
        assert (out / name).stat().st_size > 0, name
    assert r"\toprule" in (out / "table.tex").read_text()
    assert not list(out.glob("runs/*/figures")) and not (out / "figures").exists()  # on demand alone
    command = json.loads((out / "bench.json").read_text())["command"]
    assert command[:2] == ["tladapt", "bench"] and "--problems" in command


def test_called_again_it_trains_nothing(file, done):
    out, _ = done
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/summary.json")}
    said = call("bench", file, *SMALL, "--out", out, "--json")
    found = json.loads(said.out)
    assert said.status == 0 and not said.err and not found["failures"]
    assert [(one["method"], one["seed"]) for one in found["outcomes"]] == [("source_only", 0), ("dann", 0)]
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(before) == 2


def test_a_plan_does_nothing(file, done, tmp_path):
    said = call("bench", file, "--seeds", "2", "--out", done[0], "--dry-run")
    assert said.status == 0 and "8 runs in" in said.out and "2 finished, 0 failed, 6 to train, 60 steps" in said.out
    assert call("bench", file, "--out", tmp_path / "new", "--dry-run").status == 0
    assert not (tmp_path / "new").exists()


def test_options_change_every_row_and_need_a_folder_of_their_own(file, done):
    said = call("bench", file, *SMALL, "--out", done[0], "--recipe.learning_rate", "0.1")
    assert said.status == 2 and "under another config" in said.err and "choose another folder (--out)" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("amazon-review",), "Unknown benchmark 'amazon-review'. Did you mean 'amazon-reviews'"),
        (("absent.py",), "there is no file 'absent.py' with a benchmark in it"),
        (("FILE", "--methods", "dan"), "There is no method 'dan'. Did you mean 'dann'"),
        (("FILE", "--problems", "A>D"), "has no problem 'A>D'"),
        (("FILE", "--settings", "commun"), "has no setting 'commun'. Did you mean 'common'"),
        (("FILE", "--jobs", "0"), "--jobs must be a whole number of at least 1; got '0'"),
        (("FILE", "--shard", "4/4"), "--shard must be I/N with I from 0 to N - 1, such as 0/8; got '4/4'"),
        (("FILE", "--recipe", "adm"), "Unknown recipe 'adm'. Did you mean 'adam'"),
        (("FILE", "--backbone.width", "3"), "width"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(file, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    said = call("bench", *(file if word == "FILE" else word for word in arguments))
    assert said.status == 2 and words in said.err, said.err
    assert not list(tmp_path.iterdir())


def test_data_that_is_missing_stops_the_grid_and_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("TLADAPT_DATA", raising=False)
    said = call(
        "bench", "heart", "--problems", "C>H", "--methods", "source_only", "--seeds", "1", "--out", tmp_path / "o"
    )
    assert said.status == 2 and "processed.cleveland.data" in said.err and "get it from" in said.err
    assert not (tmp_path / "o" / "failed").exists()


def test_a_row_that_fails_is_told_and_waits_for_a_retry(tmp_path):
    file = write_benchmark(tmp_path / "data", steps=10)
    Path(file).write_text(
        Path(file)
        .read_text()
        .replace("batch_size=6", "batch_size=6, learning_rate=1e30")
        .replace(", learning_rate=0.05", "")
    )
    arguments = ("bench", file, *SMALL, "--methods", "source_only", "--out", tmp_path / "out")
    said = call(*arguments)
    assert said.status == 1 and "failed: source_only on A>B, seed 0: training diverged at step" in said.err
    assert "--retry-failed" in said.err
    again = call(*arguments)
    assert again.status == 1 and "1 failed before (--retry-failed tries them again)" in again.err
    (failed,) = (tmp_path / "out" / "failed").iterdir()
    assert "training diverged" in (failed / "error.txt").read_text() and (failed / "config.json").is_file()
