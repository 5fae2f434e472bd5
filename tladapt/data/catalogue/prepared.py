"""Prepared TensorFlow Datasets by name, read without TensorFlow: `tfds:NAME`."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tladapt.data.catalogue.entry import ScenarioEntry
from tladapt.data.catalogue.files import data_directory
from tladapt.data.catalogue.images import check_size, decode, gather
from tladapt.data.catalogue.own import indices
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UsageError
from tladapt.registry import suggest

_VERSION = re.compile(r"\d+\.\d+\.\d+")


def _roots(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Return the folders in which prepared sets are looked for."""
    named = data_directory(data_dir)
    roots = [named, named / "tensorflow_datasets"] if named is not None else []
    if own := os.environ.get("TFDS_DATA_DIR"):
        roots.append(Path(own).expanduser())
    return [*roots, Path("~/tensorflow_datasets").expanduser()]


def _is_set(folder: Path) -> bool:
    return (folder / "dataset_info.json").is_file()


def find_prepared(name: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a prepared set: NAME, NAME/CONFIG, with :VERSION or the newest one; or that folder's path.

    Raises:
      MissingDataError: where it is not there; the message says where it was looked for and how to prepare it.
      UsageError: where a set has several configs and none is named.
    """
    if _is_set(Path(name).expanduser()):
        return Path(name).expanduser()
    stem, _, version = name.partition(":")
    roots = _roots(data_dir)
    for root in roots:
        folder = root / stem
        if not folder.is_dir():
            continue
        configs = [path for path in sorted(folder.iterdir()) if path.is_dir() and not _VERSION.fullmatch(path.name)]
        versions = [path for path in folder.iterdir() if _VERSION.fullmatch(path.name) and _is_set(path)]
        if not versions and len(configs) == 1:
            versions = [path for path in configs[0].iterdir() if _is_set(path)]
        elif not versions and configs:
            names = ", ".join(f"tfds:{stem}/{path.name}" for path in configs)
            raise UsageError(f"tfds:{stem} has several configs; say one of {names}.")
        versions = [path for path in versions if version in ("", path.name)]
        if versions:
            return max(versions, key=lambda path: [int(part) for part in path.name.split(".")])
    raise MissingDataError(
        f"There is no prepared set tfds:{name}. Looked in: {', '.join(map(str, roots))}. Prepare it first, in the"
        f" random-access format: tensorflow_datasets.builder({stem!r}, file_format='array_record', data_dir=DIR)"
        ".download_and_prepare()"
    )


@dataclasses.dataclass(frozen=True)
class PreparedImages:
    """Pictures of a prepared set as a random-access source: `[i]` -> uint8 `[h, w, channels]`."""

    records: Any
    key: str
    size: int | None
    channels: int

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return decode(
            self.records[index][self.key],
            size=self.size,
            channels=self.channels,
            called=f"example {index} of a tfds set",
        )


class _Set:
    """One prepared set: its features, its class names, its splits."""

    def __init__(self, name: str, data_dir: str | os.PathLike[str] | None, keys: tuple[str | None, str | None]):
        try:
            import tensorflow_datasets as tfds
        except ImportError as problem:
            raise MissingPackageError(
                f"tfds:{name} needs tensorflow-datasets: pip install tensorflow-datasets ({problem})."
            ) from None
        self.name = name
        self._tfds = tfds
        self.folder = find_prepared(name, data_dir)
        try:
            self.builder = tfds.builder_from_directory(str(self.folder))
        except (OSError, ValueError, KeyError) as problem:
            raise DamagedDataError(f"{self.folder} cannot be read as a prepared set ({problem}).") from None
        info = self.builder.info
        written = info.file_format
        if written is not None and written.value != "array_record":
            raise UsageError(
                f"{self.folder} is written as {written.value}, which needs TensorFlow to read; prepare it again with"
                " file_format='array_record'."
            )
        features = dict(info.features)
        given = info.supervised_keys
        given = given if given and len(given) == 2 and all(isinstance(key, str) for key in given) else (None, None)
        self.x_key = self._key(keys[0] or given[0], features, tfds.features.Image, "input_key")
        self.y_key = self._key(keys[1] or given[1], features, tfds.features.ClassLabel, "label_key")
        if not isinstance(features[self.y_key], tfds.features.ClassLabel):
            raise UsageError(f"tfds:{name}: the feature {self.y_key!r} is no ClassLabel; say label_key=NAME.")
        self.classes: list[str] = list(features[self.y_key].names)
        self.is_image = isinstance(features[self.x_key], tfds.features.Image)
        self.shape: tuple[int | None, ...] = tuple(features[self.x_key].shape)

    def _key(self, key: str | None, features: dict[str, Any], kind: type, option: str) -> str:
        if key is None:
            fitting = [name for name, feature in features.items() if isinstance(feature, kind)]
            key = fitting[0] if len(fitting) == 1 else None
        if key is None or key not in features:
            raise UsageError(f"tfds:{self.name}: say {option}=NAME, one of its features {', '.join(sorted(features))}.")
        return key

    def has(self, split: str) -> bool:
        return split in self.builder.info.splits

    def read(self, split: str, size: int | None, channels: int) -> tuple[Any, list[str]]:
        """Return the inputs (a random-access source, or an array) and the class name of each example."""
        if not self.has(re.split(r"[\[+]", split)[0]):
            raise UsageError(f"tfds:{self.name} has no split {split!r}.{suggest(split, self.builder.info.splits)}")
        raw = {self.x_key: self._tfds.decode.SkipDecoding()} if self.is_image else None
        records = self.builder.as_data_source(split, decoders=raw)
        names = [self.classes[int(records[i][self.y_key])] for i in range(len(records))]
        if self.is_image:
            return PreparedImages(records, self.x_key, size, channels), names
        return np.stack([np.asarray(records[i][self.x_key]) for i in range(len(records))]), names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared(ScenarioEntry):
    """Two prepared TFDS sets (or two versions of one) as a problem.

    Classes are matched by name, and the source defines them. A set is NAME, NAME/CONFIG or NAME:VERSION under the
    data directory, TFDS_DATA_DIR or ~/tensorflow_datasets, or the path of its folder; it must be written as
    array_record, the format that is read without TensorFlow.
    """

    path: str
    """The source's set."""
    target: str | None = None
    """The target's set, with or without "tfds:" before it."""
    source_split: str = "train"
    """The source's examples; slices such as train[:50%] are understood."""
    target_split: str = "train"
    """The target's examples, whose labels are put away."""
    test_split: str | None = None
    """The target's examples for the evaluation. None: "test" where there is one, else the target itself."""
    validation_split: str | None = None
    """Labelled source examples that are not trained on. None: a run splits some off the source."""
    input_key: str | None = None
    """The feature to read. None: the first of the set's supervised keys, else its only image."""
    label_key: str | None = None
    """The label to read. None: the second of the set's supervised keys, else its only class label."""
    size: int | None = None
    """Side of the images in pixels. None: as they are, where both sets have one and the same size."""
    channels: int | None = None
    """1 (grey) or 3 (RGB). None: grey where both sets are."""

    summary: ClassVar[str] = "prepared TFDS sets: tfds:NAME with target=tfds:NAME, read without TensorFlow"

    def _form(self, source: _Set, target: _Set) -> tuple[int | None, int]:
        """Return the size and the number of channels that both sets get."""
        if not source.is_image or not target.is_image:
            if source.is_image != target.is_image:
                raise UsageError(f"tfds:{source.name} and tfds:{target.name}: one has images, the other has not.")
            return None, 0
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels}.")
        if self.size is not None:
            check_size(self.size)
        elif source.shape[:2] != target.shape[:2] or None in source.shape[:2]:
            raise UsageError(
                f"the images are {source.shape[:2]} in tfds:{source.name} and {target.shape[:2]} in"
                f" tfds:{target.name}; say size=SIDE to resize them."
            )
        return self.size, self.channels or (1 if source.shape[2] == target.shape[2] == 1 else 3)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets; images are decoded into memory up to 1 GiB, on demand beyond."""
        if self.target is None:
            raise UsageError(f"tfds:{self.path} is the source; say target=tfds:NAME as well (--data.target tfds:NAME).")
        keys = (self.input_key, self.label_key)
        source = _Set(self.path, data_dir, keys)
        target = _Set(self.target.removeprefix("tfds:"), data_dir, keys)
        size, channels = self._form(source, target)
        test_split = self.test_split or ("test" if target.has("test") else None)
        wanted: Sequence[tuple[_Set, str | None]] = (
            *((source, self.source_split), (target, self.target_split)),
            *((target, test_split), (source, self.validation_split)),
        )
        read = [None if split is None else one.read(split, size, channels) for one, split in wanted]
        inputs = [one[0] for one in read if one is not None]
        if source.is_image:
            inputs = gather(inputs)
        domains: list[Domain | None] = []
        for (one, split), have in zip(wanted, read, strict=True):
            if have is None:
                domains.append(None)
                continue
            called = f"tfds:{one.name} {split}"
            y = indices(have[1], source.classes, called=called)
            domains.append(Domain(inputs.pop(0), y, name=one.name if len(domains) < 2 else f"{one.name} {split}"))
        first, second, test, validation = domains
        assert first is not None and second is not None
        origin = {"files": {str(one.folder): "" for one in (source, target)}}
        return Scenario(first, second, test, validation=validation, classes=source.classes, origin=origin)
