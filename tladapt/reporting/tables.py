"""The table of many runs: last, chosen and oracle side by side, and the gain over source-only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tladapt.errors import UsageError
from tladapt.reporting.folder import RunFiles
from tladapt.reporting.rows import Gain, Measure, Pair, Row, Table, better_than_scratch, worse_than_baselines

BASELINE = "source_only"
# What tells two runs of one row apart, or changes no number: never a reason for a row of its own.
_FREE = {"seed", "command", "out", "data_dir", "resume", "debug", "log_every", "scenario.options.seed"}
# On top of these, a method and its baseline may differ in what is the method's own and in what only picks a step.
_METHODS_OWN = ("method", "validator")
# What runs that start from trained parameters and the same training from scratch may differ in.
_STARTS_OWN = ("weights", "init", "transfer", "views", "penalty", "validator")
_ORACLE = ("oracle", "oracle_run", "is_oracle")


def results_table(runs: Sequence[RunFiles]) -> Table:
    """Gather runs into rows: one a scenario, method and setting, over (data seed, seed) pairs.

    Runs share a row only where every setting but the seeds is equal. Rows stand in the order of scenarios, recipes and
    methods as the runs come, source-only first and oracles last.
    The gain over source-only is taken on the pairs of seeds that both have, under the same scenario and settings; only
    the method's own fields and the validator may differ. Runs that start from trained parameters are held against those
    from scratch, too, where only the start, the penalty and the validator differ.

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
        transfer, scratch = _transfer(key, groups, flat)
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
                transfer=transfer,
                scratch=scratch,
            )
        )
    if any(len({pair[0] for pair in row.pairs}) > 1 for row in rows):
        notes.append(
            "Runs of several data seeds share a row; intervals and p take (data seed, seed) pairs as independent."
        )
    if any(row.gain is None and not _plain(row) and not math.isnan(row.last.mean) for row in rows):
        notes.append("No gain (–) where no source-only run has the same settings and seeds.")
    notes += [text for row in rows for text in (*worse_than_baselines(row), *better_than_scratch(row))]
    blocks = list(dict.fromkeys((row.scenario, row.recipe) for row in rows))
    rows.sort(key=lambda row: (blocks.index((row.scenario, row.recipe)), row.is_oracle, row.method != BASELINE))
    return Table(tuple(rows), tuple(notes))


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
        elif value is not None:  # what is not set is as in a run from before there was such a setting
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
    """Return the gain of a row over the source-only runs under its settings, and the folders of these."""

    def plain(key: str) -> bool:
        return _method(flat[key]) == BASELINE and not _is_oracle(next(iter(groups[key].values())))

    return (None, ()) if plain(mine) else _over([key for key in groups if plain(key)], _METHODS_OWN, mine, groups, flat)


def _transfer(
    mine: str, groups: Mapping[str, Mapping[Pair, RunFiles]], flat: Mapping[str, Mapping[str, Any]]
) -> tuple[Gain | None, tuple[str, ...]]:
    """Return the gain of a row that starts from trained parameters over the same from scratch, and its folders."""

    def scratch(key: str) -> bool:
        return not (flat[key].get("weights") or flat[key].get("init"))

    if scratch(mine):
        return None, ()
    oracle = _is_oracle(next(iter(groups[mine].values())))
    bases = [key for key in groups if scratch(key) and _is_oracle(next(iter(groups[key].values()))) == oracle]
    return _over(bases, _STARTS_OWN, mine, groups, flat)


def _over(
    bases: Sequence[str],
    own: Sequence[str],
    mine: str,
    groups: Mapping[str, Mapping[Pair, RunFiles]],
    flat: Mapping[str, Mapping[str, Any]],
) -> tuple[Gain | None, tuple[str, ...]]:
    """Return the gain of a row over those of `bases` that have its settings but for `own`, and their folders."""

    def shared(settings: Mapping[str, Any]) -> dict[str, Any]:
        left_out = (key for key in settings if key.split(".")[0] in own or _says_oracle(key))
        return {key: settings[key] for key in settings.keys() - set(left_out)}

    base: dict[Pair, float] = {}
    folders: dict[Pair, str] = {}
    for key in bases:
        if shared(flat[key]) == shared(flat[mine]):
            base = _values(groups[key], "target/accuracy") | base
            folders = {pair: str(run.path) for pair, run in groups[key].items()} | folders
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
