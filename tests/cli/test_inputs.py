"""What `predict` reads, and what it refuses."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

import tladapt
from tests.cli.toy import CLASSES, call
from tladapt.cli.inputs import read_inputs
from tladapt.errors import DamagedDataError, MissingDataError, UsageError

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4) / 10


@pytest.mark.parametrize("header", ["", "a,b,c,d\n", "\ufeffa,b,c,d\n", "# four numbers\n", "\n"])
def test_csv_with_and_without_a_header(tmp_path, header):
    path = tmp_path / "x.csv"
    path.write_text(header + "\n".join(",".join(map(str, row)) for row in ROWS.tolist()) + "\n\n", encoding="utf-8")
    names, x = read_inputs(path, (4,))
    assert names == ["0", "1"] and x.dtype == np.float32
    np.testing.assert_array_equal(x, ROWS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3,4\n1,x,3,4\n", "line 2, column 2: expected a number, got 'x'"),
        ("1,2,3,x\n", "line 1, column 4: expected a number"),  # no header: it has numbers
        ("1,2,3\n", "line 1 has 3 values; the run takes 4. Leave out"),
        ("a,b,c,d\n1,2,3,4,0\n", "line 2 has 5 values"),
        ("1,2,,4\n", "column 3: expected a number, got ''"),
        ("1,2,nan,4\n", "input 0 holds values that are not finite"),
        ("a,b,c,d\n", "holds no line of numbers"),
        ("", "holds no line of numbers"),
    ],
)
def test_csv_that_is_refused(tmp_path, text, words):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_inputs(path, (4,))


def test_csv_of_images_are_pixels_or_shares(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("0,255,7,1\n")
    assert read_inputs(path, (2, 2, 1)).x.dtype == np.uint8
    path.write_text("0,1,0.5,1\n")
    x = read_inputs(path, (2, 2, 1)).x
    assert x.dtype == np.float32 and x.shape == (1, 2, 2, 1)


def test_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=ROWS)
    assert read_inputs(path, (4,)).x.shape == (2, 4)
    np.savez(path, x=ROWS[0])  # one input
    assert read_inputs(path, (4,)).x.shape == (1, 4)
    np.savez(path, x=np.zeros((3, 5, 5), np.uint8))  # grey, without the channel
    assert read_inputs(path, (5, 5, 1)).x.shape == (3, 5, 5, 1)
    with pytest.raises(UsageError, match=r"takes inputs of shape \(4,\): x must be \[n, 4\], got \(3, 5, 5\)"):
        read_inputs(path, (4,))
    np.savez(path, y=ROWS)
    with pytest.raises(UsageError, match="no array 'x' of inputs, only y"):
        read_inputs(path, (4,))
    np.savez(path, x=np.array([{}]))
    with pytest.raises(DamagedDataError):
        read_inputs(path, (4,))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DamagedDataError, match=r"is not an \.npz file that can be read"):
        read_inputs(path, (4,))


def test_images(tmp_path):
    with pytest.raises(MissingDataError, match="holds no image"):
        read_inputs(tmp_path, (8, 8, 3))
    (tmp_path / "deep").mkdir()
    Image.new("L", (5, 9), 200).save(tmp_path / "deep" / "b.png")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    names, x = read_inputs(tmp_path, (8, 8, 3))
    assert [name.rsplit("/", 1)[1] for name in names] == ["a.png", "b.png"]
    assert x[0].shape == x[1].shape == (8, 8, 3)
    assert x[0][0, 0].tolist() == [1, 2, 3]
    with pytest.raises(UsageError, match=r"shape \(4,\), and .* is images"):
        read_inputs(tmp_path / "a.png", (4,))
    with pytest.raises(UsageError, match=r"cannot be read by its ending '\.txt'"):
        read_inputs(tmp_path / "notes.txt", (8, 8, 3))
    (tmp_path / "c.png").write_bytes(b"no picture")
    with pytest.raises(DamagedDataError, match=r"c\.png"):
        read_inputs(tmp_path, (8, 8, 3)).x[1]


def test_predictions_are_those_of_the_run(run, toy, tmp_path):
    x = np.load(toy)["test_x"]
    expected = tladapt.open_run(run.folder).predict_proba(x)
    np.savez(tmp_path / "x.npz", x=x)
    said = call("predict", str(run.folder), str(tmp_path / "x.npz"), "--out", str(tmp_path / "deep" / "p.csv"))
    assert said.status == 0 and said.out.startswith("45 predictions in ") and said.err == ""
    with open(tmp_path / "deep" / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "class", "label", "p(ant)", "p(bee)", "p(cat)"]
    np.testing.assert_allclose([[float(row[f"p({name})"]) for name in CLASSES] for row in rows], expected, rtol=1e-5)
    assert [row["label"] for row in rows] == [CLASSES[i] for i in expected.argmax(1)]

    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header="a,b,c,d", comments="")
    call("predict", str(run.folder), str(tmp_path / "x.csv"), "--out", str(tmp_path / "p.npz"), "--which", "chosen")
    with np.load(tmp_path / "p.npz") as found:
        assert found["label"].tolist() == [CLASSES[i] for i in found["class"]]
        assert found["classes"].tolist() == list(CLASSES)
        assert found["probabilities"].shape == (45, 3)


def test_texts_are_the_lines_of_a_file(tmp_path):
    (tmp_path / "reviews.txt").write_text("A good book.\n\n  It broke. \n")
    names, texts = read_inputs(tmp_path / "reviews.txt", (16,), texts=True)
    assert names == ["1", "3"] and list(texts) == ["A good book.", "It broke."]
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(UsageError, match=r"holds no text\. This run takes texts"):
        read_inputs(tmp_path / "empty.txt", (16,), texts=True)
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(UsageError, match=r"This run takes texts: a \.txt"):
        read_inputs(tmp_path / "x.csv", (16,), texts=True)


def test_pictures_are_cut_out_as_those_of_the_run(tmp_path):
    from PIL import Image

    x = np.zeros((20, 40, 3), np.uint8)
    x[:, 10:30] = 255  # the square in the middle
    Image.fromarray(x).save(tmp_path / "wide.png")
    _, square = read_inputs(tmp_path / "wide.png", (20, 20, 3))
    _, cut = read_inputs(tmp_path / "wide.png", (20, 20, 3), resize=20)
    assert cut[0].min() == 255 and square[0].min() == 0
