"""DeCAF6 features of Office-Caltech-10: small files of the documented layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tladapt.data import load
from tladapt.data.catalogue import office_caltech10_decaf
from tladapt.errors import DamagedDataError, MissingDataError


def write(path: Path, n: int, key: str = "feas", **change) -> np.ndarray:
    features = np.random.default_rng(n).random((n, 4096)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {key: features, "labels": (1.0 + np.arange(n) % 10)[:, None], **change})
    return features


def test_both_domains_in_either_name_and_normalised(tmp_path):
    caltech = write(tmp_path / "office_caltech10/decaf6/caltech_decaf.mat", 12)
    write(tmp_path / "office_caltech10/dslr_decaf.mat", 10, key="fts")

    def source(normalize: str) -> np.ndarray:
        name = "office-caltech10-decaf6:caltech10-dslr"
        return load(name, tmp_path, normalize=normalize, verify=False).source[0].x

    np.testing.assert_array_equal(source("none"), caltech)
    rows = caltech.astype(np.float64) / caltech.sum(axis=1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(source("rows"), rows, rtol=1e-5)
    scored = source("zscore")
    np.testing.assert_allclose(scored, (rows - rows.mean(0)) / rows.std(0), rtol=1e-3, atol=1e-4)
    scenario = load("office-caltech10-decaf6", tmp_path, pair="dslr-caltech10", verify=False)
    np.testing.assert_array_equal(scenario.target.x, scored)
    np.testing.assert_array_equal(scenario.source[0].y, np.arange(10))
    assert scenario.test.x is scenario.target.x and len(scenario.origin["files"]) == 2
    assert scenario.classes[0] == "backpack"


def test_what_is_missing_or_other_is_said(tmp_path, monkeypatch):
    path = tmp_path / "decaf6/dslr_decaf.mat"
    write(path, 10)
    with pytest.raises(MissingDataError) as caught:
        load("office-caltech10-decaf6:dslr-amazon", tmp_path)
    assert "DeCAF6 features: amazon_decaf.mat\n" in str(caught.value)
    write(tmp_path / "decaf6/webcam_decaf.mat", 10)
    with pytest.raises(DamagedDataError, match=r"dslr_decaf.mat has \[1, 1, .*expected \[12, 21, .*verify=False"):
        load("office-caltech10-decaf6:dslr-webcam", tmp_path)
    monkeypatch.setitem(office_caltech10_decaf.COUNTS, "dslr", (1,) * 10)
    monkeypatch.setitem(office_caltech10_decaf.COUNTS, "webcam", (1,) * 10)
    assert len(load("office-caltech10-decaf6:dslr-webcam", tmp_path).target) == 10
    savemat(path, {"feas": np.ones((3, 800)), "labels": np.ones((3, 1))})
    with pytest.raises(DamagedDataError, match=r"feas of shape \(3, 800\) and 3 labels; expected \[n, 4096\]"):
        load("office-caltech10-decaf6:dslr-webcam", tmp_path)
    savemat(path, {"other": np.ones((3, 4096)), "labels": np.ones((3, 1))})
    with pytest.raises(DamagedDataError, match="without the array 'feas'"):
        load("office-caltech10-decaf6:dslr-webcam", tmp_path)
