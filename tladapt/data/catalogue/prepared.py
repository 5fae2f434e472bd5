"""Prepared TensorFlow Datasets by name, read without TensorFlow: `tfds:NAME`."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tladapt.data.catalogue.entry import ScenarioEntry
from tladapt.data.catalogue.files import checksum, data_directory
from tladapt.data.catalogue.images import MEMORY_BYTES, check_size, decode, decode_cropped, gather
from tladapt.data.catalogue.own import indices
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UsageError
from tladapt.registry import suggest

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_CONFIG = re.compile(r"(?!incomplete\.)(?!\d+\.\d+\.\d+$)[^.].*")  # TFDS keeps .config and incomplete.* there, too


def _roots(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Return the folders in which prepared sets are looked for."""
    named = data_directory(data_dir)
    roots = [named, named / "tensorflow_datasets"] if named is not None else []
    if own := os.environ.get("TFDS_DATA_DIR"):
        roots.append(Path(own).expanduser())
    return [*roots, Path("~/tensorflow_datasets").expanduser()]


def require_array_record(called: str) -> None:
    """Raise unless the package that reads and writes the random-access format is installed.

    Raises:
      MissingPackageError: names the package; tensorflow-datasets brings it on Linux alone.
    """
    if importlib.util.find_spec("array_record") is None:
        raise MissingPackageError(
            f"{called} needs array_record, which tensorflow-datasets installs on Linux alone: pip install array_record."
        )


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
        configs = [path for path in sorted(folder.iterdir()) if path.is_dir() and _CONFIG.fullmatch(path.name)]
        versions = [path for path in folder.iterdir() if _VERSION.fullmatch(path.name) and _is_set(path)]
        if not versions and len(configs) == 1:
            versions = [path for path in configs[0].iterdir() if _is_set(path)]
        elif not versions and configs:
            names = ", ".join(f"tfds:{stem}/{path.name}" for path in configs)
            raise UsageError(f"tfds:{stem} has several configs; say one of {names}.")
        versions = [path for path in versions if version in ("", path.name)]
        if versions:
            return max(versions, key=lambda path: [int(part) for part in path.name.split(".")])
    from tladapt.data.builders import BUILDERS

    own = stem.partition("/")[0] in BUILDERS
    raise MissingDataError(
        f"There is no prepared set tfds:{name}. Looked in: {', '.join(map(str, roots))}. Prepare it first"
        + (
            f", from the released files: tladapt data prepare {stem}"
            if own
            else f", in the random-access format: tensorflow_datasets.builder({stem!r}, file_format='array_record',"
            " data_dir=DIR).download_and_prepare()"
        )
    )


@dataclasses.dataclass(frozen=True)
class PreparedImages:
    """Pictures of a prepared set as a random-access source: `[i]` -> uint8 `[h, w, channels]`."""

    records: Any
    key: str
    size: int | None
    channels: int
    resize: int | None = None
    """The shorter side before the centre is cut out; None: pictures are resized to a square."""

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int, /) -> np.ndarray:
        encoded, called = self.records[index][self.key], f"example {index} of a tfds set"
        if self.resize is not None and self.size is not None:
            return decode_cropped(encoded, resize=self.resize, size=self.size, called=called)
        return decode(encoded, size=self.size, channels=self.channels, called=called)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Form:
    """What pictures become: side, number of channels, shorter side before the cut."""

    size: int | None = None
    channels: int = 3
    resize: int | None = None


class _Set:
    """One prepared set: its features, its class names, its splits."""

    def __init__(self, name: str, data_dir: str | os.PathLike[str] | None, keys: tuple[str | None, str | None]):
        try:
            import tensorflow_datasets as tfds
        except ImportError as problem:
            raise MissingPackageError(
                f"tfds:{name} needs tensorflow-datasets: pip install tensorflow-datasets ({problem})."
            ) from None
        self.name = name.removeprefix("tfds:")
        require_array_record(f"tfds:{self.name}")
        self._tfds = tfds
        self.folder = find_prepared(self.name, data_dir)
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
            raise UsageError(f"tfds:{self.name}: the feature {self.y_key!r} is no ClassLabel; say label_key=NAME.")
        self.classes: list[str] = list(features[self.y_key].names)
        read = features[self.x_key]
        self.shape: tuple[int | None, ...] = tuple(read.shape)
        self.holds = "pictures" if isinstance(read, tfds.features.Image) else self._holds(read)
        self._raw = {
            key: tfds.decode.SkipDecoding() for key in features if isinstance(features[key], tfds.features.Image)
        }

    def _holds(self, feature: Any) -> str:
        if isinstance(feature, self._tfds.features.Text):
            return "texts"
        if self.shape == (None,):
            return "waves"
        if feature.np_dtype.kind not in "iufb" or None in self.shape or not self.shape:
            raise UsageError(
                f"tfds:{self.name}: the feature {self.x_key!r} ({feature}) is no picture, no text, no array of a fixed"
                " shape and no row of numbers of any length; say input_key=NAME."
            )
        return "numbers"

    def _key(self, key: str | None, features: dict[str, Any], kind: type, option: str) -> str:
        if key is None:
            fitting = [name for name, feature in features.items() if isinstance(feature, kind)]
            key = fitting[0] if len(fitting) == 1 else None
        if key is None or key not in features:
            raise UsageError(f"tfds:{self.name}: say {option}=NAME, one of its features {', '.join(sorted(features))}.")
        return key

    def has(self, split: str) -> bool:
        return split in self.builder.info.splits

    def read(self, split: str, form: _Form) -> tuple[Any, list[str]]:
        """Return the inputs (a random-access source, an array or a list) and the class name of each example."""
        if not self.has(re.split(r"[\[+]", split)[0]):
            raise UsageError(f"tfds:{self.name} has no split {split!r}.{suggest(split, self.builder.info.splits)}")
        records = self.builder.as_data_source(split, decoders=self._raw or None)
        inputs: list[Any] = []
        names = []
        for index in range(len(records)):
            record = records[index]
            names.append(self.classes[int(record[self.y_key])])
            inputs.append(None if self.holds == "pictures" else record[self.x_key])
        if self.holds == "pictures":
            return PreparedImages(records, self.x_key, form.size, form.channels, form.resize), names
        if self.holds == "texts":
            return [text.decode("utf-8") for text in inputs], names
        return (inputs if self.holds == "waves" else _as_inputs(np.stack(inputs))), names


def _as_inputs(x: np.ndarray) -> np.ndarray:
    """Return arrays as `Domain` reads them: int32 as indices, uint8 pictures as they are, all else as float32."""
    is_picture = x.dtype == np.uint8 and x.ndim == 4 and x.shape[3] in (1, 3)
    return x if is_picture or x.dtype == np.int32 else x.astype(np.float32)


def _as_waves(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return rows of numbers as float32 `[n, length]`, cut or filled up with zeros; int16 becomes [-1, 1)."""
    out = np.zeros((len(rows), length), np.float32)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row[:length]
    return out / np.float32(32768) if rows[0].dtype == np.int16 else out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared(ScenarioEntry):
    """Prepared TFDS sets (or versions, configs or splits of one) as a problem.

    Classes are matched by name, and the source defines them. A set is NAME, NAME/CONFIG or NAME:VERSION under the
    data directory, TFDS_DATA_DIR or ~/tensorflow_datasets, or the path of its folder; it must be written as
    array_record, the format that is read without TensorFlow. Inputs are pictures, texts, arrays of a fixed shape
    (float32; int32 are indices, uint8 of three axes a picture), or rows of numbers of any length, such as sound.
    """

    path: str
    """The source's set; several, separated by commas, are several sources."""
    target: str | None = None
    """The target's set, with or without "tfds:" before it."""
    source_split: str = "train"
    """The source's examples; slices such as train[:50%] are understood."""
    target_split: str = "train"
    """The target's examples, whose labels are put away."""
    test_split: str | None = None
    """The target's examples for the evaluation. None: "test" where there is one, else the target itself."""
    validation_split: str | None = None
    """Labelled source examples that are not trained on, of a single source. None: a run splits some off the source."""
    input_key: str | None = None
    """The feature to read. None: the first of the set's supervised keys, else its only image."""
    label_key: str | None = None
    """The label to read. None: the second of the set's supervised keys, else its only class label."""
    size: int | None = None
    """Side of the images in pixels. None: as they are, where all sets have one and the same size."""
    resize: int | None = None
    """Length of the images' short side before a square of `size` is cut out of the centre. None: they are resized to a
    square, whatever their proportions."""
    channels: int | None = None
    """1 (grey) or 3 (RGB). None: grey where all sets are."""
    length: int | None = None
    """Length of rows of numbers: longer ones are cut, shorter ones filled up with zeros. None: that of the longest."""

    summary: ClassVar[str] = "prepared TFDS sets: tfds:NAME with target=tfds:NAME, read without TensorFlow"

    def _form(self, sets: Sequence[_Set]) -> _Form:
        """Return what the pictures of all sets become."""
        first = sets[0]
        for other in sets[1:]:
            if other.holds != first.holds:
                raise UsageError(f"tfds:{first.name} has {first.holds}, and tfds:{other.name} {other.holds}.")
        if first.holds != "pictures":
            return _Form()
        if self.channels not in (None, 1, 3):
            raise UsageError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels}.")
        if self.size is not None:
            check_size(self.size)
        for other in sets if self.size is None else ():
            if first.shape[:2] != other.shape[:2] or None in other.shape[:2]:
                raise UsageError(
                    f"the images are {first.shape[:2]} in tfds:{first.name} and {other.shape[:2]} in"
                    f" tfds:{other.name}; say size=SIDE to resize them."
                )
        channels = self.channels or (1 if all(one.shape[2] == 1 for one in sets) else 3)
        if self.resize is not None and (self.size is None or self.resize < self.size or channels == 1):
            raise UsageError(
                f"resize (={self.resize}) is the short side of RGB images out of which size (={self.size}) is cut: say"
                " both, resize the larger."
            )
        return _Form(size=self.size, channels=channels, resize=self.resize)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the sets; images are decoded into memory up to 1 GiB, on demand beyond."""
        if self.target is None:
            raise UsageError(f"tfds:{self.path} is the source; say target=tfds:NAME as well (--data.target tfds:NAME).")
        keys = (self.input_key, self.label_key)
        sources = [_Set(name.strip(), data_dir, keys) for name in self.path.split(",")]
        target = _Set(self.target, data_dir, keys)
        if self.validation_split is not None and len(sources) > 1:
            raise UsageError("validation_split goes with one source; with several, leave it out.")
        form = self._form([*sources, target])
        test_split = self.test_split or ("test" if target.has("test") else None)
        wanted = [(one, self.source_split, one.name) for one in sources]
        wanted.append((target, self.target_split, target.name))
        for one, split in ((target, test_split), (sources[0], self.validation_split)):
            if split is not None:
                wanted.append((one, split, f"{one.name} {split}"))
        read = [one.read(split, form) for one, split, _ in wanted]
        inputs = self._inputs([x for x, _ in read], target.holds)
        classes = sources[0].classes
        domains = [
            Domain(x, indices(names, classes, called=f"tfds:{one.name} {split}"), name=name)
            for x, (_, names), (one, split, name) in zip(inputs, read, wanted, strict=True)
        ]
        count = len(sources)
        rest = iter(domains[count + 1 :])
        test = None if test_split is None else next(rest)
        folders = {one.folder: one for one in (*sources, target)}
        files = {str(folder): _digest(folder) for folder in folders}
        made_from = {one.name: dict(one.builder.info.metadata or {}).get("sources", {}) for one in folders.values()}
        origin = {"files": files, "made_from": {name: each for name, each in made_from.items() if each}}
        return Scenario(
            domains[:count], domains[count], test, validation=next(rest, None), classes=classes, origin=origin
        )

    def _inputs(self, read: list[Any], holds: str) -> list[Any]:
        """Return what was read as inputs of one form."""
        if holds == "pictures":
            return gather(read)
        if holds != "waves":
            return read
        length = self.length or max(len(row) for rows in read for row in rows)
        return [_as_waves(rows, length) for rows in read]


def _digest(folder: Path) -> str:
    """Return the checksum of a set, or nothing for one that would take long to read."""
    return checksum(folder) if sum(file.stat().st_size for file in folder.iterdir()) <= MEMORY_BYTES else ""
