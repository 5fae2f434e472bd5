"""What benchmarks of released pictures share: one folder of classes for each domain, lists that split it, a cut."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS, ScenarioEntry
from tladapt.data.catalogue.files import Release, check_sha256, damaged, locate, sha256
from tladapt.data.catalogue.images import check_size, decode, gather
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.catalogue.picture_files import FoundPictures, Pictures, find_pictures, read_split
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import DamagedDataError, MissingDataError, UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageEntry(ScenarioEntry):
    """Pictures in folders DOMAIN/CLASS/NAME.jpg: a subclass is a list of names and numbers.

    `releases[0].files` holds, for each domain, the folders and archives that it may be in, and for each list file
    "DOMAIN LIST" the names of the file. Inputs are uint8 RGB; the short side is resized, bilinear, and the centre is
    cut out, as networks trained on ImageNet are evaluated.
    """

    size: int = 224
    """Side of the images in pixels, cut out of the centre."""
    resize: int | None = None
    """Length of the short side before the cut; none: 256 for sizes from 224 to 256, else size * 256 / 224."""
    verify: bool = True
    """Refuse files that are not the released ones: numbers of pictures, and checksums where they are known."""

    lists: ClassVar[Mapping[str, str]] = {}
    """Role (source, validation, target, test) -> the list that says which pictures serve it. A source or a target
    without one is every picture of its domain."""
    list_sha256: ClassVar[Mapping[str, str]] = {}
    """"DOMAIN LIST" -> the sha256 of the released list."""
    archive_sha256: ClassVar[Mapping[str, str]] = {}
    """Name of an archive -> the sha256 of the released one, for archives that are quickly read whole."""
    class_folders: ClassVar[Mapping[str, str]] = {}
    """Folder -> class, where a copy calls its folders otherwise."""
    known_damaged: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Domain -> pictures, "class/name", that the release itself may hold truncated."""

    def __post_init__(self) -> None:
        check_size(self.size)
        usual = 256 if 224 <= self.size <= 256 else round(self.size * 256 / 224)
        resize = usual if self.resize is None else self.resize
        if resize < self.size:
            raise UsageError(f"size (={self.size}) is cut out of pictures whose short side is resize (={resize}).")
        object.__setattr__(self, "resize", resize)

    def _ends(self) -> tuple[str, str]:
        return self.ends() if isinstance(self, PairEntry) else (self.domains[0], self.domains[-1])

    def _called(self) -> str:
        name = next((name for name in SCENARIOS if SCENARIOS[name] is type(self)), type(self).__name__)
        return f"{name}:{self.pair}" if isinstance(self, PairEntry) else name

    def _release(self) -> Release:
        return self.releases[0]

    def _lists(self) -> Mapping[str, str]:
        return self.lists

    def _open(self, path: Path, folders: Sequence[str]) -> FoundPictures:
        return find_pictures(path, folders, classes=self._only())

    def _only(self) -> Collection[str] | None:
        """Return the class folders to look into; None: all."""
        return None

    def _class_names(self, pictures: Mapping[str, FoundPictures]) -> Sequence[str]:
        """Return the class names in the order of the indices."""
        del pictures
        return self.classes

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the domains as uint8 `[n, size, size, 3]`: into memory up to 1 GiB together, on demand beyond."""
        source, target = self._ends()
        domain_of = {"source": source, "validation": source, "target": target, "test": target}
        lists = {role: f"{domain_of[role]} {name}" for role, name in self._lists().items()}
        release, called = self._release(), self._called()
        needed = {key: release.files[key] for key in (source, target, *lists.values())}
        (paths,) = locate((dataclasses.replace(release, files=needed),), data_dir, called=called)

        archives = {path for path in paths.values() if path.name in self.archive_sha256}
        for path in archives:
            if self.verify:
                check_sha256(path, (self.archive_sha256[path.name],))
        found = {domain: self._find(domain, paths[domain], release.files[domain]) for domain in (source, target)}
        classes = self._class_names(found)
        labels = {}
        for domain, files in found.items():
            labels[domain] = class_indices(domain, files, classes, called=release.title, folders=self.class_folders)
            if self.verify:
                self._check_numbers(domain, files, labels[domain])
        parts: dict[str, tuple[Pictures, np.ndarray]] = {}
        for role, domain in domain_of.items():
            files, y = found[domain], labels[domain]
            if role in lists:
                names, y = self._listed(lists[role], paths, files, y)
            elif role in ("source", "target"):
                names = list(files.places)
            else:
                continue
            parts[role] = self._cut(files, names), y

        x = gather([pictures for pictures, _ in parts.values()])
        domains = {
            role: Domain(each, y, name=domain_of[role] if role in ("source", "target") else f"{domain_of[role]} {role}")
            for (role, (_, y)), each in zip(parts.items(), x, strict=True)
        }
        notes = [
            f"Left out, as it cannot be decoded: {name} of {domain}."
            for domain, files in found.items()
            for name in sorted(files.left_out)
        ]
        read = {str(path): sha256(path) for path in [*archives, *dict.fromkeys(paths[key] for key in lists.values())]}
        return Scenario(
            domains["source"],
            domains["target"],
            domains.get("test"),
            validation=domains.get("validation"),
            classes=classes,
            name=called,
            origin={"files": read, **({"notes": notes} if notes else {})},
        )

    def _cut(self, files: FoundPictures, names: Sequence[str]) -> Pictures:
        assert self.resize is not None
        return Pictures(files.content, [files.places[name] for name in names], self.resize, self.size)

    def _listed(
        self, key: str, paths: Mapping[str, Path], files: FoundPictures, labels: np.ndarray
    ) -> tuple[list[str], np.ndarray]:
        if self.verify and key in self.list_sha256:
            check_sha256(paths[key], (self.list_sha256[key],))
        return _chosen(paths[key], files, labels)

    def _find(self, domain: str, path: Path, folders: Sequence[str]) -> FoundPictures:
        """Return the pictures of a domain, without those that are known to be damaged and are."""
        files = self._open(path, folders)
        suspects = [name for name in self.known_damaged.get(domain, ()) if name in files.places]
        return files.without([name for name in suspects if not _can_be_decoded(files, name)])

    def _check_numbers(self, domain: str, files: FoundPictures, y: np.ndarray) -> None:
        """Raise `DamagedDataError` for other numbers of pictures than the released ones, where these are known."""
        del y  # which counts where the numbers of each class are known
        got, released = len(files) + len(files.left_out), self.sizes.get(domain)
        if released not in (None, got) and not self.list_sha256:  # else sizes count the listed pictures
            raise damaged(
                files.path,
                f"is not the released set: {domain} has {got:,} pictures of {released:,}"
                " (verify=False takes it as it is)",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePairs(ImageEntry, PairEntry):
    """Pictures of several domains, each ordered pair of which is a problem: all labelled -> all unlabelled."""

    def __post_init__(self) -> None:
        PairEntry.__post_init__(self)
        ImageEntry.__post_init__(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitPairs(ImagePairs):
    """`ImagePairs` with official split lists, which may be left alone."""

    split: Literal["official", "all"] = "official"
    """official: the released lists say which pictures serve what; all: every picture of both domains, no lists."""

    def _lists(self) -> Mapping[str, str]:
        return self.lists if self.split == "official" else {}


def folder_release(
    title: str,
    domains: Mapping[str, Sequence[str]],
    *,
    folders: tuple[str, ...],
    obtain: str,
    archives: Sequence[str] = (),
    lists: Mapping[str, Sequence[str]] | None = None,
    tfds: str = "",
) -> Release:
    """Return a release of one folder for each domain.

    Args:
      title: how messages call it.
      domains: domain -> the names that its folder has, the first as released.
      folders: where domains are looked for, relative to the data directory; the first is where messages put them.
      obtain: where to get them.
      archives: archives that hold all domains and are read as they are.
      lists: "DOMAIN LIST" -> the names of a list file.
      tfds: the set's name in TensorFlow Datasets, where that has it.
    """
    files = {domain: (*names, *archives) for domain, names in domains.items()}
    listed = {key: tuple(names) for key, names in (lists or {}).items()}
    return Release(title=title, files={**files, **listed}, folders=folders, obtain=obtain, tfds=tfds)


def class_indices(
    domain: str,
    files: FoundPictures,
    classes: Sequence[str],
    *,
    called: str,
    folders: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Return the class index of each picture of a domain, int64 `[n]`.

    Args:
      domain: the domain's name.
      files: its pictures.
      classes: class names in the order of the indices.
      called: the benchmark, for messages.
      folders: folder -> class, for folders that are not called as their class.

    Raises:
      DamagedDataError: for no pictures, or other classes.
    """
    if not files:
        raise damaged(files.path, f"is incomplete: there are no pictures {domain}/CLASS/NAME.jpg in it")
    names = [(folders or {}).get(name, name) for name in files.labels()]
    index = {name: place for place, name in enumerate(classes)}
    if strange := sorted(set(names) - set(index)):
        some = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
        raise damaged(files.path, f"is not {called}: {domain} has {strange[0]!r}; its classes are {some}")
    return np.array([index[name] for name in names])


def _can_be_decoded(files: FoundPictures, name: str) -> bool:
    try:
        decode(files.content(files.places[name]), size=None, channels=3, called=name)
    except DamagedDataError:
        return False
    return True


def _chosen(path: Path, files: FoundPictures, labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the names of the listed pictures and their labels, and check the list's own numbers against these."""
    names, numbers = read_split(path)
    index = {name: place for place, name in enumerate(files.places)}
    if files.left_out:
        kept = [place for place, name in enumerate(names) if name not in files.left_out]
        names, numbers = [names[place] for place in kept], numbers[kept]
    if missing := [name for name in names if name not in index]:
        raise MissingDataError(
            f"{path} lists {len(missing):,} of {len(names):,} pictures that are not in {files.path}, such as"
            f" {missing[0]}. Unpack the pictures again, or take the list that goes with them."
        )
    y = labels[[index[name] for name in names]]
    first = numbers[0] - y[0]  # lists count classes from 0, or from 1 as PACS does
    if first not in (0, 1) or (wrong := np.flatnonzero(numbers - y != first)).size:
        place = 0 if first not in (0, 1) else int(wrong[0])
        raise damaged(
            path, f"says class {numbers[place]} of {names[place]}, whose folder is class {y[place]} from 0 on"
        )
    return names, y
