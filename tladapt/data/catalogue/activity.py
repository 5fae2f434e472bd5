"""Activities by person: windows of a phone's motion sensors, from one person to another."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.catalogue import activity_files
from tladapt.data.catalogue.activity_files import HAR, HHAR, WISDM, Windows
from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, damaged, locate
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import UsageError

HELD_OUT = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Activity(PairEntry):
    split: Literal["all", "held_out"] = "all"
    """all: adapt to all windows of the target and test on them (transductive); held_out: the last 30 % of a person's
    windows of each activity are for testing (the source's: for validation)."""
    normalize: Literal["split", "source", "none"] = "split"
    """Each channel minus its mean over its deviation: of the windows of its own set (AdaTime's; no label is looked
    at), of the source's training windows, or not at all."""

    name: ClassVar[str] = ""
    table: ClassVar[tuple[str, ...]] = ()
    """AdaTime's ten pairs."""
    metric: ClassVar[str] = "macro_f1"
    protocol: ClassVar[str] = (
        "AdaTime's ten pairs of persons, one person being the source and another the target; its division of each"
        " person's windows into training and test was drawn at random and is not reproduced."
    )

    @classmethod
    def pairs(cls) -> list[str]:
        """Return AdaTime's ten pairs of persons."""
        return list(cls.table)

    @classmethod
    def further_pairs(cls) -> list[str]:
        """Return every pair of persons."""
        return super().pairs()

    def read(self, path: Path) -> Windows:
        """Return the windows of all persons, from a file as released."""
        raise NotImplementedError

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the windows of both persons as float32 `[n, time, channels]`."""
        called = f"{self.name}:{self.pair}"
        (paths,) = locate(self.releases, data_dir, called=called)
        path = paths["any"]
        windows = activity_files.read_npz(path, self.classes) if path.suffix == ".npz" else self.read(path)
        train, held_out = {}, {}
        for person in self.ends():
            chosen = np.flatnonzero(windows.person == person)
            if len(chosen) == 0:
                known = sorted(set(windows.person.tolist()), key=lambda name: (len(name), name))
                raise damaged(path, f"has no window of person {person}; it has those of {', '.join(known)}")
            last = _last(windows.y[chosen]) if self.split == "held_out" else np.zeros(len(chosen), bool)
            train[person], held_out[person] = chosen[~last], chosen[last]
        source, target = self.ends()
        fitted = windows.x[train[source]]

        def domain(index: np.ndarray, name: str) -> Domain | None:
            if len(index) == 0:
                return None
            x = windows.x[index]
            if self.normalize != "none":
                x = _normalized(x, fitted if self.normalize == "source" else x)
            return Domain(x, windows.y[index], name=f"person {name}")

        adapted, learnt = domain(train[target], target), domain(train[source], source)
        assert adapted is not None and learnt is not None  # the last 30 % of an activity are never all of it
        return Scenario(
            learnt,
            adapted,
            domain(held_out[target], f"{target} test"),
            validation=domain(held_out[source], f"{source} validation"),
            classes=self.classes,
            name=called,
            origin={"files": {str(path): activity_files.digest(path)}},
        )


def _last(y: np.ndarray) -> np.ndarray:
    """Return whether each window is among the last 30 % of its activity: bool `[n]`."""
    out = np.zeros(len(y), bool)
    for label in np.unique(y):
        index = np.flatnonzero(y == label)
        out[index[len(index) - int(HELD_OUT * len(index)) :]] = True
    return out


def _normalized(x: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    mean, deviation = fitted.mean(axis=(0, 1), dtype=np.float64), fitted.std(axis=(0, 1), dtype=np.float64)
    return np.asarray((x - mean) / np.where(deviation > 0, deviation, 1.0), np.float32)


@SCENARIOS.register("har")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Har(_Activity):
    """UCI HAR: six activities of 30 persons with a phone at the waist, from one person to another.

    Source: a person's windows, labelled. Target and test: another's (`split`); 281 to 409 windows a person.
    Inputs: float32 `[128, 9]`, 2.56 seconds at 50 Hz: body acceleration, angular velocity and total acceleration.
      Neighbouring windows share half of their points, so that a random split would leak.

    The table's ten pairs are those of Ragab et al., "AdaTime: A Benchmarking Suite for Domain Adaptation on Time Series
    Data", TKDD 2023, arXiv:2203.08321; any other two persons will do, too. Instead of the released files, har.npz may
    hold x `[n, 128, 9]`, y `[n]` (class indices or names) and person `[n]`.

    Source: `activity_files.read_har`.
    """

    pair: str = "2-11"
    """Source and target, two persons of 1 to 30; "har:12-16" says it, too."""

    name: ClassVar[str] = "har"
    summary: ClassVar[str] = "UCI HAR, 6 activities of 30 persons, windows 128 x 9, AdaTime's 10 pairs (or any)"
    domains: ClassVar[tuple[str, ...]] = tuple(str(person) for person in range(1, 31))
    table: ClassVar[tuple[str, ...]] = (
        *("2-11", "6-23", "7-13", "9-18", "12-16"),
        *("18-27", "20-5", "24-8", "28-27", "30-20"),
    )
    classes: ClassVar[tuple[str, ...]] = ("walk", "upstairs", "downstairs", "sit", "stand", "lie")
    sizes: ClassVar[Mapping[str, int]] = dict(
        zip(
            (str(person) for person in range(1, 31)),
            (
                *(347, 302, 341, 317, 302, 325, 308, 281, 288, 294),
                *(316, 320, 327, 323, 328, 366, 368, 364, 360, 354),
                *(408, 321, 372, 381, 409, 392, 376, 382, 344, 383),
            ),
            strict=True,
        )
    )
    licence: ClassVar[str] = "UCI, CC BY 4.0; cite Anguita et al. 2013."
    obtain: ClassVar[str] = HAR.obtain
    releases: ClassVar[tuple[Release, ...]] = (HAR,)

    def read(self, path: Path) -> Windows:
        """Return the windows of all 30 persons; read once, then kept in the cache directory (TLADAPT_CACHE)."""
        return activity_files.kept(path, "har", lambda: activity_files.read_har(path))


@SCENARIOS.register("wisdm")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Wisdm(_Activity):
    """WISDM 1.1: six activities of 36 persons with a phone in the trouser pocket, from one person to another.

    Source: a person's windows, labelled. Target and test: another's (`split`). Persons are numbered as released; many
      did not do all six activities, so that the label sets of a pair may differ.
    Inputs: float32 `[128, 3]`, acceleration at 20 Hz: windows of consecutive records of one activity.

    The table's ten pairs are those of AdaTime (see `Har`); any other two persons will do, too. Instead of the released
    file, wisdm.npz may hold x `[n, time, 3]`, y `[n]` (class indices or names) and person `[n]`.

    Source: `activity_files.read_wisdm`.
    """

    pair: str = "7-18"
    """Source and target, two persons of 1 to 36; "wisdm:20-30" says it, too."""
    window: int = 128
    """Length of a window in records."""
    step: int = 64
    """Records from the beginning of one window to that of the next."""

    name: ClassVar[str] = "wisdm"
    summary: ClassVar[str] = "WISDM 1.1, 6 activities of 36 persons, windows 128 x 3, AdaTime's 10 pairs (or any)"
    domains: ClassVar[tuple[str, ...]] = tuple(str(person) for person in range(1, 37))
    table: ClassVar[tuple[str, ...]] = (
        *("7-18", "20-30", "35-31", "17-23", "6-19"),
        *("2-11", "33-12", "5-26", "28-4", "23-32"),
    )
    classes: ClassVar[tuple[str, ...]] = ("walk", "jog", "sit", "stand", "upstairs", "downstairs")
    licence: ClassVar[str] = "none stated; cite Kwapisz et al. 2010."
    obtain: ClassVar[str] = WISDM.obtain
    releases: ClassVar[tuple[Release, ...]] = (WISDM,)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_window(self.window, self.step)

    def read(self, path: Path) -> Windows:
        """Return the windows of all persons; cut once, then kept in the cache directory (TLADAPT_CACHE)."""
        names = ("Walking", "Jogging", "Sitting", "Standing", "Upstairs", "Downstairs")
        known = {name: index for index, name in enumerate(names)}
        return activity_files.kept(
            path,
            f"wisdm-{self.window}-{self.step}",
            lambda: activity_files.read_wisdm(path, known, window=self.window, step=self.step),
        )


@SCENARIOS.register("hhar")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Hhar(_Activity):
    """HHAR: six activities of nine persons with phones at the waist, from one person to another.

    Source: a person's windows, labelled. Target and test: another's (`split`).
    Inputs: float32 `[128, 3]`, acceleration: windows of consecutive records of one phone and one activity. Models
      differ in their rate (Galaxy S3: some 150 Hz), so that a window lasts differently long.

    The table's ten pairs are those of AdaTime (see `Har`), which takes Samsung phones and does not say which; here one
    model is chosen. Any other two persons will do, too. Instead of the released file, hhar.npz may hold x
    `[n, time, 3]`, y `[n]` (class indices or names) and person `[n]`, 0 to 8.

    Source: `activity_files.read_hhar`.
    """

    pair: str = "0-6"
    """Source and target, two persons of 0 (user "a") to 8 (user "i"); "hhar:1-6" says it, too."""
    model: Literal["s3", "s3mini", "samsungold", "nexus4"] = "s3"
    """The model of the phones: Galaxy S3, S3 mini, S Plus or Nexus 4."""
    window: int = 128
    """Length of a window in records."""
    step: int = 64
    """Records from the beginning of one window to that of the next."""

    name: ClassVar[str] = "hhar"
    summary: ClassVar[str] = "HHAR, 6 activities of 9 persons, windows 128 x 3, AdaTime's 10 pairs (or any)"
    domains: ClassVar[tuple[str, ...]] = tuple(str(person) for person in range(9))
    table: ClassVar[tuple[str, ...]] = ("0-6", "1-6", "2-7", "3-8", "4-5", "5-0", "6-1", "7-4", "8-3", "0-2")
    classes: ClassVar[tuple[str, ...]] = ("bike", "sit", "stand", "walk", "upstairs", "downstairs")
    licence: ClassVar[str] = "UCI, CC BY 4.0; cite Stisen et al. 2015."
    obtain: ClassVar[str] = HHAR.obtain
    releases: ClassVar[tuple[Release, ...]] = (HHAR,)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_window(self.window, self.step)

    def read(self, path: Path) -> Windows:
        """Return the windows of all persons; cut once, then kept in the cache directory (TLADAPT_CACHE)."""
        names = ("bike", "sit", "stand", "walk", "stairsup", "stairsdown")
        known = {name: index for index, name in enumerate(names)}
        windows = activity_files.kept(
            path,
            f"hhar-{self.model}-{self.window}-{self.step}",
            lambda: activity_files.read_hhar(path, known, model=self.model, window=self.window, step=self.step),
        )
        return windows._replace(person=np.array(["abcdefghi".find(user) for user in windows.person]).astype(str))


def _check_window(window: int, step: int) -> None:
    if window < 2 or step < 1:
        raise UsageError(f"window is a number of records from 2 on and step one from 1 on, got {window=}, {step=}.")
