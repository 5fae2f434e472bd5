"""Charts as SVG inside a page: they take the page's colours, so they read in light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tladapt.reporting.page import Markup, tag

WIDTH, HEIGHT = 340, 205  # about the size that it is shown at, so that letters keep theirs
LEFT, RIGHT, TOP, BOTTOM = 50, 8, 8, 34
_POINTS = 240  # more points than this are averaged: a chart has no more room
DASHES = ("", "6 3", "7 3 1.5 3", "2 3", "9 3 1.5 3 1.5 3", "4 2", "1.5 2")


class Series(NamedTuple):
    """A curve.

    Attributes:
      label: for the legend; empty: none.
      x, y: its points; a y that is not finite breaks the line.
      slot: which of the page's seven colours, and which dashes.
      faint: thin and pale: one seed of several.
      dots: mark each point.
    """

    label: str
    x: Any
    y: Any
    slot: int
    faint: bool = False
    dots: bool = False


class Scale(NamedTuple):
    """From numbers to pixels along one side."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        a, b, v = (math.log(x) for x in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return self.start + (self.end - self.start) * (v - a) / ((b - a) or 1.0)


def colour(slot: int) -> str:
    """Return one of the page's colours."""
    return f"var(--s{slot % 7})"


def ticks(low: float, high: float, *, log: bool = False, about: int = 4) -> list[float]:
    """Return round numbers in an interval.

    >>> ticks(0.0, 1.0), ticks(0.002, 3.0, log=True)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.01, 0.1, 1.0])
    """
    if log:
        decades = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        every = max(1, math.ceil(len(decades) / 5))
        found = [10.0**power for power in decades][::every]
        return found if len(found) > 1 else [v for v in ticks(low, high) if v > 0]
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.8), default=10) * power
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) + 0.0 for n in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Return a short form for an axis.

    >>> number(1000.0), number(20000.0), number(0.25), number(1e-5)
    ('1,000', '20k', '0.25', '1e-05')
    """
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    y_label: str = "",
    x_label: str = "step",
    log: bool = False,
    y_range: tuple[float | None, float | None] = (None, None),
    rules: Iterable[tuple[float, str]] = (),
    marks: Iterable[tuple[float, str]] = (),
    crosses: Iterable[tuple[float, float]] = (),
    cross_label: str = "",
) -> Markup:
    """Return a chart of curves with its title and legend.

    Args:
      title: above it.
      series: the curves.
      y_label: of the axis.
      x_label: of the axis.
      log: whether the y axis is logarithmic (all values must be positive).
      y_range: ends of the y axis; None: from the values.
      rules: horizontal lines with their names (chance, say).
      marks: vertical lines with their names (the chosen step).
      crosses: points that are crossed out.
      cross_label: what the crosses stand for.
    """
    curves = [one._replace(x=x, y=y) for one in series for x, y in [_thinned(one.x, one.y)]]
    values = np.concatenate([np.asarray(one.y, float) for one in curves] or [np.zeros(0)])
    values = np.concatenate([values[np.isfinite(values)], [value for value, _ in rules]])
    steps = np.concatenate([np.asarray(one.x, float) for one in curves] or [np.zeros(0)])
    if not len(values) or not len(steps):
        return Markup("")
    low, high = float(values.min()), float(values.max())
    if log:
        low, high = low / 1.25, high * 1.25
    else:
        room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        low, high = low - room if low < 0 or low > room else 0.0, high + room
    low, high = (low if y_range[0] is None else y_range[0]), (high if y_range[1] is None else y_range[1])
    x = Scale(min(0.0, float(steps.min())), float(steps.max()), LEFT, WIDTH - RIGHT)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP, log)
    parts = axes(x, y, x_label, y_label)
    for value, _ in rules:
        parts.append(line(LEFT, y(value), WIDTH - RIGHT, y(value), "rule"))
    for value, _ in marks:
        parts.append(line(x(value), TOP, x(value), HEIGHT - BOTTOM, "rule"))
    for one in curves:
        parts.append(_curve(one, x, y))
    for step, value in crosses:
        a, b = x(step), y(value)
        d = f"M{a - 4:.1f} {b - 4:.1f}l8 8m0 -8l-8 8"
        parts.append(tag("path", d=d, style="stroke:var(--alarm);stroke-width:2;fill:none"))
    entries = [(one.label, one.slot, "line") for one in curves if one.label]
    entries += [(name, 6, "rule") for _, name in (*rules, *marks) if name]
    entries += [(cross_label, 4, "cross")] * bool(list(crosses))
    said = "; ".join(_said(one) for one in curves if one.label and not one.faint)
    return chart(title, parts, legend(entries), said=said)


def chart(
    title: str, parts: Sequence[Markup], key: Markup, *, said: str, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Markup:
    """Return the drawing in its figure: heading, legend, SVG with a description for those who do not see it."""
    drawing = tag(
        "svg",
        tag("title", title),
        tag("desc", said),
        *parts,
        viewBox=f"0 0 {size[0]} {size[1]}",
        role="img",
        aria_label=f"{title}. {said}",
        class_="plot" if size[0] < 400 else "plot broad",
    )
    return tag("figure", tag("h3", title), key, drawing, class_="chart")


def legend(entries: Iterable[tuple[str, int, str]]) -> Markup:
    """Return names with what stands for them: a "line", a "rule", a "cross", a "dot" or a "triangle"."""
    items = []
    for label, slot, kind in dict.fromkeys(entries):
        if kind == "line":
            dashes = DASHES[slot % 7] or None
            look = f"stroke:{colour(slot)}"
            sign = tag("line", x1=0, x2=26, y1=6, y2=6, class_="line", style=look, stroke_dasharray=dashes)
        elif kind == "rule":
            sign = tag("line", x1=0, x2=26, y1=6, y2=6, class_="rule")
        elif kind == "cross":
            sign = tag("path", d="M9 2l8 8m0 -8l-8 8", style="stroke:var(--alarm);stroke-width:2")
        elif kind == "dot":
            sign = tag("circle", cx=16, cy=6, r=4, style=f"fill:{colour(slot)}")
        else:
            sign = tag("path", d="M16 1l5 9h-10z", style=f"fill:none;stroke:{colour(slot)};stroke-width:1.5")
        items.append(tag("li", tag("svg", sign, viewBox="0 0 26 12", aria_hidden="true"), label))
    return tag("ul", *items, class_="legend") if items else Markup("")


def _thinned(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbours so that no more points are left than a chart has room for."""
    a, b = np.asarray(x, float), np.asarray([math.nan if v is None else v for v in y], float)
    if len(a) <= _POINTS:
        return a, b
    parts = np.array_split(np.arange(len(a)), _POINTS)
    return np.array([a[p].mean() for p in parts]), np.array([b[p].mean() for p in parts])


def _curve(one: Series, x: Scale, y: Scale) -> Markup:
    drawn, pen = [], "M"
    dots = []
    for step, value in zip(one.x, one.y, strict=True):
        if not math.isfinite(value) or (y.log and value <= 0):
            pen = "M"
            continue
        a, b = x(step), y(min(max(value, y.low), y.high))
        drawn.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L"
        if one.dots:
            dots.append(tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.6, style=f"fill:{colour(one.slot)}"))
    look = f"stroke:{colour(one.slot)}"
    path = tag(
        "path",
        d="".join(drawn),
        class_="line faint" if one.faint else "line",
        style=look,
        stroke_dasharray=DASHES[one.slot % 7] or None,
    )
    return Markup(path + "".join(dots))


def _said(one: Series) -> str:
    pairs = [(step, value) for step, value in zip(one.x, one.y, strict=True) if math.isfinite(value)]
    if not pairs:
        return f"{one.label}: no finite value"
    (first, start), (last, end) = pairs[0], pairs[-1]
    return f"{one.label}: {start:.3g} at step {first:,.0f}, {end:.3g} at step {last:,.0f}"


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line in a style of the page."""
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=class_)


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> list[Markup]:
    """Return both axes with their numbers, names and grid."""
    parts = []
    for value in ticks(y.low, y.high, log=y.log):
        parts.append(line(LEFT, y(value), WIDTH - RIGHT, y(value), "grid"))
        text = tag("text", number(value), x=LEFT - 5, y=f"{y(value) + 3.7:.1f}", text_anchor="end")
        parts.append(text)
    for value in ticks(x.low, x.high):
        anchor = "end" if x(value) > WIDTH - RIGHT - 14 else "middle"
        place = WIDTH - RIGHT if anchor == "end" else x(value)
        parts.append(tag("text", number(value), x=f"{place:.1f}", y=HEIGHT - BOTTOM + 14, text_anchor=anchor))
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    parts.append(tag("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
    if y_label:
        middle = (HEIGHT - BOTTOM + TOP) / 2
        turned = f"translate(10 {middle}) rotate(-90)"
        parts.append(tag("text", y_label, transform=turned, text_anchor="middle"))
    return parts
