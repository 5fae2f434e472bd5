"""A results table for the terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from tladapt.reporting.rows import Gain, Measure, Row, Table

ORACLE = "oracle (uses test labels)"
_LEFT = frozenset({"scenario", "method", "settings", "recipe", "validator"})
_GAIN = "gain over source-only"
_WRAPPED = _LEFT | {_GAIN, "runs"}
_UNKNOWN = "–"
_LEGEND = (
    "Accuracy in percent, mean ± sample standard deviation over runs. Gain: last minus source-only on the same seeds,"
    " in points [95 % interval]; p: paired t-test, not corrected for several methods."
)


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown, the legend and notes below it."""
    header, body = cells(table)
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in (header, *body)]
    lines.insert(1, "| " + " | ".join("---" if name in _LEFT else "---:" for name in header) + " |")
    return "\n".join([*lines, "", *footnotes(table)]) + "\n"


def to_latex(table: Table) -> str:
    """Return the table as a `tabular` with booktabs rules (needs `booktabs` and, for ±, any current LaTeX)."""
    special = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "–": "--", "<": "$<$"}

    def escape(text: str) -> str:
        return "".join(special.get(letter, letter) for letter in text)

    header, body = cells(table)
    columns = "".join("l" if name in _LEFT else "r" for name in header)
    rows = [" & ".join(escape(cell) for cell in row) + r" \\" for row in (header, *body)]
    inside = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *inside, r"\end{tabular}", ""])


def to_csv(table: Table) -> str:
    """Return the table as CSV with one number a cell, in percent, unrounded beyond 4 digits; empty where unknown."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    measures = ("last", "chosen", "oracle", "source", "before", "source_before")
    names = [
        f"{'oracle_uses_test_labels' if m == 'oracle' else m}_{part}" for m in measures for part in ("mean", "std")
    ]
    writer.writerow(
        [
            *("scenario", "method", "settings", "recipe", "validator", "oracle_run"),
            *names,
            *("runs", "data_seeds", "gain_mean", "gain_low", "gain_high", "gain_p", "gain_pairs"),
        ]
    )
    for row in table.rows:
        numbers = [number for m in measures for number in (getattr(row, m).mean, getattr(row, m).spread)]
        gain = row.gain or Gain(math.nan, math.nan, math.nan, math.nan, 0)
        texts = [row.scenario, row.method, row.settings, row.recipe, row.validator, str(row.is_oracle).lower()]
        counts = [len(row.pairs), len({pair[0] for pair in row.pairs})]
        ends = [_digits(number) for number in (gain.mean, gain.low, gain.high, gain.p)]
        writer.writerow([*texts, *map(_digits, numbers), *counts, *ends, gain.pairs or ""])
    return out.getvalue()


def to_rich(table: Table, *, title: str | None = None) -> Any:
    """Return a `rich.table.Table` for the terminal: about 80 columns wide, what all rows share said once above it."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    header, body = cells(table)
    shared = []
    for name in ("scenario", "recipe", "runs"):
        column = header.index(name)
        if len({row[column] for row in body}) == 1:  # said once rather than in every row
            shared.append(f"{name} {body[0][column]}")
            header, body = _without(header, column), [_without(row, column) for row in body]
    titles = [title] if title else []
    drawn = RichTable(
        title="\n".join([*titles, ", ".join(shared)]) or None,
        caption="\n".join(footnotes(table)),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    for name in header:
        numbers = name not in _LEFT
        heading = Text(name.replace(" ", "\n") if numbers else name)
        drawn.add_column(heading, justify="right" if numbers else "left", no_wrap=name not in _WRAPPED, overflow="fold")
    for row, line in zip(table.rows, body, strict=True):
        texts = [Text(cell.replace(" ± ", "±")) for cell in line]
        drawn.add_row(*texts, style="dim" if row.is_oracle else None)
    return drawn


def _without(line: list[str], position: int) -> list[str]:
    return line[:position] + line[position + 1 :]


def cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return header and cells as text; columns that would say nothing (equal settings, say) are left out."""
    validators = {row.validator for row in table.rows}
    chosen = f"chosen ({validators.pop()})" if len(validators) == 1 else "chosen (by its validator)"
    columns = {
        "scenario": [row.scenario for row in table.rows],
        "method": [row.method + (" [oracle]" if row.is_oracle else "") for row in table.rows],
        "settings": [row.settings for row in table.rows],
        "recipe": [row.recipe for row in table.rows],
        "validator": [row.validator for row in table.rows],
        "before": [_measure(row.before) for row in table.rows],
        "last": [_measure(row.last) for row in table.rows],
        chosen: [_measure(row.chosen) for row in table.rows],
        ORACLE: [_measure(row.oracle) for row in table.rows],
        "source before": [_measure(row.source_before) for row in table.rows],
        "source": [_measure(row.source) for row in table.rows],
        "runs": [_runs(row) for row in table.rows],
        _GAIN: [_gain(row) for row in table.rows],
        "p": [_p(row.gain) for row in table.rows],
    }
    for name in ("before", "source before"):  # of runs that started from an earlier one
        if set(columns[name]) == {_UNKNOWN}:
            del columns[name]
    if not any(columns["settings"]):
        del columns["settings"]
    if chosen != "chosen (by its validator)":
        del columns["validator"]
    return list(columns), [list(line) for line in zip(*columns.values(), strict=True)]


def footnotes(table: Table) -> list[str]:
    """Return what a reader of the table has to know, a sentence or two each."""
    return [_LEGEND, *table.notes]


def _measure(measure: Measure) -> str:
    if math.isnan(measure.mean):
        return _UNKNOWN
    return f"{measure.mean:.1f}" if math.isnan(measure.spread) else f"{measure.mean:.1f} ± {measure.spread:.1f}"


def _runs(row: Row) -> str:
    data_seeds = len({pair[0] for pair in row.pairs})
    return str(len(row.pairs)) + (f" ({data_seeds} data seeds)" if data_seeds > 1 else "")


def _gain(row: Row) -> str:
    if row.gain is None:
        return _UNKNOWN
    text = f"{row.gain.mean:+.1f}"
    if not math.isnan(row.gain.low):
        text += f" [{row.gain.low:.1f}, {row.gain.high:.1f}]"
    return text + (f" ({row.gain.pairs} pairs)" if row.gain.pairs != len(row.pairs) else "")


def _p(gain: Gain | None) -> str:
    if gain is None or math.isnan(gain.p):
        return _UNKNOWN
    return "<0.001" if gain.p < 0.001 else f"{gain.p:.3f}"


def _digits(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.4g}" if abs(number) < 1 else f"{number:.4f}"
