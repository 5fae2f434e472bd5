"""ImageNet to renditions (ImageNet-R) and to sketches (ImageNet-Sketch), on the classes that both have."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import ImageEntry, folder_release
from tladapt.data.catalogue.picture_files import FoundPictures

_WNIDS = """
    n01443537 n01484850 n01494475 n01498041 n01514859 n01518878 n01531178 n01534433 n01614925 n01616318 n01630670
    n01632777 n01644373 n01677366 n01694178 n01748264 n01770393 n01774750 n01784675 n01806143 n01820546 n01833805
    n01843383 n01847000 n01855672 n01860187 n01882714 n01910747 n01944390 n01983481 n01986214 n02007558 n02009912
    n02051845 n02056570 n02066245 n02071294 n02077923 n02085620 n02086240 n02088094 n02088238 n02088364 n02088466
    n02091032 n02091134 n02092339 n02094433 n02096585 n02097298 n02098286 n02099601 n02099712 n02102318 n02106030
    n02106166 n02106550 n02106662 n02108089 n02108915 n02109525 n02110185 n02110341 n02110958 n02112018 n02112137
    n02113023 n02113624 n02113799 n02114367 n02117135 n02119022 n02123045 n02128385 n02128757 n02129165 n02129604
    n02130308 n02134084 n02138441 n02165456 n02190166 n02206856 n02219486 n02226429 n02233338 n02236044 n02268443
    n02279972 n02317335 n02325366 n02346627 n02356798 n02363005 n02364673 n02391049 n02395406 n02398521 n02410509
    n02423022 n02437616 n02445715 n02447366 n02480495 n02480855 n02481823 n02483362 n02486410 n02510455 n02526121
    n02607072 n02655020 n02672831 n02701002 n02749479 n02769748 n02793495 n02797295 n02802426 n02808440 n02814860
    n02823750 n02841315 n02843684 n02883205 n02906734 n02909870 n02939185 n02948072 n02950826 n02951358 n02966193
    n02980441 n02992529 n03124170 n03272010 n03345487 n03372029 n03424325 n03452741 n03467068 n03481172 n03494278
    n03495258 n03498962 n03594945 n03602883 n03630383 n03649909 n03676483 n03710193 n03773504 n03775071 n03888257
    n03930630 n03947888 n04086273 n04118538 n04133789 n04141076 n04146614 n04147183 n04192698 n04254680 n04266014
    n04275548 n04310018 n04325704 n04347754 n04389033 n04409515 n04465501 n04487394 n04522168 n04536866 n04552348
    n04591713 n07614500 n07693725 n07695742 n07697313 n07697537 n07714571 n07714990 n07718472 n07720875 n07734744
    n07742313 n07745940 n07749582 n07753275 n07753592 n07768694 n07873807 n07880968 n07920052 n09472597 n09835506
    n10565667 n12267677
"""
WNIDS_OF_R = tuple(_WNIDS.split())
"""The 200 WordNet ids of ImageNet-R."""


def _imagenet(part: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{part}" for folder in ("imagenet", "ILSVRC/Data/CLS-LOC", "imagenet/ILSVRC/Data/CLS-LOC"))


_IMAGENET = "https://image-net.org/challenges/LSVRC/2012/ (imagenet/train/WNID/NAME.JPEG; imagenet/val sorted likewise)"
IMAGENET_R = folder_release(
    "ImageNet and ImageNet-R",
    {"imagenet": _imagenet("train"), "renditions": ("imagenet-r", "imagenet_r", "ImageNet-R", "imagenet-r.tar")},
    folders=(".",),
    obtain=f"{_IMAGENET}; https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar (unpacked or as it is)",
)
IMAGENET_SKETCH = folder_release(
    "ImageNet and ImageNet-Sketch",
    {
        "imagenet": _imagenet("train"),
        "sketch": (
            *("imagenet-sketch/sketch", "ImageNet-Sketch/sketch", "imagenet_sketch/sketch", "imagenet-sketch"),
            *("ImageNet-Sketch.zip", "sketch"),
        ),
    },
    folders=(".",),
    obtain=f"{_IMAGENET}; https://github.com/HaohanWang/ImageNet-Sketch (ImageNet-Sketch.zip, unpacked or as it is)",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _FromImageNet(ImageEntry):
    imagenet: Literal["train", "val"] = "train"
    """Which pictures of ImageNet are the source: the training set, or the 50 a class of the validation set, which has
    to be sorted into folders of classes."""

    classes: ClassVar[tuple[str, ...]] = WNIDS_OF_R
    protocol: ClassVar[str] = (
        "ImageNet's pictures of these classes labelled, all of the target unlabelled and tested on."
    )

    def _release(self) -> Release:
        release = self.releases[0]
        return dataclasses.replace(release, files={**release.files, "imagenet": _imagenet(self.imagenet)})

    def _only(self) -> Collection[str] | None:
        return frozenset(self.classes)

    def _check_numbers(self, domain: str, files: FoundPictures, y: np.ndarray) -> None:
        if domain != "imagenet":  # whose size is that of all classes
            super()._check_numbers(domain, files, y)


@SCENARIOS.register("imagenet-r")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageNetR(_FromImageNet):
    """ImageNet -> ImageNet-R: paintings, toys, tattoos, origami and other renditions of 200 of its classes.

    Source: ImageNet's pictures of the 200 classes, labelled. Target and test: the 30,000 renditions (transductive).
      Classes are WordNet ids; a model of all 1,000 classes is compared on these 200 alone.
    Inputs: uint8 RGB, the centre cut out of a short side of 256; decoded on demand.

    Source: Hendrycks, Basart, Mu, Kadavath, Wang, Dorundo, Desai, Zhu, Parajuli, Guo, Song, Steinhardt, Gilmer, "The
      many faces of robustness", ICCV 2021, arXiv:2006.16241.
    """

    summary: ClassVar[str] = "200 classes, ImageNet -> 30,000 renditions such as art, toys and tattoos"
    domains: ClassVar[tuple[str, ...]] = ("imagenet", "renditions")
    sizes: ClassVar[Mapping[str, int]] = {"imagenet": 1281167, "renditions": 30000}
    licence: ClassVar[str] = "ImageNet: non-commercial research. ImageNet-R: none stated for the pictures."
    obtain: ClassVar[str] = IMAGENET_R.obtain
    releases: ClassVar[tuple[Release, ...]] = (IMAGENET_R,)


@SCENARIOS.register("imagenet-sketch")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageNetSketch(_FromImageNet):
    """ImageNet -> ImageNet-Sketch: black and white sketches.

    Source: ImageNet's pictures, labelled. Target and test: the sketches (transductive), 50,889 of all 1,000 classes.
      Classes are WordNet ids: the 200 of ImageNet-R, which make the two targets comparable, or all that there are.
    Inputs: uint8 RGB, the centre cut out of a short side of 256; decoded on demand.

    Source: Wang, Ge, Lipton, Xing, "Learning robust global representations by penalizing local predictive power",
      NeurIPS 2019, arXiv:1905.13549.
    """

    subset: Literal["imagenet-r", "all"] = "imagenet-r"
    """The 200 classes of ImageNet-R, or all classes that the sketches have."""

    summary: ClassVar[str] = "200 (or all 1,000) classes, ImageNet -> black and white sketches"
    domains: ClassVar[tuple[str, ...]] = ("imagenet", "sketch")
    sizes: ClassVar[Mapping[str, int]] = {"imagenet": 1281167, "sketch": 50889}
    licence: ClassVar[str] = "ImageNet: non-commercial research. ImageNet-Sketch: none stated for the pictures."
    obtain: ClassVar[str] = IMAGENET_SKETCH.obtain
    releases: ClassVar[tuple[Release, ...]] = (IMAGENET_SKETCH,)

    def _only(self) -> Collection[str] | None:
        return super()._only() if self.subset == "imagenet-r" else None

    def _check_numbers(self, domain: str, files: FoundPictures, y: np.ndarray) -> None:
        if self.subset == "all":
            super()._check_numbers(domain, files, y)

    def _class_names(self, pictures: Mapping[str, FoundPictures]) -> Sequence[str]:
        return self.classes if self.subset == "imagenet-r" else sorted(set(pictures["sketch"].labels()))
