"""Office-31: 31 kinds of office things, seen by a shop and by two cameras; 6 pairs of domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import ImagePairs, folder_release

OFFICE31 = folder_release(
    "Office-31",
    {domain: (f"{domain}/images", domain) for domain in ("amazon", "dslr", "webcam")},
    folders=("office31", "office-31", "office_31", "Office31", "Office-31", "domain_adaptation_images"),
    archives=("domain_adaptation_images.tar.gz", "office31.tar.gz"),
    obtain="https://faculty.cc.gatech.edu/~judy/domainadapt/ (DOMAIN/images/CLASS/NAME.jpg, unpacked or the archive)",
)


@SCENARIOS.register("office31")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Office31(ImagePairs):
    """Office-31, the full protocol on one of the 6 pairs of its domains.

    Source: every picture of one domain, labelled. Target and test: every picture of another (transductive). Amazon is
      a shop on white ground; DSLR and webcam see the same things, so that the pairs of these two are nearly solved.
      The sampled protocol (20 labelled pictures a class, 8 from DSLR and webcam) gives numbers that do not compare.
    Inputs: uint8 RGB, the centre cut out of a short side of 256.

    Source: Saenko, Kulis, Fritz, Darrell, "Adapting visual category models to new domains", ECCV 2010.
    """

    pair: str = "amazon-webcam"
    """Source and target, two of amazon, dslr and webcam; "office31:dslr-amazon" says it, too."""

    summary: ClassVar[str] = "31 kinds of office things, 3 domains, 6 pairs: all source labelled, tested on all target"
    domains: ClassVar[tuple[str, ...]] = ("amazon", "dslr", "webcam")
    classes: ClassVar[tuple[str, ...]] = (
        *("back_pack", "bike", "bike_helmet", "bookcase", "bottle", "calculator", "desk_chair", "desk_lamp"),
        *("desktop_computer", "file_cabinet", "headphones", "keyboard", "laptop_computer", "letter_tray"),
        *("mobile_phone", "monitor", "mouse", "mug", "paper_notebook", "pen", "phone", "printer", "projector"),
        *("punchers", "ring_binder", "ruler", "scissors", "speaker", "stapler", "tape_dispenser", "trash_can"),
    )
    class_folders: ClassVar[Mapping[str, str]] = {"backpack": "back_pack"}
    protocol: ClassVar[str] = "All source pictures labelled, all target pictures unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {"amazon": 2817, "dslr": 498, "webcam": 795}
    licence: ClassVar[str] = "none stated; given out for research."
    obtain: ClassVar[str] = OFFICE31.obtain
    releases: ClassVar[tuple[Release, ...]] = (OFFICE31,)
