"""Amazon reviews as counts and as text: small files of the released layouts, and the real ones by TLADAPT_DATA."""

from __future__ import annotations

import bz2
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tladapt.data import Texts, load
from tladapt.data.catalogue.amazon_reviews import DOMAINS
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError

REAL = os.environ.get("TLADAPT_DATA", "")
COUNTS, TEXT = "amazon_reviews/dann_svmlight", "amazon_reviews/sorted_data_acl_labeled.tar.xz"
real_counts = pytest.mark.skipif(
    not (REAL and Path(REAL, COUNTS, "books_test.svmlight.bz2").exists()), reason=f"TLADAPT_DATA has no {COUNTS}"
)
real_text = pytest.mark.skipif(not (REAL and Path(REAL, TEXT).exists()), reason=f"TLADAPT_DATA has no {TEXT}")

LINES = {
    "books_train": ["-1 0:1 4999:3", "1 1:2"],
    "dvd_train": ["1 0:4", "-1 2:1 3:1", "1 0:1"],
    "dvd_test": ["1 5:7", "-1 0:2"],
}


@pytest.fixture
def counts(tmp_path) -> Path:
    """A data directory with the word counts of books and dvd, a few lines each."""
    folder = tmp_path / COUNTS
    folder.mkdir(parents=True)
    for name, lines in LINES.items():
        (folder / f"{name}.svmlight.bz2").write_bytes(bz2.compress("\n".join([*lines, ""]).encode()))
    return tmp_path


def dense(*entries: tuple[int, int, float], rows: int) -> np.ndarray:
    x = np.zeros((rows, 5000), np.float32)
    for row, column, value in entries:
        x[row, column] = value
    return x


def test_counts_of_a_pair(counts):
    scenario = load("amazon-reviews:books-dvd", counts, verify=False)
    (source,), target, test = scenario.source, scenario.target, scenario.test
    assert scenario.name == "amazon-reviews:books-dvd" and scenario.classes == ("negative", "positive")
    assert (source.name, target.name, test.name) == ("books", "dvd", "dvd test")
    np.testing.assert_array_equal(source.x, dense((0, 0, 1), (0, 4999, 3), (1, 1, 2), rows=2))
    np.testing.assert_array_equal(test.x, dense((0, 5, 7), (1, 0, 2), rows=2))
    assert target.x.dtype == np.float32 and len(target) == 3 and target.y is None
    np.testing.assert_array_equal(source.y, [0, 1])
    np.testing.assert_array_equal(test.y, [1, 0])
    np.testing.assert_array_equal(scenario.oracle().source[0].y, [1, 0, 1])
    assert len(scenario.origin["files"]) == 3


def test_transforms(counts):
    def inputs(transform: str) -> list[np.ndarray]:
        scenario = load("amazon-reviews", counts, pair="books-dvd", transform=transform, verify=False)
        return [scenario.source[0].x, scenario.target.x, scenario.test.x]

    raw = inputs("none")
    for name, function in (("log", np.log1p), ("sqrt", np.sqrt), ("binary", np.sign)):
        for x, counted in zip(inputs(name), raw, strict=True):
            assert x.dtype == np.float32
            np.testing.assert_allclose(x, function(counted), rtol=1e-6)
    from sklearn.feature_extraction.text import TfidfTransformer

    fitted = TfidfTransformer().fit(np.concatenate(raw[:2]))  # the test reviews are not seen
    for x, counted in zip(inputs("tfidf"), raw, strict=True):
        assert x.dtype == np.float32
        np.testing.assert_allclose(x, fitted.transform(counted).toarray(), rtol=1e-5)


def test_only_the_files_of_the_pair_are_asked_for_unpacked_ones_will_do(counts):
    with pytest.raises(MissingDataError) as caught:
        load("amazon-reviews:dvd-kitchen", counts)
    words = str(caught.value)
    for part in ("kitchen_train.svmlight.bz2", "kitchen_test.svmlight.bz2", "GRAAL-Research", str(counts / COUNTS)):
        assert part in words
    assert "books" not in words and "dvd_train" not in words
    expected = load("amazon-reviews:books-dvd", counts, verify=False).test.x
    for file in list((counts / COUNTS).iterdir()):
        (counts / "amazon_reviews" / file.stem).write_bytes(bz2.decompress(file.read_bytes()))
        file.unlink()
    np.testing.assert_array_equal(load("amazon-reviews:books-dvd", counts, verify=False).test.x, expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bz2.compress(b"1 0:1\n" * 2000)[:-9], "truncated or not a bzip2"),
        (b"<html>", "truncated or not a bzip2"),
        (bz2.compress(b"1 5000:1\n"), "not the svmlight file"),
        (bz2.compress(b"1 nothing\n"), "not the svmlight file"),
        (bz2.compress(b"2 0:1\n"), r"labels such as \[2.0\]; expected -1 and 1"),
        (bz2.compress(b""), "not the svmlight file|labels such as"),
    ],
)
def test_damaged_counts_are_told(counts, content, words):
    path = counts / COUNTS / "dvd_test.svmlight.bz2"
    path.write_bytes(content)
    with pytest.raises(DamagedDataError, match=words) as caught:
        load("amazon-reviews:books-dvd", counts, verify=False)
    assert str(path) in str(caught.value)


def test_other_counts_are_refused_unless_asked_for(counts):
    with pytest.raises(DamagedDataError, match=r"expected sha256 6a30d58e.*verify=False"):
        load("amazon-reviews:books-dvd", counts)


def review(title: str, text: str, rating: float) -> str:
    fields = f"<unique_id>\n1\n</unique_id>\n<rating>\n{rating}\n</rating>\n<title>\n{title}\n</title>\n"
    return f"<review>\n{fields}<review_text>\n{text}\n\n</review_text>\n</review>\n"


def write_texts(folder: Path, kind: str) -> None:
    """Write two reviews of each class and domain, and a copy of books' first negative one, as released."""
    members = {}
    for name in ("books", "dvd", "electronics", "kitchen_&_housewares"):
        for label, stars in (("negative", 1.0), ("positive", 5.0)):
            found = [review(f"{name} {label} {i}", f"It is\n{i} & caf\u00e9.", stars) for i in (0, 1)]
            if name == "books":  # one text twice in a class, one in both classes
                found += (
                    found[:1] if label == "negative" else [review("books negative 1", "It is\n1 & caf\u00e9.", 5.0)]
                )
            members[f"{name}/{label}.review"] = "".join(found).encode("latin-1" if name == "dvd" else "utf-8")
        members[f"{name}/unlabeled.review"] = b"<review></review>"
    if kind == "folder":
        for name, content in members.items():
            (folder / "sorted_data_acl" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "sorted_data_acl" / name).write_bytes(content)
        return
    folder.mkdir(parents=True, exist_ok=True)
    path, top = (
        (folder / "sorted_data_acl_labeled.tar.xz", "") if kind == "xz" else
        (folder / "domain_sentiment_data.tar.gz", "sorted_data_acl/")
    )  # fmt: skip
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("kind", ["xz", "gz", "folder"])
def test_texts_of_a_pair_in_each_layout(tmp_path, kind):
    write_texts(tmp_path / "amazon_reviews", kind)
    scenario = load("amazon-text:dvd-kitchen", tmp_path, verify=False)
    (source,), target = scenario.source, scenario.target
    assert isinstance(source.x, Texts) and source.shape == () and scenario.test.x is target.x
    assert list(source.x) == [
        f"dvd {label} {i}\nIt is\n{i} & caf\u00e9." for label in ("negative", "positive") for i in (0, 1)
    ]
    np.testing.assert_array_equal(source.y, [0, 0, 1, 1])
    assert target.x[3].startswith("kitchen_&_housewares positive 1\n") and "5.0" not in target.x[3]
    assert len(scenario.origin["files"]) == (kind != "folder")


def test_limits_and_repeated_texts(tmp_path):
    write_texts(tmp_path / "amazon_reviews", "xz")

    def books(**options) -> tuple[list[str], list[int]]:
        (source,) = load("amazon-text:books-dvd", tmp_path, verify=False, **options).source
        return [text.split("\n")[0][6:] for text in source.x], source.y.tolist()

    all_titles = ["negative 0", "negative 1", "negative 0", "positive 0", "positive 1", "negative 1"]
    assert books() == (all_titles, [0, 0, 0, 1, 1, 1])
    assert books(deduplicate=True)[0] == ["negative 0", "negative 1", "positive 0", "positive 1"]
    assert books(limit=1) == (["negative 0", "positive 0"], [0, 1])
    assert books(limit="2", deduplicate="yes")[1] == [0, 0, 1, 1]
    with pytest.raises(UsageError, match="limit is a number of reviews"):
        books(limit=0)


def test_damaged_missing_and_other_texts_are_told(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'dvd-kitchen'"):
        load("amazon-text:dvd-kitchn", tmp_path)
    with pytest.raises(MissingDataError, match=r"domain_sentiment_data.tar.gz\n.*jhu.edu"):
        load("amazon-text", tmp_path)
    folder = tmp_path / "amazon_reviews"
    write_texts(folder, "xz")
    with pytest.raises(DamagedDataError, match=r"expected sha256 42086d68.*verify=False"):
        load("amazon-text", tmp_path)
    path = folder / "sorted_data_acl_labeled.tar.xz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedDataError, match="truncated or not a tar archive"):
        load("amazon-text", tmp_path, verify=False)
    path.unlink()
    write_texts(folder, "folder")
    with pytest.raises(DamagedDataError, match=r"books/negative.review has 3 reviews, not 1000"):
        load("amazon-text", tmp_path)
    (folder / "sorted_data_acl/dvd/positive.review").unlink()
    with pytest.raises(DamagedDataError, match=r"incomplete: dvd/positive.review is not in it"):
        load("amazon-text", tmp_path, verify=False)


@real_counts
def test_real_counts():
    from sklearn.linear_model import LogisticRegression

    scenario = load("amazon-reviews:dvd-books", REAL)
    (source,), target, test = scenario.source, scenario.target, scenario.test
    assert (len(source), len(target), len(test)) == (2000, 2000, 4465)
    assert np.bincount(source.y).tolist() == [1000, 1000] and np.bincount(test.y).tolist() == [2201, 2264]
    assert source.x.max() <= 84 and 63 < (source.x > 0).sum(axis=1).mean() < 93
    from scipy.sparse import csr_matrix

    model = LogisticRegression(C=0.05, max_iter=500).fit(csr_matrix(source.x), source.y)
    assert abs(model.score(csr_matrix(test.x), test.y) - 0.739) < 0.002  # as found with the files


@real_text
def test_real_texts():
    for pair, repeated in (("books-kitchen", (44, 22)), ("electronics-dvd", (34, 46))):
        scenario = load(f"amazon-text:{pair}", REAL)
        for domain, again in zip((scenario.source[0], scenario.target), repeated, strict=True):
            assert len(domain) == 2000 and len(set(domain.x)) == 2000 - again
            assert all(text.strip() for text in domain.x)
        assert np.bincount(scenario.source[0].y).tolist() == [1000, 1000]
    assert set(DOMAINS) == {"books", "dvd", "electronics", "kitchen"}
