"""Hostile, damaged and mistaken weight files: each gives one clear error, and nothing in them runs."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.models.weight_files import (
    MAGIC,
    PROTO,
    STOP,
    SYSTEM,
    call,
    dict_of,
    legacy_form,
    name,
    npy,
    number,
    storage,
    tensor,
    text,
    tuple_of,
    zip_form,
    zipped,
)
from tladapt.errors import DamagedDataError, MissingDataError, TladaptError, UsageError
from tladapt.models.weights import read_weights_file, save_arrays
from tladapt.models.weights.pickles import PickleRefusedError, read_pickle

VALUES = np.arange(24, dtype=np.float32)
RAW = VALUES.tobytes()
GOOD = tensor(storage("0", 24), (4, 6), (6, 1))


def refused(path: Path) -> TladaptError:
    """Return the one error that a file gives."""
    with pytest.raises(TladaptError) as caught:
        read_weights_file(path)
    assert type(caught.value) in (DamagedDataError, UsageError, MissingDataError)
    message = str(caught.value)
    assert str(path) in message and len(message) < 900 and message.isprintable() | ("\n  " in message)
    return caught.value


# Pickles that make a folder where Python's own machine runs them. `{}` is the place of that folder.


def _mkdir(place: str) -> bytes:
    return name("os", "mkdir") + tuple_of(text(place)) + b"R"


RUNNING: dict[str, Callable[[str], bytes]] = {
    "REDUCE": _mkdir,
    "REDUCE of eval": lambda p: call(name("builtins", "eval"), text(f"__import__('os').mkdir({p!r})")),
    "REDUCE of exec, as Python 2 calls it": lambda p: call(
        name("__builtin__", "exec"), text(f"import os; os.mkdir({p!r})")
    ),
    "REDUCE through getattr": lambda p: call(
        call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("mkdir")), text(p)
    ),
    "STACK_GLOBAL": lambda p: text("os") + text("mkdir") + b"\x93" + tuple_of(text(p)) + b"R",
    "INST": lambda p: b"(" + text(p) + b"ios\nmkdir\n",
    "OBJ": lambda p: b"(" + name("os", "mkdir") + text(p) + b"o",
    "as a value": lambda p: dict_of({"weight": GOOD, "note": _mkdir(p)}),
    "as a key": lambda p: b"}(" + _mkdir(p) + text("value") + b"u",
    "as a shape": lambda p: call(
        name("torch._utils", "_rebuild_tensor_v2"), storage("0", 24), number(0), _mkdir(p), tuple_of(number(1))
    ),
    "dropped at once": lambda p: _mkdir(p) + b"0" + dict_of({"weight": GOOD}),
}
NAMING: dict[str, tuple[bytes, str]] = {
    "GLOBAL of a foreign name": (name("subprocess", "Popen"), "it asks for 'subprocess.Popen'"),
    "GLOBAL of another of torch's": (name("torch", "load"), "it asks for 'torch.load'"),
    "GLOBAL of another of ours": (name("tladapt.models.weights", "save"), "it asks for 'tladapt.models.weights.save'"),
    "an attribute of an admitted name": (name("collections", "OrderedDict.fromkeys"), "OrderedDict.fromkeys"),
    "Namespace": (call(name("argparse", "Namespace")), "it asks for 'argparse.Namespace'"),
    "NEWOBJ": (
        name("collections", "OrderedDict") + b")\x81",
        r"makes an object \(opcode NEWOBJ, collections.OrderedDict",
    ),
    "NEWOBJ_EX": (name("collections", "OrderedDict") + b")}\x92", r"makes an object \(opcode NEWOBJ_EX"),
    "OBJ of an admitted name": (b"(" + name("collections", "OrderedDict") + b"o", r"\(opcode OBJ"),
    "EXT1": (b"\x82\x01", r"makes an object \(opcode EXT1"),
    "EXT4": (b"\x84\x01\x00\x00\x00", r"makes an object \(opcode EXT4"),
    "BUILD with __setstate__": (name("collections", "OrderedDict") + b"}b", "sets the state of a Constructor"),
    "BUILD with slots": (
        b"}" + tuple_of(b"N", dict_of({"x": number(1)})) + b"b",
        r"sets the state of a dict \(opcode BUILD",
    ),
    "BUILD of a tensor": (GOOD + dict_of({"__class__": text("x")}) + b"b", "sets the state of a Tensor"),
    "REDUCE of a text": (text("os.mkdir") + tuple_of(text("x")) + b"R", "it calls a str with a tuple"),
    "REDUCE of a storage": (name("torch", "FloatStorage") + b")R", "it calls a StorageType"),
    "a foreign persistent id": (tuple_of(text("module"), text("Net"), text("code")) + b"Q", "of the kind 'module'"),
    "a persistent id of text": (text("0") + b"Q", "of the kind a str"),
    "PERSID": (b"Pstorage\n", r"a feature that plain data does not need \(opcode PERSID"),
}
FORMS = ("zip", "legacy")


def put(form: str, path: Path, content: bytes) -> Path:
    if form == "zip":
        return zip_form(path, content, {"0": RAW})
    return legacy_form(path, content, {"0": (24, RAW)})


class _Torch(pickle.Unpickler):
    """Python's machine, with storages: what `pickle` would do with the file."""

    def persistent_load(self, pid):
        return pid

    def find_class(self, module, attribute):
        return (lambda *_: None) if module.startswith("torch") else super().find_class(module, attribute)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", RUNNING)
def test_code_in_a_pickle_does_not_run(tmp_path, kind, form):
    trap = tmp_path / "executed"
    content = RUNNING[kind](str(trap))
    error = refused(put(form, tmp_path / "a.pth", content))
    assert not trap.exists()
    assert isinstance(error, DamagedDataError)
    assert "nothing of it was executed or imported" in str(error) and "state_dict" in str(error)
    _Torch(io.BytesIO(PROTO + content + STOP)).load()
    assert trap.exists(), "this file would not have run anything: it proves nothing"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", NAMING)
def test_what_is_no_plain_data_is_refused(tmp_path, kind, form):
    content, words = NAMING[kind]
    error = refused(put(form, tmp_path / "a.pth", dict_of({"weight": GOOD, "more": content})))
    with pytest.raises(DamagedDataError, match=words):
        raise error


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_code_in_another_pickle_of_the_legacy_form(tmp_path, place):
    trap = tmp_path / "executed"
    pickles = [pickle.dumps(value, 2) for value in (MAGIC, 1001, SYSTEM)] + [PROTO + dict_of({"a": GOOD}) + STOP]
    pickles += [pickle.dumps(["0"], 2)]
    pickles[place] = PROTO + _mkdir(str(trap)) + STOP
    (tmp_path / "a.th").write_bytes(b"".join(pickles) + struct.pack("<q", 24) + RAW)
    assert "asks for 'os.mkdir'" in str(refused(tmp_path / "a.th"))
    assert not trap.exists()


def test_a_whole_model_and_what_to_do(tmp_path):
    content = (
        name("models.resnet", "ResNet") + b")\x81" + dict_of({"x": name("torch.nn.modules.conv", "Conv2d")}) + b"b"
    )
    for form in FORMS:
        error = refused(put(form, tmp_path / "a.pth", content))
        assert isinstance(error, UsageError)
        for words in ("a whole pickled model", "models.resnet.ResNet", "torch.save(model.state_dict(), 'weights.pth')"):
            assert words in str(error)


@pytest.mark.parametrize(
    "asked", ["_utils._rebuild_qtensor", "_utils._rebuild_sparse_tensor", "ComplexFloatStorage", "float8_e4m3fn"]
)
def test_tensors_of_other_kinds(tmp_path, asked):
    module, _, attribute = f"torch.{asked}".rpartition(".")
    error = refused(put("zip", tmp_path / "a.pth", dict_of({"a": name(module, attribute)})))
    assert isinstance(error, UsageError) and "quantised, sparse, complex" in str(error)


# Tensors that do not lie in their storage.

OUTSIDE = {
    "beyond the end": (tensor(storage("0", 24), (5, 6), (6, 1)), "reaches to element 29 of storage '0', which has 24"),
    "by its offset": (tensor(storage("0", 24), (24,), (1,), offset=1), "reaches to element 24"),
    "an offset and nothing": (tensor(storage("0", 24), (0,), (1,), offset=25), "reaches to element 25"),
    "by overflow": (tensor(storage("0", 24), (2, 2), (2**62, 2**62)), "not whole numbers from 0 on"),
    "negative strides": (tensor(storage("0", 24), (4,), (-1,), offset=3), "not whole numbers from 0 on"),
    "negative sizes": (tensor(storage("0", 24), (-4, -6), (6, 1)), "not whole numbers from 0 on"),
    "a bomb of strides 0": (tensor(storage("0", 24), (2**20, 2**20), (0, 0)), "repeats the 24 elements"),
    "nothing, by billions": (
        tensor(storage("0", 24), (0, 2**40, 2**40), (1, 1, 1)),
        "more elements than can be counted",
    ),
    "fewer strides than axes": (tensor(storage("0", 24), (4, 6), (6,)), "one stride an axis"),
    "too many axes": (tensor(storage("0", 24), (1,) * 80, (1,) * 80), "one stride an axis"),
    "a shape of text": (
        call(name("torch._utils", "_rebuild_tensor_v2"), storage("0", 24), *[text("4")] * 3),
        "no|not whole",
    ),
    "no storage": (
        call(name("torch._utils", "_rebuild_tensor_v2"), text("0"), *[tuple_of()] * 3),
        "no storage of numbers",
    ),
    "a view beyond": (
        tensor(storage("0", 24, "FloatStorage", tuple_of(text("v"), number(20), number(5))), (1,), (1,)),
        "a view of storage '0' reaches beyond its 24 elements",
    ),
    "a storage that says more": (tensor(storage("0", 25), (25,), (1,)), "storage '0' has"),
    "a storage that says less": (tensor(storage("0", 23), (23,), (1,)), "storage '0' has"),
    "a huge storage": (tensor(storage("0", 2**45), (2**45,), (1,)), "storage '0'"),
    "a storage of no kind": (
        tuple_of(text("storage"), text("x"), text("0"), text("cpu"), number(24)) + b"Q",
        "the form",
    ),
    "an absent storage": (tensor(storage("7", 24), (24,), (1,)), "storage '7' is not|its list of storages"),
    "a path for a storage": (tensor(storage("../../0", 24), (24,), (1,)), "is not in the archive|its list of storages"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", OUTSIDE)
def test_tensors_outside_of_their_storage(tmp_path, kind, form):
    content, words = OUTSIDE[kind]
    path = put(form, tmp_path / "a.pth", dict_of({"a": content}))
    if form == "legacy" and kind == "a view beyond":
        words = "reaches beyond|its list"
    with pytest.raises(DamagedDataError, match=words):
        raise refused(path)


def test_one_storage_of_two_kinds(tmp_path):
    content = dict_of({"a": GOOD, "b": tensor(storage("0", 12, "DoubleStorage"), (12,), (1,))})
    with pytest.raises(DamagedDataError, match="of two kinds or sizes"):
        raise refused(legacy_form(tmp_path / "a.pth", content, {"0": (24, RAW)}))


# Containers that want memory, time or the stack.

SHAPES_OF_DATA = {
    "deep tuples": b"(" * 30_000 + b"t" * 30_000,
    "deep lists": b"]" * 30_000 + b"a" * 29_999,
    "a deep key": b"}" + b")" + b"\x85" * 30_000 + b"Ns",
    "a thousandfold doubled tuple": b")" + b"q\x00h\x00\x86" * 1_000,
    "a dict in itself": b"}q\x00" + text("self") + b"h\x00s",
}


@pytest.mark.parametrize("kind", SHAPES_OF_DATA)
def test_containers_without_end(tmp_path, kind):
    whole = SHAPES_OF_DATA[kind]
    error = refused(zip_form(tmp_path / "a.pth", whole))
    if kind == "a deep key":  # to hash it would overflow the stack
        assert "a dict with a key of type tuple" in str(error)
    else:  # beside tensors they are no harm
        assert isinstance(error, UsageError)
        path = zip_form(tmp_path / "b.pth", dict_of({"w": GOOD, "more": whole}), {"0": RAW})
        assert list(read_weights_file(path).tensors) == ["w"]


def test_too_many_opcodes():
    with pytest.raises(PickleRefusedError, match="more than 1,000 opcodes"):
        read_pickle(io.BytesIO(b"N0" * 501 + b"N."), {}, most=1_000)
    assert read_pickle(io.BytesIO(b"N0" * 400 + b"N."), {}, most=1_000) is None


BROKEN = {
    "no end": b"",
    "a text that says more": b"X\xff\xff\xff\x7fab",
    "a text that says everything": b"\x8d" + struct.pack("<Q", 2**45) + b"ab",
    "nothing on the stack": b"0.",
    "no mark": b"t.",
    "a memory that was never filled": b"h\x05.",
    "a dict without a value": b"}(" + text("a") + b"u.",
    "no list to append to": b"N(Na.",
    "an opcode that is none": b"\xff.",
    "a number of text": b"Iabc\n.",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_pickles(tmp_path, kind):
    for path, head in ((tmp_path / "a.pth", PROTO), (tmp_path / "b.pth", pickle.dumps(MAGIC, 2) + PROTO)):
        path.write_bytes(head + BROKEN[kind])
        assert "truncated or garbled file of torch.save" in str(refused(path))


# Archives.


def bomb() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }\n"
    return zipped({"a.npy": npy(header % 2**29, bytes(2**18))}, zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """An archive whose directory names one entry many times, each under a name of its own."""
    entry = zipped({"a/data/00": bytes(3000)})
    at = entry.index(b"PK\x01\x02")
    directory, end = entry[at : entry.index(b"PK\x05\x06")], entry[entry.index(b"PK\x05\x06") :]
    several = b"".join(directory.replace(b"data/00", b"data/%02d" % i) for i in range(50))
    counts = struct.pack("<HHII", 50, 50, len(several), at)
    return entry[:at] + several + end[:8] + counts + end[20:]


ARCHIVES = {
    "a name that climbs": (zipped({"archive/data.pkl": b"", "archive/../../evil": b""}), "leads out of the archive"),
    "an absolute name": (zipped({"archive/data.pkl": b"", "/etc/passwd": b""}), "leads out of the archive"),
    "a name of Windows": (zipped({"archive/data.pkl": b"", "C:\\evil": b""}), "leads out of the archive"),
    "entries that overlap": (overlapping(), "they overlap"),
    "no data.pkl": (zipped({"a/b.txt": b"x"}), "without the one NAME/data.pkl"),
    "nothing": (zipped({}), "without the one NAME/data.pkl that torch.save writes; it holds nothing"),
    "two data.pkl": (zipped({"a/data.pkl": b"", "b/data.pkl": b""}), "without the one NAME/data.pkl"),
    "TorchScript": (zipped({"m/data.pkl": b"", "m/constants.pkl": b"", "m/code/x.py": b"print(1)"}), "torch.jit.load"),
    "compressed": (zipped({"a/data.pkl": PROTO + b"}."}, zipfile.ZIP_DEFLATED), "compressed, and torch.save stores"),
    "a Keras model": (zipped({"config.json": b"{}", "model.weights.h5": b""}), "unzip a.pth model.weights.h5"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives(tmp_path, kind):
    content, words = ARCHIVES[kind]
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(TladaptError, match=words):
        raise refused(tmp_path / "a.pth")
    assert [each.name for each in tmp_path.iterdir()] == ["a.pth"]


def test_names_that_come_twice(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for _ in range(2):
            archive.writestr("archive/data.pkl", PROTO + b"}.")
    assert "twice, so what it means is not clear" in str(refused(tmp_path / "a.pth"))


def test_an_archive_that_unpacks_to_far_more(tmp_path, monkeypatch):
    monkeypatch.setattr("tladapt.models.weights.archives._LARGEST", 2**16)
    (tmp_path / "a.npz").write_bytes(bomb())
    assert "claims to unpack to 262," in str(refused(tmp_path / "a.npz"))
    np.savez_compressed(tmp_path / "b.npz", a=np.zeros(2**13, np.float32))  # small enough to be honest
    assert read_weights_file(tmp_path / "b.npz").tensors["a"].size == 2**13


# NumPy.


def objects() -> bytes:
    content = io.BytesIO()
    np.savez(content, a=np.array([{}, []], object), b=VALUES)
    return content.getvalue()


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (24,), }\n"
ARRAYS = {
    "objects": (objects(), UsageError, r"'a': Python objects, which are pickles\n.*Nothing of it was unpickled"),
    "a call for a shape": (
        zipped({"a.npy": npy(HEADER.replace(b"(24,)", b"__import__('os').mkdir('x')"), RAW)}),
        DamagedDataError,
        "without the header",
    ),
    "fewer values": (zipped({"a.npy": npy(HEADER, RAW[:-1])}), DamagedDataError, "96 bytes, and fewer are there"),
    "more values": (zipped({"a.npy": npy(HEADER, RAW + b"x")}), DamagedDataError, "96 bytes, and more are there"),
    "a bomb of a shape": (
        zipped({"a.npy": npy(HEADER.replace(b"24", b"9" * 18), RAW)}),
        DamagedDataError,
        "and fewer are there",
    ),
    "records": (
        zipped({"a.npy": npy(HEADER.replace(b"'<f4'", b"[('x', '<f4')]"), RAW)}),
        UsageError,
        "records of several fields",
    ),
    "complex numbers": (zipped({"a.npy": npy(HEADER.replace(b"<f4", b"<c8"), RAW * 2)}), UsageError, "dtype complex64"),
    "bfloat16 as NumPy writes it": (
        zipped({"a.npy": npy(HEADER.replace(b"<f4", b"|V2"), RAW[:48])}),
        UsageError,
        "bfloat16",
    ),
    "another file": (zipped({"a.npy": npy(HEADER, RAW), "x.txt": b"hello"}), UsageError, "'x.txt': not an array"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_npz(tmp_path, kind):
    content, error, words = ARRAYS[kind]
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(error, match=words):
        raise refused(tmp_path / "a.npz")


# safetensors.


def safetensors_of(header: object, data: bytes = RAW) -> bytes:
    content = json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def entry(first: int, last: int, shape: list[int]) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [first, last]}


SAFETENSORS = {
    "overlap": safetensors_of({"a": entry(0, 64, [16]), "b": entry(32, 96, [16])}),
    "a hole": safetensors_of({"a": entry(0, 32, [8]), "b": entry(64, 96, [8])}),
    "beyond the end": safetensors_of({"a": entry(0, 200, [50])}),
    "a shape that is larger": safetensors_of({"a": entry(0, 96, [2**62, 4])}),
    "an offset that is negative": safetensors_of({"a": entry(-4, 92, [24])}),
    "a huge header": struct.pack("<Q", 2**39) + b"{" + RAW,
    "no JSON": struct.pack("<Q", 20) + b"{'a': __import__(1)}" + RAW,
    "deep JSON": struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995 + RAW,
}


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_safetensors(tmp_path, kind):
    (tmp_path / "a.safetensors").write_bytes(SAFETENSORS[kind])
    with pytest.raises(DamagedDataError, match="is not a whole safetensors file"):
        raise refused(tmp_path / "a.safetensors")


# HDF5.


def keras(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv1"]
        file.create_group("conv1").attrs["weight_names"] = [b"conv1/kernel:0"]
        change(file["conv1"])
    return path


def _external_values(group: h5py.Group) -> None:
    group.create_dataset("conv1/kernel:0", (24,), "f4", external=[("/etc/passwd", 0, 96)])


def _virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "a", (4,))
    group.create_virtual_dataset("conv1/kernel:0", layout)


def _link(group: h5py.Group) -> None:
    group["conv1"] = h5py.ExternalLink("/tmp/other.h5", "/a")


def _bomb(group: h5py.Group) -> None:
    group.create_dataset("conv1/kernel:0", (2**40,), "f4", chunks=(2**20,), compression="gzip")


def _objects(group: h5py.Group) -> None:
    group.create_dataset("conv1/kernel:0", data=["a", "b"], dtype=h5py.string_dtype())


HDF5 = {
    "values in another file": (
        _external_values,
        DamagedDataError,
        "keeps the values of /conv1/conv1/kernel:0 in another",
    ),
    "a view of another file": (_virtual, DamagedDataError, "in another file"),
    "a link into another file": (_link, DamagedDataError, "refers to another file, '/tmp/other.h5'"),
    "a bomb": (_bomb, DamagedDataError, "claims to unpack to 4,398,046,511,104"),
    "texts": (_objects, DamagedDataError, "dtype object, which is no number"),
    "a group": (lambda group: group.create_group("conv1/kernel:0"), DamagedDataError, "is a group and no array"),
    "nothing": (lambda group: None, DamagedDataError, "names /conv1/conv1/kernel:0 and does not hold it"),
}


@pytest.mark.parametrize("kind", HDF5)
def test_hdf5(tmp_path, kind):
    change, error, words = HDF5[kind]
    with pytest.raises(error, match=words):
        raise refused(keras(tmp_path / "a.h5", change))


def test_hdf5_of_others(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("train/data", data=VALUES)
    assert "without weights of Keras: expected the attribute 'layer_names'" in str(refused(tmp_path / "a.h5"))


# Files that are cut short, and files that are something else.


def whole(folder: Path, kind: str) -> Path:
    path = folder / {"safetensors": "a.safetensors", "npz": "a.npz", "keras": "a.h5"}.get(kind, "a.pth")
    if kind in FORMS:
        put(kind, path, dict_of({"a": GOOD}))
    elif kind == "safetensors":
        save_arrays(path, {"a": VALUES})
    elif kind == "npz":
        np.savez(path, a=VALUES)
    else:
        keras(path, lambda group: group.create_dataset("conv1/kernel:0", data=VALUES))
    return path


@pytest.mark.parametrize("kind", [*FORMS, "safetensors", "npz", "keras"])
def test_truncated_files(tmp_path, kind):
    path = whole(tmp_path, kind)
    content = path.read_bytes()
    assert len(read_weights_file(path).tensors) == 1
    for length in (1, 7, 100, len(content) // 2, len(content) - 20, len(content) - 1):
        path.write_bytes(content[:length])
        error = refused(path)
        assert isinstance(error, DamagedDataError) or length < 100, error
    if kind == "legacy":
        path.write_bytes(content + b"x")
        assert "1 bytes follow the last storage" in str(refused(path))


OTHERS = {
    "nothing at all": (b"", "is empty: 0 bytes"),
    "a web page": (
        b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>" + b" " * 5000,
        "is a web page of 5,050 bytes",
    ),
    "an XML message": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:12fc\nsize 1099231\n",
        r"Git LFS pointer of \d+ bytes and not the file of 1,099,231 bytes.*git lfs pull",
    ),
    "a server's message": (
        b'{"error": "Repository not found"}',
        r"is a text of 33 bytes, '{\"error\": \"Repository not",
    ),
    "gzip": (gzip.compress(RAW), "is a compressed archive. Unpack it"),
    "an ELF binary": (b"\x7fELF\x02\x01\x01" + bytes(100), "is no known weight file. Expected .safetensors"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_files_that_are_something_else(tmp_path, kind):
    content, words = OTHERS[kind]
    for file in ("a.npz", "a.h5") if "ELF" in kind else ("a.pth", "a.safetensors", "a.npz", "a.h5"):
        (tmp_path / file).write_bytes(content)
        with pytest.raises((DamagedDataError, UsageError), match=words):
            raise refused(tmp_path / file)


def test_tar_archives(tmp_path):
    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    assert "is a tar archive" in str(refused(tmp_path / "a.pth"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD, "holds a tensor without a name"),
        (tuple_of(GOOD, GOOD), "holds a tuple, and no tensors under names"),
        (dict_of({"epoch": number(3)}), "holds a dict, and no tensors under names"),
        (dict_of({"a\x1b[2Jb": GOOD}), r"names cannot be printed, 'a\\x1b\[2Jb' among them"),
    ],
)
def test_no_tensors_under_names(tmp_path, content, words):
    with pytest.raises(TladaptError, match=words):
        raise refused(put("zip", tmp_path / "a.pth", content))


def test_a_pickle_of_another_kind(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": [1, 2]}, 4))
    assert "a pickle, but not one of torch.save (its first value is a dict" in str(refused(tmp_path / "a.pkl"))
    save_arrays(tmp_path / "b.safetensors", {})
    assert "no tensors in it" in str(refused(tmp_path / "b.safetensors"))
