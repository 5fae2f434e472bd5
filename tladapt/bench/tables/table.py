"""Outcomes to a table: means and intervals over seeds, gains with their tests, ranks, and what was published."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tladapt.bench.benchmark import Benchmark, Published
from tladapt.bench.outcomes import Outcome
from tladapt.bench.tables.gains import gains
from tladapt.bench.tables.records import MEAN, BenchTable, Beside, Entry, Ranks, SettingTable, TableRow
from tladapt.errors import UsageError
from tladapt.evaluation.ranks import average_ranks, critical_difference, groups_within, rank_test
from tladapt.evaluation.statistics import Interval, mean_and_interval

BASELINE = "source_only"
_NOTHING = Interval(math.nan, math.nan, math.nan, 0)

Runs = dict[str, dict[int, Outcome]]  # by problem and seed


def tabulate(
    outcomes: Sequence[Outcome],
    published: Sequence[Published] = (),
    *,
    baseline: str = BASELINE,
    whole: Sequence[str] = (),
    asked: Sequence[Mapping[str, Any]] = (),
    failures: Sequence[Mapping[str, Any]] = (),
) -> BenchTable:
    """Gather outcomes into one table a setting.

    What counts as a unit: a cell's interval is over seeds. A mean is taken over the problems within each seed that has
    all of them, and its interval is over these seeds: how far training alone moves it, on these problems. Gains are
    `Gain`'s: paired by problem and seed, their test with the problem as the unit. A mean or a gain that would leave out
    a problem is unknown, never an average of what happens to be there.

    Args:
      outcomes: of one benchmark, in the order that rows shall have.
      published: numbers from the literature; each stands beside ours of the same setting, method and kind.
      baseline: the method that gains are over.
      whole: the benchmark's problems: columns stand in their order, and a published mean is over all of them. Where the
        table has others, that mean is taken anew from the published numbers of its problems, or left out.
      asked: the runs that there should be: "setting", "problem", "method" and "seed"; empty: those that there are, and
        as many seeds in each cell as the fullest has.
      failures: of runs: "setting", "problem", "method", "seed" and "error".

    Raises:
      UsageError: for no outcomes and no failures, for outcomes of several benchmarks, or two of one cell and seed.
    """
    if not outcomes and not failures:
        raise UsageError("a table needs at least one finished run.")
    names = list(dict.fromkeys(outcome.benchmark for outcome in outcomes))
    if len(names) > 1:
        raise UsageError(f"a table is of one benchmark, got outcomes of {', '.join(names)}.")
    settings = [*(outcome.setting for outcome in outcomes), *(one["setting"] for one in (*asked, *failures))]
    tables = []
    for setting in dict.fromkeys(settings):
        mine = [_rounded(outcome) for outcome in outcomes if outcome.setting == setting]
        due, failed = ([one for one in those if one["setting"] == setting] for those in (asked, failures))
        seen = [*(outcome.problem for outcome in mine), *(one["problem"] for one in (*due, *failed))]
        columns = tuple(name for name in dict.fromkeys([*whole, *seen]) if name in seen)
        texts = [one for one in published if one.setting == setting]
        if whole and set(whole) != set(columns):
            texts = [one for one in texts if one.problem != MEAN]
        tables.append(
            _setting(
                setting,
                mine,
                _with_means(texts, columns),
                baseline=baseline,
                problems=columns,
                asked=due,
                failures=failed,
            )
        )
    name = names[0] if names else str(failures[0].get("benchmark", ""))
    return BenchTable(benchmark=name, title=name, settings=tuple(tables), failures=tuple(failures))


def table_of(
    outcomes: Sequence[Outcome],
    benchmark: Benchmark,
    *,
    asked: Sequence[Mapping[str, Any]] = (),
    failures: Sequence[Mapping[str, Any]] = (),
    command: str = "",
) -> BenchTable:
    """Return the table of a benchmark, with its title, its published numbers and the notes of its settings.

    Args:
      outcomes: finished runs, from `read_outcomes` or `read_csv`.
      benchmark: of which they are.
      asked: as `tabulate`.
      failures: as `tabulate`.
      command: what made the runs.

    Raises:
      UsageError: as `tabulate`.
    """
    whole = [problem.name for problem in benchmark.problems]
    table = tabulate(outcomes, benchmark.published, whole=whole, asked=asked, failures=failures)
    notes = {setting.name: setting.note for setting in benchmark.settings}
    settings = tuple(dataclasses.replace(one, note=notes.get(one.setting, "")) for one in table.settings)
    return dataclasses.replace(
        table, benchmark=benchmark.name, title=benchmark.title, settings=settings, command=command
    )


def _setting(
    setting: str,
    outcomes: Sequence[Outcome],
    published: Sequence[Published],
    *,
    baseline: str,
    problems: tuple[str, ...],
    asked: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
) -> SettingTable:
    by_cell: dict[str, Runs] = {}
    for outcome in outcomes:
        cell = by_cell.setdefault(outcome.method, {}).setdefault(outcome.problem, {})
        if outcome.seed in cell:
            raise UsageError(
                f"two outcomes of {outcome.method} on {outcome.problem} under {setting} have seed {outcome.seed}:"
                f" {cell[outcome.seed].folder or 'no folder'} and {outcome.folder or 'no folder'}. Leave one out."
            )
        cell[outcome.seed] = outcome
    for one in (*asked, *failures):
        by_cell.setdefault(one["method"], {})
    wanted = Counter((one["method"], one["problem"]) for one in asked)
    fullest = max((len(cell) for cells in by_cell.values() for cell in cells.values()), default=0)
    seeds = max(wanted.values(), default=fullest)
    oracles = {outcome.method for outcome in outcomes if outcome.is_oracle}
    # A classical estimator has no steps and no randomness: its one run stands for every seed.
    exact = {method for method, cells in by_cell.items() if cells and not any(one.steps for one in _runs(cells))}
    order = sorted(by_cell, key=lambda method: (method in oracles, method != baseline))
    every = sorted({outcome.seed for outcome in outcomes})
    values = {method: _values(cells, every if method in exact else ()) for method, cells in by_cell.items()}
    compared = [method for method in order if method != baseline and method not in oracles]
    found = gains({method: values[method] for method in compared}, values.get(baseline, {}), problems)
    usual = {method: 1 if method in exact else seeds for method in order}
    counts = {method: {name: wanted[method, name] if asked else usual[method] for name in problems} for method in order}
    failed = Counter((one["method"], one["problem"]) for one in failures)
    entries = {
        method: {
            name: _entry(by_cell[method].get(name, {}), counts[method][name], failed[method, name]) for name in problems
        }
        for method in order
    }
    means = {method: _mean(by_cell[method], entries[method], problems) for method in order}
    ranked = [method for method in order if method not in oracles and means[method].seeds]
    ranks = _ranks(ranked, entries, problems)
    of = dict(zip(ranks.methods, ranks.ranks, strict=True)) if ranks else {}
    with_mean = {method: {**entries[method], MEAN: means[method]} for method in order}
    rows = tuple(
        TableRow(
            method=method,
            is_oracle=method in oracles,
            entries=entries[method],
            mean=means[method],
            gain=found.get(method),
            rank=of.get(method, math.nan),
            beside=_beside(method, published, with_mean, baseline),
            seconds=_seconds(by_cell[method]),
        )
        for method in order
    )
    metric = " or ".join(dict.fromkeys(outcome.metric.replace("_", " ") for outcome in outcomes))
    return SettingTable(
        setting=setting, metric=metric, baseline=baseline, problems=problems, seeds=seeds, rows=rows, ranks=ranks,
        facts=_facts(outcomes),
    )  # fmt: skip


def _rounded(outcome: Outcome) -> Outcome:
    """Return an outcome as a CSV keeps it, so that both make the same table."""
    kept = {kind: round(getattr(outcome, kind), 6) for kind in ("last", "chosen", "oracle", "seconds")}
    return dataclasses.replace(outcome, **kept)


def _interval(shares: Sequence[float]) -> Interval:
    return mean_and_interval([100 * share for share in shares]) if shares else _NOTHING


def _runs(cells: Runs) -> list[Outcome]:
    return [run for cell in cells.values() for run in cell.values()]


def _values(cells: Runs, seeds: Sequence[int]) -> dict[str, dict[int, float]]:
    """Return the last step's shares by problem and seed; with `seeds`, the one there is, for each of them."""
    return {
        problem: {seed: 100 * one.last for number, one in cell.items() for seed in (seeds or (number,))}
        for problem, cell in cells.items()
    }


def _entry(found: Mapping[int, Outcome], asked: int, failed: int) -> Entry:
    runs = list(found.values())
    return Entry(
        last=_interval([run.last for run in runs]),
        chosen=_interval([run.chosen for run in runs]),
        oracle=_interval([run.oracle for run in runs]),
        seeds=len(runs),
        asked=asked,
        failed=failed,
        collapsed=sum(run.collapsed for run in runs),
    )


def _mean(found: Runs, entries: Mapping[str, Entry], problems: Sequence[str]) -> Entry:
    runs = [found.get(problem, {}) for problem in problems]
    complete = sorted(set.intersection(*(set(cell) for cell in runs)))
    shares = {
        kind: [float(np.mean([getattr(cell[seed], kind) for cell in runs])) for seed in complete]
        for kind in ("last", "chosen", "oracle")
    }
    return Entry(
        **{kind: _interval(values) for kind, values in shares.items()},
        seeds=len(complete),
        asked=max(entry.asked for entry in entries.values()),
        failed=sum(entry.failed for entry in entries.values()),
        collapsed=sum(entry.collapsed for entry in entries.values()),
    )


def _ranks(methods: Sequence[str], entries: Mapping[str, Mapping[str, Entry]], problems: Sequence[str]) -> Ranks | None:
    if min(len(methods), len(problems)) < 2:
        return None
    scores = np.array([[entries[method][problem].last.mean for method in methods] for problem in problems])
    scores = scores.round(6)  # [problems, methods]; equal but for the order in which seeds were added up: a tie
    ranks = average_ranks(scores).tolist()
    difference = critical_difference(len(methods), len(problems))
    return Ranks(
        methods=tuple(methods),
        ranks=tuple(ranks),
        test=rank_test(scores),
        difference=difference,
        groups=tuple(groups_within(ranks, difference)),
    )


def _with_means(published: Sequence[Published], problems: Sequence[str]) -> list[Published]:
    """Add the means of those who published every problem of the table and no mean."""
    found = list(published)
    for key in dict.fromkeys((one.method, one.kind, one.source) for one in published):
        mine = {one.problem: one for one in published if (one.method, one.kind, one.source) == key}
        if MEAN not in mine and problems and all(problem in mine for problem in problems):
            value = float(np.mean([mine[problem].value for problem in problems]))
            found.append(dataclasses.replace(mine[problems[0]], problem=MEAN, value=value))
    return found


def _beside(
    method: str, published: Sequence[Published], entries: Mapping[str, Mapping[str, Entry]], baseline: str
) -> tuple[Beside, ...]:
    base = {(one.problem, one.kind, one.source): one.value for one in published if one.method == baseline}
    found = []
    for one in published:
        if one.method != method or one.problem not in entries[method]:
            continue
        ours, our_base = (_of_kind(entries.get(name, {}).get(one.problem), one.kind) for name in (method, baseline))
        plain = method == baseline
        before = math.nan if plain else base.get((one.problem, one.kind, one.source), math.nan)
        found.append(
            Beside(
                problem=one.problem,
                published=one.value,
                kind=one.kind,
                source=one.source,
                ours=ours,
                published_gain=one.value - before,
                our_gain=math.nan if plain else ours - our_base,
            )
        )
    return tuple(found)


def _of_kind(entry: Entry | None, kind: str) -> float:
    return math.nan if entry is None else entry.oracle.mean if kind == "oracle" else entry.last.mean


def _seconds(found: Runs) -> float:
    seconds = [run.seconds for run in _runs(found)]
    return float(np.mean(seconds)) if seconds else math.nan


def _facts(outcomes: Sequence[Outcome]) -> tuple[tuple[str, str], ...]:
    def of(name: str) -> str:
        return ", ".join(dict.fromkeys(str(value) for one in outcomes if (value := getattr(one, name)))) or "–"

    hours = sum(one.seconds for one in outcomes) / 3600
    spent = f"{60 * hours:.1f} minutes" if hours < 2 else f"{hours:.1f} hours"
    steps = ", ".join(dict.fromkeys(f"{one.steps:,}" for one in outcomes if one.steps)) or "–"
    return (
        ("recipe", of("recipe")),
        ("backbone", of("backbone")),
        ("steps", steps),
        ("runs", f"{len(outcomes)}, {spent} of training in all"),
        ("cores", of("cores")),
        ("versions", f"tladapt {of('tladapt')}, jax {of('jax')}"),
        ("commit", of("commit")),
    )
