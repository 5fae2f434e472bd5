"""DeCAF6 features of Office-Caltech-10: what a network trained on ImageNet saw in the pictures, in 2013."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, damaged, locate, sha256
from tladapt.data.catalogue.office_caltech10 import CLASSES, COUNTS, DOMAINS
from tladapt.data.catalogue.office_caltech10_surf import Normalization, normalized, read_features
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario

DECAF = Release(
    title="Office-Caltech-10, DeCAF6 features",
    files={name: (f"{name.removesuffix('10')}_decaf.mat", f"{name}_decaf.mat") for name in DOMAINS},
    folders=(
        "office_caltech10/decaf6",
        "office_caltech10/decaf",
        "office_caltech10",
        "office+caltech--decaf",
        "decaf6",
    ),
    obtain="https://github.com/jindongwang/transferlearning/blob/master/data/dataset.md (Office+Caltech, DeCAF:"
    " amazon_decaf.mat, caltech_decaf.mat, dslr_decaf.mat, webcam_decaf.mat)",
)


@SCENARIOS.register("office-caltech10-decaf6")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficeCaltech10Decaf6(PairEntry):
    """DeCAF6 features of Office-Caltech-10, the full protocol on one of the 12 pairs of its domains.

    Source: all examples of one domain, labelled. Target and test: all of another (transductive): amazon 958,
      Caltech-256 1,123, DSLR 157, webcam 295.
    Inputs: float32 `[4096]`, the sixth layer of the network, normalised as in the papers of the classical methods.

    Source: Donahue, Jia, Vinyals, Hoffman, Zhang, Tzeng, Darrell, "DeCAF", ICML 2014, arXiv:1310.1531; the ten classes:
      Gong, Shi, Sha, Grauman, "Geodesic flow kernel for unsupervised domain adaptation", CVPR 2012.
    """

    pair: str = "amazon-webcam"
    """Source and target, two of amazon, caltech10, dslr, webcam; "office-caltech10-decaf6:dslr-amazon" says it, too."""
    normalize: Normalization = "zscore"
    """rows: over their sum in each example; zscore: then each number by its mean and deviation in its domain."""
    verify: bool = True
    """Refuse numbers of examples a class other than those of the pictures."""

    summary: ClassVar[str] = (
        "DeCAF6 features of Office-Caltech-10, 4,096 numbers, 12 pairs: all source labelled, tested on all target"
    )
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    protocol: ClassVar[str] = "All source examples labelled, all target examples unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {name: sum(counts) for name, counts in COUNTS.items()}
    licence: ClassVar[str] = "none stated; Office-31 and Caltech-256 are given out for research."
    obtain: ClassVar[str] = DECAF.obtain
    releases: ClassVar[tuple[Release, ...]] = (DECAF,)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both domains as float32 `[n, 4096]`."""
        called, ends = f"office-caltech10-decaf6:{self.pair}", self.ends()
        needed = dataclasses.replace(DECAF, files={name: DECAF.files[name] for name in ends})
        (paths,) = locate((needed,), data_dir, called=called)
        domains = []
        for name in ends:
            features, y = read_features(paths[name], ("feas", "fts"), 4096)
            if self.verify and (counts := np.bincount(y, minlength=10).tolist()) != list(COUNTS[name]):
                raise damaged(
                    paths[name],
                    f"has {counts} examples of the classes, expected {list(COUNTS[name])} (verify=False takes it as it"
                    " is)",
                )
            domains.append(Domain(normalized(features, self.normalize), y, name=name))
        origin = {"files": {str(path): sha256(path) for path in paths.values()}}
        return Scenario(*domains, classes=CLASSES, name=called, origin=origin)
