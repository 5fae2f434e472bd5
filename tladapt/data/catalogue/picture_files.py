"""Where released pictures are: folders of classes, zip and tar archives, listed without opening a single picture."""

from __future__ import annotations

import dataclasses
import functools
import os
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tladapt.data.catalogue.files import damaged
from tladapt.data.catalogue.images import IMAGE_SUFFIXES, decode_cropped
from tladapt.errors import MissingDataError

COMPRESSED_BYTES = 256 << 20
"""A compressed tar archive has no random access: up to this size its pictures are kept in memory, as encoded."""


@dataclasses.dataclass(frozen=True)
class _Folder:
    path: Path

    def __call__(self, place: str) -> bytes:
        try:
            return (self.path / place).read_bytes()
        except OSError as problem:
            raise damaged(self.path / place, f"cannot be read ({problem})") from None


@functools.lru_cache(maxsize=8)
def _opened(path: Path, changed: float, process: int) -> zipfile.ZipFile:
    """Return an open archive; processes must not share one, nor may one outlive its file."""
    del changed, process
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as problem:
        raise damaged(path, f"is truncated or not a zip archive ({problem})") from None


@dataclasses.dataclass(frozen=True)
class _Zip:
    path: Path
    changed: float

    def archive(self) -> zipfile.ZipFile:
        return _opened(self.path, self.changed, os.getpid())

    def __call__(self, place: str) -> bytes:
        try:
            return self.archive().read(place)
        except (OSError, zipfile.BadZipFile, zlib.error) as problem:
            raise damaged(self.path, f"is damaged at {place} ({problem})") from None


@dataclasses.dataclass(frozen=True)
class _Tar:
    path: Path
    found: Mapping[str, tuple[int, int] | bytes]
    """Member -> where it begins and how long it is, or its content."""

    def __call__(self, place: str) -> bytes:
        one = self.found[place]
        if isinstance(one, bytes):
            return one
        with open(self.path, "rb") as file:
            file.seek(one[0])
            return file.read(one[1])


Content = _Folder | _Zip | _Tar
"""What returns the encoded picture at a place: a folder or an archive, which may go to other processes."""


@dataclasses.dataclass(frozen=True)
class FoundPictures:
    """The pictures of one domain, by "class/name"."""

    content: Content
    places: Mapping[str, str]
    """"class/name" -> what `content` takes, sorted."""
    left_out: frozenset[str] = frozenset()
    """Pictures known to be damaged as released, which are not in `places`."""

    @property
    def path(self) -> Path:
        """The folder or the archive, for messages."""
        return self.content.path

    def __len__(self) -> int:
        return len(self.places)

    def labels(self) -> list[str]:
        """Return the name of the folder that each picture is in."""
        return [name.split("/", 1)[0] for name in self.places]

    def without(self, names: Collection[str]) -> FoundPictures:
        """Return these pictures without some of them."""
        places = {name: place for name, place in self.places.items() if name not in names}
        return dataclasses.replace(self, places=places, left_out=self.left_out | frozenset(names))


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Encoded pictures as a random-access source: `[i]` -> uint8 `[size, size, 3]`."""

    content: Content
    places: Sequence[str]
    resize: int
    size: int

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int, /) -> np.ndarray:
        place = self.places[index]
        return decode_cropped(
            self.content(place), resize=self.resize, size=self.size, called=f"{self.content.path}/{place}"
        )


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def folder_pictures(folder: Path, names: Iterable[tuple[str, str]]) -> FoundPictures:
    """Return pictures of a folder, from pairs of "class/name" and the path below the folder."""
    return FoundPictures(_Folder(folder), dict(sorted(names)))


def in_class_folders(folder: Path, classes: Collection[str] | None = None) -> list[str]:
    """Return "class/name" of the pictures in the class folders of a folder; `classes` as in `find_pictures`."""
    if not folder.is_dir():
        raise damaged(folder, "is a file; a folder with one folder for each class was expected")
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or (classes is not None and entry.name not in classes) or not entry.is_dir():
                continue
            with os.scandir(entry.path) as files:  # names alone: a look at each file would take minutes on a network
                found += [f"{entry.name}/{file.name}" for file in files if _is_picture(file.name)]
    return found


def _chosen(names: Iterable[str], folders: Sequence[str], classes: Collection[str] | None) -> dict[str, str]:
    """Return "class/name" -> member for the members FOLDER/CLASS/NAME of an archive, at any depth, sorted."""
    found = {}
    for member in names:
        head, _, name = member.rpartition("/")
        head, _, label = head.rpartition("/")
        wanted = any(head == folder or head.endswith("/" + folder) for folder in folders)
        if wanted and (classes is None or label in classes) and _is_picture(name):
            found[f"{label}/{name}"] = member
    return dict(sorted(found.items()))


def _in_zip(path: Path, folders: Sequence[str], classes: Collection[str] | None) -> FoundPictures:
    content = _Zip(path, path.stat().st_mtime)
    return FoundPictures(content, _chosen(content.archive().namelist(), folders, classes))


def _in_tar(path: Path, folders: Sequence[str], classes: Collection[str] | None) -> FoundPictures:
    """List a tar archive; of a compressed one the pictures are read at once, of another where asked for."""
    plain = path.suffix == ".tar"
    if not plain and path.stat().st_size > COMPRESSED_BYTES:
        raise MissingDataError(
            f"{path} is compressed and too large to be read anew for each picture: unpack it where it is"
            f" (tar xf {path.name}), and the folders in it are found."
        )
    found: dict[str, tuple[int, int] | bytes] = {}
    try:
        with tarfile.open(path, "r:" if plain else "r:*") as archive:
            for member in archive:
                if not member.isfile() or not _chosen([member.name], folders, classes):
                    continue
                file = None if plain else archive.extractfile(member)
                found[member.name] = (member.offset_data, member.size) if file is None else file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as problem:
        raise damaged(path, f"is truncated or not a tar archive ({problem})") from None
    return FoundPictures(_Tar(path, found), _chosen(found, folders, classes))


def find_pictures(path: Path, folders: Sequence[str], *, classes: Collection[str] | None = None) -> FoundPictures:
    """Return the pictures of one domain.

    Args:
      path: the folder CLASS/NAME.jpg of the domain, or an archive (.zip, .tar, or a compressed .tar of at most 256 MiB)
        with FOLDER/CLASS/NAME.jpg in it, at any depth.
      folders: the names that FOLDER has in archives.
      classes: class folders to look into; None: all.

    Raises:
      DamagedDataError: for an archive that cannot be read.
      MissingDataError: for a large compressed tar archive, which has to be unpacked.
    """
    if path.suffix == ".zip":
        return _in_zip(path, folders, classes)
    if path.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
        return _in_tar(path, folders, classes)
    return folder_pictures(path, ((name, name) for name in in_class_folders(path, classes)))


def read_split(path: Path) -> tuple[list[str], np.ndarray]:
    """Return "class/name" and the number of the class, int64 `[n]`, from a list with "PATH NUMBER" a line.

    Args:
      path: the list; of each path its last two parts count, CLASS/NAME.jpg.

    Raises:
      DamagedDataError: for a file that is no such list.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise damaged(path, f"cannot be read as a list of text lines ({problem})") from None
    names: list[str] = []
    numbers: list[int] = []
    for count, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place, _, number = line.strip().rpartition(" ")
        parts = place.strip().rsplit("/", 2)
        if len(parts) < 2 or not _is_picture(parts[-1]) or not number.isdigit():
            raise damaged(
                path, f"is not a list of pictures: line {count} is {line!r}, expected 'CLASS/NAME.jpg NUMBER'"
            )
        names.append(f"{parts[-2]}/{parts[-1]}")
        numbers.append(int(number))
    if not names:
        raise damaged(path, "lists no pictures")
    return names, np.array(numbers, np.int64)
