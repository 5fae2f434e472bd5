"""Office-Caltech-10: ten kinds of office things, seen by a shop, two cameras and the web; 12 pairs of domains."""

from __future__ import annotations

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, check_sha256, damaged, locate, sha256
from tladapt.data.catalogue.images import IMAGE_SUFFIXES, check_size, decode_cropped, gather
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import UsageError

DOMAINS = ("amazon", "caltech10", "dslr", "webcam")
CLASSES = (
    *("backpack", "bike", "calculator", "headphones", "keyboard"),
    *("laptop", "monitor", "mouse", "mug", "projector"),
)
COUNTS = {
    "amazon": (92, 82, 94, 99, 100, 100, 99, 100, 94, 98),
    "caltech10": (151, 110, 100, 138, 85, 128, 133, 94, 87, 97),
    "dslr": (12, 21, 12, 13, 10, 24, 22, 12, 8, 23),
    "webcam": (29, 21, 31, 27, 27, 30, 43, 30, 27, 30),
}
"""Pictures of each class in each domain, as released."""
IMAGES = Release(
    title="Office-Caltech-10",
    files={"images": ("images", "office_caltech10_images_256.zip", "amazon")},
    folders=("office_caltech10", "office_caltech10/office_caltech10", "office-caltech10", "office_caltech_10"),
    obtain="https://github.com/LeoGautheron/OfficeCaltechDomainAdaptation (its folder images/, DOMAIN/CLASS/NAME.jpg)",
)
IMAGES_SHA256 = ("35154104c893f5cf89de7938e6b4cda652f1060088eb2835cb411fb52ffb4875",)  # short sides of at most 256


class PictureFiles:
    """Where the pictures are: a zip archive or a folder, with DOMAIN/CLASS/NAME.jpg at its end."""

    def __init__(self, path: Path):
        self.path = path.parent if path.name == "amazon" else path
        self._archive: zipfile.ZipFile | None = None
        if self.path.suffix == ".zip":
            try:
                self._archive = zipfile.ZipFile(self.path)
            except (OSError, zipfile.BadZipFile) as problem:
                raise damaged(self.path, f"is truncated or not a zip archive ({problem})") from None

    def by_domain(self) -> dict[str, list[tuple[str, str]]]:
        """Return, for each domain, class and place of each picture, sorted by place."""
        if self._archive is not None:
            names = self._archive.namelist()
        else:
            names = [path.relative_to(self.path).as_posix() for path in self.path.glob("*/*/*")]
        found: dict[str, list[tuple[str, str]]] = {domain: [] for domain in DOMAINS}
        for name in sorted(names):
            parts = PurePosixPath(name).parts
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and len(parts) >= 3 and parts[-3] in found:
                found[parts[-3]].append((parts[-2], name))
        return found

    def content(self, name: str) -> bytes:
        """Return the encoded picture at a place that `by_domain` gave."""
        try:
            return self._archive.read(name) if self._archive is not None else (self.path / name).read_bytes()
        except (OSError, zipfile.BadZipFile, zlib.error) as problem:
            raise damaged(self.path, f"is damaged at {name} ({problem})") from None


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """Pictures as a random-access source: `[i]` -> uint8 `[size, size, 3]`."""

    content: Callable[[str], bytes]
    names: Sequence[str]
    resize: int
    size: int

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> np.ndarray:
        name = self.names[index]
        return decode_cropped(self.content(name), resize=self.resize, size=self.size, called=name)


def class_indices(domain: str, names: Sequence[str], path: Path, *, verify: bool) -> np.ndarray:
    """Return the class index of each picture of a domain, int64 `[n]`.

    Args:
      domain: the domain's name.
      names: the class of each picture.
      path: where the pictures are, for messages.
      verify: refuse other numbers of pictures than the released ones.

    Raises:
      DamagedDataError: for no pictures, other classes, or other numbers of them.
    """
    if not names:
        raise damaged(path, f"is incomplete: there are no pictures {domain}/CLASS/NAME.jpg in it")
    if strange := sorted(set(names) - set(CLASSES)):
        raise damaged(
            path, f"is not Office-Caltech-10: {domain} has {strange[0]!r}; its classes are {', '.join(CLASSES)}"
        )
    y = np.array([CLASSES.index(name) for name in names])
    if verify:
        for label, got, released in zip(CLASSES, np.bincount(y, minlength=10), COUNTS[domain], strict=True):
            if got != released:
                raise damaged(
                    path,
                    f"is not the released set: {domain}/{label} has {got} pictures of {released}"
                    " (verify=False takes it as it is)",
                )
    return y


@SCENARIOS.register("office-caltech10")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficeCaltech10(PairEntry):
    """Office-Caltech-10, the full protocol on one of the 12 pairs of its domains.

    Source: every picture of one domain, labelled. Target and test: every picture of another (transductive). Amazon has
      958 pictures (a shop's, on white), Caltech-256 1,123, DSLR 157 and webcam 295 (two cameras on the same things).
      Pictures are ordered by class and name. The sampled protocol (20 labelled pictures a class, 8 from DSLR, 20
      repeats) gives numbers that do not compare, and Office-31 is another set of 31 classes.
    Inputs: uint8 RGB; the short side is resized, bilinear, and the centre is cut out, as networks trained on ImageNet
      are evaluated. On two cores all 2,533 pictures are decoded in 2 s; decoded pictures are not kept on disk, where
      reading all 381 MB would take half of that.

    Source: Saenko, Kulis, Fritz, Darrell, "Adapting visual category models to new domains", ECCV 2010 (Office-31);
      Griffin, Holub, Perona, "Caltech-256 object category dataset", 2007; Gong, Shi, Sha, Grauman, "Geodesic flow
      kernel for unsupervised domain adaptation", CVPR 2012 (the ten classes).
    """

    pair: str = "amazon-webcam"
    """Source and target, two of amazon, caltech10, dslr and webcam; "office-caltech10:dslr-amazon" says it, too."""
    size: int = 224
    """Side of the images in pixels, cut out of the centre."""
    resize: int | None = None
    """Length of the short side before the cut; none: 256 for sizes from 224 to 256, else size * 256 / 224."""
    verify: bool = True
    """Refuse an archive whose sha256 is not the known one's, and numbers of pictures other than the released ones."""

    summary: ClassVar[str] = "10 kinds of office things, 4 domains, 12 pairs: all source labelled, tested on all target"
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "All examples of a domain are the labelled source, all of another the target and the test set (transductive)."
    )
    sizes: ClassVar[Mapping[str, int]] = {name: sum(counts) for name, counts in COUNTS.items()}
    licence: ClassVar[str] = "none stated; Office-31 and Caltech-256 are given out for research."
    obtain: ClassVar[str] = IMAGES.obtain
    releases: ClassVar[tuple[Release, ...]] = (IMAGES,)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size)
        usual = 256 if 224 <= self.size <= 256 else round(self.size * 256 / 224)
        resize = usual if self.resize is None else self.resize
        if resize < self.size:
            raise UsageError(f"size (={self.size}) is cut out of pictures whose short side is resize (={resize}).")
        object.__setattr__(self, "resize", resize)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both domains as uint8 `[n, size, size, 3]`: into memory up to 1 GiB together, on demand beyond."""
        called = f"office-caltech10:{self.pair}"
        path = locate(self.releases, data_dir, called=called)[0]["images"]
        files = PictureFiles(path)
        if self.verify and path.suffix == ".zip":
            check_sha256(path, IMAGES_SHA256)
        by_domain = files.by_domain()
        labels = [
            class_indices(domain, [label for label, _ in by_domain[domain]], files.path, verify=self.verify)
            for domain in self.ends()
        ]
        names = [[name for _, name in by_domain[domain]] for domain in self.ends()]
        assert self.resize is not None
        x: list[Any] = gather([_Pictures(files.content, each, self.resize, self.size) for each in names])
        source, target = (Domain(x[i], labels[i], name=self.ends()[i]) for i in (0, 1))
        origin = {"files": {str(path): sha256(path)} if path.suffix == ".zip" else {}}
        return Scenario(source, target, classes=CLASSES, name=called, origin=origin)
