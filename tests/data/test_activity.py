"""Activities by person: small recordings of the released layouts, which the tests make."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tladapt.data import load
from tladapt.data.catalogue.activity import Har, Hhar, Wisdm
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError

RNG = np.random.default_rng(0)
SIGNALS = [f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_har(root: Path) -> dict[str, np.ndarray]:
    """Write ten windows of persons 2 and 11 in each split; return the signals."""
    signals = {}
    for split in ("train", "test"):
        folder = root / "UCI HAR Dataset" / split
        (folder / "Inertial Signals").mkdir(parents=True)
        (folder / f"y_{split}.txt").write_text("\n".join(str(1 + i % 5) for i in range(10)))
        (folder / f"subject_{split}.txt").write_text("\n".join("2" if i < 5 else "11" for i in range(10)))
        for name in SIGNALS:
            signals[f"{split} {name}"] = RNG.normal(size=(10, 128)).round(5)
            lines = [" ".join(f"{value: .7e}" for value in row) for row in signals[f"{split} {name}"]]
            (folder / f"Inertial Signals/{name}_{split}.txt").write_text("\n".join(lines) + "\n")
    return signals


def test_har_as_released(tmp_path, cache):
    signals = write_har(tmp_path / "har")
    scenario = load("har:2-11", tmp_path, normalize="none")
    (source,), target = scenario.source, scenario.target
    assert source.x.shape == (10, 128, 9) and source.x.dtype == np.float32 and source.name == "person 2"
    for channel, name in enumerate(SIGNALS):
        np.testing.assert_allclose(source.x[:5, :, channel], signals[f"train {name}"][:5], rtol=1e-6)
        np.testing.assert_allclose(target.x[5:, :, channel], signals[f"test {name}"][5:], rtol=1e-6)
    assert source.y.tolist() == [0, 1, 2, 3, 4] * 2 and target.y is None and scenario.test.x is target.x
    assert scenario.classes[0] == "walk" and len(list(cache.glob("har-*.npz"))) == 1
    with pytest.raises(DamagedDataError, match="no window of person 3; it has those of 2, 11"):
        load("har:3-11", tmp_path)
    # The archive as released reads the same.
    with zipfile.ZipFile(tmp_path / "har/UCI HAR Dataset.zip", "w") as archive:
        for path in (tmp_path / "har/UCI HAR Dataset").rglob("*.txt"):
            archive.write(path, path.relative_to(tmp_path / "har"))
    again = load("har:2-11", tmp_path, normalize="none")
    assert next(iter(again.origin["files"])).endswith(".zip")
    np.testing.assert_array_equal(again.target.x, target.x)


def test_damaged_and_missing_har_is_told(tmp_path):
    with pytest.raises(MissingDataError, match=r"UCI HAR Dataset.zip\n.*archive.ics.uci.edu"):
        load("har", tmp_path)
    write_har(tmp_path)
    labels = tmp_path / "UCI HAR Dataset/test/y_test.txt"
    labels.write_text("1\n" * 9)
    with pytest.raises(DamagedDataError, match="10 test windows, 9 labels"):
        load("har", tmp_path)
    labels.write_text("7\n" * 10)
    with pytest.raises(DamagedDataError, match="labels from 7 to 7"):
        load("har", tmp_path)
    signal = tmp_path / "UCI HAR Dataset/train/Inertial Signals/body_gyro_x_train.txt"
    signal.write_text("1 2\nx\n")
    with pytest.raises(DamagedDataError, match=r"body_gyro_x_train.txt, which is no table of numbers"):
        load("har", tmp_path)
    signal.unlink()
    with pytest.raises(DamagedDataError, match=r"incomplete: .*body_gyro_x_train.txt"):
        load("har", tmp_path)
    (tmp_path / "har").mkdir()
    (tmp_path / "har/UCI HAR Dataset.zip").write_bytes(b"PK")
    with pytest.raises(DamagedDataError, match="not a zip archive"):
        load("har", tmp_path)


def npz(path: Path, **arrays) -> Path:
    """Write twenty windows of persons 2 and 11; person 2's first channel is 10 times as large."""
    person = np.array(["2"] * 10 + ["11"] * 10)
    x = RNG.normal(size=(20, 16, 2)) * np.where(person == "2", 10.0, 1.0)[:, None, None] + 3
    made = {"x": x, "y": np.arange(20) % 2, "person": person.astype(int), **arrays}
    np.savez(path, **{name: value for name, value in made.items() if value is not None})
    return path


def test_normalisation_is_by_the_own_set_or_by_the_source(tmp_path):
    npz(tmp_path / "har.npz")
    scenario = load("har:2-11", tmp_path)
    for domain in (scenario.source[0], scenario.target):
        np.testing.assert_allclose(domain.x.mean(axis=(0, 1)), 0, atol=1e-5)
        np.testing.assert_allclose(domain.x.std(axis=(0, 1)), 1, rtol=1e-5)
    by_source = load("har:2-11", tmp_path, normalize="source")
    np.testing.assert_array_equal(by_source.source[0].x, scenario.source[0].x)
    assert 0.05 < by_source.target.x.std() < 0.2


def test_the_last_windows_of_each_activity_are_held_out(tmp_path):
    npz(tmp_path / "har.npz", y=np.array(["walk", "jog"] * 5 + ["walk"] * 9 + ["jog"]))
    with pytest.raises(DamagedDataError, match="activities such as 'jog'; expected walk, upstairs"):
        load("har:2-11", tmp_path)
    (tmp_path / "har.npz").rename(tmp_path / "wisdm.npz")
    whole = load("wisdm:2-11", tmp_path, normalize="none")
    scenario = load("wisdm:2-11", tmp_path, normalize="none", split="held_out")
    np.testing.assert_array_equal(scenario.source[0].x, whole.source[0].x[:8])  # one of 5 windows of each
    np.testing.assert_array_equal(scenario.validation.x, whole.source[0].x[8:])
    np.testing.assert_array_equal(scenario.test.x, whole.target.x[[7, 8]])  # 2 of 9, and none of the only one
    assert scenario.test.y.tolist() == [0, 0] and len(scenario.target) == 8


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"person": None}, "no array"),
        ({"person": np.arange(3)}, r"person of \(3,\); expected"),
        ({"y": np.full(20, 6)}, "no class indices from 0 to 5"),
        ({"y": np.full(20, 0.5)}, "no class indices"),
        ({"x": np.zeros((20, 4))}, r"x of \(20, 4\)"),
    ],
)
def test_other_arrays_are_told(tmp_path, arrays, words):
    npz(tmp_path / "har.npz", **arrays)
    with pytest.raises(DamagedDataError, match=words):
        load("har:2-11", tmp_path)


def test_wisdm_as_released(tmp_path, cache):
    """Walking, an activity too short for a window, jogging, and person 18; records that were spoilt are left out."""
    walk, stand, jog, other = (RNG.normal(size=(n, 3)).round(4) for n in (300, 5, 130, 200))
    lines = [f"7,Walking,0,{x},{y},{z};" for x, y, z in walk]
    lines += [f"7,Standing,1,{x},{y},{z};" for x, y, z in stand]
    lines += [f"7,Jogging,2,{x},{y},{z};" for x, y, z in jog]
    lines += [f"18,Upstairs,3,{x},{y},{z};" for x, y, z in other]
    lines[10] = lines[10] + lines[11]  # two in a line
    lines[11] = ""
    lines[20] = lines[20].replace(";", ",;")
    lines.insert(40, "7,Walking,123;")
    lines.insert(41, "7,Walking,123,1,,2;")
    (tmp_path / "wisdm").mkdir()
    path = tmp_path / "wisdm/WISDM_ar_v1.1_raw.txt"
    path.write_text("\n".join(lines) + "\n")
    scenario = load("wisdm:7-18", tmp_path, normalize="none")
    (source,), target = scenario.source, scenario.target
    assert source.y.tolist() == [0, 0, 0, 1] and scenario.test.y.tolist() == [4, 4]
    np.testing.assert_allclose(source.x[1], walk[64:192], rtol=1e-6)
    np.testing.assert_allclose(source.x[3], jog[:128], rtol=1e-6)
    np.testing.assert_allclose(target.x[1], other[64:192], rtol=1e-6)
    assert len(list(cache.glob("wisdm-128-64-*.npz"))) == 1
    assert len(load("wisdm:7-18", tmp_path, window=5, step=5).source[0]) == 60 + 1 + 26
    with pytest.raises(UsageError, match="step one from 1 on"):
        load("wisdm:7-18", tmp_path, step=0)
    path.write_text("\n".join([*lines, *(["7,Walking"] * 50)]))
    with pytest.raises(DamagedDataError, match="has 52 of 687 records that cannot be read"):
        load("wisdm:7-18", tmp_path)
    path.write_text("\n".join(lines[50:100]))
    with pytest.raises(DamagedDataError, match="no 128 records in a row"):
        load("wisdm:7-18", tmp_path)


def test_hhar_as_released(tmp_path):
    """Two phones of one person, whose records alternate in the file; another model; no activity."""
    header = "Index,Arrival_Time,Creation_Time,x,y,z,User,Model,Device,gt"
    first, second, other = (RNG.normal(size=(n, 3)).round(4) for n in (40, 40, 40))
    rows = []
    for one, two, three in zip(first, second, other, strict=True):
        for values, rest in ((one, "a,s3,s3_1,walk"), (two, "a,s3,s3_2,walk"), (three, "g,s3,s3_1,bike")):
            rows.append("0,1,2," + ",".join(map(str, values)) + "," + rest)
        rows += ["0,1,2,9,9,9,a,nexus4,nexus4_1,walk", "0,1,2,9,9,9,a,s3,s3_1,null"]
    path = tmp_path / "hhar/Activity recognition exp/Phones_accelerometer.csv"
    path.parent.mkdir(parents=True)
    # In the file a phone's activity is one stretch; what has no activity comes at its end.
    path.write_text("\n".join([header, *(row for row in rows if "null" not in row), *(r for r in rows if "null" in r)]))
    scenario = load("hhar:0-6", tmp_path, window=20, step=20, normalize="none")
    (source,), target = scenario.source, scenario.target
    np.testing.assert_allclose(source.x, [first[:20], first[20:], second[:20], second[20:]], rtol=1e-6)
    np.testing.assert_allclose(target.x, [other[:20], other[20:]], rtol=1e-6)
    assert source.y.tolist() == [3] * 4 and scenario.test.y.tolist() == [0, 0]
    with pytest.raises(DamagedDataError, match="no window of person 6; it has those of 0"):
        load("hhar:0-6", tmp_path, window=20, step=20, model="nexus4")
    path.write_text("x,y,z\n")
    with pytest.raises(DamagedDataError, match="has not the columns"):
        load("hhar:0-6", tmp_path)


def test_pairs_are_those_of_the_table_and_others_can_be_named():
    for kind, persons in ((Har, 30), (Wisdm, 36), (Hhar, 9)):
        assert len(kind.pairs()) == 10 and set(kind.pairs()) <= set(kind.further_pairs())
        assert len(kind.domains) == persons and kind.metric == "macro_f1"
    assert sum(Har.sizes.values()) == 10_299 and Har(pair="1-2").ends() == ("1", "2")
    with pytest.raises(UnknownNameError, match="two of 0, 1"):
        Hhar(pair="0-9")
