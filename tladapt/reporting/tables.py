"""The table of many runs: last, chosen and oracle side by side, and the gain over source-only."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tladapt.errors import UsageError
from tladapt.reporting.folder import RunFiles

BASELINE = "source_only"
# What tells two runs of one row apart, or changes no number: never a reason for a row of its own.
_FREE = {"seed", "command", "out", "data_dir", "resume", "debug", "log_every", "scenario.options.seed"}
# On top of these, a method and its baseline may differ in what is the method's own and in what only picks a step.
_METHODS_OWN = ("method", "validator")
_ORACLE = ("oracle", "oracle_run", "is_oracle")

Pair = tuple[Any, Any]  # (data seed, seed)


@dataclasses.dataclass(frozen=True)
class Measure:
    """Mean and sample standard deviation (NaN for one run) over runs, in percent; NaN and NaN where no run knows it."""

    mean: float
    spread: float


@dataclasses.dataclass(frozen=True)
class Gain:
    """Mean difference to source-only over shared pairs, in points, its 95 % t-interval, and the paired t-test's p."""

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


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows, and notes on what a reader has to know; `to_rich`, `to_markdown`, `to_csv` and `to_latex` write it."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def results_table(runs: Sequence[RunFiles]) -> Table:
    """Gather runs into rows: one a scenario, method and setting, over (data seed, seed) pairs.

    Runs share a row only where every setting but the seeds is equal. Rows stand in the order of scenarios, recipes and
    methods as the runs come, source-only first and oracles last.
    The gain over source-only is taken on the pairs of seeds that both have, under the same scenario and settings; only
    the method's own fields and the validator may differ.

    Args:
      runs: from `read_run`. One without a summary, or with the settings and seeds of another, is left out with a note.

    Returns:
      The table.

    Raises:
      UsageError: where no finished run is given.
    """
    groups, notes = _grouped(runs)
    if not groups:
        raise UsageError(f"a table needs at least one finished run, got {len(runs)} run(s), none with a summary.json.")
    flat = {key: _flat(next(iter(group.values())).config) for key, group in groups.items()}
    rows = []
    for key, group in groups.items():
        first = next(iter(group.values()))
        gain, baselines = _gain(key, groups, flat)
        rows.append(
            Row(
                scenario=_name(first, "scenario"),
                method=_name(first, "method"),
                recipe=_name(first, "recipe"),
                validator=_name(first, "validator", "im"),
                settings=_settings(key, flat),
                is_oracle=_is_oracle(first),
                last=_measure(group, "target/accuracy"),
                chosen=_measure(group, "chosen/target/accuracy"),
                oracle=_measure(group, "oracle/target/accuracy"),
                source=_measure(group, "source/accuracy"),
                before=_measure(group, "before/target/accuracy"),
                source_before=_measure(group, "before/source/accuracy"),
                gain=gain,
                pairs=tuple(group),
                folders=tuple(str(run.path) for run in group.values()),
                baselines=baselines,
            )
        )
    if any(len({pair[0] for pair in row.pairs}) > 1 for row in rows):
        notes.append(
            "Runs of several data seeds share a row; intervals and p take (data seed, seed) pairs as independent."
        )
    if any(row.gain is None and not _plain(row) and not math.isnan(row.last.mean) for row in rows):
        notes.append("No gain (–) where no source-only run has the same settings and seeds.")
    notes += [text for row in rows for text in worse_than_source_only(row)]
    blocks = list(dict.fromkeys((row.scenario, row.recipe) for row in rows))
    rows.sort(key=lambda row: (blocks.index((row.scenario, row.recipe)), row.is_oracle, row.method != BASELINE))
    return Table(tuple(rows), tuple(notes))


def worse_than_source_only(row: Row) -> list[str]:
    """Say that a row is worse than the source-only runs it was compared with, and name them; else nothing.

    With several shared seeds it is said where the whole interval of the difference lies below 0. With one it is said
    as what it is: one difference.
    """
    gain = row.gain
    if gain is None or math.isnan(gain.mean) or not gain.mean < 0:
        return []
    called = f"{row.method}{' [oracle]' if row.is_oracle else ''}{f' ({row.settings})' if row.settings else ''}"
    named = ", ".join(row.baselines[:3]) + (f" and {len(row.baselines) - 3} more" if len(row.baselines) > 3 else "")
    if gain.pairs == 1:
        return [
            f"On {row.scenario}, {called} ends {-gain.mean:.1f} points below source-only on the same seed ({named})."
            " One seed proves little: train both with more seeds before concluding that adaptation hurts here."
        ]
    if not gain.high < 0:
        return []
    return [
        f"On {row.scenario}, {called} is worse than source-only: by {-gain.mean:.1f} points [{-gain.high:.1f},"
        f" {-gain.low:.1f}] over {gain.pairs} seeds, against {named}. Try a smaller weight of the adaptation term, a"
        " slower schedule of it, or more steps; look at whether the label sets and class shares of the domains differ."
    ]


def _plain(row: Row) -> bool:
    return row.method == BASELINE and not row.is_oracle


def _grouped(runs: Sequence[RunFiles]) -> tuple[dict[str, dict[Pair, RunFiles]], list[str]]:
    groups: dict[str, dict[Pair, RunFiles]] = {}
    notes = []
    for run in runs:
        if run.summary is None:
            notes.append(f"Left out: {run.path} is not finished (no summary.json).")
            continue
        settings = _flat(run.config) | {"oracle_run": _is_oracle(run)}
        group = groups.setdefault(json.dumps(settings, sort_keys=True, default=str), {})
        pair = _pair(run)
        if pair in group:
            notes.append(f"Left out: {run.path} has the settings and seeds of {group[pair].path}.")
        else:
            group[pair] = run
    return groups, notes


def _pair(run: RunFiles) -> Pair:
    scenario = run.config.get("scenario")
    options = (scenario.get("options") or {}) if isinstance(scenario, Mapping) else {}
    return options.get("seed"), run.config.get("seed", (run.summary or {}).get("seed"))


def _name(run: RunFiles, key: str, default: str = "?") -> str:
    entry = run.config.get(key, (run.summary or {}).get(key))
    if isinstance(entry, Mapping):
        entry = entry.get("name")
    return default if entry is None else str(entry)


def _is_oracle(run: RunFiles) -> bool:
    return bool((run.summary or {}).get("oracle_run"))


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that make a row, as {"method.fields.weight": 0.5}."""

    def walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, Mapping):
            for key, below in value.items():
                yield from walk(f"{prefix}.{key}" if prefix else str(key), below)
        elif prefix == "init":
            yield prefix, bool(value)  # each seed starts from a run of its own
        else:
            yield prefix, value

    return {key: value for key, value in walk("", config) if key not in _FREE and key.split(".")[-1] != "hash"}


def _settings(mine: str, flat: Mapping[str, Mapping[str, Any]]) -> str:
    """Name the settings in which a row differs from others of its scenario and recipe (a method's: of its method)."""
    own = flat[mine]
    same = ("scenario.name", "scenario", "recipe.name", "recipe")
    block = [other for other in flat.values() if all(other.get(key) == own.get(key) for key in same)]
    differing = []
    keys = list(dict.fromkeys(key for other in block for key in other))
    for key in sorted(keys, key=lambda key: not key.startswith("method.")):  # the method's own first
        if key in ("method", "method.name") or _says_oracle(key):
            continue
        peers = [other for other in block if _method(other) == _method(own)] if key.startswith("method.") else block
        if any(other.get(key) != own.get(key) for other in peers):
            short = key.removeprefix("method.").replace(".options.", ".").removesuffix(".name")
            differing.append(f"{short}={'unset' if own.get(key) is None else own[key]}")
    return ", ".join(differing)


def _method(flat: Mapping[str, Any]) -> Any:
    return flat.get("method.name", flat.get("method"))


def _says_oracle(key: str) -> bool:
    return key.split(".")[-1] in _ORACLE


def _values(group: Mapping[Pair, RunFiles], key: str) -> dict[Pair, float]:
    found = {pair: (run.summary or {}).get(key) for pair, run in group.items()}
    return {pair: 100 * float(value) for pair, value in found.items() if value is not None}


def _measure(group: Mapping[Pair, RunFiles], key: str) -> Measure:
    values = np.array(list(_values(group, key).values()))
    if len(values) == 0:
        return Measure(math.nan, math.nan)
    return Measure(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan)


def _gain(
    mine: str, groups: Mapping[str, Mapping[Pair, RunFiles]], flat: Mapping[str, Mapping[str, Any]]
) -> tuple[Gain | None, tuple[str, ...]]:
    def shared(settings: Mapping[str, Any]) -> dict[str, Any]:
        own = (key for key in settings if key.split(".")[0] in _METHODS_OWN or _says_oracle(key))
        return {key: settings[key] for key in settings.keys() - set(own)}

    if _method(flat[mine]) == BASELINE and not _is_oracle(next(iter(groups[mine].values()))):
        return None, ()
    base: dict[Pair, float] = {}
    folders: dict[Pair, str] = {}
    for key, group in groups.items():
        plain = _method(flat[key]) == BASELINE and not _is_oracle(next(iter(group.values())))
        if plain and shared(flat[key]) == shared(flat[mine]):
            base = _values(group, "target/accuracy") | base
            folders = {pair: str(run.path) for pair, run in group.items()} | folders
    values = _values(groups[mine], "target/accuracy")
    common = [pair for pair in values if pair in base]
    if not common:
        return None, ()
    gain = _paired(np.array([values[pair] - base[pair] for pair in common]))
    return gain, tuple(folders[pair] for pair in common)


def _paired(differences: np.ndarray) -> Gain:
    from scipy import stats

    n, mean = len(differences), float(differences.mean())
    if n < 2:
        return Gain(mean, math.nan, math.nan, math.nan, n)
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    if error <= 1e-12:  # differences all equal: the limits of the t-test
        return Gain(mean, mean, mean, 1.0 if abs(mean) <= 1e-12 else 0.0, n)
    return Gain(mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, n - 1)), n)
