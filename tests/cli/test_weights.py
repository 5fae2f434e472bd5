"""`tladapt weights`: what is known, what is in a file, and whether it fits; nothing is fetched."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy

from tests.cli.toy import call
from tladapt.models.weights.catalogue import WEIGHTS


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TLADAPT_WEIGHTS", str(tmp_path))
    return tmp_path


@pytest.fixture
def file(tmp_path):
    tensors = {"layer.weight": np.ones((3, 2), np.float32), "layer.steps": np.array(4)}
    safetensors.numpy.save_file(tensors, tmp_path / "own.safetensors", {"format": "pt", "note": "a\x1b[2Jb"})
    return tmp_path / "own.safetensors"


def test_list(tmp_path):
    records = json.loads(call("weights", "list", "--json").out)
    assert [record["name"] for record in records] == list(WEIGHTS)
    assert all(record["file"] and record["backbone"] for record in records)
    name = "tensorflow/mobilenetv2_035"
    assert {record["name"]: record["path"] for record in records}[name] is None
    (tmp_path / WEIGHTS[name].file).touch()
    said = call("weights", "list", "--backbone", "mobilenetv2_035")
    assert said.status == 0 and f"file: {WEIGHTS[name].file}, here: {tmp_path}/" in said.out
    assert name in said.out and "mobilenetv2_100" not in said.out and "\x1b" not in said.out
    assert max(len(line) for line in call("weights", "list").out.splitlines() if "file: " not in line) <= 80
    assert call("weights", "list", "--backbone", "lenet").out == "No weights are registered for lenet.\n"
    said = call("weights", "list", "--backbone", "mobilenetv2_36")
    assert said.status == 2 and "Did you mean 'mobilenetv2_035'" in said.err


def test_show(file):
    said = call("weights", "show", file)
    assert said.status == 0 and "layer.weight" in said.out and "3x2" in said.out and "float32" in said.out
    assert f"{file}: safetensors, 2 tensors, 7 values" in said.out
    assert "known as: none of the registered" in said.out
    assert "\x1b" not in said.out and r"'note: a\x1b[2Jb'" in said.out  # a file may not drive the terminal
    record = json.loads(call("weights", "show", file, "--json").out)
    assert record["tensors"] == {
        "layer.steps": {"shape": [], "dtype": "int64"},
        "layer.weight": {"shape": [3, 2], "dtype": "float32"},
    }
    assert record["metadata"]["format"] == "pt" and len(record["sha256"]) == 64 and record["known"] is None


def test_check(file, tmp_path):
    said = call("weights", "check", file)
    assert said.status == 2 and "say what it should fit: --backbone NAME" in said.err
    said = call("weights", "check", file, "--backbone", "cifar_resnet20")
    assert said.status == 2 and "layer.weight" in said.err and "does not fit" in said.err


def fitting(path):
    """Write a CIFAR ResNet-20 under its authors' names, as large as it has to be."""
    shapes = {"conv1.weight": (16, 3, 3, 3), "linear.weight": (10, 64), "linear.bias": (10,)}
    norms = {"bn1": 16}
    for layer, width in enumerate((16, 32, 64)):
        for block in range(3):
            reads = max(16, width // 2) if block == 0 and layer else width
            at = f"layer{layer + 1}.{block}"
            shapes |= {f"{at}.conv1.weight": (width, reads, 3, 3), f"{at}.conv2.weight": (width, width, 3, 3)}
            norms |= {f"{at}.bn1": width, f"{at}.bn2": width}
    for at, width in norms.items():
        shapes |= {f"{at}.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")}
    safetensors.numpy.save_file({key: np.zeros(shape, np.float32) for key, shape in shapes.items()}, path)
    return path


def test_a_file_that_fits(tmp_path):
    path = fitting(tmp_path / "net.safetensors")
    said = call("weights", "check", path)
    assert said.status == 2 and "Its names are those of" in said.err and "cifar_resnet20" in said.err
    said = call("weights", "check", path, "--backbone", "cifar_resnet20")
    assert said.status == 0 and "It fits cifar_resnet20: all of its 97 arrays are filled." in said.out
    record = json.loads(call("weights", "check", path, "--backbone", "cifar_resnet20", "--json").out)
    assert record["fits"] is True and record["arrays"] == 97 and record["notes"] == []


def test_mistakes(tmp_path):
    for arguments, words in (
        (("show", "nowhere.pth"), "There is no file 'nowhere.pth'"),
        (("show", "tensorflow/mobilenetv2_36"), "Did you mean 'tensorflow/mobilenetv2_035'"),
        (("show", "tensorflow/mobilenetv2_035"), "this command fetches nothing. Bring mobilenetv2_035.safetensors"),
        (("shw", "x"), "There is no command 'weights shw'. Did you mean 'show'"),
    ):
        said = call("weights", *arguments)
        assert said.status == 2 and words in said.err and not said.out
    (tmp_path / "mobilenetv2_035.safetensors").write_bytes(b"x")
    said = call("weights", "check", "tensorflow/mobilenetv2_035")
    assert said.status == 2 and "is not the file that it should be" in said.err
