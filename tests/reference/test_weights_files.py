"""Weight files against the libraries that write them: torch, h5py through Keras' own files, safetensors."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tladapt.errors import TladaptError
from tladapt.models.weights import read_weights_file

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.uint16, torch.uint32, torch.uint64),
]


def bits(value: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Return dtype, shape and bytes of a tensor or an array."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, np.ascontiguousarray(value).tobytes()
    plain = value.detach().cpu().contiguous()
    name = str(plain.dtype).removeprefix("torch.")
    return name, tuple(plain.shape), plain.reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(path: Path, expected: dict[str, Any]) -> None:
    found = read_weights_file(path).tensors
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert bits(found[key]) == bits(value), key


@pytest.mark.parametrize("zip_form", [True, False])
def test_what_torch_saves(tmp_path, zip_form):
    torch.manual_seed(0)
    base = torch.randn(5, 6, 7)
    content = {str(dtype): (torch.randn(3, 4) * 50).abs().to(dtype) for dtype in (DTYPES if zip_form else DTYPES[:10])}
    content |= {
        "base": base,
        "transposed": base.permute(2, 0, 1),
        "slice": base[1:3, ::2, 3:],
        "row": base[2, 3],
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "buffer": torch.arange(10)[None],
    }
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_form)
    assert_same(tmp_path / "a.pth", content)


@pytest.mark.parametrize("zip_form", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_checkpoints(tmp_path, zip_form, protocol):
    model = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 7,
        "optimizer": optimizer.state_dict(),
        "model": model.state_dict(),
        "args": {"size": torch.Size([3, 4]), "dtype": torch.float16, "device": torch.device("cpu"), "set": {1, 2}},
        "log": collections.defaultdict(list, {"loss": [0.5]}),
        "bytes": b"\x00\xff",
    }
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_form, pickle_protocol=protocol)
    expected = {name.removeprefix("module."): value for name, value in model.state_dict().items()}
    assert_same(tmp_path / "a.pth", expected)
    metadata = read_weights_file(tmp_path / "a.pth").metadata
    assert metadata["epoch"] == "7" and metadata["taken_from"] == "model" and metadata["prefix_removed"] == "module."


@pytest.mark.parametrize("zip_form", [True, False])
def test_a_whole_model_is_refused(tmp_path, zip_form):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3))
    torch.save(model, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_form)
    with pytest.raises(TladaptError, match=r"a whole pickled model .*torch.save\(model.state_dict\(\)"):
        read_weights_file(tmp_path / "a.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TorchScript's own
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), tmp_path / "a.pt")
    with pytest.raises(TladaptError, match="TorchScript archive"):
        read_weights_file(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda: torch.ones(3, dtype=torch.complex64),
        lambda: torch.ones(3).to(torch.float8_e4m3fn),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch on quantised tensors
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_kinds_of_tensors_are_refused(tmp_path, make):
    torch.save({"a": make()}, tmp_path / "a.pt")
    with pytest.raises(TladaptError, match="a kind of tensor that is not read"):
        read_weights_file(tmp_path / "a.pt")


def real(file: str) -> Path:
    folder = os.environ.get("TLADAPT_WEIGHTS")
    if not folder or not (Path(folder) / file).exists():
        pytest.skip(f"{file} is not in the folder that TLADAPT_WEIGHTS names")
    return Path(folder) / file


@pytest.mark.parametrize("file", ["resnet20-12fca82f.th", "resnet56-4bfd9763.th", "squeezenet1_1.pth"])
def test_real_files_of_torch(file):
    content = torch.load(real(file), map_location="cpu", weights_only=True)
    content = content.get("state_dict", content)
    assert_same(real(file), {name.removeprefix("module."): value for name, value in content.items()})


@pytest.mark.parametrize("file", ["mobilenetv2_035.safetensors", "mobilenetv2_100.safetensors"])
def test_real_files_of_safetensors(file):
    from safetensors.torch import load_file

    content = load_file(real(file))
    assert_same(real(file), {name: content[name] for name in sorted(content)})


def test_real_file_of_keras():
    import h5py

    path = real("mobilenet_2_5_224_tf_no_top.h5")
    expected = {}
    with h5py.File(path) as file:
        file.visititems(lambda at, node: expected.update({at: np.asarray(node)}) if hasattr(node, "shape") else None)
    found = read_weights_file(path).tensors
    assert {f"{at.split('/')[1]}/{at.split('/')[2].removesuffix(':0')}" for at in expected} == set(found)
    for at, value in expected.items():
        _, layer, variable = at.split("/")
        assert bits(found[f"{layer}/{variable.removesuffix(':0')}"]) == bits(value)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_what_keras_saves(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="stem")(inputs)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    inner = keras.Sequential([keras.layers.Dense(3, name="first"), keras.layers.Dense(2, name="second")], name="inner")
    model = keras.Model(inputs, inner(x))
    expected = {"/".join(w.path.split("/")[-2:]): np.asarray(w.value.detach()) for w in model.weights}
    model.save(tmp_path / "whole.h5")
    model.save_weights(tmp_path / "three.weights.h5")
    for file in ("whole.h5", "three.weights.h5"):
        found = read_weights_file(tmp_path / file).tensors
        if file.startswith("three"):  # the name that the variable has in files before Keras 3
            found["depthwise/kernel"] = found.pop("depthwise/depthwise_kernel")
        assert set(found) == set(expected)
        for key, value in expected.items():
            assert bits(found[key]) == bits(value)
    model.save(tmp_path / "whole.keras")
    with pytest.raises(TladaptError, match=r"unzip whole.keras model.weights.h5"):
        read_weights_file(tmp_path / "whole.keras")
