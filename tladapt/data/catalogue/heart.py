"""Heart disease at four hospitals: a table with missing values, and a strong shift of the classes; 12 pairs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar, Literal

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, check_sha256, locate, sha256
from tladapt.data.catalogue.heart_files import (
    ATTRIBUTES,
    COMMON,
    DOMAINS,
    HEART,
    HEART_SHA256,
    SIZES,
    Treatment,
    read_hospital,
)
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario

CLASSES = ("healthy", "diseased")


@SCENARIOS.register("heart")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Heart(PairEntry):
    """Is a coronary artery narrowed by half or more? One of 12 pairs of hospitals.

    Source: all patients of one hospital, labelled. Target and test: all patients of another (transductive): Cleveland
      303, Hungarian (Budapest) 294, Switzerland (Zurich and Basel) 123, V.A. Long Beach 200. The class is the released
      diagnosis, 0 against 1 to 4. There is no official protocol.
    Inputs: float32 `[inputs]`. What is missing ("?", and a blood pressure, cholesterol or heart rate of 0) becomes the
      source's median, of a category its most frequent; cp, restecg, slope and thal are an input a category;
      quantities are standardised by the source (`Treatment` in heart_files.py). Nothing is fitted on the target, and
      nothing looks at a label. The number of inputs depends on the pair, since inputs that never vary in the source
      are left out.

    The classes shift heavily: 45.9 % of Cleveland's patients are diseased, 36.1 % of the Hungarian, 93.5 % of the
    Swiss (8 are healthy), 74.5 % of V.A.'s. Always saying "diseased" is right for 93.5 % of the Swiss: read the mean
    over classes, and expect methods that match whole distributions (DANN, MMD, CORAL) to suffer.

    Source: Detrano et al., American Journal of Cardiology 1989 (`read_hospital`).
    """

    pair: str = "cleveland-hungarian"
    """Source and target, two of cleveland, hungarian, switzerland and va; "heart:va-cleveland" says it, too."""
    columns: Literal["common", "all"] = "common"
    """common: the 9 attributes that all hospitals took; all: the 13, chol, slope, ca and thal among them, which are
    all but missing in some."""
    standardize: Literal["source", "none"] = "source"
    """source: quantities minus their mean over their deviation, both of the source; none: in their units."""
    indicators: bool = False
    """Add an input for each attribute that says whether it was missing."""
    verify: bool = True
    """Refuse files whose sha256 is not that of the released ones."""

    summary: ClassVar[str] = (
        "heart disease at 4 hospitals, a table with missing values, 12 pairs: all source labelled, tested on all target"
    )
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    metric: ClassVar[str] = "mean_class_accuracy"
    protocol: ClassVar[str] = (
        "All patients of a hospital are the source, all of another the target and the test set; no official split."
    )
    sizes: ClassVar[Mapping[str, int]] = SIZES
    licence: ClassVar[str] = "UCI, CC BY 4.0; name the investigators: Janosi, Steinbrunn, Pfisterer, Detrano."
    obtain: ClassVar[str] = HEART.obtain
    releases: ClassVar[tuple[Release, ...]] = (HEART,)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both hospitals; `origin["inputs"]` names the inputs in order."""
        called, ends = f"heart:{self.pair}", self.ends()
        needed = dataclasses.replace(HEART, files={name: HEART.files[name] for name in ends})
        (paths,) = locate((needed,), data_dir, called=called)
        read = {name: read_hospital(paths[name]) for name in ends}
        if self.verify:
            for name in ends:
                check_sha256(paths[name], (HEART_SHA256[name],))
        treatment = Treatment(
            attributes=COMMON if self.columns == "common" else ATTRIBUTES,
            standardize=self.standardize == "source",
            indicators=self.indicators,
        )
        fitted = treatment.fit(read[ends[0]][0])
        domains = [Domain(fitted.apply(x), y > 0, name=name) for name, (x, y) in read.items()]
        left_out = ", ".join(map(str, fitted.left_out))
        origin = {
            "files": {str(path): sha256(path) for path in paths.values()},
            "inputs": [str(column) for column in fitted.columns],
            "notes": [f"Inputs that never vary in {ends[0]} are left out: {left_out}."] if left_out else [],
        }
        return Scenario(*domains, classes=CLASSES, name=called, origin=origin)
