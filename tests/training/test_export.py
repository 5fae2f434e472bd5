"""A run's model as one file: it predicts what the run predicts, or it is not there."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export as programs

import tladapt
from tests.cli.toy import call
from tests.training import problems
from tladapt.errors import DamagedDataError, MissingDataError, UsageError
from tladapt.training import Recipe

SMALL = problems.config(
    "mean_teacher",
    backbone=problems.NORMAL,
    recipe=dataclasses.replace(problems.NOISY, standardize="domain"),
    steps=10,
    evaluations=1,
)


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A teacher predicts, with statistics of its own, from inputs standardised by domain."""
    return tladapt.run(SMALL, problems.scenario(), out=tmp_path_factory.mktemp("runs") / "points")


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    """8-bit images through a network with convolutions."""
    config = problems.config(
        "source_only",
        backbone=tladapt.models.DigitsCNN(widths=(4, 4, 4)),
        recipe=Recipe(batch_size=6, standardize="source"),
        steps=5,
        evaluations=1,
    )
    return tladapt.run(config, problems.images(), out=tmp_path_factory.mktemp("runs") / "pixels")


def program(path: Path):
    return programs.deserialize(bytearray(path.read_bytes()))


@pytest.mark.parametrize("name", ["points", "pixels"])
def test_the_program_takes_raw_inputs_of_any_number(name, request, tmp_path):
    result = request.getfixturevalue(name)
    test = (problems.scenario() if name == "points" else problems.images()).test
    path = tladapt.export(result, tmp_path / "m.stablehlo", examples=test)
    loaded = program(path)
    assert set(loaded.platforms) == {"cpu", "cuda", "tpu"}
    for count in (1, 7):
        out = loaded.call(test.x[:count])
        np.testing.assert_allclose(out["logits"], result.logits(test.x[:count]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out["probabilities"], result.predict_proba(test.x[:count]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(out["features"], result.features(test.x[:count]), rtol=1e-4, atol=1e-5)
    about = json.loads((tmp_path / "m.stablehlo.json").read_text())
    assert about["classes"] == list(result.classes)
    assert about["input"] == {"shape": list(test.shape), "dtype": str(test.x.dtype)}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.stablehlo", "m.stablehlo.json"]


def test_the_arrays_say_what_they_are_and_serve_as_a_start(points, tmp_path):
    import safetensors

    test = problems.scenario().test
    path = tladapt.export(points.folder, tmp_path / "m.safetensors", examples=test)
    with safetensors.safe_open(path, "np") as file:
        record = json.loads(file.metadata()["tladapt"])
        names = set(file.keys())
        mean = file.get_tensor("inputs/mean/target")
    assert record["classes"] == ["a", "b", "c"] and record["config"]["method"]["name"] == "mean_teacher"
    assert {"params/classifier/kernel", "inputs/deviation/target"} < names
    np.testing.assert_array_equal(mean, points.weights.inputs.mean["target"])
    config = dataclasses.replace(SMALL, init=path, steps=1, log_every=1)
    state = tladapt.training.assemble.assemble(config, problems.scenario(), 0).state
    assert not problems.differing(state.params["backbone"], points.weights.params["backbone"])


def test_the_step_that_the_validator_chose_can_be_exported(tmp_path):
    config = dataclasses.replace(SMALL, method="source_only", recipe=problems.RECIPE, evaluations=2)
    test, folder = problems.scenario().test, tmp_path / "run"
    tladapt.run(config, problems.scenario(), out=folder)
    path = tladapt.export(folder, which=5, examples=test)
    assert path == folder / "export" / "model.stablehlo"
    early = tladapt.open_run(folder, which=5).logits(test)
    np.testing.assert_allclose(program(path).call(test.x)["logits"], early, rtol=1e-4, atol=1e-5)
    assert np.max(np.abs(early - tladapt.open_run(folder).logits(test))) > 1e-3


@pytest.mark.parametrize("form", ["stablehlo", "safetensors"])
def test_a_file_that_predicts_something_else_is_not_kept(form, points, tmp_path, monkeypatch):
    path = tmp_path / f"m.{form}"
    path.write_text("what was here before")
    if form == "stablehlo":  # the program is damaged as it is written
        monkeypatch.setattr(
            "tladapt.training.export.write_whole",
            lambda path, content: path.write_bytes(
                bytes(
                    programs.export(jax.jit(lambda x: {"logits": x[:, :3], "features": x, "probabilities": x[:, :3]}))(
                        jax.ShapeDtypeStruct((programs.symbolic_shape("b")[0], 8), jnp.float32)
                    ).serialize()
                )
            ),
        )
    else:
        save = tladapt.models.weights.save_arrays
        monkeypatch.setattr(
            "tladapt.training.export.save_arrays",
            lambda path, arrays, **rest: save(
                path, {**arrays, "inputs/mean/target": arrays["inputs/mean/target"] + 1}, **rest
            ),
        )
    with pytest.raises(DamagedDataError, match=r"does not predict what the run predicts: logits of 35 .* not written"):
        tladapt.export(points, path, examples=problems.scenario().test)
    assert path.read_text() == "what was here before" and len(list(tmp_path.iterdir())) == 1


class Counting(nnx.Module):
    """A network whose flattening asks for the number of examples as a Python number."""

    def __init__(self, rngs):
        self.linear = nnx.Linear(problems.SIZE, 4, rngs=rngs)

    def __call__(self, x):
        return self.linear(x.reshape(len(x), -1))


def test_a_network_that_needs_one_batch_size_is_told_how_and_gets_it(tmp_path):
    config = dataclasses.replace(SMALL, method="source_only", backbone=Counting(nnx.Rngs(0)), recipe=problems.RECIPE)
    result, test = tladapt.run(config, problems.scenario()), problems.scenario().test
    with pytest.raises(UsageError, match=r"cannot be exported for any number of examples .*--batch 32"):
        tladapt.export(result, tmp_path / "m.stablehlo", examples=test)
    path = tladapt.export(result, tmp_path / "m.stablehlo", examples=test, batch=4)
    np.testing.assert_allclose(
        program(path).call(test.x[:4])["logits"], result.logits(test.x[:4]), rtol=1e-4, atol=1e-5
    )


def test_mistakes_are_told(points, pixels, tmp_path):
    test = problems.scenario().test
    for arguments, words in (
        ({"format": "onnx", "examples": test}, "format must be stablehlo or safetensors, got 'onnx'"),
        ({"out": tmp_path / "m.h5", "examples": test}, "m.h5 ends in neither"),
        ({"out": tmp_path / "m.stablehlo", "format": "safetensors"}, "give one of them"),
        ({}, "has no name to load it by. Give some inputs"),
        ({"examples": np.zeros((3, 5), np.float32)}, r"takes inputs of shape \(8,\), got \(5,\)"),
    ):
        with pytest.raises(UsageError, match=words):
            tladapt.export(points.folder, **arguments)
    with pytest.raises(UsageError, match="no folder, so out= has to say"):
        tladapt.export(dataclasses.replace(points, folder=None), examples=test)
    with pytest.raises(UsageError, match="inputs of dtype uint8; the examples are float32"):
        tladapt.export(pixels, examples=problems.images().test.x.astype(np.float32))
    assert not (points.folder / "export").exists() and not (pixels.folder / "export").exists()


def test_data_that_is_not_there_any_more_is_told(points, tmp_path):
    shutil.copytree(points.folder, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    record["scenario"]["data"] = str(tmp_path / "gone.npz")
    (tmp_path / "run" / "config.json").write_text(json.dumps(record))
    with pytest.raises(MissingDataError, match=r"gone.npz[\s\S]*Give some inputs of the target"):
        tladapt.export(tmp_path / "run")


def test_the_command(points, tmp_path):
    np.savez(tmp_path / "x.npz", x=problems.scenario().test.x)
    out = tmp_path / "m.safetensors"
    said = call("export", str(points.folder), "--out", str(out), "--examples", str(tmp_path / "x.npz"))
    assert said.status == 0 and "predicts what the run predicts" in said.out and out.is_file()
    said = call("export", str(points.folder), "--format", "savetensors", "--examples", str(tmp_path / "x.npz"))
    assert said.status == 2 and "Did you mean 'safetensors'" in said.err
    assert call("export", str(tmp_path)).status == 2
