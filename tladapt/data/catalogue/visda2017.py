"""VisDA-2017: twelve kinds of things, rendered from 3D models to photographs; one problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import ImageEntry, folder_release

VISDA2017 = folder_release(
    "VisDA-2017 (classification)",
    {"synthetic": ("train",), "real": ("validation",)},
    folders=("visda-2017", "visda2017", "visda17", "VisDA2017", "VisDA-2017", "VISDA-C", "visda-2017/clf"),
    obtain="http://csr.bu.edu/ftp/visda17/clf/ (train.tar and validation.tar, unpacked: CLASS/NAME and image_list.txt)",
    lists={
        "synthetic list": ["train/image_list.txt", "image_list/train.txt"],
        "real list": ["validation/image_list.txt", "image_list/validation.txt"],
    },
)


@SCENARIOS.register("visda2017")
@dataclasses.dataclass(frozen=True, kw_only=True)
class VisDA2017(ImageEntry):
    """VisDA-2017, the classification track: synthetic -> real.

    Source: every rendering of the folder train, labelled. Target and test: every photograph of the folder validation
      (from COCO; transductive), which is what papers report on. The official number is the mean of the accuracies of
      the twelve classes, which is not the overall accuracy: classes are of unequal size. The challenge's own test set
      (YouTube-BoundingBoxes) is another domain, and not read.
    Inputs: uint8 RGB, the centre cut out of a short side of 256; decoded on demand.

    Source: Peng, Usman, Kaushik, Hoffman, Wang, Saenko, "VisDA: the visual domain adaptation challenge", 2017,
      arXiv:1710.06924.
    """

    summary: ClassVar[str] = "12 kinds of things, renderings -> photographs; mean of the class accuracies"
    domains: ClassVar[tuple[str, ...]] = ("synthetic", "real")
    classes: ClassVar[tuple[str, ...]] = (
        *("aeroplane", "bicycle", "bus", "car", "horse", "knife"),
        *("motorcycle", "person", "plant", "skateboard", "train", "truck"),
    )
    lists: ClassVar[Mapping[str, str]] = {"source": "list", "target": "list"}
    metric: ClassVar[str] = "mean_class_accuracy"
    protocol: ClassVar[str] = "All of train labelled, all of validation unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {"synthetic": 152397, "real": 55388}
    licence: ClassVar[str] = "none stated in the files; photographs are COCO's. For research."
    obtain: ClassVar[str] = VISDA2017.obtain
    releases: ClassVar[tuple[Release, ...]] = (VISDA2017,)
