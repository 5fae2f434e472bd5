"""TerraIncognita: animals before camera traps, where each place is a domain; 12 pairs."""

from __future__ import annotations

import dataclasses
import functools
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, damaged
from tladapt.data.catalogue.image_entry import ImagePairs, folder_release
from tladapt.data.catalogue.picture_files import FoundPictures, folder_pictures
from tladapt.errors import MissingDataError

DOMAINS = ("location_38", "location_43", "location_46", "location_100")
CLASSES = ("bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel")
FLAT = "eccv_18_all_images_sm"
"""The released folder: pictures of all places by their id, without classes."""
ANNOTATIONS = (
    *("caltech_images_20210113.json", "caltech_images_20200316.json"),
    *("caltech_camera_traps.json", "caltech_camera_traps.json.zip"),
)
TERRA = folder_release(
    "TerraIncognita",
    {domain: (domain,) for domain in DOMAINS},
    folders=("terra_incognita", "TerraIncognita", "terra"),
    archives=(FLAT,),
    obtain="https://lila.science/datasets/caltech-camera-traps (eccv_18_all_images_sm.tar.gz, unpacked, and"
    " caltech_camera_traps.json.zip), or from DomainBed's download.py (location_38/CLASS/NAME.jpg and so on)",
)


@functools.lru_cache(maxsize=1)
def _labelled(path: Path, changed: float) -> dict[str, list[tuple[str, str]]]:
    """Return, for each of the four places, class and file of each picture, from the COCO-like annotations."""
    del changed  # a key of the cache
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                read: Any = json.loads(archive.read(archive.namelist()[0]))
        else:
            read = json.loads(path.read_bytes())
        names = {each["id"]: each["name"] for each in read["categories"]}
        found: dict[str, set[tuple[str, str]]] = {domain: set() for domain in DOMAINS}
        place = {each["id"]: (f"location_{each['location']}", each["file_name"]) for each in read["images"]}
        for each in read["annotations"]:
            domain, file = place[each["image_id"]]
            if (label := names[each["category_id"]]) in CLASSES and domain in found:
                found[domain].add((label, file))
    except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as problem:
        raise damaged(path, f"cannot be read as annotations of camera traps ({problem!r})") from None
    return {domain: sorted(pairs) for domain, pairs in found.items()}


@SCENARIOS.register("terra-incognita")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TerraIncognita(ImagePairs):
    """TerraIncognita, four camera traps of the Caltech set, on one of the 12 pairs of its domains.

    Source: every picture of one place, labelled. Target and test: every picture of another (transductive). Classes are
      the ten that DomainBed takes, "empty" among them, and very unequal in size. Pictures are found in class folders,
      or from the released annotations beside the folder of all pictures; versions of the annotations differ by a few
      hundred pictures, so numbers of pictures are not checked.
    Inputs: uint8 RGB, the centre cut out of a short side of 256.

    Source: Beery, Van Horn, Perona, "Recognition in terra incognita", ECCV 2018, arXiv:1807.04975. Domains and classes:
      Gulrajani, Lopez-Paz, "In search of lost domain generalization", ICLR 2021, arXiv:2007.01434.
    """

    pair: str = "location_38-location_46"
    """Source and target, two of the domains; "terra-incognita:location_43-location_100" says it, too."""

    summary: ClassVar[str] = (
        "10 kinds of animals at 4 camera traps, 12 pairs: all source labelled, tested on all target"
    )
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    protocol: ClassVar[str] = "All source pictures labelled, all target pictures unlabelled and tested on."
    licence: ClassVar[str] = "Community Data License Agreement, permissive variant."
    obtain: ClassVar[str] = TERRA.obtain
    releases: ClassVar[tuple[Release, ...]] = (TERRA,)

    def _open(self, path: Path, folders: Sequence[str]) -> FoundPictures:
        if path.name != FLAT:
            return super()._open(path, folders)
        annotations = next((path.parent / name for name in ANNOTATIONS if (path.parent / name).exists()), None)
        if annotations is None:
            raise MissingDataError(
                f"{path} holds pictures without classes: put {ANNOTATIONS[-1]} beside it. Get it from: {self.obtain}"
            )
        labelled = _labelled(annotations, annotations.stat().st_mtime)
        return folder_pictures(path, ((f"{label}/{file}", file) for label, file in labelled[folders[0]]))
