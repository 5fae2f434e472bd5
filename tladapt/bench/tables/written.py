"""A benchmark's table as files: text, Markdown, CSV, LaTeX and a page; and on the terminal."""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tladapt.bench.benchmark import Benchmark
from tladapt.bench.outcomes import Outcome, read_asked, read_failures
from tladapt.bench.tables.page import bench_page
from tladapt.bench.tables.records import MEAN, BenchTable, Entry, SettingTable, TableRow
from tladapt.bench.tables.sheets import sheets, short_sheet
from tladapt.bench.tables.table import table_of
from tladapt.errors import UsageError
from tladapt.evaluation.statistics import Interval
from tladapt.reporting.bench_figures import GainRow, gain_figure, rank_figure
from tladapt.reporting.folder import write_whole
from tladapt.reporting.sheets import WIDTH, sheet_to_latex, sheet_to_markdown, sheet_to_rich, sheet_to_text
from tladapt.reporting.style import save_figure, style
from tladapt.training.folder import RunFolder

KINDS = {"last": "last", "chosen": "chosen", "oracle": "oracle_uses_test_labels"}


def grid_table(out: Path, outcomes: Sequence[Outcome], benchmark: Benchmark) -> BenchTable:
    """Return the table of a grid: what was asked of it, what came of it, and what failed.

    Args:
      out: the grid's folder.
      outcomes: of its finished runs.
      benchmark: what they are of.

    Raises:
      RunFolderError: for a folder that is not a grid's.
      UsageError: where no run is finished and none has failed.
    """
    folder = RunFolder(out)
    cells = [folder.read_json(f"cells/{path.name}") for path in sorted((out / "cells").glob("*.json"))]
    failures = list(read_failures(out).values())
    return table_of(outcomes, benchmark, asked=cells, failures=failures, command=shlex.join(read_asked(out)["command"]))


def write_tables(out: Path, outcomes: Sequence[Outcome], benchmark: Benchmark) -> list[Path]:
    """Write `table.txt`, `table.md`, `table.csv`, `table.tex` and `report.html` into a grid's folder, each whole.

    Args:
      out: the grid's folder.
      outcomes: of its finished runs.
      benchmark: what they are of.

    Returns:
      The files.

    Raises:
      RunFolderError: for a folder that is not a grid's, or a file that cannot be written.
      UsageError: where no run is finished and none has failed.
    """
    table = grid_table(out, outcomes, benchmark)
    texts = {
        "table.txt": to_text(table),
        "table.md": to_markdown(table),
        "table.csv": to_csv(table),
        "table.tex": to_latex(table),
        "report.html": bench_page(table),
    }
    return [write_whole(out / name, text.encode()) for name, text in texts.items()]


def draw_tables(out: Path, outcomes: Sequence[Outcome], benchmark: Benchmark) -> list[Path]:
    """Draw `figures/gains.png` and `figures/ranks.png` of a grid; of settings behind the first with their names.

    Args:
      out: the grid's folder.
      outcomes: of its finished runs.
      benchmark: what they are of.

    Returns:
      The files: none where there is no baseline to gain over, and too little to rank.

    Raises:
      MissingPackageError: where matplotlib is not installed.
      RunFolderError: for a folder that is not a grid's, or a file that cannot be written.
      UsageError: where no run is finished and none has failed.
    """
    files = []
    with style():
        for place, one in enumerate(grid_table(out, outcomes, benchmark).settings):
            suffix = f"-{one.setting}" if place else ""
            rows = [_gain_row(one, row) for row in one.rows if row.gain and not math.isnan(row.gain.over_seeds.mean)]
            if rows:
                figure = gain_figure(rows, baseline=one.baseline, problems=len(one.problems))
                files.append(save_figure(figure, out / "figures" / f"gains{suffix}.png"))
            if ranks := one.ranks:
                figure = rank_figure(ranks.methods, ranks.ranks, difference=ranks.difference, groups=ranks.groups)
                files.append(save_figure(figure, out / "figures" / f"ranks{suffix}.png"))
    return files


def _gain_row(one: SettingTable, row: TableRow) -> GainRow:
    assert row.gain is not None
    found = row.gain.by_problem
    return GainRow(
        row.method,
        [found[problem].over_seeds.mean if problem in found else math.nan for problem in one.problems],
        row.gain.over_seeds.mean,
        row.gain.over_seeds[1:3],
        row.gain.over_problems[1:3],
    )


def show_table(out: Path, outcomes: Sequence[Outcome], benchmark: Benchmark, *, console: Any = None) -> None:
    """Print the table, the means with their gains, the published numbers beside ours, and what failed.

    Args:
      out: the grid's folder.
      outcomes: of its finished runs.
      benchmark: what they are of.
      console: of rich; None: the terminal.

    Raises:
      RunFolderError: for a folder that is not a grid's.
      UsageError: where no run is finished and none has failed.
    """
    from rich.console import Console

    console = console or Console(highlight=False)
    for sheet in sheets(grid_table(out, outcomes, benchmark), everything=False):
        for part in sheet_to_rich(sheet, width=min(console.width, WIDTH)):
            console.print(part)
        console.print()


def to_text(table: BenchTable) -> str:
    """Return everything as plain text, at most 100 columns wide."""
    return "\n\n".join(sheet_to_text(sheet) for sheet in sheets(table))


def to_markdown(table: BenchTable, *, short: str = "") -> str:
    """Return everything as GitHub Markdown.

    Args:
      table: from `tabulate` or `table_of`.
      short: a setting; then its one table as a README has it, without a heading: problems, mean, gain with its
        interval, chosen, published; the notes below it.

    Raises:
      UsageError: for a setting that the table does not have.
    """
    if not short:
        return f"## {table.title}\n\n" + "\n".join(sheet_to_markdown(sheet) for sheet in sheets(table))
    for one in table.settings:
        if one.setting == short:
            sheet = short_sheet(one, table.title)
            return sheet_to_markdown(sheet, heading="") + "".join(f"\n{note}\n" for note in sheet.notes)
    raise UsageError(f"the table has no setting {short!r}, only {', '.join(one.setting for one in table.settings)}.")


def to_latex(table: BenchTable) -> str:
    """Return everything as LaTeX tables with booktabs rules."""
    head = (
        "% Needs \\usepackage{booktabs}; a wide table fits with \\resizebox{\\textwidth}{!}{...} around its tabular.\n"
    )
    return head + "\n".join(sheet_to_latex(sheet) for sheet in sheets(table))


def to_csv(table: BenchTable) -> str:
    """Return the numbers behind the table as CSV: a line a method and problem (or "mean"), one number a cell.

    Shares in percent, gains in points, intervals at 95 %; empty where unknown. Of several published numbers of a kind,
    all stand in one cell, with semicolons between.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, list(_columns()), lineterminator="\n")
    writer.writeheader()
    for one in table.settings:
        for row in one.rows:
            for problem in (*one.problems, MEAN):
                writer.writerow({"benchmark": table.benchmark, **_line(one, row, problem)})
    return out.getvalue()


def _columns() -> list[str]:
    ends = [f"{name}_{part}" for name in (*KINDS.values(), "gain") for part in ("mean", "low", "high")]
    return [
        *("benchmark", "setting", "method", "oracle_run", "problem", "metric", "seeds", "asked", "failed", "collapsed"),
        *ends,
        *("gain_seeds", "gain_p", "gain_p_holm", "gain_over_problems_low", "gain_over_problems_high", "rank"),
        *("published_last", "published_oracle", "published_unknown"),
    ]


def _line(one: SettingTable, row: TableRow, problem: str) -> dict[str, Any]:
    entry: Entry = row.mean if problem == MEAN else row.entries[problem]
    line: dict[str, Any] = {
        "setting": one.setting,
        "method": row.method,
        "oracle_run": int(row.is_oracle),
        "problem": problem,
        "metric": one.metric,
        "seeds": entry.seeds,
        "asked": entry.asked,
        "failed": entry.failed,
        "collapsed": entry.collapsed,
        "rank": _digits(row.rank) if problem == MEAN else "",
    }
    for kind, name in KINDS.items():
        line |= _ends(name, getattr(entry, kind))
    gain = None if row.gain is None else row.gain if problem == MEAN else row.gain.by_problem.get(problem)
    if gain is not None:
        line |= _ends("gain", gain.over_seeds)
        line |= {"gain_seeds": gain.over_seeds.n, "gain_p": _digits(gain.p), "gain_p_holm": _digits(gain.corrected)}
    if row.gain is not None and problem == MEAN:
        ends = _ends("gain_over_problems", row.gain.over_problems)
        line |= {name: text for name, text in ends.items() if not name.endswith("mean")}
    for kind in ("last", "oracle", "unknown"):
        values = [b.published for b in row.beside if (b.problem, b.kind) == (problem, kind)]
        line[f"published_{kind}"] = ";".join(map(_digits, values))
    return line


def _ends(name: str, interval: Interval) -> dict[str, str]:
    return {f"{name}_{part}": _digits(getattr(interval, part)) for part in ("mean", "low", "high")}


def _digits(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
