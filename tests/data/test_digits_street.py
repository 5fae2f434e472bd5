"""SVHN and SynDigits: small MATLAB files of the released layout."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tladapt.data import load
from tladapt.data.catalogue.digits_street import SvhnMnist, SynDigitsSvhn
from tladapt.data.catalogue.svhn_files import SVHN_RELEASED, SYN_DIGITS_RELEASED
from tladapt.errors import DamagedDataError, MissingDataError

RNG = np.random.default_rng(0)
COUNTS = {"train": 30, "test": 12}


def mat(path: Path, n: int, *, zero: int) -> np.ndarray:
    """Write n pictures whose labels cycle through the digits, the digit 0 being called `zero`; return the pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = RNG.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    y = np.arange(n) % 10
    labels = np.where(y == 0, zero, y).astype(np.uint8)[:, None]
    savemat(path, {"X": x.transpose(1, 2, 3, 0), "y": labels}, do_compression=True)
    return x


@pytest.fixture
def sets(tmp_path) -> dict[str, np.ndarray]:
    """Pictures by file; the files lie in tmp_path."""
    made = {}
    for split, n in COUNTS.items():
        made[f"svhn {split}"] = mat(tmp_path / f"svhn/{split}_32x32.mat", n, zero=10)
        made[f"syn {split}"] = mat(tmp_path / f"SynthDigits/synth_{split}_32x32.mat", n, zero=0)
        x, y = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)
        made[f"mnist {split}"] = x
        (tmp_path / "mnist").mkdir(exist_ok=True)
        stem = {"train": "train", "test": "t10k"}[split]
        for values, what in ((x, "images-idx3"), (y, "labels-idx1")):
            header = (2048 + values.ndim).to_bytes(4, "big") + b"".join(k.to_bytes(4, "big") for k in values.shape)
            (tmp_path / f"mnist/{stem}-{what}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))
    return made


@pytest.mark.parametrize("name", ["svhn-mnist", "mnist-svhn", "syndigits-svhn"])
def test_full_protocol(sets, tmp_path, name):
    scenario = load(name, tmp_path, verify=False)
    first, second = name.replace("syndigits", "syn").split("-")
    roles = {f"{first} train": scenario.source[0], f"{second} train": scenario.target}
    roles |= {f"{second} test": scenario.test, f"{first} test": scenario.validation}
    for role, domain in roles.items():
        expected = sets[role]
        if role.startswith("mnist"):
            expected = np.repeat(np.pad(expected, ((0, 0), (2, 2), (2, 2)))[..., None], 3, axis=3)
        np.testing.assert_array_equal(domain.x, expected)
        assert domain.x.dtype == np.uint8
        if domain.y is not None:
            assert domain.y.tolist() == [i % 10 for i in range(len(domain))]  # SVHN's 10 is the digit 0
    assert scenario.target.y is None and len(scenario.origin["files"]) == (4 if "syn" in name else 6)


def test_another_size(sets, tmp_path):
    scenario = load("mnist-svhn", tmp_path, verify=False, size=16)
    assert scenario.source[0].shape == scenario.test.shape == (16, 16, 3)


def test_other_damaged_and_missing_files_are_told(sets, tmp_path):
    with pytest.raises(DamagedDataError, match=r"expected sha256 435e94d6.*verify=False"):
        load("svhn-mnist", tmp_path)
    with pytest.raises(DamagedDataError, match=r"expected 479,400 pictures, got 30 .*verify=False"):
        load("syndigits-svhn", tmp_path)
    path = tmp_path / "svhn/test_32x32.mat"
    for content, words in (
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[0], [10]])}, "labels from 0 to 10"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1]])}, r"\(32, 32, 3, 2\) and 1 labels"),
        ({"X": np.zeros((32, 32, 3, 1)), "y": np.array([[1]])}, "has X float64"),
        ({"X": np.zeros((32, 32, 3, 1), np.uint8)}, "without the array 'y'"),
    ):
        savemat(path, content)
        with pytest.raises(DamagedDataError, match=words):
            load("svhn-mnist", tmp_path, verify=False)
    path.write_bytes(b"MATLAB 5.0")
    with pytest.raises(DamagedDataError, match="not a MATLAB file"):
        load("svhn-mnist", tmp_path, verify=False)
    path.unlink()
    with pytest.raises(MissingDataError, match=r"test_32x32.mat\n.*ufldl.stanford.edu"):
        load("svhn-mnist", tmp_path, verify=False)


def test_sizes_are_the_published_ones():
    assert SvhnMnist.sizes == {"svhn": sum(SVHN_RELEASED.values()), "mnist": 70_000}
    assert SynDigitsSvhn.sizes["syndigits"] == sum(SYN_DIGITS_RELEASED.values()) == 488_953
