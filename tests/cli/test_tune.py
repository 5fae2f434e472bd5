"""`tladapt tune`: the table, the command that trains what was chosen, and mistakes."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from pathlib import Path

import pytest

import tladapt
from tests.cli.toy import FAST, SMALL, Said, call
from tladapt.cli.train_command import config_of
from tladapt.training.config import config_json

pytest.importorskip("optuna", reason="searches need optuna (extra 'search')")

COMMON = ["--method", "dann", "--method.hidden", "8", *SMALL, *FAST[:-1], "--trials", "2"]


@pytest.fixture(scope="module")
def tuned(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, Path]:
    out = tmp_path_factory.mktemp("tune") / "dann"
    learning = ["--range", "recipe.learning_rate=0.003|0.03", "--range=method.weight"]
    said = call("tune", "--data", toy, *COMMON, *learning, "--penalty", "l2sp", "--out", out, "--figure")
    assert said.status == 0, said.err
    return said, out


def test_the_table_and_what_was_chosen(tuned: tuple[Said, Path]) -> None:
    said, out = tuned
    assert "dann on toy: 2 trials by im, without a label of the target" in said.out
    rows = list(csv.DictReader((out / "trials.csv").read_text().splitlines()))
    # hidden was given a value, so it is not searched; the penalty's range is its own
    assert list(rows[0])[3:6] == ["method.weight", "penalty.weight", "recipe.learning_rate"]
    assert {row["recipe.learning_rate"] for row in rows} <= {"0.003", "0.03"}
    assert all(0.01 <= float(row["method.weight"]) <= 1 for row in rows)
    assert said.out.count("oracle: ") == 1 and "which took no part in this." in said.out
    assert "tuning dann on toy: 2 of 2, trial 1: im " in said.err
    assert (out / "figures" / "search.png").stat().st_size > 5000


def test_the_command_makes_the_chosen_config_with_new_seeds(tuned: tuple[Said, Path]) -> None:
    said, out = tuned
    best = json.loads((out / "best.json").read_text())
    assert f"Train it with new seeds: {best['command']}" in said.out
    words = shlex.split(best["command"])
    assert words[:2] == ["tladapt", "train"] and words[words.index("--seed") + 1] == "1"
    command = __import__("tladapt.cli.train_command", fromlist=["command"]).command
    context = command.make_context("train", words[2:])
    from tladapt.cli.options import given_fields

    config = config_of(context.params, given_fields(context))
    assert json.loads(json.dumps(config_json(config))) == best["config"]
    assert tladapt.open_run(out / "runs" / best["runs"][0]).config.method == config.method


def test_called_again_it_goes_on_and_json_says_the_same(tuned: tuple[Said, Path], toy: Path) -> None:
    _, out = tuned
    learning = ["--range", "recipe.learning_rate=0.003|0.03", "--range=method.weight", "--penalty", "l2sp"]
    said = call("tune", "--data", toy, *COMMON, *learning, "--out", out, "--json")
    assert said.status == 0 and not said.err
    record = json.loads(said.out)
    assert len(record["trials"]) == 2 and record["folder"] == str(out)
    assert record["values"] == json.loads((out / "best.json").read_text())["values"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--range", "method.weight=1"], "--range method.weight=1: a choice needs two different values or more"),
        (["--range", "method.weight=a..2"], "option 'method.weight' of the search must be a number, got 'a'"),
        (["--range", "method.weight=1..2:lin"], "'lin' is no kind of range; only 'log' is"),
        (["--range", "method.weigth=1..2"], "method 'dann' has no field 'weigth'. Did you mean 'weight'?"),
        (["--fix", "method.weight", "--fix", "method.hidden=4"], "there is nothing to search"),
        (["--sampler", "tep"], "--sampler must be one of tpe, random, grid; got 'tep'"),
        (["--validator", "sdn"], "Unknown validator 'sdn'. Did you mean 'snd'?"),
        (["--validator", "oracle", "--out", "mine"], "says so in the name of its folder"),
        (["--trials", "0"], "--trials must be a whole number of at least 1; got '0'"),
    ],
)
def test_mistakes(arguments: list[str], words: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = call("tune", "--data", toy, *COMMON, *arguments)
    assert said.status == 2 and said.out == "" and words in said.err and "Traceback" not in said.err
    assert not (tmp_path / "runs").exists()


def test_without_optuna(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = call("tune", "--data", toy, *COMMON)
    assert said.status == 2 and "pip install 'tladapt[search]'" in said.err
