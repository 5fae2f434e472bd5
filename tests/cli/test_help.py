"""What a person sees first: help, version and lists; fast, and with nothing heavy imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.toy import call
from tladapt.cli.app import COMMANDS

HEAVY = ("jax", "flax", "optax", "numpy", "rich", "sklearn", "matplotlib", "PIL", "orbax")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["demo", "-h"]])
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import atexit, sys; from tladapt.cli import main;"
        f" atexit.register(lambda: print('heavy:', [m for m in {HEAVY!r} if m in sys.modules]));"
        f" sys.argv = ['tladapt', *{arguments!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert done.stderr == ""


def test_help_names_every_command_and_the_fields():
    said = call("--help")
    assert said.status == 0
    assert all(name in said.out for name in COMMANDS)
    said = call("train", "--help")
    for option in (
        *("--data", "--method", "--backbone", "--steps", "--seed", "--out", "--data-dir", "--recipe", "--validator"),
        *("--batchnorm", "--init", "--penalty", "--weights", "--resume", "--debug", "--method.weight", "--json"),
    ):
        assert f"{option} " in said.out
    assert max(map(len, said.out.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_page(command):
    said = call(command, "--help")
    assert said.status == 0 and said.out.startswith(f"Usage: tladapt {command}") and not said.err


def test_version():
    assert call("--version").out.startswith("tladapt, version 0.")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "methods",
            (
                *("--method.hidden 100  ", "Widths of the discriminator's hidden layers.", "One of: unbiased, biased"),
                *("Searched: 100|1024,1024.", "Searched: 2,3,4."),
            ),
        ),
        ("backbones", ("--backbone.widths 32,64,128", "lenet")),
        ("shifts", ("angle=VALUE", "severity=3", "label_shift  ", "--shift rotation:angle=30+contrast")),
        ("data", ("digits-photo ", " 4,885  accuracy", "  none", "FILE.npz", "FILE.py:FUNCTION")),
        ("benchmarks", ("amazon-reviews  ", "problems: B>D", "setting common: ", "source_only", "visda2017")),
        ("validators", ("im  ", "source_accuracy")),
        (
            "recipes",
            (
                "--recipe.batchnorm joint",
                "batchnorm=separate",
                "per_domain  forward=separate",
                "asked to: 0.0001..0.1:log",
            ),
        ),
        ("penalties", ("--penalty.classifier true", "Searched: 0.001..1.0:log.")),
        ("augmentations", ("pixels=2  ", "ratio=1.33", '--recipe.augment "flip+rotation(degrees=10)"', "randaugment")),
        ("scores", ("logme  log evidence of the labels", "nce  ")),
    ],
)
def test_lists_are_readable(kind, expected, monkeypatch):
    monkeypatch.delenv("TLADAPT_DATA", raising=False)
    said = call("list", kind)
    assert said.status == 0 and not said.err
    for text in expected:
        assert text in said.out
    assert "\x1b" not in said.out  # no colours where there is no terminal
    lines = said.out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert max(len(line) for line in lines if "http" not in line) <= (100 if kind == "data" else 80)  # a table is wide
    assert "{" not in said.out and "'" * 2 not in said.out  # no Python reprs

    entries = json.loads(call("list", kind, "--json").out)
    assert all({"name", "summary", "options"} <= entry.keys() and entry["summary"] for entry in entries)
    options = [option for entry in entries for option in entry["options"]]
    assert all(option["help"] and option["type"] for option in options)


def test_defaults_in_json_keep_their_types():
    (dann,) = (entry for entry in json.loads(call("list", "methods", "--json").out) if entry["name"] == "dann")
    assert {option["name"]: option["default"] for option in dann["options"]} == {
        "weight": 1.0,
        "schedule": "ganin2016",
        "hidden": [100],
        "batch_norm": False,
    }
    ranges = {option["name"]: option["range"] for option in dann["options"]}  # as --range reads them
    assert ranges == {"weight": "0.01..1.0:log", "schedule": None, "hidden": "100|1024,1024", "batch_norm": None}


def test_one_entry_is_shown_whole(monkeypatch):
    monkeypatch.delenv("TLADAPT_DATA", raising=False)
    said = call("list", "data", "office-caltech10-surf")
    assert said.status == 0
    for text in (
        "domains: amazon 958, caltech10 1,123, dslr 157, webcam 295; 12 pairs",
        *("classes: 10 (backpack, bike", "metric: accuracy", "split: All", "licence: none stated", "files: no data"),
        *("obtain: https", "--data.normalize zscore"),
    ):
        assert text in said.out
    assert "digits-photo" not in said.out
    whole = call("list", "data", "digits-photo").out
    assert "domains: scans 900 -> photo 3,985" in whole and "files: none needed" in whole and "obtain" not in whole
    (record,) = json.loads(call("list", "data", "usps-mnist", "--json").out)
    assert record["domains"] == ["usps", "mnist"] and record["sizes"] == {"mnist": 70_000, "usps": 9_298}
    assert record["metric"] == "accuracy" and record["pairs"] == [] and record["classes"] == 10
    said = call("list", "methods", "dan")
    assert said.status == 2 and "no 'dan' among the methods. Did you mean 'dann'" in said.err


def test_list_data_says_whether_files_are_there(tmp_path, monkeypatch):
    monkeypatch.delenv("TLADAPT_DATA", raising=False)

    def usps() -> dict[str, object]:
        return next(e for e in json.loads(call("list", "data", "--json").out) if e["name"] == "usps-mnist")

    assert usps()["present"] is False and "--data-dir" in str(usps()["files"])
    monkeypatch.setenv("TLADAPT_DATA", str(tmp_path))
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "usps.h5").touch()
    assert "MNIST (train-images-idx3-ubyte.gz, " in str(usps()["files"])
    assert "USPS" not in str(usps()["files"]) and usps()["state"] == "in part"
    (tmp_path / "mnist").mkdir()
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / "mnist" / f"{stem}-ubyte.gz").touch()
    assert usps()["present"] is True
