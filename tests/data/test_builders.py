"""The TFDS builders: small files of the released layouts, and the real ones where TLADAPT_DATA names them."""

from __future__ import annotations

import bz2
import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
import tarfile
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from scipy.io import savemat

from tests.cli.toy import FAST, call
from tladapt.data import builders, load
from tladapt.data.builders import BUILDERS, Released, prepare
from tladapt.data.builders.fsdd import SPEAKERS
from tladapt.data.catalogue import amazon_reviews, digit_files, office_caltech10
from tladapt.data.catalogue.files import checksum, sha256
from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UnknownNameError, UsageError

RNG = np.random.default_rng(0)
SETS = (
    *("usps", "mnist_m", "office_caltech10/amazon", "office_caltech10/dslr", "office_caltech10_surf/dslr"),
    *(
        "fsdd/george",
        "fsdd/lucas",
        "amazon_reviews/books",
        "amazon_reviews/dvd",
        "amazon_text/dvd",
        "amazon_text/books",
    ),
)
WORDS = {"negative": "dreadful\nnicht schön", "positive": "fine"}


def png(shape: tuple[int, ...], kind: str = "png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def wav(n: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, n, "NONE", ""))
        out.writeframes(RNG.integers(-32768, 32768, n).astype("<i2").tobytes())
    return file.getvalue()


def archive(path: Path, members: dict[str, bytes], mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))


def digits(root: Path) -> None:
    (root / "usps").mkdir()
    members = {}
    for split, n in {"train": 12, "test": 5}.items():
        y = np.arange(n) % 10
        with h5py.File(root / "usps/usps.h5", "a") as file:
            file[f"{split}/data"], file[f"{split}/target"] = RNG.random((n, 256), np.float32), y.astype(np.int32)
        lines = [f"{i:08d}.png {label}\n" for i, label in enumerate(y)]
        members[f"mnist_m/mnist_m_{split}_labels.txt"] = "".join(lines).encode()
        members |= {f"mnist_m/mnist_m_{split}/{i:08d}.png": png((32, 32, 3)) for i in range(n)}
    archive(root / "mnist_m/mnist_m.tar.gz", members, "w:gz")


def office(root: Path) -> None:
    (root / "office_caltech10/surf").mkdir(parents=True)
    with zipfile.ZipFile(root / "office_caltech10/office_caltech10_images_256.zip", "w") as out:
        for domain in office_caltech10.DOMAINS:
            for place, label in enumerate(office_caltech10.CLASSES):
                shape = (20 + place, 16, 3) if place else (20, 16)  # the first is grey
                out.writestr(f"office_caltech10/{domain}/{label}/frame_1.jpg", png(shape, "jpeg"))
    for domain in office_caltech10.DOMAINS:
        arrays = {"fts": RNG.integers(0, 9, (11, 800)).astype(np.uint8), "labels": np.arange(11)[:, None] % 10 + 1}
        savemat(root / f"office_caltech10/surf/{domain}.mat", arrays)


def texts(root: Path) -> None:
    folder = root / "amazon_reviews/dann_svmlight"
    folder.mkdir(parents=True)
    members = {}
    for place, domain in enumerate(amazon_reviews.DOMAINS):
        for split in ("train", "test"):
            lines = "".join(f"{(-1) ** i} {i}:{place + 1} 4999:84\n" for i in range(3 + place))
            (folder / f"{domain}_{split}.svmlight.bz2").write_bytes(bz2.compress(lines.encode()))
        for label, words in WORDS.items():
            reviews = "".join(
                f"<review><title>{domain} {i}</title><review_text>{words}</review_text></review>" for i in range(4)
            )
            name = "kitchen_&_housewares" if domain == "kitchen" else domain
            members[f"sorted_data_acl/{name}/{label}.review"] = reviews.encode()
    archive(root / "amazon_reviews/sorted_data_acl_labeled.tar.xz", members, "w:xz")


def sounds(root: Path) -> None:
    names = [f"{digit}_{speaker}_{i}.wav" for speaker in SPEAKERS for digit in (3, 0) for i in (10, 5, 4)]
    files = {f"recordings/{name}": wav(40 + 3 * place) for place, name in enumerate(names)}
    archive(root / "fsdd/fsdd_recordings.tar.xz", files, "w:xz")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with small sets as released, and what was prepared from them beside them."""
    root = tmp_path_factory.mktemp("data")
    for make in (digits, office, texts, sounds):
        make(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TLADAPT_CACHE", str(root / "cache"))
        patch.delenv("TFDS_DATA_DIR", raising=False)
        patch.setitem(sys.modules, "importlib_resources", None)  # TFDS does not require it
        for name in SETS:
            (made,) = prepare(name, root, verify=False)
            assert made.name == name and not made.was_there
        yield root


def rows(name: str, root: Path, split: str = "train") -> list[dict[str, Any]]:
    """Return the examples of a prepared set in the released order, as TFDS reads them by name."""
    source = tfds.data_source(name, split=split, data_dir=str(root / "tensorflow_datasets"))
    found = sorted((source[i] for i in range(len(source))), key=lambda row: row["index"])
    assert [row["index"] for row in found] == list(range(len(found)))
    return found


def check_digits(root: Path, verify: bool) -> None:
    """Read USPS and MNIST-M back and compare them with what the catalogue reads."""
    usps = digit_files.read_usps(root / "usps/usps.h5", verify=verify)
    mnist_m = digit_files.read_mnist_m(root / "mnist_m/mnist_m.tar.gz")
    for split in ("train", "test"):
        for name, read in (("usps", usps[split]), ("mnist_m", mnist_m[split])):
            back = rows(name, root, split)
            np.testing.assert_array_equal([row["label"] for row in back], read.y)
            if name == "usps":
                np.testing.assert_array_equal(np.stack([row["grey"] for row in back]), read.x)
            x = read.x if name == "mnist_m" else np.rint(255 * read.x).astype(np.uint8)[..., None]
            np.testing.assert_array_equal(np.stack([row["image"] for row in back]), x)


def check_office(root: Path, verify: bool) -> None:
    """Read pictures and SURF of DSLR back."""
    size = {"size": 14, "resize": 16, "verify": verify}
    scenario = load("office-caltech10:amazon-dslr", root, **size)
    back = load(
        "tfds:office_caltech10/amazon", root, target="tfds:office_caltech10/dslr", size=14, resize=16, channels=3
    )
    order = [[row["index"] for row in in_order(f"office_caltech10/{name}", root)] for name in ("amazon", "dslr")]
    np.testing.assert_array_equal(back.source[0].x, scenario.source[0].x[order[0]])
    np.testing.assert_array_equal(back.source[0].y, scenario.source[0].y[order[0]])
    np.testing.assert_array_equal(back.target.x, scenario.target.x[order[1]])
    surf = load("office-caltech10-surf:dslr-amazon", root, normalize="none", verify=verify).source[0]
    back = rows("office_caltech10_surf/dslr", root)
    np.testing.assert_array_equal([row["counts"] for row in back], surf.x)
    np.testing.assert_array_equal([row["label"] for row in back], surf.y)


def in_order(name: str, root: Path, split: str = "train") -> list[dict[str, Any]]:
    """Return the examples in the order of the files."""
    source = tfds.data_source(name, split=split, data_dir=str(root / "tensorflow_datasets"))
    return [source[i] for i in range(len(source))]


def check_reviews(root: Path, verify: bool) -> None:
    """Read word counts and texts back, of books as source and of the DVDs as target."""
    scenario = load("amazon-reviews:books-dvd", root, verify=verify)
    parts = {"books": (scenario.source[0], "train"), "dvd": (scenario.oracle().source[0], "train")}
    for name, (domain, split) in (*parts.items(), ("dvd", (scenario.test, "test"))):
        back = rows(f"amazon_reviews/{name}", root, split)
        np.testing.assert_array_equal([row["counts"] for row in back], domain.x)
        np.testing.assert_array_equal([row["label"] for row in back], domain.y)
    text = load("amazon-text:dvd-books", root, verify=verify).source[0]
    back = rows("amazon_text/dvd", root)
    assert [row["text"].decode() for row in back] == list(text.x)
    np.testing.assert_array_equal([row["label"] for row in back], text.y)


def check_sounds(root: Path, speaker: str) -> int:
    """Read the recordings of a speaker back and compare them with the wav files; return how many there are."""
    found = [*rows(f"fsdd/{speaker}", root, "train"), *rows(f"fsdd/{speaker}", root, "test")]
    files = {f"{row['label']}_{speaker}_{row['number']}.wav": row for row in found}
    assert len(files) == len(found)
    with tarfile.open(root / "fsdd/fsdd_recordings.tar.xz") as recordings:
        for member in recordings:
            if (row := files.pop(Path(member.name).name, None)) is None:
                assert f"_{speaker}_" not in member.name
                continue
            content = recordings.extractfile(member)
            assert content is not None
            with wave.open(content) as file:
                np.testing.assert_array_equal(row["audio"], np.frombuffer(file.readframes(10**6), "<i2"))
            assert row["audio"].dtype == np.int16 and SPEAKERS[row["speaker"]] == speaker
    assert not files
    assert all(row["number"] < 5 for row in found[-len(rows(f"fsdd/{speaker}", root, "test")) :])
    return len(found)


def test_what_was_prepared_is_what_the_catalogue_reads(root):
    check_digits(root, verify=False)
    check_office(root, verify=False)
    check_reviews(root, verify=False)
    assert check_sounds(root, "george") == 6
    assert "tensorflow" not in sys.modules


def test_the_metadata_names_the_files_and_their_checksums(root):
    info = tfds.builder("usps", data_dir=str(root / "tensorflow_datasets")).info
    assert info.metadata["sources"] == {"usps.h5": sha256(root / "usps/usps.h5")}
    assert info.splits["test"].num_examples == 5 and "envelopes" in info.description
    written = json.loads((root / "tensorflow_datasets/amazon_reviews/dvd/1.0.0/metadata.json").read_text())
    assert set(written["sources"]) == {"dvd_train.svmlight.bz2", "dvd_test.svmlight.bz2"}


def test_a_folder_of_files_has_a_checksum_of_names_and_contents(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_text("x")
    assert checksum(tmp_path / "a") == checksum(tmp_path / "b")
    (tmp_path / "b/1").rename(tmp_path / "b/2")
    assert checksum(tmp_path / "a") != checksum(tmp_path / "b")
    (tmp_path / "a/1").rename(tmp_path / "a/2")
    (tmp_path / "a/2").write_text("y")
    assert checksum(tmp_path / "a") != checksum(tmp_path / "b")


def test_a_second_call_says_that_the_set_is_there(root):
    folder = root / "tensorflow_datasets/usps/1.0.0"
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    (made,) = prepare("usps", root, verify=False)
    assert made == ("usps", folder, {"train": 12, "test": 5}, True)
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    said = call("data", "prepare", "usps", "--data-dir", str(root))
    assert said.status == 0 and f"tfds:usps is there already: {folder} (train 12, test 5)" in said.out


def test_the_command_makes_every_config_and_says_where(root, tmp_path):
    said = call(
        *("data", "prepare", "office-caltech10-surf", "--data-dir", root, "--out", tmp_path, "--no-verify"),
    )
    assert said.status == 0 and said.out.count("was made") == 4
    assert f"tfds:office_caltech10_surf/webcam was made: {tmp_path}/office_caltech10_surf/webcam/1.0.0" in said.out
    assert f"Say TFDS_DATA_DIR={tmp_path} for tfds:office_caltech10_surf/amazon to be found there." in said.out
    assert "preparing" in said.err and "office_caltech10_surf/dslr train" in said.err
    said = call("data", "prepare", "office_caltech10_surf/dslr", "--data-dir", root, "--out", tmp_path, "--json")
    assert json.loads(said.out)[0]["was_there"] is True and not said.err


def test_tfds_makes_a_set_by_its_name(root, tmp_path, monkeypatch):
    monkeypatch.setenv("TLADAPT_DATA", str(root))
    option = {"file_format": "array_record", "verify": False}
    tfds.builder("usps", data_dir=str(tmp_path / "a"), **option).download_and_prepare()
    monkeypatch.delenv("TLADAPT_DATA")
    surf = tfds.builder("office_caltech10_surf/webcam", data_dir=str(tmp_path / "a"), **option)
    with pytest.raises(MissingDataError, match=r"the TFDS set 'office_caltech10_surf' needs files"):
        surf.download_and_prepare()
    surf.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(root)))
    assert len(tfds.data_source("office_caltech10_surf/webcam", split="train", data_dir=str(tmp_path / "a"))) == 11
    source = tfds.data_source("usps", split="train[:50%]", data_dir=str(tmp_path / "a"))
    assert len(source) == 6 and source[0]["image"].shape == (16, 16, 1)


def interrupted(done: int, total: int, what: str) -> None:
    if what.endswith("test"):
        raise KeyboardInterrupt


def test_nothing_half_made_is_left(root, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepare("usps", root, tmp_path, verify=False, watcher=interrupted)
    assert list(tmp_path.iterdir()) == []
    half = tmp_path / "fsdd/theo/incomplete.ABCDEF_1.0.0"  # as TFDS leaves it when it is killed
    half.mkdir(parents=True)
    (half / "fsdd-train.array_record-00000-of-00001").touch()
    prepare("fsdd/lucas", root, tmp_path, verify=False)
    assert {path.name for path in (tmp_path / "fsdd").iterdir()} == {"lucas", ".config"}


@pytest.mark.slow
def test_a_killed_call_leaves_nothing_that_the_next_one_keeps(root, tmp_path):
    program = (
        "import os, sys; from tladapt.data.builders import prepare;"
        "prepare('usps', sys.argv[1], sys.argv[2], verify=False, watcher=lambda *_: os._exit(9))"
    )
    done = subprocess.run([sys.executable, "-c", program, root, tmp_path], check=False)
    assert done.returncode == 9 and list(tmp_path.glob("usps/incomplete.*"))
    with pytest.raises(MissingDataError):
        load("tfds:usps", tmp_path, target="tfds:usps")
    (made,) = prepare("usps", root, tmp_path, verify=False)
    assert not made.was_there and not list(tmp_path.glob("usps/incomplete.*"))
    probe = "import sys, tladapt.data.builders; print('tensorflow' in sys.modules, 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_mistakes_in_words(root, tmp_path):
    with pytest.raises(UnknownNameError, match=r"no builder 'usp'\. Did you mean 'usps'"):
        prepare("usp", root, tmp_path)
    with pytest.raises(UnknownNameError, match=r"TFDS has 'mnist' itself: .*array_record.*tfds:mnist"):
        prepare("mnist", root, tmp_path)
    with pytest.raises(UnknownNameError, match=r"fsdd has no config 'teo'\. Did you mean 'theo'"):
        prepare("fsdd/teo", root, tmp_path)
    with pytest.raises(DamagedDataError, match=r"usps\.h5 can be read but is not the released file"):
        prepare("usps", root, tmp_path)
    with pytest.raises(DamagedDataError, match="has 36 recordings that are not the released ones"):
        prepare("fsdd/theo", root, tmp_path)
    (tmp_path / "empty").mkdir()
    said = call("data", "prepare", "usps", "--data-dir", tmp_path / "empty", "--out", tmp_path / "out")
    assert said.status == 2 and "usps.h5" in said.err and "get it from: https" in said.err
    assert not (tmp_path / "out/usps").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file cannot be written .*--out DIR"):
        prepare("usps", root, tmp_path / "file")
    said = call("data", "prepar")
    assert said.status == 2 and "Did you mean 'prepare'" in said.err
    with pytest.raises(MissingDataError, match=r"Prepare it first, from the released files: tladapt data prepare usps"):
        load("tfds:usps", tmp_path, target="tfds:mnist_m")


def test_without_array_record_its_name_is_said(root, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "array_record" else found(name))
    with pytest.raises(MissingPackageError, match=r"preparing usps needs array_record.*pip install array_record"):
        prepare("usps", root)
    with pytest.raises(MissingPackageError, match=r"tfds:usps needs array_record"):
        load("tfds:usps", root, target="tfds:mnist_m", size=16)


def test_a_name_that_tfds_has_stays_its_own(caplog):
    theirs = tfds.builder_cls("mnist")
    with caplog.at_level(logging.WARNING):

        class Mnist(Released):
            """Ours."""

    assert "TFDS has a set 'mnist' already" in caplog.text
    assert Mnist.name == "mnist" and tfds.builder_cls("mnist") is theirs
    assert all(tfds.builder_cls(name) is builder for name, builder in BUILDERS.items())
    assert set(builders.__all__) <= set(dir(builders))


def test_sets_of_numbers_texts_and_sounds_are_problems(root):
    surf = load("tfds:amazon_reviews/books", root, target="tfds:amazon_reviews/dvd")
    assert surf.source[0].x.dtype == np.float32 and surf.target.shape == (5000,) and surf.test.name.endswith("test")
    assert surf.source[0].x.max() == 84 and surf.classes == ("negative", "positive")
    text = load("tfds:amazon_text/books", root, target="tfds:amazon_text/dvd")
    assert text.source[0].is_text and sorted(text.target.x)[0] == "dvd 0\ndreadful\nnicht schön"
    sound = load("tfds:fsdd/george,tfds:fsdd/lucas", root, target="tfds:fsdd/george", source_split="test")
    longest = max(len(row["audio"]) for row in rows("fsdd/george", root))
    assert [domain.name for domain in sound.source] == ["fsdd/george", "fsdd/lucas"]
    assert sound.source[0].shape == sound.target.shape and sound.target.shape[0] >= longest
    first = in_order("fsdd/george", root)[0]["audio"]
    np.testing.assert_array_equal(sound.target.x[0, : len(first)], first / np.float32(32768))
    assert not sound.target.x[0, len(first) :].any() and np.abs(sound.target.x).max() <= 1
    short = load("tfds:fsdd/george", root, target="tfds:fsdd/lucas", length=10, label_key="speaker")
    assert short.target.shape == (10,) and set(short.test.y) == {2} and short.classes == SPEAKERS
    made_from = short.origin["made_from"]["fsdd/lucas"]
    assert made_from == {"fsdd_recordings.tar.xz": sha256(root / "fsdd/fsdd_recordings.tar.xz")}
    folder = root / "tensorflow_datasets/fsdd/lucas/1.0.0"
    assert short.origin["files"][str(folder)] == checksum(folder)
    json.dumps(short.origin)


def test_sets_that_do_not_fit_together_are_refused(root):
    with pytest.raises(UsageError, match=r"tfds:usps has pictures, and tfds:amazon_text/dvd texts"):
        load("tfds:usps", root, target="tfds:amazon_text/dvd")
    with pytest.raises(UsageError, match=r"fsdd has several configs; say one of tfds:fsdd/george, tfds:fsdd/lucas\."):
        load("tfds:fsdd", root, target="tfds:usps")
    with pytest.raises(UsageError, match=r"resize \(=8\).*size \(=16\)"):
        load("tfds:usps", root, target="tfds:mnist_m", size=16, resize=8)
    with pytest.raises(UsageError, match=r"validation_split goes with one source"):
        load("tfds:usps,tfds:mnist_m", root, target="tfds:usps", size=16, validation_split="test")
    with pytest.raises(UsageError, match=r"'number' .* is no picture, no text"):
        load("tfds:fsdd/george", root, target="tfds:fsdd/lucas", input_key="number")


def test_digits_of_two_sets_are_a_problem(root):
    scenario = load("tfds:usps", root, target="tfds:mnist_m", size=16)
    assert [len(domain) for domain in (*scenario.source, scenario.target, scenario.test)] == [12, 12, 5]
    assert scenario.classes == tuple("0123456789") and scenario.source[0].shape == (16, 16, 3)


@pytest.mark.slow
def test_a_run_on_two_prepared_sets(root, tmp_path):
    said = call(
        *("train", "--data", "tfds:usps", "--data.target", "tfds:mnist_m", "--data.size", "16", "--data-dir", root),
        *("--backbone", "mlp", "--backbone.widths", "8", "--method", "source_only", "--out", tmp_path / "run", *FAST),
    )
    assert said.status == 0, said.err
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["scenario"]["name"] and (tmp_path / "run/summary.json").is_file()


REAL = Path(os.environ.get("TLADAPT_DATA", "nowhere"))
CHECKS = {
    "mnist_m/mnist_m.tar.gz": (("usps", "mnist_m"), lambda root: check_digits(root, verify=True)),
    "office_caltech10/office_caltech10_images_256.zip": (
        ("office_caltech10", "office_caltech10_surf"),
        lambda root: check_office(root, verify=True),
    ),
    "fsdd/fsdd_recordings.tar.xz": (
        ("fsdd",),
        lambda root: [check_sounds(root, speaker) for speaker in SPEAKERS] == [500] * 6 or pytest.fail("not 500 each"),
    ),
    "amazon_reviews/sorted_data_acl_labeled.tar.xz": (
        ("amazon_reviews", "amazon_text"),
        lambda root: check_reviews(root, verify=True),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("file", CHECKS)
def test_real_files_read_back_equal(file, tmp_path, monkeypatch):
    if not (REAL / file).exists():
        pytest.skip(f"TLADAPT_DATA ({REAL}) has no {file}")
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    root = tmp_path / "data"  # the real files, and what is prepared from them beside
    root.mkdir()
    for folder in REAL.iterdir():
        (root / folder.name).symlink_to(folder)
    names, check = CHECKS[file]
    for name in names:
        assert not any(made.was_there for made in prepare(name, root))
    check(root)
