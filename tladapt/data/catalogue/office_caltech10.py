"""Office-Caltech-10: ten kinds of office things, seen by a shop, two cameras and the web; 12 pairs of domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, damaged
from tladapt.data.catalogue.image_entry import ImagePairs, folder_release
from tladapt.data.catalogue.picture_files import FoundPictures

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
ARCHIVE = "office_caltech10_images_256.zip"
IMAGES = folder_release(
    "Office-Caltech-10",
    {domain: (f"images/{domain}", ARCHIVE, domain) for domain in DOMAINS},
    folders=("office_caltech10", "office_caltech10/office_caltech10", "office-caltech10", "office_caltech_10"),
    obtain="https://github.com/LeoGautheron/OfficeCaltechDomainAdaptation (its folder images/, DOMAIN/CLASS/NAME.jpg)",
)
IMAGES_SHA256 = "35154104c893f5cf89de7938e6b4cda652f1060088eb2835cb411fb52ffb4875"  # short sides of at most 256


def check_counts(domain: str, y: np.ndarray, path: Path) -> None:
    """Raise `DamagedDataError` unless a domain has the released number of pictures of each class.

    Args:
      domain: the domain's name.
      y: the class index of each picture.
      path: where the pictures are, for messages.
    """
    for label, got, released in zip(CLASSES, np.bincount(y, minlength=10), COUNTS[domain], strict=True):
        if got != released:
            raise damaged(
                path,
                f"is not the released set: {domain}/{label} has {got} pictures of {released}"
                " (verify=False takes it as it is)",
            )


@SCENARIOS.register("office-caltech10")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficeCaltech10(ImagePairs):
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

    archive_sha256: ClassVar[Mapping[str, str]] = {ARCHIVE: IMAGES_SHA256}

    def _check_numbers(self, domain: str, files: FoundPictures, y: np.ndarray) -> None:
        check_counts(domain, y, files.path)
