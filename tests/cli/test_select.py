"""`tladapt select`: the table, the CSV, the JSON, and mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.toy import FAST, SMALL, Run, Said, call
from tladapt.cli.selection import show_selection
from tladapt.evaluation.comparison import Candidate, judge, pick
from tladapt.training import Selection

NAMES = ("class_ami", "dev", "entropy", "im", "snd", "source_accuracy")


@pytest.fixture(scope="module")
def selected(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, list[dict[str, str]]]:
    out = tmp_path_factory.mktemp("select") / "scores.csv"
    said = call("select", run.folder, "--out", out)
    assert said.status == 0, said.err
    return said, list(csv.DictReader(out.read_text().splitlines()))


def test_the_table_has_every_validator_and_the_oracle(selected: tuple[Said, list[dict[str, str]]], run: Run) -> None:
    said, _ = selected
    lines = said.out.splitlines()
    assert "toy: what each validator chooses of 2 checkpoints of first" in said.out
    assert [name for name in NAMES if any(line.split()[:1] in ([name], [f"{name}*"]) for line in lines)] == list(NAMES)
    assert any(line.split()[:1] == ["oracle"] and line.split()[1] in ("6", "12") for line in lines)
    assert "Oracle columns know the target's test labels." in said.out
    assert "Collapse guard: " in said.out and "dev: effective sample size " in said.out
    assert "scoring checkpoints: 1 of 2, first" in said.err


def test_the_csv_has_every_checkpoint_and_says_oracle(selected: tuple[Said, list[dict[str, str]]], run: Run) -> None:
    _, rows = selected
    assert [row["step"] for row in rows] == ["6", "12"]
    assert {f"validator/{name}" for name in NAMES} <= rows[0].keys()
    assert [key for key in rows[0] if "target/accuracy" in key] == ["oracle/target/accuracy"]
    assert sorted(name for row in rows for name in row["chosen_by"].split()) == sorted(NAMES)
    assert all(0 <= float(row["oracle/target/accuracy"]) <= 1 for row in rows)


def test_json(run: Run) -> None:
    said = call("select", run.folder, "--json", "--validators", "im, snd")
    record = json.loads(said.out)
    assert set(record["validators"]) == {"im", "snd"} and not said.err
    assert len(record["checkpoints"]) == 2 and record["oracle"]["choice"]["run"] == "first"


def test_a_folder_of_runs_and_no_test_labels(toy: Path, tmp_path: Path) -> None:
    with np.load(toy) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.startswith("test")}
    np.savez(tmp_path / "blind.npz", **kept)
    for seed in ("0", "1"):
        out = tmp_path / "grid" / f"seed{seed}"
        made = call("train", "--data", tmp_path / "blind.npz", *SMALL, *FAST, "--seed", seed, "--out", out)
        assert made.status == 0, made.err
    said = call("select", tmp_path / "grid", "--validators", "im,source_accuracy")
    assert said.status == 0, said.err
    assert "chooses of 4 checkpoints of 2 runs" in said.out
    assert "The target has no labelled test set" in said.out
    assert "oracle" not in said.out.lower()


def candidate(run: str, step: int, snd: float, collapsed: str = "", doubt: str = "") -> Candidate:
    doubts = {"snd": doubt} if doubt else {}
    return Candidate(run, step, {"im": 1.0, "snd": snd}, collapsed, 0.9, np.arange(4) % step, {"snd/size": 3.0}, doubts)


def test_words_for_what_a_reader_has_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    candidates = (
        candidate("a", 1, 5.0, "every target example is predicted as class 3"),
        candidate("a", 2, 1.0),
        candidate("b", 3, 2.0, doubt="the score of snd says little: four examples."),
        *(candidate("c", step, 0.0, "flat features") for step in range(4, 14)),
    )
    picks = pick(candidates)
    folders = {run: Path(run) for run in "abc"}
    judged = judge(candidates, picks, [0.1, 0.7, 0.5] + [0.2] * 10)
    show_selection(Selection("toy", folders, candidates, picks, judged, ("Left out: d has no checkpoint.",)))
    said = capsys.readouterr().out
    for words in (
        "11 of 13 checkpoints refused",
        "a step 1: every target example is predicted as class 3",
        "and 3 more",
        "Without it snd would choose a step 1 (oracle: 10.0 %)",
        "im: 1 more with the same score",
        "snd: size 3",
        "* the score of snd says little: four examples.",
        "Left out: d has no checkpoint.",
    ):
        assert words in said, words
    (line,) = (line.split() for line in said.splitlines() if line.startswith(" oracle  "))
    assert line == ["oracle", "a", "2", "70.0", "%", "0.0"]
    refused = tuple(one._replace(collapsed="flat features") for one in candidates[:2])
    picks = pick(refused)
    show_selection(Selection("toy", {"a": Path("a")}, refused, picks, None))
    said = capsys.readouterr().out
    assert "im chooses nothing" in said and "agree" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "DIR... is missing"),
        (["nowhere"], "there is no folder nowhere"),
        (["EMPTY"], "is not a run's folder and holds none"),
        (["RUN", "--validators", "sdn"], "Unknown validator 'sdn'. Did you mean 'snd'?"),
        (["RUN", "--validators", ","], "validators must be one or more"),
        (["RUN", "--out", "scores.txt"], "--out must end in .csv, got 'scores.txt'."),
        (["RUN", "--data", "digits-photo"], "is not what first on toy"),
        (["RUN", "--data.seed", "1"], "--data.seed is an option of --data NAME"),
    ],
)
def test_mistakes(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"RUN": str(run.folder), "EMPTY": str(tmp_path / "empty")}
    said = call("select", *(places.get(word, word) for word in arguments))
    assert said.status == 2 and said.out == ""
    assert words in said.err and said.err.startswith("Error: ") and "Traceback" not in said.err
