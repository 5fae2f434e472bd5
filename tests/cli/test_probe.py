"""`tladapt probe`: what fixed features are worth, in a table and as JSON, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.toy import Run, call, points
from tladapt.evaluation import (
    agreement_with_labels,
    anomaly_metrics,
    k_means,
    knn_probe,
    linear_probe,
    mahalanobis_distance,
)

SOURCE, TEST = points(90, 0.0, 0), points(45, 0.5, 2)


@pytest.fixture(scope="module")
def record(toy: Path) -> dict[str, Any]:
    said = call("probe", "--data", toy, "--inputs", "--metric", "euclidean", "--anomalous", "bee", "--json")
    assert said.status == 0 and not said.err
    return dict(json.loads(said.out))


def test_numbers_are_those_of_the_functions(record: dict[str, Any]) -> None:
    [row] = record["models"]
    assert (record["scenario"], record["source_examples"], record["test_examples"]) == ("toy", 90, 45)
    assert row["model"] == "inputs" and row["features"] == 4
    linear = linear_probe(*SOURCE, *TEST)
    assert row["linear"]["target/accuracy"] == linear.metrics["accuracy"]
    assert row["linear"]["strength"] == linear.strength
    assert row["linear"]["held_out_source_accuracy"] == linear.held_out[linear.strength]
    assert row["neighbours"]["target/accuracy"] == knn_probe(*SOURCE, *TEST).metrics["accuracy"]


def test_clusters_are_measured_by_an_oracle(record: dict[str, Any]) -> None:
    unit = TEST[0] / np.linalg.norm(TEST[0], axis=1, keepdims=True)
    found = agreement_with_labels(k_means(unit, 3), TEST[1])
    [row] = record["models"]
    assert row["clusters"] == {
        "oracle/nmi": pytest.approx(found.nmi),
        "oracle/ari": pytest.approx(found.ari),
        "oracle/accuracy": pytest.approx(found.accuracy),
    }


def test_classes_left_out_of_the_source_are_found_as_anomalies(record: dict[str, Any]) -> None:
    assert record["anomalous"] == ["bee"]
    [row] = record["models"]
    assert row["anomalies"].keys() == {"mahalanobis", "neighbour_distance", "max_softmax", "energy"}
    kept, odd = SOURCE[1] != 1, TEST[1] == 1
    score = mahalanobis_distance(SOURCE[0][kept], TEST[0], SOURCE[1][kept])
    assert row["anomalies"]["mahalanobis"] == pytest.approx(anomaly_metrics(score[~odd], score[odd])._asdict())
    assert row["anomalies"]["mahalanobis"]["auroc"] > 0.99


def test_a_run_and_the_inputs_side_by_side(toy: Path, run: Run) -> None:
    said = call(
        *("probe", "--data", toy, "--run", run.folder, "--inputs", "--strength", "0.5", "--plain"),
        *("--neighbours", "3", "--anomalous", "ant"),
    )
    assert said.status == 0, said.err
    assert "toy: what fixed features are worth" in said.out and "3-NN" in said.out
    lines = [line.split() for line in said.out.splitlines()[:10]]
    assert [words[0] for words in lines if len(words) == 8 and words[1].isdigit()] == ["first", "inputs"]
    assert "oracle" in said.out and "Anomalies: ant, left out of the source" in said.out
    assert max(map(len, said.out.splitlines()[:8])) <= 80
    assert "computing features: " in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "TOY"], "name a model"),
        (["--data", "TOY", "--inputs", "--anomalous", "bees"], "no class 'bees'. Did you mean 'bee'"),
        (["--data", "TOY", "--inputs", "--anomalous", "bee,ant"], "leave two of the source's"),
        (["--data", "TOY", "--inputs", "--anomalous", ","], "must name some classes"),
        (["--data", "TOY", "--inputs", "--metric", "cosin"], "--metric must be one of cosine, euclidean"),
        (["--data", "TOY", "--inputs", "--neighbours", "91"], "from 1 to the 90 training examples"),
        (["--data", "TOY", "--inputs", "--strength", "-1"], "C must be a positive number"),
        (["--data", "UNLABELLED", "--inputs"], "has no labelled test set"),
    ],
)
def test_mistakes(arguments: list[str], words: str, toy: Path, tmp_path: Path) -> None:
    with np.load(toy) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.startswith("test")}
    np.savez(tmp_path / "unlabelled.npz", **kept)
    places = {"TOY": str(toy), "UNLABELLED": str(tmp_path / "unlabelled.npz")}
    said = call("probe", *(places.get(word, word) for word in arguments))
    assert said.status == 2 and said.out == ""
    assert words in said.err and "Error: " in said.err and "Traceback" not in said.err


def test_long_inputs_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    x = np.zeros((4, 20_001), np.float32)
    np.savez(
        tmp_path / "long.npz", source_x=x, source_y=np.arange(4) % 2, target_x=x, test_x=x, test_y=np.arange(4) % 2
    )
    said = call("probe", "--data", tmp_path / "long.npz", "--inputs")
    assert said.status == 2 and "at most 20,000 numbers" in said.err
