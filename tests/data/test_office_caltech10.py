"""Office-Caltech-10: small files of the released layout, and the real ones where TLADAPT_DATA names them."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tladapt.data import entry_type, load
from tladapt.data.catalogue import image_entry, images
from tladapt.data.catalogue.images import decode_cropped
from tladapt.data.catalogue.office_caltech10 import CLASSES, COUNTS, DOMAINS
from tladapt.data.catalogue.picture_files import find_pictures
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError

ZIP = "office_caltech10/office_caltech10_images_256.zip"
DATA, WEIGHTS = (os.environ.get(name, "") for name in ("TLADAPT_DATA", "TLADAPT_WEIGHTS"))
real = pytest.mark.skipif(not (DATA and Path(DATA, ZIP).exists()), reason=f"TLADAPT_DATA has no {ZIP}")
GOLDEN = "golden/mobilenetv2_100.npz"


def encoded(height: int, width: int, seed: int, mode: str = "RGB") -> bytes:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def root(tmp_path) -> Path:
    """A data directory with a zip archive of the released layout: one picture a class, two of DSLR's mugs."""
    (tmp_path / "office_caltech10").mkdir()
    with zipfile.ZipFile(tmp_path / ZIP, "w") as archive:
        archive.writestr("office_caltech10/manifest.csv", "domain,class,file\n")
        for place, domain in enumerate(DOMAINS):
            for index, label in enumerate(reversed(CLASSES)):
                content = encoded(12 + index, 20 - index, 10 * place + index, "L" if index == 3 else "RGB")
                archive.writestr(f"office_caltech10/{domain}/{label}/frame_0001.jpg", content)
        archive.writestr("office_caltech10/dslr/mug/frame_0000.jpg", encoded(30, 20, 99))
    return tmp_path


def small(root: Path, pair: str = "amazon-dslr", **options) -> object:
    return load(f"office-caltech10:{pair}", root, size=14, resize=16, verify=False, **options)


def test_all_of_a_pair_ordered_by_class_and_name(root):
    scenario = small(root)
    (source,), target, test = scenario.source, scenario.target, scenario.test
    assert scenario.name == "office-caltech10:amazon-dslr" and scenario.classes == CLASSES
    assert (source.name, target.name, test.name) == ("amazon", "dslr", "dslr")
    assert source.x.shape == (10, 14, 14, 3) and target.x.dtype == np.uint8
    np.testing.assert_array_equal(source.y, np.arange(10))
    np.testing.assert_array_equal(test.y, [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9])
    assert target.y is None and test.x is target.x  # transductive
    mugs = [decode_cropped(encoded(*form), resize=16, size=14) for form in ((30, 20, 99), (13, 19, 21))]
    np.testing.assert_array_equal(test.x[8:10], mugs)  # frame_0000 before frame_0001
    assert list(scenario.origin["files"]) == [str(root / ZIP)]


def test_the_pair_by_name_option_and_default(root):
    assert small(root, "webcam-caltech10").source[0].name == "webcam"
    by_option = load("office-caltech10", root, pair="dslr-amazon", size=14, verify=False)
    assert by_option.source[0].name == "dslr" and by_option.origin["options"]["pair"] == "dslr-amazon"
    assert load("office-caltech10?size=14&verify=no", root).name == "office-caltech10:amazon-webcam"
    assert load("office-caltech10:dslr-webcam?size=14&verify=no", root).target.shape == (14, 14, 3)
    assert len(entry_type("office-caltech10").pairs()) == 12
    again = load(by_option.origin["name"], root, **by_option.origin["options"])
    np.testing.assert_array_equal(again.target.x, by_option.target.x)


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("office-caltech10:amazon-webcm", {}, UnknownNameError, "two of amazon, .*Did you mean 'amazon-webcam'"),
        ("office-caltech10:amazon-amazon", {}, UnknownNameError, "no pair 'amazon-amazon'"),
        ("office-caltech10", {"pair": "zz"}, UnknownNameError, "Known: amazon-caltech10, .*webcam-dslr"),
        ("office-caltech:amazon-webcam", {}, UnknownNameError, "Did you mean 'office-caltech10'"),
        ("office-caltech10:amazon-dslr", {"pair": "dslr-amazon"}, UsageError, "names another"),
        ("digits-photo:amazon-dslr", {}, UsageError, "'digits-photo' is one problem"),
        ("office-caltech10", {"size": 2}, UsageError, "size is the side"),
        ("office-caltech10", {"size": 64, "resize": 32}, UsageError, r"size \(=64\).*resize \(=32\)"),
    ],
)
def test_what_cannot_be_loaded_is_said_before_files_are_looked_for(tmp_path, name, options, error, words):
    with pytest.raises(error, match=words):
        load(name, tmp_path, **options)


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (227, 256), (256, 256), (299, 342), (64, 73)])
def test_the_short_side_that_goes_with_a_size(size, resize):
    assert entry_type("office-caltech10")(size=size).resize == resize


@pytest.mark.parametrize("place", ["office_caltech10", "office_caltech10/images", "office_caltech_10"])
def test_unpacked_folders_give_the_same(root, place):
    expected = small(root)
    with zipfile.ZipFile(root / ZIP) as archive:
        archive.extractall(root / "unpacked")
    shutil.rmtree(root / "office_caltech10")
    shutil.copytree(root / "unpacked/office_caltech10", root / place)
    scenario = small(root)
    np.testing.assert_array_equal(scenario.source[0].x, expected.source[0].x)
    np.testing.assert_array_equal(scenario.target.x, expected.target.x)
    assert scenario.origin["files"] == {}


def test_pictures_beyond_memory_are_decoded_on_demand(root, monkeypatch):
    expected = small(root).target.x
    monkeypatch.setattr(images, "MEMORY_BYTES", 1000)
    x = small(root).target.x
    assert not isinstance(x, np.ndarray) and len(x) == 11
    np.testing.assert_array_equal(np.stack([x[i] for i in range(11)]), expected)


def test_a_missing_archive_says_what_where_from_and_where_to(tmp_path):
    with pytest.raises(MissingDataError) as caught:
        load("office-caltech10:amazon-webcam", tmp_path)
    for part in ("Office-Caltech-10", "github.com/LeoGautheron", str(tmp_path / "office_caltech10")):
        assert part in str(caught.value)


def test_another_archive_is_refused_unless_asked_for(root):
    with pytest.raises(DamagedDataError, match=r"expected sha256 35154104.*verify=False"):
        load("office-caltech10", root, size=14)
    small(root)


def test_numbers_of_pictures_are_checked(root, monkeypatch):
    monkeypatch.setattr(image_entry, "check_sha256", lambda *args: None)
    with pytest.raises(DamagedDataError, match="amazon/backpack has 1 pictures of 92"):
        load("office-caltech10", root, size=14)


def rewritten(path: Path, change) -> None:
    """Write an archive again with each name and content changed; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for old, content in members.items():
            if (member := change(old, content)) is not None:
                archive.writestr(*member)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c[: len(c) // 2], "truncated or not a zip archive"),
        (lambda c: b"<html>", "truncated or not a zip archive"),
        (lambda c: c[:400] + b"\0" * 200 + c[600:], r"damaged at office_caltech10/amazon/|cannot be"),
    ],
)
def test_damaged_archives_are_told(root, change, words):
    (root / ZIP).write_bytes(change((root / ZIP).read_bytes()))
    with pytest.raises(DamagedDataError, match=words):
        small(root)


def test_archives_of_something_else_are_told(root):
    rewritten(root / ZIP, lambda name, content: (name, content[:50] if "dslr/mug" in name else content))
    with pytest.raises(DamagedDataError, match=r"dslr/mug/frame_0000.jpg cannot be"):
        small(root)
    rewritten(root / ZIP, lambda name, content: (name.replace("amazon/mug", "amazon/cup"), content))
    with pytest.raises(DamagedDataError, match=r"not Office-Caltech-10: amazon has 'cup'"):
        small(root)
    rewritten(root / ZIP, lambda name, content: None if "/amazon/" in name else (name, content))
    with pytest.raises(DamagedDataError, match=r"no pictures amazon/CLASS/NAME.jpg"):
        small(root)


def test_a_centre_is_cut_out_of_a_picture_with_a_short_side_of_its_own():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (16, 25, 3), dtype=np.uint8)
    for picture, at in ((x, (slice(1, 15), slice(6, 20))), (x.swapaxes(0, 1), (slice(6, 20), slice(1, 15)))):
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6  # "turn it by 90 degrees": networks are evaluated without
        Image.fromarray(picture).save(file, "png", exif=exif)
        np.testing.assert_array_equal(decode_cropped(file.getvalue(), resize=16, size=14), picture[at])
    upright = decode_cropped(encoded(50, 20, 0), resize=16, size=16)  # 16 x 40, the middle 16 rows
    whole = Image.open(io.BytesIO(encoded(50, 20, 0))).resize((16, 40), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(upright, np.asarray(whole)[12:28])


@pytest.mark.skipif(not (WEIGHTS and Path(WEIGHTS, GOLDEN).exists()), reason=f"TLADAPT_WEIGHTS has no {GOLDEN}")
def test_the_photograph_of_the_reference_is_cut_to_the_bit():
    with np.load(Path(WEIGHTS, GOLDEN)) as golden:
        expected = golden["input/cat_720p.jpg"][0]
    x = decode_cropped(Path(WEIGHTS, "images/cat_720p.jpg"), resize=256, size=224)
    np.testing.assert_array_equal(x / np.float32(127.5) - np.float32(1), expected)


@real
def test_real_pictures(monkeypatch):
    monkeypatch.setattr(images, "MEMORY_BYTES", 0)  # decoded one by one, where asked for
    scenario = load("office-caltech10:dslr-webcam", DATA)
    (source,), test = scenario.source, scenario.test
    assert np.bincount(source.y).tolist() == list(COUNTS["dslr"]) and np.bincount(test.y).tolist() == [
        *(29, 21, 31, 27, 27),
        *(30, 43, 30, 27, 30),
    ]
    assert source.x[0].shape == (224, 224, 3) and test.x[294].dtype == np.uint8
    found = [find_pictures(Path(DATA, ZIP), (domain,)) for domain in DOMAINS]
    assert [len(files) for files in found] == [958, 1123, 157, 295]


@pytest.mark.slow
@real
def test_all_real_pictures_can_be_decoded_and_tell_the_classes_apart():
    from sklearn.linear_model import LogisticRegression

    scenario = load("office-caltech10:webcam-dslr", DATA)
    assert len(load("office-caltech10:caltech10-amazon", DATA).source[0]) == 1123

    def grey(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), 16, 14, 16, 14, 3).mean((2, 4, 5)).reshape(len(x), -1) / 255

    model = LogisticRegression(max_iter=500).fit(grey(scenario.source[0].x), scenario.source[0].y)
    # Whole grey pictures at 32 x 32 gave 45.9 %: this is about the same.
    assert 0.35 < model.score(grey(scenario.test.x), scenario.test.y) < 0.6
