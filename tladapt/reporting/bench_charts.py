"""Charts of a benchmark: ranks with their critical difference, gains by problem, and last, chosen and oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from tladapt.reporting.charts import Scale, chart, colour, line, number, ticks
from tladapt.reporting.page import Markup, tag

_LETTER = 6.2  # pixels that a letter of 11 pixels takes, about


def rank_chart(
    title: str, methods: Sequence[str], ranks: Sequence[float], *, difference: float, groups: Sequence[Sequence[int]]
) -> Markup:
    """Return a critical-difference diagram: methods on an axis of ranks, a bar under those that do not differ.

    Args:
      title: above it.
      methods: names.
      ranks: mean rank of each; 1 is best, and stands on the left.
      difference: the critical difference, drawn to scale above the axis.
      groups: positions of methods whose ranks lie within it.

    Source: Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), figure 1.
    """
    k = len(methods)
    order = sorted(range(k), key=lambda place: ranks[place])
    half = (k + 1) // 2  # the better half is named on the left
    said = [f"{methods[place]} ({ranks[place]:.2f})" for place in range(k)]
    side = max(60.0, 8 + _LETTER * max(len(name) for name in said))
    width = int(2 * side + max(230, 34 * (k - 1)))
    x = Scale(1, k, side + 12, width - side - 12)
    axis, row = 54, 17
    first_name = axis + 18 + 8 * len(groups)
    height = int(first_name + row * half + 4)
    parts = [line(x(1), axis, x(k), axis, "axis")]
    for value in range(1, k + 1):
        parts.append(line(x(value), axis - 5, x(value), axis, "axis"))
        parts.append(tag("text", str(value), x=f"{x(value):.1f}", y=axis - 9, text_anchor="middle"))
    shown = min(difference, k - 1.0)  # one that is wider than the axis parts nobody
    ruler = f"critical difference {difference:.2f}"
    parts.append(_stroke(x(1), 24, x(1 + shown), 24, "stroke:var(--alarm);stroke-width:2"))
    for end in (x(1), x(1 + shown)):
        parts.append(_stroke(end, 20, end, 28, "stroke:var(--alarm);stroke-width:2"))
    parts.append(tag("text", ruler, x=f"{x(1):.1f}", y=15))
    for number_, group in enumerate(groups):
        y = axis + 9 + 8 * number_
        low, high = x(ranks[group[0]]) - 4, x(ranks[group[-1]]) + 4
        parts.append(_stroke(low, y, high, y, "stroke:var(--ink);stroke-width:4;stroke-linecap:round"))
    for position, place in enumerate(order):
        left = position < half
        level = first_name + row * (position if left else k - 1 - position)
        here, end = x(ranks[place]), side if left else width - side
        path = f"M{here:.1f} {axis}V{level}H{end}"
        parts.append(tag("path", d=path, style="stroke:var(--soft);stroke-width:1;fill:none"))
        parts.append(tag("circle", cx=f"{here:.1f}", cy=axis, r=3.2, style="fill:var(--s0)"))
        text = tag("text", said[place], x=end - 4 if left else end + 4, y=level + 4, class_="over")
        parts.append(Markup(text.replace("<text", f'<text text-anchor="{"end" if left else "start"}"', 1)))
    words = "; ".join(f"{methods[place]} has mean rank {ranks[place]:.2f}" for place in order)
    sets = "; ".join(", ".join(methods[place] for place in group) for group in groups) or "none"
    return chart(title, parts, Markup(""), said=f"{words}. Not told apart: {sets}.", size=(width, height))


class Span(NamedTuple):
    """A value with the ends of its interval, NaN where there is none."""

    name: str
    mean: float
    low: float
    high: float


def gain_chart(title: str, spans: Sequence[Span], *, slot: int, ends: tuple[float, float]) -> Markup:
    """Return gains, a line a problem: a dot with its interval, filled where the interval leaves out 0.

    Args:
      title: above it.
      spans: the gains in points, the mean over the problems among them.
      slot: which of the page's colours.
      ends: of the axis, the same in all charts that are compared; what sticks out is cut off.
    """
    low, high = ends
    left = 12 + _LETTER * max(len(span.name) for span in spans)
    row, width = 17, 340
    height = row * len(spans) + 36
    x = Scale(low, high, left, width - 10)
    bottom = height - 30
    parts = []
    for value in ticks(low, high, about=5):
        parts.append(line(x(value), 2, x(value), bottom, "grid"))
        parts.append(tag("text", number(value), x=f"{x(value):.1f}", y=bottom + 13, text_anchor="middle"))
    parts.append(line(x(0), 2, x(0), bottom, "axis"))
    parts.append(tag("text", "gain in points", x=f"{(left + width) / 2:.1f}", y=height - 3, text_anchor="middle"))
    look = colour(slot)
    for place, span in enumerate(spans):
        middle = row * place + 11
        parts.append(tag("text", span.name, x=f"{left - 8:.1f}", y=middle + 4, text_anchor="end"))
        if math.isnan(span.mean):
            parts.append(tag("text", "–", x=f"{x(0) + 4:.1f}", y=middle + 4))
            continue
        clear = span.low > 0 or span.high < 0
        if not math.isnan(span.low):
            a, b = (x(min(max(end, low), high)) for end in (span.low, span.high))
            parts.append(_stroke(a, middle, b, middle, f"stroke:{look};stroke-width:1.6"))
        tip = f"{span.name}: {span.mean:+.1f}" + ("" if math.isnan(span.low) else f" [{span.low:.1f}, {span.high:.1f}]")
        fill = look if clear else "var(--paper)"
        here = x(min(max(span.mean, low), high))
        dot = f"fill:{fill};stroke:{look};stroke-width:1.6"
        parts.append(tag("circle", tag("title", tip), cx=f"{here:.1f}", cy=middle, r=3.8, style=dot))
    said = "; ".join(f"{span.name} {span.mean:+.1f}" for span in spans if not math.isnan(span.mean))
    return chart(title, parts, Markup(""), said=said, size=(width, height))


class Choices(NamedTuple):
    """What one method comes to, in percent: by when it is stopped, and in the literature (value, kind)."""

    name: str
    last: Span
    chosen: float
    oracle: float
    published: Sequence[tuple[float, str]] = ()


def choice_chart(title: str, rows: Sequence[Choices], *, x_label: str) -> Markup:
    """Return last (a dot with its interval), chosen (a stroke), oracle (a triangle) and published values, by method."""
    values = [
        value
        for row in rows
        for value in (*row.last[1:], row.chosen, row.oracle, *(value for value, _ in row.published))
        if math.isfinite(value)
    ]
    if not values:
        return Markup("")
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 1.0
    low, high = low - room, high + room
    left = 12 + _LETTER * max(len(row.name) for row in rows)
    height_of_row, width = 26, 560
    height = height_of_row * len(rows) + 36
    x = Scale(low, high, left, width - 12)
    bottom = height - 30
    parts = []
    for value in ticks(low, high, about=6):
        parts.append(line(x(value), 2, x(value), bottom, "grid"))
        parts.append(tag("text", number(value), x=f"{x(value):.1f}", y=bottom + 13, text_anchor="middle"))
    parts.append(tag("text", x_label, x=f"{(left + width) / 2:.1f}", y=height - 3, text_anchor="middle"))
    said = []
    for place, row in enumerate(rows):
        y = height_of_row * place + 14
        parts.append(tag("text", row.name, x=f"{left - 8:.1f}", y=y + 4, text_anchor="end"))
        if math.isfinite(row.last.low):
            parts.append(
                _stroke(x(row.last.low), y, x(row.last.high), y, "stroke:var(--s0);stroke-width:6;opacity:0.3")
            )
        for value, kind in row.published:
            parts.append(_published(x(value), y, kind))
        if math.isfinite(row.chosen):
            parts.append(_stroke(x(row.chosen), y - 8, x(row.chosen), y + 8, "stroke:var(--s2);stroke-width:2.4"))
        if math.isfinite(row.oracle):
            look = "fill:none;stroke:var(--s4);stroke-width:1.6"
            parts.append(tag("path", d=f"M{x(row.oracle):.1f} {y - 5:.1f}l5 9h-10z", style=look))
        if math.isfinite(row.last.mean):
            parts.append(tag("circle", cx=f"{x(row.last.mean):.1f}", cy=y, r=4, style="fill:var(--s0)"))
            said.append(
                f"{row.name}: last {row.last.mean:.1f}, chosen {row.chosen:.1f}, oracle {row.oracle:.1f}"
                + "".join(f", published {value:.1f} ({kind})" for value, kind in row.published)
            )
    return chart(title, parts, _choice_key(rows), said="; ".join(said), size=(width, height))


def _published(x: float, y: float, kind: str) -> Markup:
    """Return a diamond, filled where the number is of a last step, with "?" inside where nobody says."""
    fill = "var(--s3)" if kind == "last" else "var(--paper)"
    drawn = tag(
        "path",
        tag("title", f"published ({kind})"),
        d=f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z",
        style=f"fill:{fill};stroke:var(--s3);stroke-width:1.5",
    )
    if kind != "unknown":
        return drawn
    return Markup(drawn + tag("text", "?", x=f"{x:.1f}", y=f"{y + 3.6:.1f}", text_anchor="middle"))


def _choice_key(rows: Sequence[Choices]) -> Markup:
    kinds = {kind for row in rows for _, kind in row.published}
    entries = [
        ("last, 95 % over seeds", tag("circle", cx=13, cy=6, r=4, style="fill:var(--s0)")),
        ("chosen without labels", _stroke(13, 0, 13, 12, "stroke:var(--s2);stroke-width:2.4")),
        ("oracle", tag("path", d="M13 1l5 9h-10z", style="fill:none;stroke:var(--s4);stroke-width:1.6")),
    ]
    names = {"last": "published, last", "oracle": "published, oracle", "unknown": "published, kind unknown"}
    entries += [(name, _published(13, 6, kind)) for kind, name in names.items() if kind in kinds]
    items = [tag("li", tag("svg", sign, viewBox="0 0 26 12", aria_hidden="true"), name) for name, sign in entries]
    return tag("ul", *items, class_="legend")


def _stroke(x1: float, y1: float, x2: float, y2: float, look: str) -> Markup:
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", style=look)
