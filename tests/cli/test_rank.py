"""`tladapt rank`: source models in order, their scores, what is said beside them, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tladapt.models
from tests.cli.toy import Run, call, points
from tladapt.evaluation import TRANSFERABILITY, logme


class Fake:
    """A model that adds noise to its inputs, and classes them, or not, by their first two numbers."""

    def __init__(self, noise: float, *, classifies: bool = True):
        self.noise = noise
        self.logits: Any = (lambda x: 3.0 * self.features(x)) if classifies else None

    def features(self, x: np.ndarray) -> np.ndarray:
        digits = np.modf(1e3 * np.abs(x))[0] - 0.5  # noise that is the same for the same example
        return np.asarray((1 - self.noise) * x + 5 * self.noise * digits, np.float32)


FAKES = {"sharp": 0.0, "dull": 0.5, "blind": 1.0}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let `pretrained` give models of known worth, and return the options that name them."""

    def pretrained(name: str, weights: str) -> Fake:
        return Fake(FAKES[name], classifies=weights != "headless")

    monkeypatch.setattr(tladapt.models, "pretrained", pretrained)
    return [word for name in ("dull", "blind", "sharp") for word in ("--backbone", f"{name}=file.safetensors")]


def test_the_better_model_stands_first(toy: Path, fakes: list[str]) -> None:
    said = call("rank", "--data", toy, *fakes)
    assert said.status == 0, said.err
    lines = said.out.splitlines()
    assert "toy: source models, ranked by 90 examples (labels of the source)" in said.out
    order = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in FAKES]
    assert order == ["sharp", "dull", "blind"]
    assert "Agreement of the scores" in said.out and "oracle" not in said.out.lower()
    assert "computing features: " in said.err


def test_json_has_every_number(toy: Path, fakes: list[str]) -> None:
    said = call("rank", "--data", toy, *fakes, "--scores", "all", "--json")
    assert said.status == 0 and not said.err
    record = json.loads(said.out)
    assert record["labels"] == "labels of the source" and record["examples"] == 90
    assert set(record["scores"]) == set(TRANSFERABILITY) == set(record["counted"])
    best = record["rows"][0]
    x, y = points(90, 0.0, 0)
    assert best["model"] == "sharp" and best["features"] == 4
    assert best["scores"]["logme"] == pytest.approx(logme(x, y), rel=1e-6)
    assert best["rank_average"] == np.mean(list(best["ranks"].values()))
    assert record["agreement"]["logme"].keys() == set(TRANSFERABILITY) - {"logme"}


def test_examples_are_thinned_and_a_model_without_a_classifier_has_no_leep(toy: Path, fakes: list[str]) -> None:
    options = ["--backbone", "sharp=a", "--backbone", "sharp=headless", "--limit", "30"]
    record = json.loads(call("rank", "--data", toy, *options, "--json").out)
    assert record["examples"] == 30
    rows = {row["model"]: row for row in record["rows"]}
    assert rows.keys() == {"sharp=a", "sharp=headless"}
    assert rows["sharp=headless"]["scores"]["leep"] is None and rows["sharp=a"]["scores"]["leep"] < 0
    assert record["counted"] == ["logme", "regularized_h_score", "gbc"]
    said = call("rank", "--data", toy, *options)
    assert "leep and nce read the probabilities" in said.out and "three models or more" in said.out


def test_labels_of_the_target_are_not_looked_at_but_by_the_oracle(toy: Path, tmp_path: Path, fakes: list[str]) -> None:
    with np.load(toy) as arrays:
        kept = dict(arrays)
    labels = points(60, 0.5, 1)[1]
    records = []
    for seed in (0, 1):
        permuted = np.random.default_rng(seed).permutation(labels)
        np.savez(tmp_path / f"{seed}.npz", **kept, target_y=permuted)
        records.append(
            [call("rank", "--data", tmp_path / f"{seed}.npz", *fakes, "--json", *o).out for o in ([], ["--oracle"])]
        )
    plain, oracle = ([[row["scores"] for row in json.loads(one[place])["rows"]] for one in records] for place in (0, 1))
    assert plain[0] == plain[1] and oracle[0] != oracle[1]
    said = call("rank", "--data", tmp_path / "0.npz", *fakes, "--oracle")
    assert "ranked by 60 examples (oracle: labels of the target)" in said.out and "not to choose by" in said.out


def test_the_model_of_a_run_that_has_seen_the_labels(toy: Path, run: Run, fakes: list[str]) -> None:
    said = call("rank", "--data", toy, "--run", run.folder, "--backbone", "blind=file")
    assert said.status == 0, said.err
    assert said.out.index("first ") < said.out.index("blind ")
    assert f"{run.folder} was trained on toy" in said.out.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data NAME is missing"),
        (["--data", "TOY"], "name a model: --backbone NAME=WEIGHTS, --run DIR"),
        (["--data", "TOY", "--backbone", "resnet50"], "must be NAME=WEIGHTS"),
        (["--data", "TOY", "--backbone", "a=b", "--backbone", "a=b"], "a=b is named twice"),
        (["--data", "TOY", "--backbone", "a=b", "--scores", "logmee"], "Did you mean 'logme'"),
        (["--data", "TOY", "--backbone", "a=b", "--scores", ","], "scores must be one or more of"),
        (["--data", "TOY", "--backbone", "sharp=b", "--limit", "1"], "--limit must be a whole number of at least 2"),
        (["--data", "TOY", "--run", "nowhere"], "nowhere"),
        (["--data", "BLIND", "--backbone", "sharp=b", "--oracle"], "no labels of the target"),
    ],
)
def test_mistakes(arguments: list[str], words: str, toy: Path, fakes: list[str]) -> None:
    said = call("rank", *(str(toy) if word in ("TOY", "BLIND") else word for word in arguments))
    assert said.status == 2 and said.out == ""
    assert words in said.err and "Error: " in said.err and "Traceback" not in said.err
