from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tladapt.data import Domain, examples, load
from tladapt.data.catalogue import images
from tladapt.data.catalogue.images import ImageFiles, decode
from tladapt.data.doctor import examine
from tladapt.errors import DamagedDataError, MissingDataError, UsageError

RNG = np.random.default_rng(0)
CLASSES = ["bike", "mug", "old lamp"]


def picture(path, value=None, side=(20, 12), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = side[::-1] if mode == "L" else (*side[::-1], 3)
    pixels = RNG.integers(0, 256, shape) if value is None else np.full(shape, value)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """pictures/{amazon,webcam,dslr}/class/*, of several formats; grey levels tell the class."""
    root = tmp_path / "pictures"
    for domain, suffix, n in [("amazon", "png", 4), ("webcam", "bmp", 3), ("dslr", "webp", 2)]:
        for place, name in enumerate(CLASSES):
            for i in range(n):
                picture(root / domain / name / f"{i}.{suffix}", 80 * place + 10)
    (root / "amazon/bike/.DS_Store").write_text("")
    (root / "amazon/notes.txt").write_text("")
    return root


def arrays(**more):
    return {
        "source_x": RNG.random((6, 3)), "source_y": np.arange(6) % 3, "target_x": RNG.random((5, 3)), **more,
    }  # fmt: skip


def save(tmp_path, **named):
    np.savez(tmp_path / "mine.npz", **named)
    return tmp_path / "mine.npz"


# npz


def test_npz_with_and_without_labels_of_the_target(tmp_path):
    scenario = load(save(tmp_path, **arrays()))
    assert scenario.test is None and scenario.name == "mine" and len(scenario.target) == 5
    full = arrays(
        target_y=[0, 1, 2, 0, 1], test_x=RNG.random((4, 3)), test_y=[0, 1, 2, 2], test_groups=[0, 0, 1, 1],
        validation_x=RNG.random((2, 3)), validation_y=[0, 1], classes=["a", "b", "c"],
    )  # fmt: skip
    scenario = load(str(save(tmp_path, **full)))
    assert scenario.classes == ("a", "b", "c") and len(scenario.validation) == 2
    np.testing.assert_array_equal(scenario.test.groups, [0, 0, 1, 1])
    np.testing.assert_array_equal(scenario.oracle().source[0].y, [0, 1, 2, 0, 1])
    np.testing.assert_allclose(scenario.source[0].x, full["source_x"], rtol=1e-6)
    assert len(scenario.origin["files"][str(tmp_path / "mine.npz")]) == 64


def test_npz_labels_may_be_names_and_are_matched_by_name(tmp_path):
    named = arrays(target_y=np.array(["mug", "bike", "mug", "mug", "bike"]))
    named["source_y"] = np.array(["mug", "bike", "zip"] * 2)
    scenario = load(save(tmp_path, **named))
    assert scenario.classes == ("bike", "mug", "zip")
    np.testing.assert_array_equal(scenario.test.y, [1, 0, 1, 1, 0])
    named["target_y"][0] = "mog"
    with pytest.raises(UsageError, match=r"source has not: 'mog'.*'mug'"):
        load(save(tmp_path, **named))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sourcex": np.zeros(3)}, "'sourcex'.*'source_x'"),
        ({"test_x": np.zeros((2, 3))}, "has no test_y"),
        ({"target_x": None}, "has no target_x"),
        ({"target_y": np.array(["a"] * 5)}, "add an array 'classes'"),
        ({"target_x": np.zeros((5, 4))}, "one shape"),
        ({"source_y": np.arange(6) - 1}, "integers from 0"),
        ({"target_y": np.array([None] * 5)}, "Python objects"),
    ],
)
def test_npz_refuses_in_words(tmp_path, change, words):
    named = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    with pytest.raises(UsageError, match=words):
        load(save(tmp_path, **named))


def test_a_damaged_npz_is_told_apart_from_a_missing_one(tmp_path):
    path = save(tmp_path, **arrays())
    content = path.read_bytes()
    for damage in (content[: len(content) // 2], b"text", b""):
        path.write_bytes(damage)
        with pytest.raises(DamagedDataError, match=r"mine\.npz"):
            load(path)
    path.unlink()
    with pytest.raises(MissingDataError, match=r"mine\.npz"):
        load(path)


def test_relative_paths_are_looked_for_in_the_data_directory(tmp_path, monkeypatch):
    save(tmp_path, **arrays())
    assert len(load("mine.npz", tmp_path).target) == 5
    monkeypatch.setenv("TLADAPT_DATA", str(tmp_path))
    assert len(load("mine.npz").target) == 5


# folders


def test_a_folder_of_domains(folder):
    scenario = load(folder, source="amazon", target="webcam", size=8)
    assert scenario.classes == tuple(CLASSES) and scenario.name == "amazon-webcam"
    assert scenario.source[0].x.shape == (12, 8, 8, 3) and scenario.source[0].x.dtype == np.uint8
    assert isinstance(scenario.source[0].x, np.ndarray)
    for domain in (scenario.source[0], scenario.test):
        np.testing.assert_array_equal(domain.x[:, 0, 0, 0], 80 * domain.y + 10)  # the class that its folder says
    assert scenario.target.y is None and scenario.origin.get("notes", []) == []


def test_the_same_said_in_the_name(folder):
    by_name = load(f"folder:{folder}?source=amazon&target=webcam&size=8")
    plain = load(f"{folder}?source=amazon&target=webcam", size=8)
    for scenario in (by_name, plain):
        np.testing.assert_array_equal(
            scenario.target.x, load(folder, source="amazon", target="webcam", size=8).target.x
        )


def test_several_sources_and_a_test_folder(folder):
    for sources in ("amazon,dslr", ["amazon", "dslr"]):
        scenario = load(folder, source=sources, target="webcam", test="dslr", size=8)
        assert [d.name for d in scenario.source] == ["amazon", "dslr"] and scenario.test.name == "dslr"


def test_an_unlabelled_target_folder(folder):
    for i in range(3):
        picture(folder / "wild" / f"{i}.jpg")
    scenario = load(folder, source="amazon", target="wild", size=8)
    assert scenario.test is None and len(scenario.target) == 3
    with pytest.raises(UsageError, match="only the target may be unlabelled"):
        load(folder, source="wild", target="amazon", size=8)
    picture(folder / "wild" / "bike" / "1.png")
    with pytest.raises(UsageError, match="beside class folders"):
        load(folder, source="amazon", target="wild", size=8)


def test_classes_are_matched_by_name_and_missing_ones_are_said(folder):
    for file in (folder / "webcam/bike").iterdir():
        file.unlink()
    scenario = load(folder, source="amazon", target="webcam", size=8)
    assert scenario.test.y.min() == 1
    assert any("no example of 1 of the source's 3 classes (bike)" in text for text in examine(scenario).texts("warn"))
    picture(folder / "webcam/bik/1.png")
    with pytest.raises(UsageError, match=r"source has not: 'bik'\. Did you mean 'bike'"):
        load(folder, source="amazon", target="webcam", size=8)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, UsageError, "which folder is the source and target.*amazon, dslr, webcam"),
        ({"source": "amazon"}, UsageError, "which folder is the target"),
        ({"source": "amazon", "target": "amazon"}, UsageError, "nothing to adapt to"),
        ({"source": "amazon", "target": "webcan"}, MissingDataError, "'webcan'.*'webcam'"),
        ({"source": "amazon", "target": "webcam", "size": 1}, UsageError, "size is the side"),
        ({"source": "amazon", "target": "webcam", "channels": 2}, UsageError, "channels must be"),
        ({"source": "amazon", "target": "webcam", "sice": 8}, UsageError, "'sice'.*'size'"),
    ],
)
def test_folders_refuse_in_words(folder, options, error, words):
    with pytest.raises(error, match=words):
        load(folder, **options)


def test_a_folder_without_images_says_so(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "p" / name / "class").mkdir(parents=True)
    with pytest.raises(MissingDataError, match="holds no images"):
        load(tmp_path / "p", source="a", target="b")


def test_office_31s_extra_folder_is_stepped_over(tmp_path):
    for domain in ("a", "b"):
        picture(tmp_path / "p" / domain / "images" / "mug" / "1.png")
        picture(tmp_path / "p" / domain / "images" / "bike" / "1.png")
    assert load(tmp_path / "p", source="a", target="b", size=8).classes == ("bike", "mug")


def test_grey_pictures_have_one_channel_unless_asked_for(tmp_path):
    for domain in ("a", "b"):
        picture(tmp_path / "p" / domain / "mug" / "1.png", mode="L")
    assert load(tmp_path / "p", source="a", target="b", size=8).target.shape == (8, 8, 1)
    assert load(tmp_path / "p", source="a", target="b", size=8, channels=3).target.shape == (8, 8, 3)
    picture(tmp_path / "p" / "b" / "mug" / "2.png")
    assert load(tmp_path / "p", source="a", target="b", size=8).target.shape == (8, 8, 3)


def test_what_does_not_fit_in_memory_is_decoded_on_demand(folder, monkeypatch):
    whole = load(folder, source="amazon", target="webcam", size=8)
    monkeypatch.setattr(images, "MEMORY_BYTES", 1000)
    scenario = load(folder, source="amazon", target="webcam", size=8)
    assert isinstance(scenario.target.x, ImageFiles) and scenario.target.shape == (8, 8, 3)
    np.testing.assert_array_equal(examples(scenario.target, np.arange(9)), whole.target.x)
    assert isinstance(scenario.oracle().source[0], Domain)


def test_a_picture_that_cannot_be_decoded_is_named(folder):
    picture(folder / "webcam/mug/bad.jpg", side=(200, 200))
    path = folder / "webcam/mug/bad.jpg"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DamagedDataError, match=r"bad\.jpg cannot be decoded"):
        load(folder, source="amazon", target="webcam", size=8)
    path.write_bytes(b"text")
    with pytest.raises(DamagedDataError, match=r"bad\.jpg cannot be read as an image"):
        load(folder, source="amazon", target="webcam", size=8)


def test_decode_modes_orientation_and_bit_depths(tmp_path):
    deep = np.full((6, 6), 257 * 200, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (decode(tmp_path / "deep.png", size=4, channels=1) == 200).all()
    assert decode(tmp_path / "deep.png", size=4, channels=3).shape == (4, 4, 3)
    Image.fromarray(np.full((6, 6, 4), 50, np.uint8)).save(tmp_path / "alpha.png")
    assert (decode(tmp_path / "alpha.png", size=4, channels=3) == 50).all()
    Image.fromarray(np.full((6, 6, 3), 50, np.uint8)).quantize(4).save(tmp_path / "palette.png")
    assert (decode(tmp_path / "palette.png", size=4, channels=3) == 50).all()
    turned = np.zeros((8, 16, 3), np.uint8)
    turned[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right: what is at the left comes to the top
    Image.fromarray(turned).save(tmp_path / "turned.png", exif=exif)
    upright = decode(tmp_path / "turned.png", size=8, channels=3)
    assert upright[0].min() > 250 and upright[-1].max() < 5


# lists


def write_list(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def lines_of(folder, domain, label=lambda name: name):
    return [f"{file.relative_to(folder)} {label(file.parent.name)}" for file in sorted((folder / domain).rglob("?.*"))]


def test_lists_with_indices_and_spaces_in_paths(folder):
    source = write_list(folder / "source.txt", ["# mine", "", *lines_of(folder, "amazon", CLASSES.index)])
    write_list(folder / "target.txt", lines_of(folder, "webcam", CLASSES.index))
    scenario = load(source, target="target.txt", size=8)
    assert scenario.classes == ("0", "1", "2") and len(scenario.source[0]) == 12
    np.testing.assert_array_equal(scenario.test.x[:, 0, 0, 0], 80 * scenario.test.y + 10)
    write_list(folder / "names.txt", CLASSES)
    named = load(source, target="target.txt", size=8, classes_file=str(folder / "names.txt"))
    assert named.classes == tuple(CLASSES)
    np.testing.assert_array_equal(named.test.y, scenario.test.y)


def test_lists_with_names_and_another_root(folder, tmp_path):
    def name(text):
        return text.replace(" ", "_")

    source = write_list(tmp_path / "s.lst", lines_of(folder, "amazon", name))
    target = write_list(tmp_path / "t.lst", [line.rpartition(" ")[0] for line in lines_of(folder, "webcam")[:3]])
    test = write_list(tmp_path / "test.lst", lines_of(folder, "dslr", name))
    scenario = load(source, target=target, test=test, root=folder, size=8)
    assert scenario.classes == ("bike", "mug", "old_lamp") and len(scenario.target) == 3 and len(scenario.test) == 6
    with pytest.raises(MissingDataError, match=r"12 of 12 files that are not there.*root=DIR"):
        load(source, target=target, size=8)


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        (["amazon/bike/0.png"], UsageError, "no labels; only the target"),
        (["amazon/bike/0.png bike", "amazon/bike/1.png"], UsageError, "1 of 2 lines have no label"),
        (["amazon/bike/0.png,bike"], UsageError, "line 1: expected 'path label'"),
        (["# nothing"], UsageError, "lists no image"),
        (["amazon/bike/0.png mug", "amazon/mug/9.png mug"], MissingDataError, "1 of 2 files"),
    ],
)
def test_lists_refuse_in_words(folder, lines, error, words):
    source = write_list(folder / "source.txt", lines)
    target = write_list(folder / "target.txt", ["webcam/mug/0.bmp mug"])
    with pytest.raises(error, match=words):
        load(source, target=target, size=8)


def test_a_target_class_that_the_source_has_not_is_said(folder):
    source = write_list(folder / "source.txt", lines_of(folder, "amazon", CLASSES.index))
    target = write_list(folder / "target.txt", ["webcam/mug/0.bmp 7"])
    with pytest.raises(UsageError, match="source has not: '7'"):
        load(source, target=target, size=8)
    with pytest.raises(UsageError, match="say target=LIST"):
        load(source)
    with pytest.raises(MissingDataError, match="no list file"):
        load(source, target="nowhere.txt")
