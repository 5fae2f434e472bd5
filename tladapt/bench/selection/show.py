"""A selection report as text, Markdown, CSV and as a section of a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from tladapt.bench.selection.report import Line, SelectionReport, summarise
from tladapt.evaluation.statistics import Interval
from tladapt.reporting.page import Markup, paragraph, render, section, table
from tladapt.reporting.plots import dot_chart
from tladapt.training.folder import jsonable

HEADER = ("", "regret in own run", "regret over all runs", "without guard", "rank corr.", "collapsed choices stopped")
_SHOWN = 8  # notes


def cells(report: SelectionReport) -> list[list[str]]:
    """Return a row of words a validator, in points and in the order of the header, and the lines to compare with."""
    rows = []
    for line in report.lines:
        own = f"{line.stopped_runs} of {line.collapsed_runs} runs" if line.collapsed_runs else "none"
        if line.collapsed_problems:
            own += f", {line.stopped_problems} of {line.collapsed_problems} problems"
        points = [_points(value) for value in (line.regret_within, line.regret, line.unguarded)]
        rows.append([line.name, *points, _number(line.rank_correlation, 1.0, 2), own])
    rows += [[line.name, _points(line.regret_within), _points(line.regret), "", "", ""] for line in report.baselines]
    return rows


def _points(value: Interval) -> str:
    return _number(value, 100.0, 1)


def _number(value: Interval, factor: float, digits: int) -> str:
    """Return a mean with its interval, "3.1 [1.0, 5.2]", or a dash."""
    if math.isnan(value.mean):
        return "-"
    mean = f"{factor * value.mean:.{digits}f}"
    if value.n < 2:
        return mean
    return f"{mean} [{factor * value.low:.{digits}f}, {factor * value.high:.{digits}f}]"


def legend(report: SelectionReport) -> Iterator[str]:
    """Yield what the table shows, in sentences."""
    several = len(report.problems) > 1
    over = f"means over {len(report.problems)} problems with 95 % intervals" if several else "one problem"
    yield (
        f"Oracle: all numbers here know the target's test labels ({over}; {report.runs} runs, {report.checkpoints}"
        " checkpoints). The choices that they judge knew none."
    )
    yield (
        "Regret: points of accuracy below the best checkpoint of the same run, or of all runs on a problem (methods and"
        " seeds together). Without guard: regret over all runs of what would be chosen without the collapse guard."
    )
    yield "Rank corr.: Spearman's, of score and accuracy over a problem's checkpoints that pass the guard."
    yield (
        f"The guard refuses {report.collapsed} of {report.checkpoints} checkpoints. Collapsed choices stopped: of the"
        " runs (problems) where a validator would have chosen one of these, in how many the guard led it to another; in"
        " the others nothing passed, and the last step stood in."
    )


def as_text(report: SelectionReport) -> str:
    """Return the report as an aligned table with its legend and notes."""
    rows = [list(HEADER), *cells(report)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines.insert(2 + len(report.lines), lines[1])
    return "\n".join([f"Validators over {report.out}", "", *lines, "", *legend(report), *_notes(report)]) + "\n"


def as_markdown(report: SelectionReport) -> str:
    """Return the report as a Markdown table with its legend and notes."""
    rows = ["| " + " | ".join(row) + " |" for row in (list(HEADER), *cells(report))]
    rows.insert(1, "| --- |" + " --- |" * (len(HEADER) - 1))
    return "\n".join([*rows, "", *legend(report), *_notes(report)]) + "\n"


def as_csv(report: SelectionReport) -> str:
    """Return a line a problem and validator, then the means; what knows test labels has "oracle" in its name."""
    text = io.StringIO()
    names = ("regret_within", "regret", "rank_correlation", "unguarded")
    ends = [f"oracle/{name}{end}" for name in names for end in ("", "/low", "/high")]
    counts = ("collapsed_runs", "stopped_runs", "collapsed_problems", "stopped_problems")
    writer = csv.DictWriter(text, ["problem", "validator", "runs", "checkpoints", *ends, *counts], lineterminator="\n")
    writer.writeheader()
    for problem in report.problems:
        lines, _ = _alone(report, problem.name)
        for line in lines:
            writer.writerow(_row(line, names, counts, problem.name, len(problem.alone), len(problem.candidates)))
    for line in (*report.lines, *report.baselines):
        writer.writerow(_row(line, names, counts, "mean", report.runs, report.checkpoints))
    return text.getvalue()


def _alone(report: SelectionReport, name: str) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    return summarise([problem for problem in report.problems if problem.name == name])


def _row(
    line: Line, names: tuple[str, ...], counts: tuple[str, ...], problem: str, runs: int, checkpoints: int
) -> dict[str, object]:
    row: dict[str, object] = {"problem": problem, "validator": line.name, "runs": runs, "checkpoints": checkpoints}
    for name in names:
        value: Interval = getattr(line, name)
        row |= {f"oracle/{name}": value.mean, f"oracle/{name}/low": value.low, f"oracle/{name}/high": value.high}
    row = {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
    return dict(jsonable({**row, **{name: getattr(line, name) for name in counts}}))


def record(report: SelectionReport) -> dict[str, object]:
    """Return the report as JSON-able values, by validator; numbers are shares, and an oracle's."""
    return {
        "folder": str(report.out),
        "problems": [problem.name for problem in report.problems],
        "runs": report.runs,
        "checkpoints": report.checkpoints,
        "collapsed": report.collapsed,
        "oracle": {
            line.name: {name: value._asdict() if isinstance(value, Interval) else value for name, value in _facts(line)}
            for line in (*report.lines, *report.baselines)
        },
        "notes": list(report.notes),
    }


def _facts(line: Line) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in zip(line._fields, line, strict=True) if name != "name")


def selection_section(report: SelectionReport) -> str:
    """Return the report as a section of a page: what it shows, the table, and a chart of regrets within runs."""
    rows = cells(report)
    groups = []
    for line in report.lines:
        values = [100 * problem.judgement.verdicts[line.name].regret_within for problem in report.problems]
        within = line.regret_within
        ends = (max(0.0, 100 * within.low), min(100.0, 100 * within.high)) if within.n > 1 else None
        groups.append((line.name, values, ends))
    last = report.baselines[0]
    chart = dot_chart(
        f"Regret in own run, a dot a problem (last step: {_points(last.regret_within)})",
        groups,
        label="points of target accuracy below the run's best (oracle)",
    )
    caption = "Validators over all checkpoints (points of target accuracy; all numbers are an oracle's)"
    notes = [paragraph(note, class_="small soft") for note in _notes(report)]
    return section(
        "Choosing without labels",
        *(paragraph(sentence) for sentence in legend(report)),
        table(HEADER, rows, caption=caption, left=(5,)),
        render(chart) if groups else Markup(""),
        *notes,
    )


def _notes(report: SelectionReport) -> list[str]:
    shown = list(report.notes[:_SHOWN])
    more = len(report.notes) - len(shown)
    return [*shown, f"and {more} more were left out"] if more else shown
