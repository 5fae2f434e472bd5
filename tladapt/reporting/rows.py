"""What a table of runs is made of: rows with their measures and gains, and what a row says in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

Pair = tuple[Any, Any]  # (data seed, seed)


@dataclasses.dataclass(frozen=True)
class Measure:
    """Mean and sample standard deviation (NaN for one run) over runs, in percent; NaN and NaN where no run knows it."""

    mean: float
    spread: float


@dataclasses.dataclass(frozen=True)
class Gain:
    """Mean difference to a baseline over shared pairs, in points, its 95 % t-interval, and the paired t-test's p."""

    mean: float
    low: float
    high: float
    p: float
    pairs: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One method under one setting.

    Attributes:
      scenario, method, recipe, validator: names.
      settings: what sets this row apart from others of the same scenario and recipe, as "steps=500".
      is_oracle: the runs trained on labels of the target.
      last, chosen, oracle, source: accuracies on the target's test set at the last step, at the step that the validator
        chose, at the step that test labels chose; and on the source's held-out examples.
      before, source_before: accuracies of the model that the runs started from, on the target and on the source.
      gain: of `last` over source-only; None where there is no source-only run under the same settings.
      pairs: the (data seed, seed) of each run.
      folders: of the runs, in the order of `pairs`.
      baselines: folders of the source-only runs that `gain` is over.
      transfer: of `last` over the same training from scratch, for runs that start from trained parameters; None where
        there is no such run.
      scratch: folders of the runs from scratch that `transfer` is over.
    """

    scenario: str
    method: str
    recipe: str
    validator: str
    settings: str
    is_oracle: bool
    last: Measure
    chosen: Measure
    oracle: Measure
    source: Measure
    before: Measure
    source_before: Measure
    gain: Gain | None
    pairs: tuple[Pair, ...]
    folders: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    transfer: Gain | None = None
    scratch: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows, and notes on what a reader has to know; `to_rich`, `to_markdown`, `to_csv` and `to_latex` write it."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def worse_than_baselines(row: Row) -> list[str]:
    """Say that a row is worse than runs it was compared with, and name them: source-only, training from scratch.

    With several shared seeds it is said where the whole interval of the difference lies below 0. With one it is said
    as what it is: one difference.
    """
    advice = (
        "Try a smaller weight of the adaptation term, a slower schedule of it, or more steps; look at whether the label"
        " sets and class shares of the domains differ."
    )
    words = _worse(row, row.gain, row.baselines, "source-only", "adaptation hurts here", advice)
    advice = (
        "That is negative transfer: try a smaller learning rate for the backbone, fewer frozen stages, a weaker"
        " penalty, or other weights (tladapt rank compares them)."
    )
    return words + _worse(row, row.transfer, row.scratch, "the same training from scratch", "transfer hurts", advice)


def _worse(row: Row, gain: Gain | None, folders: Sequence[str], base: str, claim: str, advice: str) -> list[str]:
    if gain is None or math.isnan(gain.mean) or not gain.mean < 0:
        return []
    called, named = _called(row), _named(folders)
    if gain.pairs == 1:
        return [
            f"On {row.scenario}, {called} ends {-gain.mean:.1f} points below {base} on the same seed ({named})."
            f" One seed proves little: train both with more seeds before concluding that {claim}."
        ]
    if not gain.high < 0:
        return []
    return [
        f"On {row.scenario}, {called} is worse than {base}: by {-gain.mean:.1f} points [{-gain.high:.1f},"
        f" {-gain.low:.1f}] over {gain.pairs} seeds, against {named}. {advice}"
    ]


def better_than_scratch(row: Row) -> list[str]:
    """Say by how much transfer helps where the interval over shared seeds lies above 0, and name the runs."""
    gain = row.transfer
    if gain is None or not gain.low > 0:
        return []
    return [
        f"On {row.scenario}, {_called(row)} gains {gain.mean:.1f} points [{gain.low:.1f}, {gain.high:.1f}] over the"
        f" same training from scratch on {gain.pairs} seeds ({_named(row.scratch)})."
    ]


def _called(row: Row) -> str:
    return f"{row.method}{' [oracle]' if row.is_oracle else ''}{f' ({row.settings})' if row.settings else ''}"


def _named(folders: Sequence[str]) -> str:
    return ", ".join(folders[:3]) + (f" and {len(folders) - 3} more" if len(folders) > 3 else "")
