"""SURF features of Office-Caltech-10: small files of the released layout, and the real ones by TLADAPT_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tladapt.data import load
from tladapt.data.catalogue.office_caltech10 import COUNTS
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError

REAL, FOLDER = os.environ.get("TLADAPT_DATA", ""), "office_caltech10/surf"
real = pytest.mark.skipif(
    not (REAL and Path(REAL, FOLDER, "amazon.mat").exists()), reason=f"TLADAPT_DATA has no {FOLDER}"
)
# In per cent: Long et al., ICCV 2013, table of the SURF features, first column (A: amazon, C: Caltech, D, W).
NEAREST_NEIGHBOUR = {
    "caltech10-amazon": 23.70,
    "caltech10-webcam": 25.76,
    "caltech10-dslr": 25.48,
    "amazon-caltech10": 26.00,
    "amazon-webcam": 29.83,
    "amazon-dslr": 25.48,
    "webcam-caltech10": 19.86,
    "webcam-amazon": 22.96,
    "webcam-dslr": 59.24,
    "dslr-caltech10": 26.27,
    "dslr-amazon": 28.50,
    "dslr-webcam": 63.39,
}


def write(path: Path, n: int = 12, **change) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    fts = rng.poisson(0.5, (n, 800)).astype(np.uint8)
    fts[:, 7] = 0  # a word that never occurs
    arrays = {"fts": fts, "labels": (1 + np.arange(n)[:, None] % 10).astype(np.uint8), **change}
    savemat(path, arrays)
    return arrays


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    write(tmp_path / FOLDER / "dslr.mat", 12)
    write(tmp_path / FOLDER / "Caltech10_SURF_L10.mat", 15)
    return tmp_path


def test_counts_labels_and_normalisation(root):
    def source(normalize: str) -> np.ndarray:
        return load("office-caltech10-surf:caltech10-dslr", root, normalize=normalize, verify=False).source[0].x

    counts = write(root / "same.mat", 15)["fts"].astype(np.float64)
    np.testing.assert_array_equal(source("none"), counts)
    rows = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(source("rows"), rows, rtol=1e-6)
    scored = source("zscore")
    assert scored.dtype == np.float32 and (scored[:, 7] == 0).all()
    there = rows.std(axis=0) > 0
    expected = (rows[:, there] - rows[:, there].mean(axis=0)) / rows[:, there].std(axis=0)
    np.testing.assert_allclose(scored[:, there], expected, rtol=1e-4, atol=1e-5)
    scenario = load("office-caltech10-surf", root, pair="caltech10-dslr", verify=False)
    np.testing.assert_array_equal(scenario.source[0].x, scored)
    np.testing.assert_array_equal(scenario.test.y, np.arange(12) % 10)
    assert scenario.test.x is scenario.target.x and scenario.classes[0] == "backpack"


def test_what_is_missing_or_misspelt_is_said(root):
    with pytest.raises(UnknownNameError, match="Did you mean 'caltech10-dslr'"):
        load("office-caltech10-surf:caltech-dslr", root)
    with pytest.raises(MissingDataError) as caught:
        load("office-caltech10-surf:dslr-webcam", root)
    assert "webcam.mat" in str(caught.value) and "dslr.mat" not in str(caught.value)
    with pytest.raises(UsageError, match=r"'normalize'.*zscore, rows or none"):
        load("office-caltech10-surf", root, normalize="zcore")


def test_damaged_files_are_told(root):
    path = root / FOLDER / "dslr.mat"

    def refused(words: str) -> None:
        with pytest.raises(DamagedDataError, match=words) as caught:
            load("office-caltech10-surf:dslr-caltech10", root, verify=False)
        assert str(path) in str(caught.value)

    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"", b"<html>nothing here, and some more of it</html>" * 9):
        path.write_bytes(broken)
        refused("truncated or not a MATLAB file|without the array")
    write(path, labels=np.arange(12)[:, None])
    refused("labels from 0 to 11")
    write(path, labels=np.ones((3, 1)))
    refused(r"fts of shape \(12, 800\) and 3 labels")
    savemat(path, {"fts": np.ones((3, 800))})
    refused("without the array 'labels'")
    write(path)
    with pytest.raises(DamagedDataError, match=r"expected sha256 44d673c6.*verify=False"):
        load("office-caltech10-surf:dslr-caltech10", root)


@real
def test_the_nearest_neighbour_row_is_the_published_one():
    from sklearn.neighbors import KNeighborsClassifier

    for pair, published in NEAREST_NEIGHBOUR.items():
        scenario = load(f"office-caltech10-surf:{pair}", REAL)
        (source,), test = scenario.source, scenario.test
        assert np.bincount(source.y).tolist() == list(COUNTS[source.name])
        model = KNeighborsClassifier(1, algorithm="brute").fit(source.x, source.y)
        assert abs(100 * model.score(test.x, test.y) - published) < 0.05, pair
