"""`--shift` from the command line to a run's folder, and back from it."""

from __future__ import annotations

import json

import pytest

from tests.cli.toy import FAST, SMALL, call
from tladapt.training.folder import RunFolder

SHIFT = "subspace_shift:angle=80+covariate_shift:of=source,seed=2"


@pytest.fixture(scope="module")
def shifted(toy, tmp_path_factory):
    """A run on the shifted points, and the command that made it."""
    folder = tmp_path_factory.mktemp("shifted") / "run"
    command = ["train", "--data", str(toy), "--shift", SHIFT, *SMALL, *FAST, "--out", str(folder)]
    said = call(*command)
    assert said.status == 0, said.err
    return folder, command


def test_the_folder_knows_the_shift(shifted, toy):
    folder, _ = shifted
    scenario = json.loads((folder / "config.json").read_text())["scenario"]
    assert scenario["name"] == f"toy+{SHIFT}" and scenario["data"] == str(toy)
    assert scenario["options"]["shift"].startswith("subspace_shift:of=target,angle=80,planes=1,")
    assert SHIFT in call("report", str(folder)).out + (folder / "report.html").read_text()


def test_evaluation_and_selection_load_the_shifted_data_again(shifted):
    folder, _ = shifted
    metrics = RunFolder(folder).read_json("summary.json")
    said = json.loads(call("eval", folder, "--json").out)
    assert said["accuracy"] == metrics["target/accuracy"] and said["scenario"] == f"toy+{SHIFT}"
    clean = json.loads(call("eval", folder, "--shift", "none", "--json").out)
    assert clean["scenario"] == "toy" and clean["accuracy"] > said["accuracy"]
    other = json.loads(call("eval", folder, "--shift", "subspace_shift:angle=5", "--json").out)
    assert other["scenario"] == "toy+subspace_shift:angle=5"
    found = call("select", folder, "--json")
    assert found.status == 0, found.err
    assert json.loads(found.out)["scenario"] == f"toy+{SHIFT}"


def test_going_on_needs_the_same_shift(shifted):
    folder, command = shifted
    again = call(*command, "--resume")
    assert again.status == 0 and "had finished before" in again.err
    other = call(*command[:3], *SMALL, *FAST, "--out", str(folder), "--resume")
    assert other.status == 2 and "scenario.options.shift" in other.err
    seeded = call(
        *[word.replace("seed=2", "seed=3").replace("--shift", "--data.shift") for word in command], "--resume"
    )
    assert seeded.status == 2 and "seed=3 asked for" in seeded.err.replace("'", "").replace("\n", " ")
    twice = call(*command, "--data.shift", "inverse")
    assert twice.status == 2 and "give it once" in twice.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["doctor", "--json"], '"scenario": "toy+subspace_shift"'),
        (["probe", "--inputs", "--json"], '"scenario": "toy+subspace_shift"'),
        (["rank", "--inputs", "--json"], '"scenario": "toy+subspace_shift"'),
    ],
)
def test_every_command_that_takes_data_takes_a_shift(toy, command, words):
    said = call(command[0], "--data", toy, "--shift", "subspace_shift", *command[1:])
    assert said.status == 0, said.err
    assert words in said.out


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ("gausian_noise", "Did you mean 'gaussian_noise'"),
        ("gaussian_noise:severity=9", "from 1 to 5"),
        ("gaussian_noise", "changes pictures"),
        ("label_shift:alpha=1", "the target 'target' has none"),
        ("missing_classes:classes=bea,of=source", "Did you mean 'bee'"),
    ],
)
def test_mistakes_are_told(toy, shift, words):
    said = call("doctor", "--data", toy, "--shift", shift)
    assert said.status == 2 and words in said.err and "Traceback" not in said.err


def test_the_demo_keeps_shifted_runs_apart(tmp_path):
    said = call("demo", "--shift", "rotaton:angle=20", "--out", tmp_path)
    assert said.status == 2 and "Did you mean 'rotation'" in said.err


def test_noisy_digits_train(tmp_path):
    command = ["train", "--data", "digits-photo", "--shift", "gaussian_noise:severity=3", *SMALL]
    said = call(*command, "--steps", "4", "--evaluations", "1", "--no-figures", "--json", "--out", tmp_path / "run")
    assert said.status == 0, said.err
    assert 0 <= json.loads(said.out)["target/accuracy"] <= 1
