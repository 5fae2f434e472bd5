"""A benchmark's table as one self-contained page with figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tladapt.bench.outcomes import reason
from tladapt.bench.tables.records import MEAN, BenchTable, SettingTable, TableRow
from tladapt.bench.tables.sheets import (
    alike,
    called,
    gains_sheet,
    last_sheet,
    literature_sheet,
    numbers_sheet,
    summary_sheet,
)
from tladapt.reporting.bench_charts import Choices, Span, choice_chart, gain_chart, rank_chart
from tladapt.reporting.page import Markup, details, document, facts, paragraph, render, section, table, tag
from tladapt.reporting.sections import how_to_read, warning_list
from tladapt.reporting.sheets import sheet_to_html


def bench_page(found: BenchTable) -> str:
    """Return the page of a benchmark as HTML: tables, figures, what failed, and what made it."""
    parts: list[Markup] = []
    several = len(found.settings) > 1
    for one in found.settings:
        parts += _setting(one, f", setting {one.setting}" if several else "")
    parts.append(section("What failed", *_failures(found.failures)))
    made = [tag("h3", "The command"), tag("pre", found.command, tabindex="0")] if found.command else []
    for one in found.settings:
        made += [
            tag("h3", f"Setting {one.setting}"),
            *([paragraph(f"{one.note.rstrip('.')}.")] if one.note else []),
            facts(one.facts),
        ]
    parts.append(section("How it was made", *made))
    return document(
        found.title,
        render(*parts),
        eyebrow="tladapt bench",
        lead=paragraph(" ".join(_verdict(one, several) for one in found.settings), class_="lead"),
        foot=paragraph("The runs are in runs/, the numbers in table.csv and outcomes.csv beside this page."),
    )


def _setting(one: SettingTable, suffix: str) -> list[Markup]:
    warnings = _warnings(one)
    results: list[Any] = [warning_list(warnings)] if warnings else []
    results += [sheet_to_html(last_sheet(one, "Results")), sheet_to_html(summary_sheet(one, "Results"))]
    parts = [section(f"Results{suffix}", *results)]
    choices = [
        Choices(
            called(row),
            Span(row.method, *row.mean.last[:3]),
            row.mean.chosen.mean,
            row.mean.oracle.mean,
            [(beside.published, beside.kind) for beside in row.beside if beside.problem == MEAN],
        )
        for row in one.rows
    ]
    over = f"mean {one.metric} over {len(one.problems)} problems (%)" if len(one.problems) > 1 else f"{one.metric} (%)"
    drawn = choice_chart("Last, chosen and oracle", choices, x_label=over)
    parts.append(section(f"When to stop{suffix}", tag("div", drawn, class_="alone"), how_to_read()))
    if any(row.gain for row in one.rows):
        parts.append(section(f"Gain over {one.baseline}{suffix}", *_gains(one)))
    if one.ranks:
        ranks = one.ranks
        drawn = rank_chart(
            "Mean rank over the problems",
            ranks.methods,
            ranks.ranks,
            difference=ranks.difference,
            groups=ranks.groups,
        )
        words = (
            f"Mean rank at the last step over {len(one.problems)} problems; 1, on the left, is best. A thick bar joins"
            " methods whose ranks lie within Nemenyi's critical difference (Demšar 2006, level 0.05):"
            f" {alike(one)} It is a careful test, and all pairs are compared; whether a method gains over"
            f" {one.baseline} is asked more sharply above."
        )
        parts.append(
            section(f"Ranks{suffix}", tag("div", drawn, class_="alone"), paragraph(words, class_="small soft"))
        )
    if literature := literature_sheet(one, "Results"):
        parts.append(section(f"Beside the literature{suffix}", sheet_to_html(literature)))
    every = details("Last, chosen, oracle and published, by problem", sheet_to_html(numbers_sheet(one, "Results")))
    parts.append(section(f"Every number{suffix}", every))
    return parts


def _gains(one: SettingTable) -> list[Markup]:
    compared = [row for row in one.rows if row.gain is not None]
    spans = {row.method: _spans(row, one.problems) for row in compared}
    means = [span.mean for rows in spans.values() for span in rows if math.isfinite(span.mean)]
    if not means:
        return [paragraph("No method shares a problem and a seed with the baseline.")]
    # Few seeds may have intervals that dwarf every gain: the axis shows the gains, and intervals run off it.
    bounds = [v for rows in spans.values() for span in rows for v in span[1:] if math.isfinite(v)]
    least, most = min(0.0, *means), max(0.0, *means)
    reach = 1.5 * (most - least) + 1.0
    low, high = max(min(0.0, *bounds), least - reach), min(max(0.0, *bounds), most + reach)
    room = 0.04 * (high - low) or 1.0
    ends = (low - room, high + room)
    drawn = [gain_chart(method, rows, slot=slot, ends=ends) for slot, (method, rows) in enumerate(spans.items())]
    words = (
        "Points at the last step, paired by seed; bars are 95 % t-intervals over seeds, dots are filled where these"
        " leave out 0. All charts have one axis; a bar that reaches its end goes on beyond it."
    )
    parts = [paragraph(words, class_="small soft"), tag("div", *drawn, class_="charts")]
    return [*parts, sheet_to_html(gains_sheet(one, "Gains"))] if len(one.problems) > 1 else parts


def _spans(row: TableRow, problems: Sequence[str]) -> list[Span]:
    assert row.gain is not None
    spans = []
    for problem in problems:
        gain = row.gain.by_problem.get(problem)
        spans.append(Span(problem, *gain.over_seeds[:3]) if gain else Span(problem, *[math.nan] * 3))
    return [*spans, Span(MEAN, *row.gain.over_seeds[:3])] if len(problems) > 1 else spans


def _warnings(one: SettingTable) -> list[str]:
    """Say what is missing, what collapsed, and what is worse than the baseline with its whole interval."""
    texts = []
    for row in one.rows:
        missing = [name for name, entry in row.entries.items() if entry.seeds < entry.asked]
        if missing:
            shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            texts.append(f"Runs of {called(row)} are missing on {shown}.")
        if row.mean.collapsed:
            runs = f"{row.mean.collapsed} run{'' if row.mean.collapsed == 1 else 's'}"
            texts.append(f"The collapse guard refused every evaluation of {runs} of {called(row)}.")
        if row.gain is not None and row.gain.over_seeds.high < 0:
            low, high = -row.gain.over_seeds.high, -row.gain.over_seeds.low
            texts.append(
                f"Adaptation hurts: {row.method} is worse than {one.baseline} by {-row.gain.over_seeds.mean:.1f} points"
                f" [{low:.1f}, {high:.1f}] in the mean, interval over seeds."
            )
    return texts


def _verdict(one: SettingTable, several: bool) -> str:
    known = [row for row in one.rows if row.mean.seeds and not row.is_oracle]
    under = f" under {one.setting}" if several else ""
    if len(known) < 2:
        return f"Not enough runs are finished{under} to compare methods."
    best = max(known, key=lambda row: row.mean.last.mean)
    where = f"in the mean over {len(one.problems)} problems" if len(one.problems) > 1 else f"on {one.problems[0]}"
    words = f"{best.method} has the highest {one.metric}{under} at the last step {where}, {best.mean.last.mean:.1f} %"
    gain = best.gain
    if gain is not None and not math.isnan(gain.over_seeds.low):
        words += (
            f": {gain.over_seeds.mean:+.1f} points over {one.baseline}, 95 % interval over seeds"
            f" {gain.over_seeds.low:.1f} to {gain.over_seeds.high:.1f}"
        )
    return words + "."


def _failures(failures: Sequence[Mapping[str, Any]]) -> list[Markup]:
    if not failures:
        return [paragraph("No run failed.", class_="fine")]
    rows, texts = [], []
    for one in failures:
        name = f"{one['method']} on {one['problem']}, seed {one['seed']} ({one['setting']})"
        rows.append([name, reason(one["error"])])
        texts += [tag("h3", name), tag("pre", one["error"], tabindex="0")]
    caption = "Runs that failed; --retry-failed tries them again."
    return [
        table(["run", "error"], rows, caption=caption, left=(1,)),
        details("The messages, whole", *texts),
    ]
