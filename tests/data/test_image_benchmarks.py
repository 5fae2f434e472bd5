"""Benchmarks of released pictures: small files of each documented layout, found, split, read and refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tladapt.data import SCENARIOS, entry_type, load
from tladapt.data.catalogue import imagenet_shifts, images, picture_files
from tladapt.data.catalogue.image_entry import ImageEntry
from tladapt.data.catalogue.images import decode_cropped
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError

SMALL = {"size": 8, "resize": 9}


def picture(seed: int, height: int = 11, width: int = 9) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def fill(folder: Path, names: list[str], *, seed: int = 0) -> None:
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(seed + place))


# Benchmark -> pair, folder of the source and of the target, and the source's and the target's first two class folders.
LAYOUTS = {
    "office31": ("amazon-dslr", "office31/amazon/images", "office31/dslr/images", ("back_pack", "bike")),
    "office31 plain": ("amazon-dslr", "Office-31/amazon", "Office-31/dslr", ("back_pack", "bike")),
    "office-home": ("art-real_world", "OfficeHomeDataset_10072016/Art", "OfficeHomeDataset_10072016/Real World", None),
    "office-home tll": ("art-real_world", "office-home/Art", "office-home/Real_World", None),
    "office-home renamed": ("product-real_world", "OfficeHome/Product", "OfficeHome/RealWorld", None),
    "pacs": ("photo-sketch", "PACS/kfold/photo", "PACS/kfold/sketch", None),
    "pacs plain": ("photo-sketch", "PACS/photo", "PACS/sketch", None),
    "domainnet": ("real-sketch", "domainnet/real", "domainnet/sketch", None),
    "vlcs": ("pascal-sun", "VLCS/VOC2007", "VLCS/SUN09", None),
    "terra-incognita": ("location_38-location_100", "terra_incognita/location_38", "TerraIncognita/location_100", None),
    "visda2017": ("", "visda-2017/train", "visda-2017/validation", ("aeroplane", "train")),
    "imagenet-r": ("", "imagenet/train", "imagenet-r", None),
    "imagenet-sketch": ("", "ILSVRC/Data/CLS-LOC/train", "imagenet-sketch/sketch", None),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_each_layout_is_found_and_all_pictures_are_in_order(tmp_path, layout):
    pair, source_folder, target_folder, labels = LAYOUTS[layout]
    name = layout.split(" ")[0]
    kind = entry_type(name)
    one, two = labels or kind.classes[:2]
    places = [f"{two}/b.JPEG", f"{one}/z.jpg", f"{one}/a.png", f"{two}/readme.txt", f"{two}/.hidden.jpg"]
    fill(tmp_path / source_folder, places)
    fill(tmp_path / target_folder, [f"{two}/only.jpg", ".cache/no.jpg"], seed=9)
    (tmp_path / source_folder / "list.txt").write_text("")
    if name == "visda2017":
        for folder, listed in (
            (source_folder, [places[1], places[0], places[2]]),
            (target_folder, [f"{two}/only.jpg"]),
        ):
            lines = [f"{place} {kind.classes.index(place.split('/')[0])}" for place in listed]
            (tmp_path / folder / "image_list.txt").write_text("\n".join(lines))
    options = {"split": "all"} if "split" in kind.__dataclass_fields__ else {}
    scenario = load(f"{name}:{pair}" if pair else name, tmp_path, verify=False, **SMALL, **options)
    assert scenario.name == (f"{name}:{pair}" if pair else name)
    assert scenario.classes == kind.classes
    (source,), target, test = scenario.source, scenario.target, scenario.test
    ends = tuple(pair.split("-")) if pair else kind.domains
    assert (source.name, target.name) == ends and target.y is None and test.x is target.x
    first, second = kind.classes.index(one), kind.classes.index(two)
    order = [1, 0, 2] if name == "visda2017" else [2, 1, 0]  # as listed; else by class and name
    np.testing.assert_array_equal(source.y, np.array([second, first, first])[order])
    np.testing.assert_array_equal(test.y, [second])
    expected = [decode_cropped(picture(seed), resize=9, size=8) for seed in order]
    np.testing.assert_array_equal(source.x, expected)
    np.testing.assert_array_equal(target.x[0], decode_cropped(picture(9), resize=9, size=8))


def pacs(root: Path) -> Path:
    """Write three photographs and three sketches, with the official lists (which count classes from 1)."""
    for domain, seed in (("photo", 0), ("sketch", 10)):
        fill(root / "PACS/kfold" / domain, ["dog/a.jpg", "dog/b.jpg", "house/c.jpg"], seed=seed)
        lists = {"train": ["house/c.jpg 6", "dog/a.jpg 1"], "crossval": ["dog/b.jpg 1"]}
        for name, lines in {**lists, "test": [*lists["train"], *lists["crossval"]]}.items():
            text = "".join(f"{domain}/{line}\n" for line in lines)
            (root / "PACS" / f"{domain}_{name}_kfold.txt").write_text(text)
    return root


def test_official_lists_say_which_pictures_serve_what(tmp_path):
    scenario = load("pacs", pacs(tmp_path), verify=False, **SMALL)
    (source,), validation, target, test = scenario.source, scenario.validation, scenario.target, scenario.test
    assert (source.name, validation.name, target.name) == ("photo", "photo validation", "sketch")
    np.testing.assert_array_equal(source.y, [5, 0])  # in the order of the list
    np.testing.assert_array_equal(source.x[1], decode_cropped(picture(0), resize=9, size=8))
    np.testing.assert_array_equal(validation.y, [0])
    np.testing.assert_array_equal(validation.x[0], decode_cropped(picture(1), resize=9, size=8))
    assert len(target) == 3 and test.x is target.x
    np.testing.assert_array_equal(test.y, [5, 0, 0])
    listed = ["photo_crossval_kfold.txt", "photo_train_kfold.txt", "sketch_test_kfold.txt"]
    assert sorted(Path(path).name for path in scenario.origin["files"]) == listed
    whole = load("pacs", tmp_path, split="all", verify=False, **SMALL)
    assert len(whole.source[0]) == 3 and whole.validation is None and whole.origin["files"] == {}


def test_a_picture_that_the_release_holds_damaged_is_left_out_and_said(tmp_path):
    pacs(tmp_path)
    bad = "dog/n02103406_4068-1.png"
    fill(tmp_path / "PACS/kfold/sketch", [bad])
    with open(tmp_path / "PACS/sketch_test_kfold.txt", "a") as file:
        file.write(f"sketch/{bad} 1\n")
    whole = load("pacs", tmp_path, verify=False, **SMALL)
    assert len(whole.test) == 4 and "notes" not in whole.origin
    (tmp_path / "PACS/kfold/sketch" / bad).write_bytes(picture(0)[:60])
    scenario = load("pacs", tmp_path, verify=False, **SMALL)
    assert len(scenario.test) == 3 and scenario.origin["notes"] == [
        f"Left out, as it cannot be decoded: {bad} of sketch."
    ]


def test_the_target_is_trained_on_by_one_list_and_tested_on_by_another(tmp_path):
    for domain in ("real", "sketch"):
        fill(tmp_path / "domainnet" / domain, ["zebra/1.jpg", "t-shirt/2.jpg", "ant/3.jpg"])
    for name, lines in {
        "real_train": ["real/ant/3.jpg 6", "real/zebra/1.jpg 343"],
        "sketch_train": ["sketch/t-shirt/2.jpg 327"],
        "sketch_test": ["sketch/zebra/1.jpg 343", "sketch/ant/3.jpg 6"],
    }.items():
        (tmp_path / f"domainnet/{name}.txt").write_text("\n".join(lines))
    scenario = load("domainnet", tmp_path, verify=False, **SMALL)
    np.testing.assert_array_equal(scenario.source[0].y, [6, 343])
    np.testing.assert_array_equal(scenario.test.y, [343, 6])
    assert len(scenario.target) == 1 and scenario.test.name == "sketch test"
    with pytest.raises(DamagedDataError, match=r"real_train.txt.*expected sha256 19d48325.*verify=False"):
        load("domainnet", tmp_path, **SMALL)
    with pytest.raises(MissingDataError, match=r"clipart, clipart_train.txt"):
        load("domainnet:clipart-sketch", tmp_path, **SMALL)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (
            "photo/dog/a.jpg 1\nphoto/dog/b.jpg 2",
            DamagedDataError,
            "says class 2 of dog/b.jpg, whose folder is class 0",
        ),
        ("photo/dog/a.jpg 3", DamagedDataError, "says class 3 of dog/a.jpg"),
        ("photo/dog/a.jpg 1\nphoto/dog/x.jpg 1", MissingDataError, r"lists 1 of 2 pictures .* such as dog/x.jpg"),
        ("<html>not a list</html>", DamagedDataError, "not a list of pictures: line 1 is '<html>"),
        ("\n\n", DamagedDataError, "lists no pictures"),
        ("\xff", DamagedDataError, "cannot be read as a list"),
    ],
)
def test_lists_that_do_not_go_with_the_pictures_are_told(tmp_path, text, error, words):
    (pacs(tmp_path) / "PACS/photo_train_kfold.txt").write_text(text, "latin-1")
    with pytest.raises(error, match=words) as caught:
        load("pacs", tmp_path, verify=False, **SMALL)
    assert "photo_train_kfold.txt" in str(caught.value)


def packed(root: Path, archive: Path, inside: str) -> None:
    """Put the folder `root / inside` into an archive, and remove it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = sorted((path for path in (root / inside).rglob("*") if path.is_file()), reverse=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in files:
                file.write(path, path.relative_to(root))
            file.writestr("__MACOSX/" + str(files[0].relative_to(root).with_name("._a.jpg")), b"")
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
            for path in files:
                file.add(path, path.relative_to(root))
    shutil.rmtree(root / inside.split("/")[0])


ARCHIVES = {
    "office31:amazon-dslr": ("domain_adaptation_images", "office31/domain_adaptation_images.tar.gz"),
    "office-home:art-real_world": ("OfficeHomeDataset_10072016", "office_home/OfficeHomeDataset_10072016.zip"),
    "domainnet:real-sketch": ("sketch", "domainnet/sketch.zip"),
    "imagenet-r": ("imagenet-r", "imagenet-r.tar"),
    "imagenet-sketch": ("sketch", "ImageNet-Sketch.zip"),
}
INSIDE = {
    "office31:amazon-dslr": ("domain_adaptation_images/amazon/images", "domain_adaptation_images/dslr/images"),
    "office-home:art-real_world": ("OfficeHomeDataset_10072016/Art", "OfficeHomeDataset_10072016/Real World"),
    "domainnet:real-sketch": ("domainnet/real", "sketch"),
    "imagenet-r": ("imagenet/train", "imagenet-r"),
    "imagenet-sketch": ("imagenet/train", "sketch"),
}


@pytest.mark.parametrize("name", list(ARCHIVES))
def test_archives_give_what_the_folders_give(tmp_path, monkeypatch, name):
    root, (source, target) = tmp_path, INSIDE[name]
    one, two = entry_type(name).classes[3:5]
    fill(root / source, [f"{one}/a.jpg", f"{two}/b.jpg"])
    fill(root / target, [f"{one}/c.jpg", f"{two}/d.jpg"], seed=5)
    options = {"verify": False, **SMALL, **({"split": "all"} if name.startswith("domainnet") else {})}
    inside, archive = ARCHIVES[name]
    packed(root, root / archive, inside)
    scenario = load(name, root, **options)
    np.testing.assert_array_equal(scenario.source[0].y, [3, 4])
    np.testing.assert_array_equal(scenario.test.y, [3, 4])
    for domain, seed in ((scenario.source[0], 0), (scenario.test, 5)):
        expected = [decode_cropped(picture(seed + place), resize=9, size=8) for place in (0, 1)]
        np.testing.assert_array_equal(domain.x, expected)
    monkeypatch.setattr(images, "MEMORY_BYTES", 0)
    elsewhere = pickle.loads(pickle.dumps(load(name, root, **options).test.x))  # as a worker process gets it
    np.testing.assert_array_equal([elsewhere[place] for place in (0, 1)], scenario.test.x)
    content = (root / archive).read_bytes()
    for broken in (content[: len(content) // 3], b"<html>"):
        (root / archive).write_bytes(broken)
        with pytest.raises(DamagedDataError, match=r"truncated|cannot be|is incomplete"):
            load(name, root, **options)


def test_processes_do_not_share_an_open_archive(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "real.zip", "w") as archive:
        archive.writestr("real/bee/a.jpg", b"...")
    content = picture_files.find_pictures(tmp_path / "real.zip", ("real",)).content
    handle = content.archive()
    assert content.archive() is handle and content("real/bee/a.jpg") == b"..."
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert content.archive() is not handle


def test_a_large_compressed_archive_has_to_be_unpacked(tmp_path, monkeypatch):
    fill(tmp_path / "amazon/images", ["bike/a.jpg"])
    packed(tmp_path, tmp_path / "office31/office31.tar.gz", "amazon")
    monkeypatch.setattr(picture_files, "COMPRESSED_BYTES", 10)
    with pytest.raises(MissingDataError, match=r"unpack it where it is \(tar xf office31.tar.gz\)"):
        load("office31:amazon-dslr", tmp_path)


def test_vlcs_in_three_parts_with_numbered_classes(tmp_path):
    for part in ("train", "crossval", "test"):
        fill(tmp_path / "VLCS/CALTECH" / part, ["0/imgs_0.jpg", "4/imgs_1.jpg"], seed=10 * len(part))
    fill(tmp_path / "VLCS/SUN", ["1/x.jpg"])
    scenario = load("vlcs:caltech-sun", tmp_path, verify=False, **SMALL)
    np.testing.assert_array_equal(scenario.source[0].y, [0, 0, 0, 4, 4, 4])
    np.testing.assert_array_equal(scenario.test.y, [1])
    assert len(np.unique(scenario.source[0].x.reshape(6, -1), axis=0)) == 6


def test_camera_traps_from_the_released_annotations(tmp_path):
    folder = tmp_path / "terra_incognita"
    fill(folder / "eccv_18_all_images_sm", ["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    with pytest.raises(MissingDataError, match=r"without classes: put caltech_camera_traps.json.zip beside it"):
        load("terra-incognita:location_38-location_46", tmp_path, **SMALL)
    place = {"1": 38, "2": 38, "3": 46, "4": 7}
    seen = [("1", 1), ("1", 1), ("2", 2), ("2", 3), ("3", 1), ("4", 1)]
    annotations = {
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "squirrel"}, {"id": 3, "name": "car"}],
        "images": [{"id": key, "location": where, "file_name": f"{key}.jpg"} for key, where in place.items()],
        "annotations": [{"image_id": image, "category_id": category} for image, category in seen],
    }
    with zipfile.ZipFile(folder / "caltech_camera_traps.json.zip", "w") as archive:
        archive.writestr("caltech_images_20210113.json", json.dumps(annotations))
    scenario = load("terra-incognita:location_38-location_46", tmp_path, **SMALL)
    np.testing.assert_array_equal(scenario.source[0].y, [2, 9])  # a picture with two cats is one picture
    np.testing.assert_array_equal(scenario.test.x[0], decode_cropped(picture(2), resize=9, size=8))
    with pytest.raises(DamagedDataError, match="location_43"):
        load("terra-incognita:location_38-location_43", tmp_path, **SMALL)
    (folder / "caltech_images_20210113.json").write_text('{"images": []}')
    with pytest.raises(DamagedDataError, match="cannot be read as annotations"):
        load("terra-incognita:location_38-location_46", tmp_path, **SMALL)


def test_imagenet_gives_only_the_classes_of_the_target(tmp_path):
    one, two = imagenet_shifts.WNIDS_OF_R[0], "n01440764"  # the second is not in ImageNet-R
    fill(tmp_path / "imagenet/train", [f"{one}/a.JPEG", f"{two}/b.JPEG"])
    fill(tmp_path / "imagenet/val", [f"{one}/v.JPEG"], seed=3)
    fill(tmp_path / "imagenet-sketch", [f"{one}/s.JPEG", f"{two}/t.JPEG"])
    scenario = load("imagenet-sketch", tmp_path, verify=False, **SMALL)
    assert len(scenario.source[0]) == len(scenario.test) == 1 and len(scenario.classes) == 200
    scenario = load("imagenet-sketch", tmp_path, subset="all", verify=False, **SMALL)
    assert scenario.classes == (two, one) and len(scenario.source[0]) == 2
    scenario = load("imagenet-sketch", tmp_path, imagenet="val", **SMALL)
    np.testing.assert_array_equal(scenario.source[0].x[0], decode_cropped(picture(3), resize=9, size=8))
    with pytest.raises(DamagedDataError, match=r"sketch has 2 pictures of 50,889"):
        load("imagenet-sketch", tmp_path, subset="all", **SMALL)


def test_pictures_of_other_numbers_and_classes_are_refused(tmp_path):
    fill(tmp_path / "office31/amazon/images", ["bike/a.jpg"])
    fill(tmp_path / "office31/webcam/images", ["bicycle/a.jpg"])
    with pytest.raises(DamagedDataError, match=r"amazon has 1 pictures of 2,817 \(verify=False"):
        load("office31", tmp_path)
    with pytest.raises(
        DamagedDataError, match=r"not Office-31: webcam has 'bicycle'; its classes are back_pack, .*\.\.\."
    ):
        load("office31", tmp_path, verify=False)
    shutil.rmtree(tmp_path / "office31/webcam/images/bicycle")
    with pytest.raises(DamagedDataError, match=r"is incomplete: there are no pictures webcam/CLASS"):
        load("office31", tmp_path, verify=False)
    (tmp_path / "office31/webcam/images/bike").mkdir()
    (tmp_path / "office31/webcam/images/bike/a.jpg").write_bytes(b"<html>")
    with pytest.raises(DamagedDataError, match=r"office31/webcam/images/bike/a.jpg cannot be read as an image"):
        load("office31", tmp_path, verify=False)


IMAGE_BENCHMARKS = [name for name in SCENARIOS if issubclass(SCENARIOS[name], ImageEntry)]


@pytest.mark.parametrize("name", IMAGE_BENCHMARKS)
def test_what_is_missing_is_said_with_where_to_get_it(tmp_path, name):
    with pytest.raises(MissingDataError) as caught:
        load(name, tmp_path)
    kind = SCENARIOS[name]
    for part in (kind.releases[0].title, kind.obtain, str(tmp_path)):
        assert part in str(caught.value)
    assert kind.protocol.endswith(".") and kind.metric == ("mean_class_accuracy" if name == "visda2017" else "accuracy")


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("office-home:art-realworld", {}, UnknownNameError, "Did you mean 'art-real_world'"),
        ("office31:dslr-dslr", {}, UnknownNameError, "no pair 'dslr-dslr'"),
        ("visda2017:real-synthetic", {}, UsageError, "is one problem"),
        ("domainnet", {"split": "some"}, UsageError, "'split'.*official or all"),
        ("vlcs", {"size": 64, "resize": 32}, UsageError, r"size \(=64\).*resize \(=32\)"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, name, options, error, words):
    with pytest.raises(error, match=words):
        load(name, tmp_path, **options)


def test_large_sets_are_listed_by_name_and_decoded_on_demand(tmp_path, monkeypatch):
    fill(tmp_path / "office31/amazon", [f"bike/{place}.jpg" for place in range(20)])
    fill(tmp_path / "office31/dslr", ["bike/c.jpg"])
    whole = load("office31:amazon-dslr", tmp_path, verify=False, **SMALL).source[0].x
    looked, decoded, stat = [], [], os.stat
    with monkeypatch.context() as patch:
        patch.setattr(images, "MEMORY_BYTES", 100)
        patch.setattr(picture_files, "decode_cropped", lambda *a, **k: decoded.append(1) or decode_cropped(*a, **k))
        patch.setattr(os, "stat", lambda path, **options: looked.append(str(path)) or stat(path, **options))
        x = load("office31:amazon-dslr", tmp_path, verify=False, **SMALL).source[0].x
        assert len(decoded) < 20  # the first of each domain, for its shape
        np.testing.assert_array_equal(x[19], whole[19])
    assert looked and not any(path.endswith(".jpg") for path in looked)
    assert not isinstance(x, np.ndarray) and len(x) == 20


def test_names_of_classes_and_pairs():
    assert [len(entry_type(name).classes) for name in ("office31", "office-home", "domainnet", "imagenet-r")] == [
        *(31, 65, 345, 200)
    ]
    pairs = {name: len(SCENARIOS[name].pairs()) for name in IMAGE_BENCHMARKS if hasattr(SCENARIOS[name], "pairs")}
    assert pairs == {
        **{"domainnet": 30, "office31": 6, "office-caltech10": 12, "office-home": 12, "pacs": 12},
        **{"terra-incognita": 12, "vlcs": 12},
    }
    for name in IMAGE_BENCHMARKS:
        assert len(set(SCENARIOS[name].classes)) == len(SCENARIOS[name].classes)
        assert not any("-" in domain for domain in SCENARIOS[name].domains)
