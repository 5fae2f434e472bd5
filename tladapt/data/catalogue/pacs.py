"""PACS: seven kinds of things as photographs, art, cartoons and sketches; 12 pairs, with official split lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release
from tladapt.data.catalogue.image_entry import SplitPairs, folder_release

DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
PACS_FILES = folder_release(
    "PACS",
    {domain: (domain,) for domain in DOMAINS},
    folders=("PACS/kfold", "PACS", "pacs/kfold", "pacs", "pacs/images", "PACS/images", "kfold"),
    obtain="https://dali-dl.github.io/project_iccv2017.html (the folder kfold/DOMAIN/CLASS and the lists"
    " DOMAIN_train_kfold.txt, DOMAIN_crossval_kfold.txt, DOMAIN_test_kfold.txt)",
    lists={
        f"{domain} {name}": [f"{folder}{domain}_{name}_kfold.txt" for folder in ("", "splits/", "pacs_label/")]
        for domain in DOMAINS
        for name in ("train", "crossval", "test")
    },
)


@SCENARIOS.register("pacs")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Pacs(SplitPairs):
    """PACS on one of the 12 pairs of its domains.

    Source: the train list of one domain (about nine tenths), labelled; validation: its crossval list. Target and test:
      the test list of another, which is every picture of it (transductive). `split="all"` takes every picture of the
      source too. Papers on generalisation train on three domains; `source` here is one.
    Inputs: uint8 RGB, the centre cut out of 227 x 227 resized to a short side of 256.
    One sketch, dog/n02103406_4068-1.png, is damaged in copies of the release: where it cannot be decoded it is left
      out, and the origin's notes say so.

    Source: Li, Yang, Song, Hospedales, "Deeper, broader and artier domain generalization", ICCV 2017,
      arXiv:1710.03077.
    """

    pair: str = "photo-sketch"
    """Source and target, two of art_painting, cartoon, photo and sketch; "pacs:photo-cartoon" says it, too."""

    summary: ClassVar[str] = (
        "7 kinds of things in 4 styles, 12 pairs: official train list labelled, tested on all target"
    )
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")
    lists: ClassVar[Mapping[str, str]] = {"source": "train", "validation": "crossval", "target": "test"}
    known_damaged: ClassVar[Mapping[str, tuple[str, ...]]] = {"sketch": ("dog/n02103406_4068-1.png",)}
    protocol: ClassVar[str] = (
        "The source's train and crossval lists labelled, the target's test list (all of it) tested on."
    )
    sizes: ClassVar[Mapping[str, int]] = {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929}
    licence: ClassVar[str] = "none stated; given out for research."
    obtain: ClassVar[str] = PACS_FILES.obtain
    releases: ClassVar[tuple[Release, ...]] = (PACS_FILES,)
