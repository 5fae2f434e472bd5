"""Weight files of torch, Keras and NumPy: values bit for bit, names, checkpoints unwrapped; and the real files."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from tests.models.weight_files import (
    dict_of,
    legacy_form,
    name,
    number,
    ordered,
    storage,
    tensor,
    text,
    tuple_of,
    zip_form,
)
from tladapt.errors import DamagedDataError, MissingDataError, UsageError
from tladapt.models.weights import WeightsFile, read_weights_file, save_arrays

VALUES = np.arange(24, dtype=np.float32)
KINDS = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def written(folder: Path, form: str, content: bytes, storages: dict[str, np.ndarray]) -> WeightsFile:
    if form == "zip":
        path = zip_form(folder / "a.pth", content, {key: value.tobytes() for key, value in storages.items()})
    else:
        path = legacy_form(folder / "a.pth", content, {k: (v.size, v.tobytes()) for k, v in storages.items()})
    return read_weights_file(path)


@pytest.fixture(params=["zip", "legacy"])
def form(request):
    return request.param


def test_every_dtype(tmp_path, form):
    arrays = {
        kind: np.asarray(np.arange(6) % 2 if dtype is np.bool_ else np.arange(6) - 2.5).astype(dtype)
        for kind, dtype in KINDS.items()
    }
    content = ordered({kind: tensor(storage(kind, 6, kind), (2, 3), (3, 1)) for kind in arrays})
    file = written(tmp_path, form, content, arrays)
    assert file.format == "torch" and list(file.tensors) == list(KINDS)
    for kind, expected in arrays.items():
        assert_same(file.tensors[kind], expected.reshape(2, 3))


def test_views_strides_and_shared_storages(tmp_path, form):
    one = storage("0", 24)
    views = {
        "whole": tensor(one, (2, 3, 4), (12, 4, 1)),
        "transposed": tensor(one, (4, 3), (1, 4), offset=12),
        "steps": tensor(one, (5,), (3,), offset=2, form="_rebuild_tensor"),
        "scalar": tensor(one, (), (), offset=23),
        "none": tensor(one, (0, 7), (7, 1), offset=24),
    }
    file = written(tmp_path, form, dict_of(views), {"0": VALUES})
    assert_same(file.tensors["whole"], VALUES.reshape(2, 3, 4))
    assert_same(file.tensors["transposed"], VALUES[12:].reshape(3, 4).T)
    assert_same(file.tensors["steps"], VALUES[2:15:3])
    assert_same(file.tensors["scalar"], VALUES[23].reshape(()))
    assert_same(file.tensors["none"], np.zeros((0, 7), np.float32))
    assert np.shares_memory(file.tensors["whole"], file.tensors["steps"])
    for value in file.tensors.values():
        assert not value.flags.writeable or not value.size


def test_views_of_the_legacy_form(tmp_path):
    view = tuple_of(text("1"), number(4), number(6))
    content = dict_of({"a": tensor(storage("0", 24, "FloatStorage", view), (2, 2), (3, 1), offset=1)})
    file = written(tmp_path, "legacy", content, {"0": VALUES})
    assert_same(file.tensors["a"], np.array([[5, 6], [8, 9]], np.float32))


def test_parameters_and_dtypes_without_a_storage_of_their_own(tmp_path):
    untyped = (
        tuple_of(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), text("cpu"), number(96)) + b"Q"
    )
    newer = name("torch._utils", "_rebuild_tensor_v3") + tuple_of(
        untyped, number(1), tuple_of(number(3)), tuple_of(number(2)), b"\x89", b"N", name("torch", "uint16")
    )
    parameter = (
        name("torch._utils", "_rebuild_parameter")
        + tuple_of(tensor(storage("1", 24), (4,), (1,)), b"\x88", b"N")
        + b"R"
    )
    path = zip_form(
        tmp_path / "a.pt",
        dict_of({"new": newer + b"R", "parameter": parameter}),
        {"0": VALUES.tobytes(), "1": VALUES.tobytes()},
    )
    file = read_weights_file(path)
    assert_same(file.tensors["new"], VALUES.view(np.uint16)[1:6:2])
    assert_same(file.tensors["parameter"], VALUES[:4])


def test_big_endian_files(tmp_path):
    content = dict_of({"a": tensor(storage("0", 24), (24,), (1,))})
    path = zip_form(tmp_path / "a.pth", content, {"0": VALUES.astype(">f4").tobytes()}, {"archive/byteorder": b"big"})
    assert_same(read_weights_file(path).tensors["a"], VALUES)


def test_a_checkpoint_is_unwrapped(tmp_path, form):
    one = storage("0", 24)
    weights = {f"module.layer.{i}.weight": tensor(one, (2,), (1,), offset=i) for i in range(3)}
    moments = dict_of({"step": number(7), "exp_avg": tensor(one, (2,), (1,)), "exp_avg_sq": tensor(one, (2,), (1,))})
    content = dict_of(
        {
            "epoch": number(3),
            "best": b"G" + struct.pack(">d", 91.75),
            "arch": text("resnet20"),
            "optimizer": dict_of({"state": b"}" + number(0) + moments + b"s"}),
            "state_dict": ordered(weights),
        }
    )
    file = written(tmp_path, form, content, {"0": VALUES})
    assert list(file.tensors) == [f"layer.{i}.weight" for i in range(3)]
    assert_same(file.tensors["layer.2.weight"], VALUES[2:4])
    assert file.metadata == {
        "epoch": "3",
        "best": "91.75",
        "arch": "resnet20",
        "taken_from": "state_dict",
        "not_taken": "optimizer/state/0 (2)",
        "prefix_removed": "module.",
    }


def test_what_newer_pickles_and_python_2_write(tmp_path):
    sets = b"\x8f(K\x01K\x02\x90" + b"(K\x01\x91" + b"\x86"  # EMPTY_SET with ADDITEMS, FROZENSET, both in a tuple
    memo = b"\x8c\x01x\x940h\x00"  # SHORT_BINUNICODE, MEMOIZE, POP, and back from the memory
    old = (
        name("collections", "OrderedDict") + b"(((U\x01aI1\nl(U\x01bL2L\nlltR"
    )  # lists of pairs, as Python 2 reduced it
    content = dict_of({"w": tensor(storage("0", 24), (24,), (1,)), "sets": sets, "memo": memo, "old": old})
    file = read_weights_file(zip_form(tmp_path / "a.pth", content, {"0": VALUES.tobytes()}))
    assert_same(file.tensors["w"], VALUES)
    assert file.metadata == {"memo": "x"}


def test_a_prefix_that_not_all_have_stays(tmp_path):
    save_arrays(tmp_path / "a.safetensors", {"module.a": VALUES, "b": VALUES})
    assert set(read_weights_file(tmp_path / "a.safetensors").tensors) == {"module.a", "b"}


def test_safetensors_with_metadata(tmp_path):
    arrays = {"a.weight": VALUES.reshape(4, 6), "half": VALUES.astype(jnp.bfloat16)}
    save_arrays(tmp_path / "a.bin", arrays, metadata={"format": "pt"})  # the content counts, not the name
    file = read_weights_file(tmp_path / "a.bin")
    assert file.format == "safetensors" and file.metadata == {"format": "pt"} and file.paths == (tmp_path / "a.bin",)
    for key, value in arrays.items():
        assert_same(file.tensors[key], value)


def sharded(folder: Path, weight_map: dict[str, str]) -> Path:
    safetensors.numpy.save_file({"a": VALUES}, folder / "model-00001-of-00002.safetensors")
    safetensors.numpy.save_file({"b": VALUES[:2]}, folder / "model-00002-of-00002.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 104}, "weight_map": weight_map}))
    return index


MAP = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}


def test_shards_by_index_and_by_folder(tmp_path):
    index = sharded(tmp_path, MAP)
    for place in (index, tmp_path):
        file = read_weights_file(place)
        assert_same(file.tensors["a"], VALUES)
        assert_same(file.tensors["b"], VALUES[:2])
        assert [path.name for path in file.paths] == sorted(MAP.values())


@pytest.mark.parametrize(
    ("weight_map", "error", "words"),
    [
        (
            {**MAP, "c": "model-00003-of-00003.safetensors"},
            MissingDataError,
            "3 shards, and 1 are not beside it: model-00003",
        ),
        ({"a": MAP["b"], "b": MAP["b"]}, DamagedDataError, "'a' is not in model-00002"),
        (
            {"a": MAP["a"], "x": MAP["b"]},
            DamagedDataError,
            "'b' in model-00002-of-00002.safetensors is not in the index",
        ),
        ({"a": "../secret.safetensors"}, DamagedDataError, "a shard outside of its folder: '../secret.safetensors'"),
        ({"a": "/etc/passwd"}, DamagedDataError, "a shard outside of its folder"),
        ({}, DamagedDataError, "is no index of shards; expected"),
        ({"a": 3}, DamagedDataError, "is no index of shards; expected"),
        ([], DamagedDataError, "is no index of shards"),
    ],
)
def test_shards_that_do_not_fit_their_index(tmp_path, weight_map, error, words):
    with pytest.raises(error, match=words):
        read_weights_file(sharded(tmp_path, weight_map))


def test_a_folder_with_one_file_or_several(tmp_path):
    with pytest.raises(
        MissingDataError, match=r"has no weight file: expected model\.safetensors or pytorch_model\.bin"
    ):
        read_weights_file(tmp_path)
    save_arrays(tmp_path / "first.safetensors", {"a": VALUES})
    (tmp_path / "config.json").write_text("{}")
    assert read_weights_file(tmp_path).paths == (tmp_path / "first.safetensors",)
    save_arrays(tmp_path / "second.safetensors", {"a": VALUES})
    with pytest.raises(UsageError, match=r"2 weight files \(first.safetensors, second.safetensors\). Name one"):
        read_weights_file(tmp_path)
    save_arrays(tmp_path / "model.safetensors", {"b": VALUES})
    assert set(read_weights_file(tmp_path).tensors) == {"b"}


def test_no_file(tmp_path):
    with pytest.raises(MissingDataError, match=r"No weights at .*none.pth. Give the path of a .safetensors, .pth"):
        read_weights_file(tmp_path / "none.pth")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {
        "Transformer/encoderblock_0/kernel": np.asfortranarray(VALUES.reshape(4, 6)),
        "big": VALUES.astype(">f8"),
        "scalar": np.int32(3),
        "none": np.zeros((0, 2), bool),
    }
    save(tmp_path / "a.npz", **arrays, note=np.array("trained on nothing"))
    file = read_weights_file(tmp_path / "a.npz")
    assert file.format == "npz" and file.metadata == {"note": "trained on nothing"}
    for key, value in arrays.items():
        assert_same(file.tensors[key], np.asarray(value).astype(value.dtype.newbyteorder("=")))


def keras_file(path: Path, layers: dict[str, dict[str, np.ndarray]], group: str = "", split: bool = False) -> Path:
    """A weights file of Keras 2, or a whole model with `group`; with `split`, long lists of names in pieces."""
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["backend"], root.attrs["keras_version"] = "tensorflow", b"2.0.4"
        encoded = [layer.encode() for layer in layers]
        if split:
            root.attrs["layer_names0"], root.attrs["layer_names1"] = encoded[:1], encoded[1:]
        else:
            root.attrs["layer_names"] = encoded
        for layer, variables in layers.items():
            place = root.create_group(layer)
            place.attrs["weight_names"] = [variable.encode() for variable in variables]
            for variable, value in variables.items():
                place.create_dataset(variable, data=value)
    return path


@pytest.mark.parametrize(("group", "split"), [("", False), ("model_weights", False), ("", True)])
def test_keras_files(tmp_path, group, split):
    layers = {
        "input_1": {},
        "conv1": {"conv1_3/kernel:0": VALUES.reshape(2, 3, 4), "conv1_3/bias:0": VALUES[:4]},
        "bn": {"bn/gamma:0": VALUES[:4], "bn/moving_mean:0": VALUES[4:8]},
        "inner": {"inner/d1/kernel:0": VALUES[:6], "d2/kernel:0": VALUES[:7]},
        "block1_conv1": {"block1_conv1_W_1:0": VALUES[:9]},
    }
    file = read_weights_file(keras_file(tmp_path / "a.h5", layers, group, split))
    assert file.format == "keras" and file.metadata == {"backend": "tensorflow", "keras_version": "2.0.4"}
    assert {key: value.size for key, value in file.tensors.items()} == {
        "conv1/kernel": 24,
        "conv1/bias": 4,
        "bn/gamma": 4,
        "bn/moving_mean": 4,
        "d1/kernel": 6,
        "d2/kernel": 7,
        "block1_conv1/block1_conv1_W_1": 9,
    }
    assert_same(file.tensors["conv1/kernel"], VALUES.reshape(2, 3, 4))


def test_keras_names_that_would_come_twice(tmp_path):
    layers = {"one": {"dense/kernel:0": VALUES[:2]}, "two": {"dense/kernel:0": VALUES[:3]}}
    file = read_weights_file(keras_file(tmp_path / "a.h5", layers))
    assert {key: value.size for key, value in file.tensors.items()} == {"one/dense/kernel": 2, "two/dense/kernel": 3}


def test_keras_3_weights(tmp_path):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        for kind, named, count in (("conv2d", "stem", 2), ("batch_normalization_1", "bn", 4), ("my_layer", "mine", 2)):
            group = file.create_group(f"layers/{kind}/vars")
            group.attrs["name"] = named
            for i in range(count):
                group.create_dataset(str(i), data=VALUES[: i + 1])
        file.create_group("optimizer/vars").create_dataset("0", data=VALUES)
        file.create_group("vars")
    found = {key: value.size for key, value in read_weights_file(tmp_path / "a.weights.h5").tensors.items()}
    assert found == {
        **{"stem/kernel": 1, "stem/bias": 2, "mine/0": 1, "mine/1": 2},
        **{"bn/gamma": 1, "bn/beta": 2, "bn/moving_mean": 3, "bn/moving_variance": 4},
    }


REAL = {
    "resnet20-12fca82f.th": ("12fca82f0bebc413", "torch", 97, 271_098, "conv1.weight", (16, 3, 3, 3)),
    "resnet56-4bfd9763.th": ("4bfd97631478d6b6", "torch", 277, 857_082, "layer3.8.conv2.weight", (64, 64, 3, 3)),
    "squeezenet1_1.pth": ("bdf2636fe982d5fc", "torch", 52, 1_235_496, "classifier.1.weight", (1000, 512, 1, 1)),
    "mobilenetv2_035.safetensors": (
        "38cb09bc5ad4c1c8",
        "safetensors",
        312,
        410_260,
        "conv_head.weight",
        (1280, 112, 1, 1),
    ),
    "mobilenetv2_100.safetensors": (
        "fb959ede2c83473e",
        "safetensors",
        314,
        3_540_317,
        "classifier.weight",
        (1001, 1280),
    ),
    "mobilenet_2_5_224_tf_no_top.h5": (
        "dbdb03ee2a22fd89",
        "keras",
        135,
        218_544,
        "conv_dw_6/depthwise_kernel",
        (3, 3, 64, 1),
    ),
}


@pytest.mark.parametrize("file", REAL)
def test_real_files(file):
    """Counts as published with the files: parameters, statistics, and the counters of BatchNorm."""
    folder = os.environ.get("TLADAPT_WEIGHTS")
    if not folder or not (Path(folder) / file).exists():
        pytest.skip(f"{file} is not in the folder that TLADAPT_WEIGHTS names")
    checksum, form, tensors, values, key, shape = REAL[file]
    path = Path(folder) / file
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(checksum)
    found = read_weights_file(path)
    assert found.format == form and len(found.tensors) == tensors
    assert sum(value.size for value in found.tensors.values()) == values
    assert found.tensors[key].shape == shape
    assert all(np.isfinite(value).all() for value in found.tensors.values())
