"""MNIST, USPS and MNIST-M: small files of the released layouts, and the real ones where TLADAPT_DATA names them."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tladapt.data import load
from tladapt.data.catalogue import digit_files
from tladapt.data.catalogue.files import cached_arrays, data_directory
from tladapt.errors import DamagedDataError, MissingDataError, UsageError

REAL = os.environ.get("TLADAPT_DATA", "")


def needs(*files: str) -> pytest.MarkDecorator:
    absent = [name for name in files if not Path(REAL, name).exists()] if REAL else list(files)
    return pytest.mark.skipif(bool(absent), reason=f"TLADAPT_DATA ({REAL or 'unset'}) has no {', '.join(absent)}")


real_usps = needs("mnist/train-images-idx3-ubyte.gz", "usps/usps.h5")
real_mnistm = needs("mnist/train-images-idx3-ubyte.gz", "mnist_m/mnist_m.tar.gz")

RNG = np.random.default_rng(0)
COUNTS = {"train": 30, "test": 12}
STEMS = {"train": "train", "test": "t10k"}


def idx(values: np.ndarray) -> bytes:
    header = (2048 + values.ndim).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path) -> Path:
    """A data directory of small made-up sets in the released layouts."""
    root = tmp_path / "data"
    (root / "mnist").mkdir(parents=True)
    (root / "usps").mkdir()
    for split, n in COUNTS.items():
        y = np.arange(n) % 10
        x = RNG.integers(0, 256, (n, 28, 28))
        (root / f"mnist/{STEMS[split]}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x)))
        (root / f"mnist/{STEMS[split]}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y)))
        with h5py.File(root / "usps/usps.h5", "a") as file:
            group = file.create_group(split)
            group["data"] = RNG.random((n, 256), np.float32)
            group["target"] = (np.arange(n) % 10).astype(np.int32)
    members = {}
    for split, n in COUNTS.items():
        members[f"mnist_m_{split}_labels.txt"] = "".join(f"{i:08d}.png {i % 10}\n" for i in range(n)).encode()
        for i in range(n):
            file = io.BytesIO()
            Image.fromarray(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "png")
            members[f"mnist_m_{split}/{i:08d}.png"] = file.getvalue()
    (root / "mnist_m").mkdir()
    write_tar(root / "mnist_m/mnist_m.tar.gz", members)
    return root


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"mnist_m/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {m.name.removeprefix("mnist_m/"): archive.extractfile(m).read() for m in archive}


def test_full_protocol_and_shapes(root):
    scenario = load("mnist-usps", root, verify=False)
    assert [len(d) for d in (*scenario.source, scenario.validation, scenario.target, scenario.test)] == [30, 12, 30, 12]
    with gzip.open(root / "mnist/t10k-images-idx3-ubyte.gz") as file:
        assert scenario.validation.x.tobytes() == file.read()[16:]  # held-out source
    assert scenario.source[0].shape == (28, 28, 1) and scenario.target.x.dtype == np.uint8
    assert scenario.target.y is None and scenario.oracle().source[0].y is not None
    back = load("usps-mnist", root, verify=False, size=16)
    assert back.source[0].shape == (16, 16, 1) and back.source[0].name == "usps"
    with h5py.File(root / "usps/usps.h5") as file:
        np.testing.assert_array_equal(
            back.source[0].x.reshape(30, 256), np.rint(255 * file["train/data"][:]).astype(np.uint8)
        )
    assert set(scenario.origin["files"]) == {str(p) for p in [*(root / "mnist").iterdir(), root / "usps/usps.h5"]}


def test_mnist_is_padded_and_repeated_for_mnistm(root):
    scenario = load("mnist-mnistm", root, verify=False)
    grey = load("mnist-usps", root, verify=False).source[0].x
    x = scenario.source[0].x
    assert x.shape == (30, 32, 32, 3)
    np.testing.assert_array_equal(x[:, 2:-2, 2:-2, :1], grey)
    assert x[:, :2].max() == 0 and (x[..., 0] == x[..., 2]).all()
    assert "30 of the 59,001" in scenario.origin["notes"][0]
    assert load("mnist-mnistm", root, verify=False, size=28).test.shape == (28, 28, 3)


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
@pytest.mark.parametrize("unpacked", [True, False])
def test_layouts_and_unpacked_files(root, folder, unpacked):
    expected = load("mnist-usps", root, verify=False).source[0].x
    files = list((root / "mnist").iterdir())
    (root / folder).mkdir(parents=True, exist_ok=True)
    for file in files:
        content = file.read_bytes()
        file.unlink()
        name = file.name.removesuffix(".gz") if unpacked else file.name
        (root / folder / name).write_bytes(gzip.decompress(content) if unpacked else content)
    np.testing.assert_array_equal(load("mnist-usps", root, verify=False).source[0].x, expected)


def test_mnistm_from_a_folder_a_plain_tar_and_the_archive(root):
    archive = root / "mnist_m/mnist_m.tar.gz"
    expected = load("mnist-mnistm", root, verify=False)
    members = members_of(archive)
    archive.unlink()
    for name, content in members.items():
        path = root / "mnist_m/mnist_m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    np.testing.assert_array_equal(load("mnist-mnistm", root, verify=False).target.x, expected.target.x)
    shutil.rmtree(root / "mnist_m/mnist_m")
    write_tar(root / "mnist_m/mnist_m.tar", members)
    np.testing.assert_array_equal(load("mnist-mnistm", root, verify=False).test.y, expected.test.y)


def test_a_missing_file_says_what_where_from_and_where_to(root, monkeypatch):
    (root / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    (root / "usps/usps.h5").unlink()
    with pytest.raises(MissingDataError) as caught:
        load("mnist-usps", root)
    words = str(caught.value)
    for part in (
        "t10k-labels-idx1-ubyte.gz",
        "usps.h5",
        "https://",
        str(root / "mnist"),
        str(root / "usps"),
        "MNIST/raw",
    ):
        assert part in words
    assert "train-images" not in words  # only what is missing
    monkeypatch.delenv("TLADAPT_DATA", raising=False)
    with pytest.raises(MissingDataError, match=r"--data-dir DIR.*TLADAPT_DATA"):
        load("mnist-usps")
    with pytest.raises(MissingDataError, match="no such folder"):
        load("mnist-usps", root / "nowhere")
    monkeypatch.setenv("TLADAPT_DATA", str(root / "elsewhere"))
    with pytest.raises(MissingDataError, match="TLADAPT_DATA names"):
        load("mnist-usps")
    monkeypatch.setenv("TLADAPT_DATA", str(root))
    assert data_directory(None) == root


def test_another_checksum_is_refused_unless_asked_for(root):
    file = root / "mnist/train-images-idx3-ubyte.gz"
    with pytest.raises(DamagedDataError) as caught:
        load("mnist-usps", root)
    words = str(caught.value)
    for part in (str(file), digit_files.MNIST_SHA256["train_x"][0], hashlib.sha256(file.read_bytes()).hexdigest()):
        assert part in words
    assert "verify=False" in words
    load("mnist-usps", root, verify=False)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("mnist/train-images-idx3-ubyte.gz", lambda c: c[: len(c) // 2], "truncated"),
        ("mnist/train-images-idx3-ubyte.gz", lambda c: b"<html>not found</html>", "not a gzip file"),
        ("mnist/train-images-idx3-ubyte.gz", lambda c: b"", "expected the magic number 2051"),
        ("mnist/train-images-idx3-ubyte.gz", lambda c: gzip.compress(gzip.decompress(c)[:-5]), "truncated or garbled"),
        ("mnist/train-labels-idx1-ubyte.gz", lambda c: gzip.compress(idx(np.zeros((2, 2, 2)))), "magic number 2049"),
        ("mnist/train-labels-idx1-ubyte.gz", lambda c: gzip.compress(idx(np.zeros(7))), "30 images, 7 labels"),
        ("mnist/train-labels-idx1-ubyte.gz", lambda c: gzip.compress(idx(np.full(30, 11))), "digits are 0 to 9"),
        ("usps/usps.h5", lambda c: c[: len(c) // 2], "truncated"),
        ("usps/usps.h5", lambda c: b"garbage", "not an HDF5 file"),
    ],
)
def test_truncated_and_garbled_files_are_told_apart_from_missing_ones(root, name, change, words):
    path = root / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DamagedDataError, match=words) as caught:
        load("mnist-usps", root, verify=False)
    assert str(path) in str(caught.value)


def test_usps_of_another_range_or_form_is_refused(root):
    path = root / "usps/usps.h5"
    with h5py.File(path, "a") as file:
        file["train/data"][...] = 2 * file["train/data"][...] - 1
    with pytest.raises(DamagedDataError, match="grey levels from -"):
        load("mnist-usps", root, verify=False)
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(DamagedDataError, match="has not the groups"):
        load("mnist-usps", root, verify=False)


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.95])
def test_a_truncated_mnistm_archive_is_damaged(root, keep):
    path = root / "mnist_m/mnist_m.tar.gz"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DamagedDataError, match="truncated"):
        load("mnist-mnistm", root, verify=False)


def test_an_incomplete_mnistm_names_what_is_not_there(root):
    path = root / "mnist_m/mnist_m.tar.gz"
    members = members_of(path)
    picture = members.pop("mnist_m_test/00000003.png")
    write_tar(path, members)
    with pytest.raises(DamagedDataError, match=r"incomplete: mnist_m/mnist_m_test/00000003\.png"):
        load("mnist-mnistm", root, verify=False)
    write_tar(path, {**members, "mnist_m_test/00000003.png": picture[: len(picture) // 2]})
    with pytest.raises(DamagedDataError, match=r"00000003\.png in .* cannot be decoded"):
        load("mnist-mnistm", root, verify=False)
    labels = members.pop("mnist_m_test_labels.txt")
    write_tar(path, members)
    with pytest.raises(DamagedDataError, match=r"incomplete.*test_labels"):
        load("mnist-mnistm", root, verify=False)
    write_tar(path, {**members, "mnist_m_test_labels.txt": labels[:-3]})
    with pytest.raises(DamagedDataError, match="not 'name label' a line"):
        load("mnist-mnistm", root, verify=False)


def test_mnistm_of_other_digits_is_refused(root, monkeypatch):
    monkeypatch.setattr(digit_files, "check_sha256", lambda *args, **kwargs: None)  # the small files of these tests
    load("mnist-mnistm", root)
    path = root / "mnist_m/mnist_m.tar.gz"
    members = members_of(path)
    members["mnist_m_test_labels.txt"] = members["mnist_m_test_labels.txt"].replace(b" 3", b" 5")
    write_tar(path, members)
    with pytest.raises(DamagedDataError, match="not the released MNIST-M: its test labels"):
        load("mnist-mnistm", root)


def test_decoded_pictures_are_kept_and_a_damaged_cache_is_made_again(root, cache, monkeypatch, caplog):
    first = load("mnist-mnistm", root, verify=False).target.x
    (kept,) = cache.iterdir()
    monkeypatch.setattr(digit_files, "_decoded", lambda pictures: pytest.fail("decoded again"))
    np.testing.assert_array_equal(load("mnist-mnistm", root, verify=False).target.x, first)
    monkeypatch.undo()
    monkeypatch.setenv("TLADAPT_CACHE", str(cache))
    content = bytearray(kept.read_bytes())
    for damage in (content[: len(content) // 2], b"", content[:5000] + b"\0\xff" * 50 + content[5100:]):
        kept.write_bytes(damage)
        with caplog.at_level(logging.WARNING):
            np.testing.assert_array_equal(load("mnist-mnistm", root, verify=False).target.x, first)
        assert "made again" in caplog.text and kept.read_bytes() == content
        caplog.clear()
    assert [path.name for path in cache.iterdir()] == [kept.name]  # nothing half-written stays


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert cached_arrays("a", ["x"], lambda: {"x": np.arange(3)})["x"].tolist() == [0, 1, 2]
    assert "could not be kept" in caplog.text


def test_sizes_that_make_no_image_are_refused(root):
    with pytest.raises(UsageError, match="size is the side"):
        load("mnist-usps", root, size=0)


@real_usps
def test_real_mnist_and_usps():
    scenario = load("mnist-usps", REAL)
    (mnist,), usps = scenario.source, scenario.oracle().source[0]
    # Counts and means as published with the files.
    assert np.bincount(mnist.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(scenario.validation.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(usps.y).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert np.bincount(scenario.test.y).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
    assert abs(mnist.x.mean() / 255 - 0.1307) < 5e-5
    assert abs(usps.x.mean() / 255 - 0.254) < 2e-3 and abs(scenario.test.x.mean() / 255 - 0.268) < 2e-3


@pytest.mark.slow
@real_usps
def test_real_usps_is_as_hard_as_it_is_known_to_be():
    from sklearn.linear_model import LogisticRegression

    scenario = load("usps-mnist", REAL, size=16)
    train, test = scenario.source[0], scenario.validation
    model = LogisticRegression(max_iter=300).fit(train.x.reshape(-1, 256) / 255.0, train.y)
    assert 0.90 < model.score(test.x.reshape(-1, 256) / 255.0, test.y) < 0.93  # 0.915 untuned


@real_mnistm
def test_real_mnistm():
    scenario = load("mnist-mnistm", REAL)
    target, test = scenario.oracle().source[0], scenario.test
    if len(target) == 10_000:  # the subset; its decoded bytes and counts are known
        for one, expected in [
            (target, "91f8168b79add7c3a9d181e3e28e8b3c0755eadd93aa65b8803122172c51d7b1"),
            (test, "bc23f318c0fad2bdb890d3d976b670ff43f4a2d33bf8c41ad6487924cc051a32"),
        ]:
            assert hashlib.sha256(one.x.tobytes()).hexdigest() == expected
        assert np.bincount(target.y).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
        assert np.bincount(test.y).tolist() == [175, 234, 219, 207, 217, 179, 178, 205, 192, 194]
    np.testing.assert_array_equal(target.y, scenario.source[0].y[: len(target)])


@real_usps
def test_recompressed_files_with_the_released_content_are_taken(tmp_path):
    (tmp_path / "mnist").mkdir()
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        content = Path(REAL, f"mnist/{name}.gz").read_bytes()
        if "labels" in name:
            content = gzip.compress(gzip.decompress(content), 1)
        (tmp_path / f"mnist/{name}.gz").write_bytes(content)
    shutil.copy(Path(REAL, "usps/usps.h5"), tmp_path)
    assert len(load("mnist-usps", tmp_path).source[0]) == 60_000
