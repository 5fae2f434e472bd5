"""VLCS: five kinds of things in PASCAL VOC, LabelMe, Caltech-101 and SUN: the bias of data sets; 12 pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import ImagePairs, folder_release
from tladapt.data.catalogue.picture_files import FoundPictures, folder_pictures, in_class_folders

PARTS = ("train", "crossval", "test")
VLCS_FILES = folder_release(
    "VLCS",
    {
        "caltech": ("Caltech101", "CALTECH", "caltech"),
        "labelme": ("LabelMe", "LABELME", "labelme"),
        "pascal": ("VOC2007", "PASCAL", "pascal"),
        "sun": ("SUN09", "SUN", "sun"),
    },
    folders=("VLCS", "vlcs"),
    obtain="https://github.com/facebookresearch/DomainBed (its script download.py gets VLCS/Caltech101/CLASS/NAME.jpg"
    " and so on; the older folders VLCS/CALTECH/train, crossval and test, each with 0 to 4, are read too)",
)


@SCENARIOS.register("vlcs")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Vlcs(ImagePairs):
    """VLCS on one of the 12 pairs of its domains.

    Source: every picture of one data set, labelled. Target and test: every picture of another (transductive). The
      older copies come in three parts, train, crossval and test, for the study of generalisation; here all three are
      one domain.
    Inputs: uint8 RGB, the centre cut out of a short side of 256.

    Source: Torralba, Efros, "Unbiased look at dataset bias", CVPR 2011; Fang, Xu, Rockmore, "Unbiased metric learning:
      on the utilization of multiple datasets and web images for softening bias", ICCV 2013.
    """

    pair: str = "pascal-labelme"
    """Source and target, two of caltech, labelme, pascal and sun; "vlcs:sun-caltech" says it, too."""

    summary: ClassVar[str] = "5 kinds of things in 4 data sets, 12 pairs: all source labelled, tested on all target"
    domains: ClassVar[tuple[str, ...]] = ("caltech", "labelme", "pascal", "sun")
    classes: ClassVar[tuple[str, ...]] = ("bird", "car", "chair", "dog", "person")
    class_folders: ClassVar[Mapping[str, str]] = {str(index): name for index, name in enumerate(classes)}
    protocol: ClassVar[str] = "All source pictures labelled, all target pictures unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {"caltech": 1415, "labelme": 2656, "pascal": 3376, "sun": 3282}
    licence: ClassVar[str] = "none stated; that of the four data sets."
    obtain: ClassVar[str] = VLCS_FILES.obtain
    releases: ClassVar[tuple[Release, ...]] = (VLCS_FILES,)

    def _open(self, path: Path, folders: Sequence[str]) -> FoundPictures:
        if not all((path / part).is_dir() for part in PARTS):
            return super()._open(path, folders)
        pairs = []
        for part in PARTS:
            for name in in_class_folders(path / part):
                label, _, file = name.partition("/")
                pairs.append((f"{label}/{part}/{file}", f"{part}/{name}"))  # parts may hold files of one name
        return folder_pictures(path, pairs)
