"""CIFAR-10 and its shifts: small files of the released layouts, and the real JPEG files by TLADAPT_DATA."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tladapt.data import load
from tladapt.data.catalogue import cifar_files
from tladapt.data.catalogue.cifar10 import COMMON
from tladapt.data.catalogue.cifar_files import CLASSES, STL10_CLASSES, read_jpeg
from tladapt.data.catalogue.images import resize
from tladapt.errors import DamagedDataError, MissingDataError, UsageError

REAL, JPEG = os.environ.get("TLADAPT_DATA", ""), "cifar10_jpeg/cifar10_jpeg_test.tar.gz"


def noise(n: int, seed: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def write_cifar10(folder: Path, each: int = 4) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Write the six batches of the binary version; labels run 0, 1, 2 ... over the pictures."""
    folder.mkdir(parents=True)
    parts = {}
    for part, names in cifar_files.BATCHES.items():
        x, y = noise(each * len(names), len(part)), (np.arange(each * len(names)) % 10).astype(np.uint8)
        rows = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1)
        for name, batch in zip(names, np.split(rows, len(names)), strict=True):
            (folder / name).write_bytes(batch.tobytes())
        parts[part] = x, y
    return parts


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "cifar10.1").mkdir()
    np.save(tmp_path / "cifar10.1/cifar10.1_v6_data.npy", noise(5, 50))
    np.save(tmp_path / "cifar10.1/cifar10.1_v6_labels.npy", np.array([9, 0, 3, 3, 1], np.int32))
    return tmp_path


def test_a_new_test_set(root):
    parts = write_cifar10(root / "cifar10/cifar-10-batches-bin")
    scenario = load("cifar10-cifar10.1", root, verify=False)
    np.testing.assert_array_equal(scenario.source[0].x, parts["train"][0])
    np.testing.assert_array_equal(scenario.source[0].y, parts["train"][1])
    np.testing.assert_array_equal(scenario.validation.x, parts["test"][0])
    np.testing.assert_array_equal(scenario.target.x, noise(5, 50))
    np.testing.assert_array_equal(scenario.test.y, [9, 0, 3, 3, 1])
    assert scenario.test.x is scenario.target.x and scenario.classes == CLASSES and len(scenario.origin["files"]) == 2
    with pytest.raises(MissingDataError, match=r"cifar10.1_v4_data.npy, cifar10.1_v4_labels.npy"):
        load("cifar10-cifar10.1", root, version="v4", verify=False)


@pytest.mark.parametrize("form", ["tar.gz", "npz"])
def test_other_forms_of_cifar10_are_the_same(root, form):
    parts = write_cifar10(root / "unpacked/cifar-10-batches-bin")
    (root / "cifar10").mkdir()
    if form == "npz":
        arrays = {
            f"{name}_{part}": array for part, pair in parts.items() for name, array in zip("xy", pair, strict=True)
        }
        np.savez(root / "cifar10/cifar10.npz", **{**arrays, "y_test": arrays["y_test"][:, None]})
    else:
        with tarfile.open(root / "cifar10/cifar-10-binary.tar.gz", "w:gz") as archive:
            archive.add(root / "unpacked/cifar-10-batches-bin", "cifar-10-batches-bin")
    scenario = load("cifar10-cifar10.1", root, verify=False)
    np.testing.assert_array_equal(scenario.source[0].x, parts["train"][0])
    np.testing.assert_array_equal(scenario.validation.y, parts["test"][1])
    words = r"expected sha256 c4a38c50" if form == "tar.gz" else r"train has \[2, 2, .*expected 5,000 each"
    with pytest.raises(DamagedDataError, match=words):
        load("cifar10-cifar10.1", root)


def test_one_corruption_at_one_severity(root, monkeypatch):
    parts = write_cifar10(root / "cifar10/cifar-10-batches-bin")
    folder = root / "CIFAR-10-C"
    folder.mkdir()
    level = np.repeat(np.arange(1, 6, dtype=np.uint8), 10000)
    fog = np.lib.format.open_memmap(folder / "fog.npy", "w+", np.uint8, (50000, 32, 32, 3))  # a sparse file
    fog[::2500, 0, 0, 0] = level[::2500]
    del fog
    np.save(folder / "labels.npy", np.tile(np.arange(10000) % 10, 5).astype(np.uint8))
    scenario = load("cifar10-c", root, corruption="fog", severity=3, verify=False)
    assert scenario.name == "cifar10-c-fog-3" and scenario.target.name == "fog 3" and scenario.validation is None
    assert len(scenario.source[0]) == len(parts["train"][0])
    np.testing.assert_array_equal(scenario.target.x[::2500, 0, 0, 0], [3, 3, 3, 3])
    np.testing.assert_array_equal(scenario.test.y, np.arange(10000) % 10)
    with pytest.raises(MissingDataError, match=r"has no snow.npy. Get it from: https://zenodo"):
        load("cifar10-c", root, corruption="snow", verify=False)
    (folder / "fog.npy").write_bytes((folder / "labels.npy").read_bytes()[:1000])
    with pytest.raises(DamagedDataError, match=r"fog.npy is truncated"):
        load("cifar10-c", root, corruption="fog", verify=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"corruption": "fogg"}, "Did you mean 'fog'"),
        ({"severity": 6}, "from 1 to 5, got 6"),
        ({"severity": 0}, "got 0"),
    ],
)
def test_corruptions_that_there_are_not(root, options, words):
    with pytest.raises(UsageError, match=words):
        load("cifar10-c", root, **options)


def test_the_test_set_as_jpeg_files(root):
    write_cifar10(root / "cifar10/cifar-10-batches-bin")
    colours = {"airplane": 20, "truck": 200}
    for name, value in colours.items():
        (root / "cifar10_jpeg/test" / name).mkdir(parents=True)
        for place in range(2):
            Image.fromarray(np.full((32, 32, 3), value + place, np.uint8)).save(
                root / f"cifar10_jpeg/test/{name}/{place:04}.jpg"
            )
    scenario = load("cifar10-jpeg", root, verify=False)
    np.testing.assert_array_equal(scenario.test.y, [0, 0, 9, 9])
    np.testing.assert_allclose(scenario.test.x.mean((1, 2, 3)), [20, 21, 200, 201], atol=1)
    with pytest.raises(DamagedDataError, match=r"has 4 pictures CLASS/NAME.jpg; expected 1,000 of each class"):
        read_jpeg(root / "cifar10_jpeg/test", verify=True)
    Image.fromarray(np.zeros((30, 32, 3), np.uint8)).save(root / "cifar10_jpeg/test/truck/9.jpg")
    with pytest.raises(DamagedDataError, match=r"shape \(30, 32, 3\)"):
        load("cifar10-jpeg", root, verify=False)


def write_stl10(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder.mkdir(parents=True)
    parts = {}
    for part, n in (("train", 10), ("test", 20)):
        x, y = noise(n, n, 96), (np.arange(n) % 10).astype(np.uint8)
        (folder / f"{part}_X.bin").write_bytes(x.transpose(0, 3, 2, 1).tobytes())  # each colour column by column
        (folder / f"{part}_y.bin").write_bytes((y + 1).tobytes())
        parts[part] = x, y
    return parts


def test_stl10_and_cifar10_have_nine_classes_in_common(root):
    cifar, stl = write_cifar10(root / "cifar10/cifar-10-batches-bin"), write_stl10(root / "stl10_binary")
    there, back = (load(name, root, verify=False) for name in ("cifar10-stl10", "stl10-cifar10"))
    assert there.classes == back.classes == COMMON and len(COMMON) == 9
    no_frogs = np.flatnonzero(cifar["train"][1] != CLASSES.index("frog"))
    np.testing.assert_array_equal(there.source[0].x, cifar["train"][0][no_frogs])
    named = [CLASSES[label] for label in cifar["train"][1] if CLASSES[label] != "frog"]
    assert [COMMON[label] for label in there.source[0].y] == named
    kept = [label for label in stl["test"][1] if STL10_CLASSES[label] != "monkey"]
    assert [COMMON[label] for label in there.test.y] == [
        {"car": "automobile"}.get(STL10_CLASSES[label], STL10_CLASSES[label]) for label in kept
    ]
    no_monkeys = stl["test"][1] != STL10_CLASSES.index("monkey")
    np.testing.assert_array_equal(there.test.x, resize(stl["test"][0][no_monkeys], 32))
    assert (len(there.target), len(there.test), len(there.validation)) == (9, 18, 4)
    assert (len(back.source[0]), len(back.target), len(back.test)) == (9, 18, 4)
    np.testing.assert_array_equal(back.source[0].x, there.target.x)
    with pytest.raises(DamagedDataError, match=r"train has \[2, 2"):
        load("cifar10-stl10", root)
    with pytest.raises(DamagedDataError, match=r"expected md5 918c2871.*verify=False"):
        cifar_files.read_stl10(
            {key: root / f"stl10_binary/{key}.bin" for key in cifar_files.STL10_MD5}, "train", verify=True
        )


def test_damaged_files_are_told(root):
    folder = root / "cifar10/cifar-10-batches-bin"
    write_cifar10(folder)
    data, labels = (root / f"cifar10.1/cifar10.1_v6_{part}.npy" for part in ("data", "labels"))

    def refused(words: str) -> None:
        with pytest.raises(DamagedDataError, match=words):
            load("cifar10-cifar10.1", root, verify=False)

    with pytest.raises(DamagedDataError, match=r"expected sha256 2997188e"):
        cifar_files.read_cifar10_1({"data": data, "labels": labels}, "v6", verify=True)
    np.save(labels, np.array([9, 0, 3]))
    refused(r"uint8 pictures \(5, 32, 32, 3\) and 3 labels")
    np.save(labels, np.array([9, 0, 3, 10, 1]))
    refused("labels from 0 to 10")
    np.save(data, noise(5, 0).astype(np.float32))
    refused("has float32 pictures")
    data.write_bytes(b"<html>")
    refused("truncated or not an .npy file")
    batch = folder / "data_batch_3.bin"
    batch.write_bytes(batch.read_bytes()[:-7])
    refused(r"data_batch_3.bin has 12,285 bytes, no multiple of 3,073")
    batch.unlink()
    refused(r"is incomplete: data_batch_3.bin is not in it")
    for name, content in (("cifar-10-binary.tar.gz", b"<html>"), ("cifar10.npz", b"PK nothing")):
        other = root / "CIFAR10"
        other.mkdir(exist_ok=True)
        (other / name).write_bytes(content)
        with pytest.raises(DamagedDataError, match=r"truncated or not CIFAR-10's|is no .npz file"):
            cifar_files.read_cifar10(other / name, verify=False)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL and Path(REAL, JPEG).exists()), reason=f"TLADAPT_DATA has no {JPEG}")
def test_real_jpeg_files():
    x, y = read_jpeg(Path(REAL, JPEG), verify=True)
    assert x.shape == (10000, 32, 32, 3) and np.bincount(y).tolist() == [1000] * 10
    with tarfile.open(Path(REAL, JPEG)) as archive:
        ship = archive.extractfile("cifar10_jpeg/test/ship/0017.jpg").read()
    np.testing.assert_array_equal(x[8017], np.asarray(Image.open(io.BytesIO(ship))))
