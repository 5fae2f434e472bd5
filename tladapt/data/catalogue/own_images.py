"""Own pictures without registration: a folder domain/class/image, or list files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from tladapt.data.catalogue.entry import ScenarioEntry
from tladapt.data.catalogue.files import damaged, sha256
from tladapt.data.catalogue.images import IMAGE_SUFFIXES, ImageFiles, channels_of, check_size, gather
from tladapt.data.catalogue.own import indices
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import MissingDataError, UsageError
from tladapt.registry import suggest


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """Image files of one domain, with names of classes or without."""

    name: str
    files: list[Path]
    labels: list[str] | None


def _scenario(
    sources: Sequence[_Pictures],
    target: _Pictures,
    test: _Pictures | None,
    validation: _Pictures | None,
    *,
    classes: Sequence[str],
    size: int,
    channels: int | None,
    origin: dict[str, Any],
) -> Scenario:
    check_size(size)
    sets = [*sources, target, *(one for one in (test, validation) if one is not None)]
    channels = channels_of([file for one in sets for file in one.files], channels)
    pixels = gather([ImageFiles(one.files, size, channels) for one in sets])
    labels = [one.labels and indices(one.labels, classes, called=f"domain {one.name!r}") for one in sets]
    domains = {id(one): Domain(x, y, name=one.name) for one, x, y in zip(sets, pixels, labels, strict=True)}
    return Scenario(
        [domains[id(one)] for one in sources],
        domains[id(target)],
        None if test is None else domains[id(test)],
        validation=None if validation is None else domains[id(validation)],
        classes=classes,
        origin=origin,
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _read_folder(folder: Path, name: str) -> _Pictures:
    """Read folder/class/image, or the images of a folder without classes (an unlabelled domain)."""
    inside = _visible(folder)
    if [path.name for path in inside] == ["images"]:  # Office-31: amazon/images/bike/...
        folder, inside = inside[0], _visible(inside[0])
    loose = [path for path in inside if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES]
    by_class = {path.name: _images_below(path) for path in inside if path.is_dir()}
    by_class = {label: files for label, files in by_class.items() if files}
    if loose and by_class:
        raise UsageError(f"{folder} holds images ({loose[0].name} ...) beside class folders; move them into a class.")
    if not loose and not by_class:
        raise MissingDataError(
            f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}); expected class/image in it."
        )
    if loose:
        return _Pictures(name, loose, None)
    files = [file for files in by_class.values() for file in files]
    return _Pictures(name, files, [label for label, files in by_class.items() for _ in files])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolder(ScenarioEntry):
    """A folder domain/class/image (jpg, jpeg, png, bmp, webp).

    Classes are matched by the names of their folders; the source defines them. A target folder that holds images and no
    class folders is unlabelled. Pictures are resized to a square, bilinear, whatever their proportions.
    """

    path: str
    """The folder."""
    source: str | tuple[str, ...] | None = None
    """The source domain's folder in it; several, separated by commas, are several sources."""
    target: str | None = None
    """The target domain's folder in it."""
    test: str | None = None
    """A folder of labelled target images for the evaluation only. None: the target itself, where it has classes."""
    validation: str | None = None
    """A folder of labelled source images that are not trained on. None: a run splits some off the source."""
    size: int = 32
    """Side of the images in pixels."""
    channels: int | None = None
    """1 (grey) or 3 (RGB). None: grey where all pictures are."""

    summary: ClassVar[str] = "own images: FOLDER of domain/class/image, with source=NAME target=NAME"

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the folder; decoded into memory up to 1 GiB, on demand beyond."""
        del data_dir
        root = Path(self.path)
        if not root.is_dir():
            raise MissingDataError(f"{self.path!r} is not a folder; expected domain/class/image in it.")
        there = [path.name for path in _visible(root) if path.is_dir()]
        named = self.source.split(",") if isinstance(self.source, str) else list(self.source or ())
        sources = [name.strip() for name in named if name.strip()]
        if not sources or not self.target:
            needs = " and ".join(["source"] * (not sources) + ["target"] * (not self.target))
            raise UsageError(
                f"{self.path}: which folder is the {needs}? There are: {', '.join(there) or 'none'}. Say for example"
                f" source={there[0] if there else 'NAME'!r}, target={there[1] if len(there) > 1 else 'NAME'!r}"
                " (--data.source, --data.target)."
            )
        if self.target in sources:
            raise UsageError(f"{self.path}: {self.target!r} is both source and target; there is nothing to adapt to.")
        for name in [*sources, self.target, self.test, self.validation]:
            if name is not None and not (root / name).is_dir():
                raise MissingDataError(f"{self.path} has no folder {name!r}.{suggest(name, there) if there else ''}")

        def read(name: str | None) -> _Pictures | None:
            return None if name is None else _read_folder(root / name, name)

        source = [_read_folder(root / name, name) for name in sources]
        for one in [*source, *(found for found in (read(self.test), read(self.validation)) if found)]:
            if one.labels is None:
                raise UsageError(
                    f"{root / one.name} holds images and no class folders; only the target may be unlabelled."
                )
        return _scenario(
            source,
            _read_folder(root / self.target, self.target),
            read(self.test),
            read(self.validation),
            classes=sorted({label for one in source for label in one.labels or ()}),
            size=self.size,
            channels=self.channels,
            origin={},
        )


def _read_list(path: Path, root: Path | None) -> _Pictures:
    """Read "path label" lines; the last blank separates. A list of paths alone is unlabelled."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except FileNotFoundError:
        raise MissingDataError(f"There is no list file {str(path)!r}; expected 'path label' a line.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise damaged(path, f"cannot be read as a list of text lines ({problem})") from None
    files: list[Path] = []
    labels: list[str | None] = []
    base = root or path.parent
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        if Path(line).suffix.lower() in IMAGE_SUFFIXES:
            name, label = line, None
        else:
            parts = line.rsplit(None, 1)
            if len(parts) != 2 or Path(parts[0]).suffix.lower() not in IMAGE_SUFFIXES:
                raise UsageError(
                    f"{path}, line {number}: expected 'path label', the path of an image"
                    f" ({', '.join(sorted(IMAGE_SUFFIXES))}), got {line!r}."
                )
            name, label = parts
        files.append(base / name)
        labels.append(label)
    if not files:
        raise UsageError(f"{path} lists no image; expected 'path label' a line.")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise MissingDataError(
            f"{path} lists {len(missing)} of {len(files)} files that are not there, such as {missing[0]}."
            " Paths are relative to the list's folder, or to root=DIR."
        )
    some = [label for label in labels if label is not None]
    if some and len(some) < len(labels):
        raise UsageError(f"{path}: {len(labels) - len(some)} of {len(labels)} lines have no label; give all or none.")
    return _Pictures(path.stem, files, some or None)


def _by_name(pictures: _Pictures, classes: Sequence[str]) -> _Pictures:
    """Return the pictures with names of classes in place of indices; what is no index stays a name."""
    if pictures.labels is None:
        return pictures

    def name(label: str) -> str:
        return classes[int(label)] if label not in classes and label.isdigit() and int(label) < len(classes) else label

    return dataclasses.replace(pictures, labels=[name(label) for label in pictures.labels])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageLists(ScenarioEntry):
    """List files: "path label" a line; the label is a class name, or an index from 0.

    Classes are matched by name, and the source defines them. A target list of paths alone is unlabelled. Blank lines
    and lines that begin with "#" are left out.
    """

    path: str
    """The source's list."""
    target: str | None = None
    """The target's list; relative to the current folder, or beside the source's list."""
    test: str | None = None
    """A list of labelled target images for the evaluation only. None: the target itself, where it has labels."""
    validation: str | None = None
    """A list of labelled source images that are not trained on. None: a run splits some off the source."""
    root: str | None = None
    """Folder that the listed paths are relative to. None: each list's own folder."""
    classes_file: str | None = None
    """A text file with the class names, one a line, where labels are indices. None: the indices are the names."""
    size: int = 32
    """Side of the images in pixels."""
    channels: int | None = None
    """1 (grey) or 3 (RGB). None: grey where all pictures are."""

    summary: ClassVar[str] = "own images: LIST.txt with 'path label' a line, with target=LIST"

    def _list(self, name: str | None) -> _Pictures | None:
        if name is None:
            return None
        beside = Path(self.path).parent / name
        path = Path(name) if Path(name).exists() or not beside.exists() else beside
        return _read_list(path, None if self.root is None else Path(self.root))

    def _names(self) -> list[str] | None:
        if self.classes_file is None:
            return None
        try:
            lines = Path(self.classes_file).read_text("utf-8").splitlines()
        except OSError as problem:
            raise MissingDataError(f"The class names cannot be read from {self.classes_file!r} ({problem}).") from None
        return [line.strip() for line in lines if line.strip()]

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the lists and the images; decoded into memory up to 1 GiB, on demand beyond."""
        del data_dir
        if self.target is None:
            raise UsageError(f"{self.path} is the source's list; say target=LIST as well (--data.target LIST).")
        source, target = self._list(self.path), self._list(self.target)
        test, validation = self._list(self.test), self._list(self.validation)
        assert source is not None and target is not None
        for one in (source, test, validation):
            if one is not None and one.labels is None:
                raise UsageError(f"the list {one.name!r} has no labels; only the target may be unlabelled.")
        named = self._names()
        labels = source.labels or []
        if all(label.isdigit() for label in labels):
            top = max(int(label) for label in labels)
            if named and top >= len(named):
                raise UsageError(
                    f"{self.classes_file} has {len(named)} names, and the labels of {self.path} go up to {top}."
                )
            classes = named or [str(index) for index in range(top + 1)]
        else:
            classes = named or sorted(set(labels))
        return _scenario(
            [_by_name(source, classes)],
            _by_name(target, classes),
            test and _by_name(test, classes),
            validation and _by_name(validation, classes),
            classes=classes,
            size=self.size,
            channels=self.channels,
            origin={"files": {self.path: sha256(Path(self.path))}},
        )
