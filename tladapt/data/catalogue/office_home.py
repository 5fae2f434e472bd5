"""Office-Home: 65 kinds of things at the office and at home as art, clip art, products and photographs; 12 pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import ImagePairs, folder_release

OFFICE_HOME = folder_release(
    "Office-Home",
    {
        "art": ("Art", "art"),
        "clipart": ("Clipart", "clipart"),
        "product": ("Product", "product"),
        "real_world": ("Real World", "Real_World", "RealWorld", "real_world", "Real"),
    },
    folders=(
        "OfficeHomeDataset_10072016",
        "office_home",
        "office-home",
        "officehome",
        "OfficeHome",
        "OfficeHomeDataset",
    ),
    archives=("OfficeHomeDataset_10072016.zip",),
    obtain="https://www.hemanthdv.org/officeHomeDataset.html (OfficeHomeDataset_10072016.zip, unpacked or as it is)",
)


@SCENARIOS.register("office-home")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficeHome(ImagePairs):
    """Office-Home, the full protocol on one of the 12 pairs of its domains.

    Source: every picture of one domain, labelled. Target and test: every picture of another (transductive). Papers
      write Ar, Cl, Pr and Rw. Classes are in the order of their names, capitals first.
    Inputs: uint8 RGB, the centre cut out of a short side of 256.

    Source: Venkateswara, Eusebio, Chakraborty, Panchanathan, "Deep hashing network for unsupervised domain
      adaptation", CVPR 2017, arXiv:1706.07522.
    """

    pair: str = "art-clipart"
    """Source and target, two of art, clipart, product, real_world; "office-home:art-product" says it, too."""

    summary: ClassVar[str] = (
        "65 kinds of everyday things, 4 domains, 12 pairs: all source labelled, tested on all target"
    )
    domains: ClassVar[tuple[str, ...]] = ("art", "clipart", "product", "real_world")
    classes: ClassVar[tuple[str, ...]] = (
        *("Alarm_Clock", "Backpack", "Batteries", "Bed", "Bike", "Bottle", "Bucket", "Calculator", "Calendar"),
        *("Candles", "Chair", "Clipboards", "Computer", "Couch", "Curtains", "Desk_Lamp", "Drill", "Eraser"),
        *("Exit_Sign", "Fan", "File_Cabinet", "Flipflops", "Flowers", "Folder", "Fork", "Glasses", "Hammer", "Helmet"),
        *("Kettle", "Keyboard", "Knives", "Lamp_Shade", "Laptop", "Marker", "Monitor", "Mop", "Mouse", "Mug"),
        *("Notebook", "Oven", "Pan", "Paper_Clip", "Pen", "Pencil", "Postit_Notes", "Printer", "Push_Pin", "Radio"),
        *("Refrigerator", "Ruler", "Scissors", "Screwdriver", "Shelf", "Sink", "Sneakers", "Soda", "Speaker", "Spoon"),
        *("TV", "Table", "Telephone", "ToothBrush", "Toys", "Trash_Can", "Webcam"),
    )
    protocol: ClassVar[str] = "All source pictures labelled, all target pictures unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {"art": 2427, "clipart": 4365, "product": 4439, "real_world": 4357}
    licence: ClassVar[str] = "pictures from the web under their owners' rights; for non-commercial research."
    obtain: ClassVar[str] = OFFICE_HOME.obtain
    releases: ClassVar[tuple[Release, ...]] = (OFFICE_HOME,)
