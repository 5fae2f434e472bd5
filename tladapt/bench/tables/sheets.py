"""A benchmark's table in words: cells, marks and notes, for every format."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tladapt.bench.outcomes import reason
from tladapt.bench.tables.records import MEAN, BenchTable, Entry, SettingTable, TableRow
from tladapt.evaluation.statistics import Interval
from tladapt.reporting.sheets import Sheet

UNKNOWN = "–"
_OVER = "95 % t-interval over seeds"


def sheets(table: BenchTable, *, everything: bool = True) -> list[Sheet]:
    """Return what there is to show of a table, setting by setting.

    Args:
      table: from `tabulate`.
      everything: with the gains by problem, and every number beside the published ones of its kind.
    """
    found = []
    for one in table.settings:
        name = table.title if len(table.settings) == 1 else f"{table.title}, setting {one.setting}"
        found += [last_sheet(one, name), summary_sheet(one, name)]
        if literature := literature_sheet(one, name):
            found.append(literature)
        if everything and len(one.problems) > 1 and any(row.gain for row in one.rows):
            found.append(gains_sheet(one, name))
        if everything:
            found.append(numbers_sheet(one, name))
    if failures := failures_sheet(table):
        found.append(failures)
    return found


def called(row: TableRow) -> str:
    """Return the name of a row; one that trained on labels of the target says so."""
    return f"{row.method} (oracle)" if row.is_oracle else row.method


def last_sheet(one: SettingTable, title: str) -> Sheet:
    """Return the table itself: a row a method, a column a problem, and the mean, at the last step."""
    columns = [*one.problems, MEAN] if len(one.problems) > 1 else list(one.problems)
    rows, strong = [], set()
    for column, problem in enumerate(columns, start=1):
        best = max((round(_of(row, problem).last.mean, 1) for row in _open(one) if _of(row, problem).seeds), default=0)
        for place, row in enumerate(one.rows):
            entry = _of(row, problem)
            if not row.is_oracle and entry.seeds and round(entry.last.mean, 1) == best:
                strong.add((place, column))
    for row in one.rows:
        cells = [called(row), *(_cell(_of(row, problem), mean=problem == MEAN) for problem in columns)]
        rows.append((*cells, *[UNKNOWN if math.isnan(row.rank) else f"{row.rank:.1f}"] * bool(one.ranks)))
    notes = [f"{one.metric.capitalize()} in percent at the last step, ± half of the {_OVER}."]
    if one.note:
        notes.append(f"{one.setting}: {one.note.rstrip('.')}.")
    return Sheet(
        title=f"{title}: last step",
        header=("method", *columns, *["rank"] * bool(one.ranks)),
        rows=tuple(rows),
        strong=frozenset(strong),
        faint=_faint(one),
        notes=(*notes, *_ranked(one), *_marks(one)),
    )


def summary_sheet(one: SettingTable, title: str) -> Sheet:
    """Return the means with last, chosen and oracle side by side, and the gains with their tests."""
    many = len(one.problems) > 1
    rows = []
    for row in one.rows:
        gain = row.gain
        cells = [called(row), *(_share(getattr(row.mean, kind)) for kind in ("last", "chosen", "oracle"))]
        cells[1] += _counted(row.mean)
        cells.append(_gain(gain.over_seeds) if gain else UNKNOWN)
        if many:
            cells.append(_ends(gain.over_problems) if gain else UNKNOWN)
        rows.append((*cells, _p(gain.corrected) if gain else UNKNOWN))
    where = f"mean over {len(one.problems)} problems" if many else one.problems[0]
    header = ("method", "last", "chosen", "oracle", "gain [seeds]", *["[problems]"] * many, "p")
    return Sheet(title=f"{title}: {where}", header=header, rows=tuple(rows), faint=_faint(one), notes=_explained(one))


def _explained(one: SettingTable) -> tuple[str, ...]:
    many, compared = len(one.problems), sum(row.gain is not None and not math.isnan(row.gain.p) for row in one.rows)
    notes = [
        f"last: after the last step. chosen: where a validator without labels of the target stops. oracle: the best"
        f" evaluation by test labels, which nobody has: no result. ± half of the {_OVER}"
        + (" (each seed's mean over the problems)." if many > 1 else ".")
    ]
    if compared:
        words = f"gain: last minus {one.baseline}, in points, paired by problem and seed; [seeds]: its {_OVER}"
        if many == 1:
            words += "; p: paired t-test over seeds"
        else:
            test = "Wilcoxon's signed-rank test" if many >= 6 else "paired t-test"
            words += (
                f", these {many} problems given; [problems]: its interval with the problem as the unit, each the"
                f" mean of its seeds (n = {many}; problems that share domains make it too narrow); p: {test} on these"
            )
        notes.append(f"{words}, corrected by Holm for {compared} comparison{'' if compared == 1 else 's'}.")
    return tuple(notes)


def _ranked(one: SettingTable) -> list[str]:
    ranks = one.ranks
    if ranks is None:
        return []
    found = "Ranks differ" if ranks.test.f_p < 0.05 else "No difference of ranks is shown"
    p = _p(ranks.test.f_p)
    return [
        f"rank: mean over the problems, 1 is best. {found} (Iman-Davenport p {p if p[0] == '<' else f'= {p}'});"
        f" Nemenyi's critical difference at 0.05 is {ranks.difference:.2f}. {alike(one)}"
    ]


def alike(one: SettingTable) -> str:
    """Return in words which methods no critical difference parts."""
    ranks = one.ranks
    if ranks is None:
        return ""
    if ranks.difference >= len(ranks.methods) - 1:
        return f"With {len(one.problems)} problems no two of {len(ranks.methods)} methods can differ by it."
    if not ranks.groups:
        return "All methods differ."
    sets = [", ".join(ranks.methods[place] for place in group) for group in ranks.groups]
    return f"Not told apart: {'; '.join(sets)}."


def literature_sheet(one: SettingTable, title: str) -> Sheet | None:
    """Return published means beside ours of the same kind, and the gains of both; None where nobody published.

    Who published no mean over these problems is shown problem by problem.
    """
    rows, sources = [], _sources(one)
    for row in one.rows:
        means = {(beside.kind, beside.source) for beside in row.beside if beside.problem == MEAN}
        for beside in row.beside:
            if beside.problem != MEAN and (beside.kind, beside.source) in means:
                continue
            rows.append(
                (
                    called(row),
                    one.problems[0] if len(one.problems) == 1 else beside.problem,
                    f"{beside.published:.1f} {_kind(beside.kind)}",
                    UNKNOWN if math.isnan(beside.ours) else f"{beside.ours:.1f} {_kind_of_ours(beside.kind)}",
                    _signed(beside.difference),
                    _signed(beside.published_gain),
                    _signed(beside.our_gain),
                    f"[{sources.index(beside.source) + 1}]",
                )
            )
    if not rows:
        return None
    notes = [
        "Only like is held against like: last against last, oracle (chosen with labels of the target) against oracle."
        " ?: the source does not say; our last step stands beside it, and no difference is taken. A mean that a source"
        " does not print is that of its numbers. Code bases differ more in source-only than in gains: look at the gains"
        f" over {one.baseline} of the same source."
    ]
    shown = {row[-1] for row in rows}
    numbered = [(f"[{number}]", source) for number, source in enumerate(sources, start=1)]
    notes += [f"{number} {source}" for number, source in numbered if number in shown]
    header = ("method", "problem", "published", "ours", "difference", "published gain", "our gain", "source")
    return Sheet(
        title=f"{title}: beside the literature", header=header, rows=tuple(rows), left=(0, 1), notes=tuple(notes)
    )


def gains_sheet(one: SettingTable, title: str) -> Sheet:
    """Return the gains by problem with their intervals over seeds."""
    rows = []
    for row in one.rows:
        if row.gain is None:
            continue
        cells = []
        for problem in one.problems:
            gain = row.gain.by_problem.get(problem)
            cells.append(_gain(gain.over_seeds) + "*" * (gain.corrected < 0.05) if gain else UNKNOWN)
        rows.append((row.method, *cells))
    tested = sum(not math.isnan(cell.p) for row in one.rows if row.gain for cell in row.gain.by_problem.values())
    notes = (
        f"Points at the last step, paired by seed, [{_OVER}]. * p < 0.05, paired t-test over seeds, corrected by Holm"
        f" for all {tested} cells.",
    )
    header = ("method", *one.problems)
    return Sheet(title=f"{title}: gain over {one.baseline}", header=header, rows=tuple(rows), notes=notes)


def numbers_sheet(one: SettingTable, title: str) -> Sheet:
    """Return every number: last, chosen, oracle and the published ones, a line each."""
    columns = [*one.problems, MEAN] if len(one.problems) > 1 else list(one.problems)
    sources = _sources(one)
    rows: list[tuple[str, ...]] = []
    faint = set()
    for row in one.rows:
        published: dict[tuple[str, str], dict[str, float]] = {}
        for beside in row.beside:
            published.setdefault((beside.kind, beside.source), {})[beside.problem] = beside.published
        for kind in ("last", "chosen", "oracle"):
            rows.append((f"{called(row)}: {kind}", *(_share(getattr(_of(row, name), kind)) for name in columns)))
            faint |= {len(rows) - 1} if row.is_oracle or kind == "oracle" else set()
            for (published_kind, source), by_problem in published.items():
                # A kind that nobody knows stands last.
                if published_kind == kind or (published_kind == "unknown" and kind == "oracle"):
                    cells = (f"{by_problem[name]:.1f}" if name in by_problem else UNKNOWN for name in columns)
                    rows.append((f"  published, {_kind(published_kind)} [{sources.index(source) + 1}]", *cells))
    notes = [f"{one.metric.capitalize()} in percent, ± half of the {_OVER}."]
    notes += [f"[{number}] {source}" for number, source in enumerate(sources, start=1)]
    return Sheet(
        title=f"{title}: every number",
        header=("method", *columns),
        rows=tuple(rows),
        faint=frozenset(faint),
        notes=tuple(notes),
    )


def failures_sheet(table: BenchTable) -> Sheet | None:
    """Return which runs failed, and what they said last; None where none did."""
    rows = []
    for one in table.failures:
        rows.append(
            (str(one["method"]), str(one["problem"]), str(one["seed"]), str(one["setting"]), reason(str(one["error"])))
        )
    if not rows:
        return None
    header = ("method", "problem", "seed", "setting", "error")
    return Sheet(title="Runs that failed", header=header, rows=tuple(rows), left=(0, 1, 3, 4))


def short_sheet(one: SettingTable, title: str) -> Sheet:
    """Return the table for a README: the problems at the last step, mean, gain, chosen and what was published."""
    columns = [*one.problems, MEAN] if len(one.problems) > 1 else list(one.problems)
    rows = []
    for row in one.rows:
        cells = [_cell(_of(row, problem), mean=problem == MEAN, spread=problem == columns[-1]) for problem in columns]
        texts = [f"{b.published:.1f} ({_kind(b.kind)})" for b in row.beside if b.problem == MEAN]
        gain = _gain(row.gain.over_seeds) if row.gain else UNKNOWN
        rows.append((called(row), *cells, gain, _share(row.mean.chosen, spread=False), ", ".join(texts) or UNKNOWN))
    notes = (
        f"{one.metric.capitalize()} in percent at the last step over {one.seeds} seeds, ± half of the {_OVER}; gain:"
        f" over {one.baseline}, paired by problem and seed, with its interval over seeds; chosen: mean at the step that"
        " a validator chose without labels of the target; published: mean and how it was chosen.",
    )
    header = ("method", *columns, "gain", "chosen", "published")
    return Sheet(title=title, header=header, rows=tuple(rows), faint=_faint(one), notes=(*notes, *_marks(one)))


def _open(one: SettingTable) -> Iterator[TableRow]:
    return (row for row in one.rows if not row.is_oracle)


def _faint(one: SettingTable) -> frozenset[int]:
    return frozenset(place for place, row in enumerate(one.rows) if row.is_oracle)


def _of(row: TableRow, problem: str) -> Entry:
    return row.mean if problem == MEAN else row.entries[problem]


def _share(interval: Interval, *, spread: bool = True) -> str:
    if math.isnan(interval.mean):
        return UNKNOWN
    half = interval.high - interval.mean
    return f"{interval.mean:.1f}" + (f" ±{half:.1f}" if spread and not math.isnan(half) else "")


def _cell(entry: Entry, *, mean: bool, spread: bool = True) -> str:
    marks = "" if mean else "!" * (entry.collapsed > 0)
    return _share(entry.last, spread=spread) + marks + _counted(entry)


def _counted(entry: Entry) -> str:
    """Return how many seeds are missing, where some are there; a dash says by itself that none is."""
    return f" ({entry.seeds}/{entry.asked})" if 0 < entry.seeds < entry.asked else ""


def _marks(one: SettingTable) -> list[str]:
    """Return what the marks in the cells mean, those that are there."""
    entries = [entry for row in one.rows for entry in (*row.entries.values(), row.mean)]
    notes = []
    if any(0 < entry.seeds < entry.asked for entry in entries):
        notes.append(
            f"(2/{one.seeds}): of {one.seeds} seeds, 2 are there; a mean is over the seeds with every problem."
        )
    if any(entry.seeds == 0 for entry in entries):
        notes.append("–: no run is finished; where one problem is missing, there is no mean.")
    if any(entry.collapsed for entry in entries):
        notes.append("!: the collapse guard refused every evaluation of a run.")
    return notes


def _sources(one: SettingTable) -> list[str]:
    return list(dict.fromkeys(beside.source for row in one.rows for beside in row.beside))


def _kind(kind: str) -> str:
    return "?" if kind == "unknown" else kind


def _kind_of_ours(kind: str) -> str:
    return "oracle" if kind == "oracle" else "last"


def _gain(interval: Interval) -> str:
    return _signed(interval.mean) + ("" if math.isnan(interval.low) else f" {_ends(interval)}")


def _ends(interval: Interval) -> str:
    return UNKNOWN if math.isnan(interval.low) else f"[{_rounded(interval.low):.1f}, {_rounded(interval.high):.1f}]"


def _signed(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{_rounded(value):+.1f}"


def _rounded(value: float) -> float:
    return round(value, 1) + 0.0  # no "-0.0"


def _p(p: float) -> str:
    return UNKNOWN if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
