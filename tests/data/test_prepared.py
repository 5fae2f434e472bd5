"""Prepared TFDS sets: made and read here without TensorFlow."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tladapt.data import examples, load
from tladapt.data.catalogue import images
from tladapt.data.catalogue.prepared import PreparedImages, find_prepared
from tladapt.errors import MissingDataError, UsageError


class ToyDigits(tfds.core.GeneratorBasedBuilder):
    """Small pictures whose grey level tells the class."""

    # In a package, tfds 4.9.10 asks for importlib_resources, which its metadata does not require.
    __module__ = "__main__"
    VERSION = tfds.core.Version("1.0.0")
    NAMES = ("a", "b", "c")
    SIDE, CHANNELS = 8, 3

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(self.SIDE, self.SIDE, self.CHANNELS), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=self.NAMES),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12), "test": self._generate_examples(6)}

    def _generate_examples(self, n):
        shape = (self.SIDE, self.SIDE) if self.CHANNELS == 1 else (self.SIDE, self.SIDE, self.CHANNELS)
        for i in range(n):
            name = self.NAMES[i % len(self.NAMES)]
            grey = 80 * "abcd".index(name) + 10
            yield i, {"image": Image.fromarray(np.full(shape, grey, np.uint8)), "label": name}


class ToyShuffled(ToyDigits):
    """The same classes in another order, and grey."""

    __module__ = "__main__"
    NAMES = ("c", "a", "b")
    CHANNELS = 1


class ToyOpen(ToyDigits):
    """Has a class that the others have not."""

    __module__ = "__main__"
    NAMES = ("a", "b", "d")
    SIDE = 10


class Mnist(ToyDigits, skip_registration=True):
    """What TFDS's own `mnist` looks like when it is prepared, a few digits of it."""

    __module__ = "__main__"
    name = "mnist"
    NAMES = tuple("0123456789")
    SIDE, CHANNELS = 28, 1

    def _generate_examples(self, n):
        for i in range(n):
            yield i, {"image": Image.fromarray(np.full((28, 28), i, np.uint8)), "label": str(i % 10)}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tfds")
    for builder in (ToyDigits, ToyShuffled, ToyOpen, Mnist):
        builder(data_dir=str(root), file_format="array_record").download_and_prepare()
    return root


def test_two_prepared_sets_are_matched_by_name_without_tensorflow(root):
    scenario = load("tfds:toy_digits", root, target="tfds:toy_shuffled")
    assert "tensorflow" not in sys.modules
    assert scenario.classes == ("a", "b", "c") and scenario.target.shape == (8, 8, 3)
    assert [len(d) for d in (*scenario.source, scenario.target, scenario.test)] == [12, 12, 6]
    for domain in (*scenario.source, scenario.test, scenario.oracle().source[0]):
        np.testing.assert_array_equal(domain.x[:, 0, 0, 0], 80 * domain.y + 10)


def test_a_set_of_tfds_itself_goes_by_its_name(root):
    """TFDS prepares most of its sets with TensorFlow; once written as array_record they are read without."""
    scenario = load("tfds:mnist", root, target="tfds:mnist", target_split="test", size=16)
    assert scenario.classes == tuple("0123456789") and scenario.target.shape == (16, 16, 1)
    np.testing.assert_array_equal(scenario.source[0].x[:, 0, 0, 0] % 10, scenario.source[0].y)
    with pytest.raises(MissingDataError, match=r"TFDS has it, too: .*array_record, it is read as tfds:mnist\n  USPS"):
        load("usps-mnist", root)


def test_splits_sizes_versions_and_paths(root):
    scenario = load(
        "tfds:toy_digits:1.0.0", root, target=str(root / "toy_shuffled/1.0.0"), size=5, channels=1,
        source_split="train[:50%]", validation_split="test", test_split="train[6:]",
    )  # fmt: skip
    assert [len(d) for d in (*scenario.source, scenario.validation, scenario.test)] == [6, 6, 6]
    assert scenario.target.shape == (5, 5, 1)
    assert find_prepared("toy_digits", root) == root / "toy_digits/1.0.0"


def test_what_does_not_fit_in_memory_is_decoded_on_demand(root, monkeypatch):
    whole = load("tfds:toy_digits", root, target="tfds:toy_shuffled")
    monkeypatch.setattr(images, "MEMORY_BYTES", 100)
    scenario = load("tfds:toy_digits", root, target="tfds:toy_shuffled")
    assert isinstance(scenario.target.x, PreparedImages)
    np.testing.assert_array_equal(examples(scenario.target, np.arange(12)), whole.target.x)


def test_refusals_in_words(root, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"say target=tfds:NAME"):
        load("tfds:toy_digits", root)
    with pytest.raises(UsageError, match=r"source has not: 'd'"):
        load("tfds:toy_digits", root, target="toy_open", size=8)
    with pytest.raises(UsageError, match=r"\(8, 8\).*\(10, 10\).*size=SIDE"):
        load("tfds:toy_digits", root, target="toy_open")
    with pytest.raises(UsageError, match=r"no split 'tests'.*'test'"):
        load("tfds:toy_digits", root, target="toy_shuffled", test_split="tests")
    with pytest.raises(UsageError, match=r"say input_key=NAME, one of its features image, label"):
        load("tfds:toy_digits", root, target="toy_shuffled", input_key="picture")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "mine"))
    with pytest.raises(MissingDataError, match=r"tfds:nothing.*mine.*array_record"):
        load("tfds:nothing", root, target="toy_digits")


def test_a_set_that_only_tensorflow_reads_says_how_to_write_it(root, tmp_path):
    copy = tmp_path / "toy_digits/1.0.0"
    copy.mkdir(parents=True)
    for file in (root / "toy_digits/1.0.0").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    info = json.loads((copy / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (copy / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(UsageError, match=r"tfrecord, which needs TensorFlow.*array_record"):
        load("tfds:toy_digits", tmp_path, target=str(root / "toy_shuffled/1.0.0"))
