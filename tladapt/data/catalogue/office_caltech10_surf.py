"""SURF features of Office-Caltech-10: the vectors on which the classical adaptation methods were compared."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, check_sha256, damaged, locate, sha256
from tladapt.data.catalogue.office_caltech10 import CLASSES, COUNTS, DOMAINS
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario

Normalization = Literal["zscore", "rows", "none"]
SURF = Release(
    title="Office-Caltech-10, SURF features",
    files={
        name: (f"{name}.mat", f"{name}_SURF_L10.mat", f"{name.capitalize()}_SURF_L10.mat")  # Caltech10_SURF_L10.mat
        for name in DOMAINS
    },
    folders=("office_caltech10/surf", "office_caltech10/features/surf", "office_caltech10", "surf"),
    obtain="https://github.com/LeoGautheron/OfficeCaltechDomainAdaptation (features/surf/)",
)
SURF_SHA256 = {
    "amazon": "df32548b994e18d364c99e1f317e1fae100597259f0423a41b90f4f68187bb1f",
    "caltech10": "4f9334c8ced489d5054de97a5fd51a61f017f3bcd1f38c9a85c6d78cb9d7bda5",
    "dslr": "44d673c68e1d07b837893aa74dba3b986e4a6cc3fd66f0dd357683bdef059216",
    "webcam": "a6a9c78b4b7181dfbb58bcfd351d4ebd737f171c31247b8884948aa156d3f700",
}


def read_features(path: Path, names: tuple[str, ...], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features `[n, width]` and labels int64 `[n]` from 0 on, of one file as released.

    Args:
      path: a MATLAB file with the features `[n, width]` and `labels` `[n, 1]`, 1 to 10.
      names: what the features are called in it, the first that is there.
      width: numbers an example.

    Raises:
      DamagedDataError: for a file that is something else.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        read = loadmat(path, variable_names=[*names, "labels"])
        called = next((name for name in names if name in read), names[0])
        x, y = np.asarray(read[called]), np.asarray(read["labels"]).reshape(-1).astype(np.int64) - 1
    except KeyError as name:
        raise damaged(path, f"is a MATLAB file without the array {name}") from None
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, zlib.error) as problem:
        raise damaged(path, f"is truncated or not a MATLAB file ({problem})") from None
    if x.ndim != 2 or x.shape[1] != width or len(x) != len(y) or len(x) == 0:
        raise damaged(path, f"has {called} of shape {x.shape} and {len(y)} labels; expected [n, {width}] and n")
    if y.min() < 0 or y.max() > 9:
        raise damaged(path, f"has labels from {y.min() + 1} to {y.max() + 1} (1 to 10 expected)")
    return x, y


def read_surf(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return counts `[n, 800]` and labels int64 `[n]` from 0 on, of one file of SURF words; raises as above."""
    x, y = read_features(path, ("fts",), 800)
    if x.min() < 0:
        raise damaged(path, "has counts below 0")
    return x, y


def normalized(features: np.ndarray, how: Normalization) -> np.ndarray:
    """Return features float32 `[n, d]` as papers on these data prepare them.

    Args:
      features: `[n, d]` of one domain.
      how: rows: over their sum in each example; zscore: then each feature by its mean and deviation in the domain.
    """
    x = features.astype(np.float64)
    if how != "none":
        x /= np.maximum(x.sum(axis=1, keepdims=True), 1.0)
    if how == "zscore":
        deviation = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return x.astype(np.float32)


@SCENARIOS.register("office-caltech10-surf")
@dataclasses.dataclass(frozen=True, kw_only=True)
class OfficeCaltech10Surf(PairEntry):
    """SURF features of Office-Caltech-10, the full protocol on one of the 12 pairs of its domains.

    Source: all examples of one domain, labelled. Target and test: all of another (transductive): amazon 958,
      Caltech-256 1,123, DSLR 157, webcam 295. The order of the examples need not be that of the pictures.
    Inputs: float32 `[800]`, how often each of 800 visual words occurs in a picture, normalised as in the papers of the
      classical methods. Their nearest-neighbour row (A>C 26.00 %, W>D 59.24 % ...) comes out of it digit by digit.

    Source: Gong, Shi, Sha, Grauman, "Geodesic flow kernel for unsupervised domain adaptation", CVPR 2012. The row:
      Long, Wang, Ding, Sun, Yu, "Transfer feature learning with joint distribution adaptation", ICCV 2013.
    """

    pair: str = "amazon-webcam"
    """Source and target, two of amazon, caltech10, dslr, webcam; "office-caltech10-surf:dslr-amazon" says it, too."""
    normalize: Normalization = "zscore"
    """rows: counts over their sum in each picture; zscore: then each word by its mean and deviation in its domain."""
    verify: bool = True
    """Refuse files whose sha256 is not that of the released ones."""

    summary: ClassVar[str] = (
        "SURF words of Office-Caltech-10, 800 numbers, 12 pairs: all source labelled, tested on all target"
    )
    domains: ClassVar[tuple[str, ...]] = DOMAINS
    classes: ClassVar[tuple[str, ...]] = CLASSES
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "All examples of a domain are the labelled source, all of another the target and the test set (transductive)."
    )
    sizes: ClassVar[Mapping[str, int]] = {name: sum(counts) for name, counts in COUNTS.items()}
    licence: ClassVar[str] = "none stated; Office-31 and Caltech-256 are given out for research."
    obtain: ClassVar[str] = SURF.obtain
    releases: ClassVar[tuple[Release, ...]] = (SURF,)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both domains as float32 `[n, 800]`."""
        called, ends = f"office-caltech10-surf:{self.pair}", self.ends()
        needed = dataclasses.replace(SURF, files={name: SURF.files[name] for name in ends})
        (paths,) = locate((needed,), data_dir, called=called)
        domains = []
        for name in ends:
            counts, y = read_surf(paths[name])
            if self.verify:
                check_sha256(paths[name], (SURF_SHA256[name],))
            domains.append(Domain(normalized(counts, self.normalize), y, name=name))
        origin = {"files": {str(path): sha256(path) for path in paths.values()}}
        return Scenario(*domains, classes=CLASSES, name=called, origin=origin)
