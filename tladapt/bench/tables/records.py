"""What the table of a benchmark is made of: entries, rows, ranks, and one table a setting."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tladapt.bench.tables.gains import Gain
from tladapt.evaluation.ranks import RankTest
from tladapt.evaluation.statistics import Interval

MEAN = "mean"
"""The column of means, in the table and in published numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One method on one problem, or its mean over the problems; shares in percent, 95 % t-intervals over seeds."""

    last: Interval
    chosen: Interval
    oracle: Interval
    seeds: int
    """How many seeds it rests on; of a mean: those that have every problem."""
    asked: int
    """How many seeds there should be: 1 for an estimator without randomness."""
    failed: int = 0
    """Runs that failed."""
    collapsed: int = 0
    """Runs of which the collapse guard refused every evaluation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
    """A published number and ours of its kind, in percent; where the kind is not known, ours is the last step's."""

    problem: str
    published: float
    kind: str
    source: str
    ours: float
    published_gain: float = math.nan
    """Over the baseline's number of the same kind and source."""
    our_gain: float = math.nan
    """Our mean less our baseline's, of the same kind."""

    @property
    def difference(self) -> float:
        """Ours less the published one; NaN where its kind is not known, since only like is held against like."""
        return math.nan if self.kind == "unknown" else self.ours - self.published


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableRow:
    """One method under one setting."""

    method: str
    is_oracle: bool
    """Whether its runs trained on labels of the target."""
    entries: Mapping[str, Entry]
    """By problem."""
    mean: Entry
    """Over the problems: each seed's mean, then mean and interval over seeds; unknown unless every problem has one."""
    gain: Gain | None
    """Over the baseline; None for the baseline itself, for oracles, and where there is no baseline."""
    rank: float
    """Mean over the problems, 1 is best; NaN for oracles and rows that are not complete."""
    beside: tuple[Beside, ...]
    seconds: float
    """Mean of a run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """How the methods that are complete stand by rank over the problems."""

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    test: RankTest
    difference: float
    """Nemenyi's critical difference at 0.05."""
    groups: tuple[tuple[int, ...], ...]
    """Methods (positions) whose ranks are within it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingTable:
    """All methods under one setting; oracles stand last."""

    setting: str
    metric: str
    baseline: str
    problems: tuple[str, ...]
    seeds: int
    rows: tuple[TableRow, ...]
    ranks: Ranks | None
    """None for fewer than two problems or complete methods."""
    facts: tuple[tuple[str, str], ...]
    """What the runs were made with."""
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchTable:
    """The tables of a benchmark, one a setting, and what failed."""

    benchmark: str
    title: str
    settings: tuple[SettingTable, ...]
    failures: tuple[Mapping[str, Any], ...] = ()
    command: str = ""
