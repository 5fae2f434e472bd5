"""A results table for the terminal, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from tladapt.reporting.tables import Gain, Measure, Row, Table

ORACLE = "oracle (uses test labels)"
_LEGEND = (
    "Accuracy in percent, mean ± sample standard deviation over runs. Gain: last minus source-only on the same seeds,"
    " in points [95 % interval]; p: paired t-test, not corrected for several methods."
)


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown, the legend and notes below it."""
    header, body = _cells(table)
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in (header, *body)]
    left = {"scenario", "method", "settings", "recipe", "validator"}
    lines.insert(1, "| " + " | ".join("---" if name in left else "---:" for name in header) + " |")
    return "\n".join([*lines, "", *_footnotes(table)]) + "\n"


def to_latex(table: Table) -> str:
    """Return the table as a `tabular` with booktabs rules (needs `booktabs` and, for ±, any current LaTeX)."""
    special = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "–": "--", "<": "$<$"}

    def escape(text: str) -> str:
        return "".join(special.get(letter, letter) for letter in text)

    header, body = _cells(table)
    left = {"scenario", "method", "settings", "recipe", "validator"}
    columns = "".join("l" if name in left else "r" for name in header)
    rows = [" & ".join(escape(cell) for cell in row) + r" \\" for row in (header, *body)]
    inside = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *inside, r"\end{tabular}", ""])


def to_csv(table: Table) -> str:
    """Return the table as CSV with one number a cell, in percent, unrounded beyond 4 digits; empty where unknown."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    measures = ("last", "chosen", "oracle", "source")
    names = [
        f"{'oracle_uses_test_labels' if m == 'oracle' else m}_{part}" for m in measures for part in ("mean", "std")
    ]
    writer.writerow(
        ["scenario", "method", "settings", "recipe", "validator", "oracle_run", *names]
        + ["runs", "data_seeds", "gain_mean", "gain_low", "gain_high", "gain_p", "gain_pairs"]
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
    """Return a `rich.table.Table` for the terminal; the legend and notes are its caption."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    header, body = _cells(table)
    left = {"scenario", "method", "settings", "recipe", "validator"}
    drawn = RichTable(
        title=title, caption="\n".join(_footnotes(table)), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in header:
        style = "dim" if name.startswith("oracle") else None
        drawn.add_column(Text(name), justify="left" if name in left else "right", style=style)
    for row, cells in zip(table.rows, body, strict=True):
        drawn.add_row(*map(Text, cells), style="dim" if row.is_oracle else None)
    return drawn


def _cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return header and cells as text; columns that say nothing (one recipe, no settings) are left out."""
    validators = {row.validator for row in table.rows}
    chosen = f"chosen ({validators.pop()})" if len(validators) == 1 else "chosen (by its validator)"
    columns = {
        "scenario": [row.scenario for row in table.rows],
        "method": [row.method + (" [oracle]" if row.is_oracle else "") for row in table.rows],
        "settings": [row.settings for row in table.rows],
        "recipe": [row.recipe for row in table.rows],
        "validator": [row.validator for row in table.rows],
        "last": [_measure(row.last) for row in table.rows],
        chosen: [_measure(row.chosen) for row in table.rows],
        ORACLE: [_measure(row.oracle) for row in table.rows],
        "source": [_measure(row.source) for row in table.rows],
        "runs": [_runs(row) for row in table.rows],
        "gain over source-only": [_gain(row) for row in table.rows],
        "p": [_p(row.gain) for row in table.rows],
    }
    if not any(columns["settings"]):
        del columns["settings"]
    if chosen != "chosen (by its validator)":
        del columns["validator"]
    return list(columns), [list(cells) for cells in zip(*columns.values(), strict=True)]


def _footnotes(table: Table) -> list[str]:
    return [_LEGEND, *table.notes]


def _measure(measure: Measure) -> str:
    if math.isnan(measure.mean):
        return "–"
    return f"{measure.mean:.1f}" if math.isnan(measure.spread) else f"{measure.mean:.1f} ± {measure.spread:.1f}"


def _runs(row: Row) -> str:
    data_seeds = len({pair[0] for pair in row.pairs})
    return str(len(row.pairs)) + (f" ({data_seeds} data seeds)" if data_seeds > 1 else "")


def _gain(row: Row) -> str:
    if row.gain is None:
        return "–"
    text = f"{row.gain.mean:+.1f}"
    if not math.isnan(row.gain.low):
        text += f" [{row.gain.low:+.1f}, {row.gain.high:+.1f}]"
    return text + (f" ({row.gain.pairs} pairs)" if row.gain.pairs != len(row.pairs) else "")


def _p(gain: Gain | None) -> str:
    if gain is None or math.isnan(gain.p):
        return "–"
    return "<0.001" if gain.p < 0.001 else f"{gain.p:.3f}"


def _digits(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.4g}" if abs(number) < 1 else f"{number:.4f}"
