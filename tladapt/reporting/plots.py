"""More charts of a page: runs as dots with their interval, calibration, and maps of features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tladapt.reporting.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    axes,
    chart,
    colour,
    legend,
    line,
    number,
    ticks,
)
from tladapt.reporting.page import Markup, tag


def dot_chart(
    title: str,
    groups: Sequence[tuple[str, Sequence[float], tuple[float, float] | None]],
    *,
    label: str = "target accuracy, last step (%)",
) -> Markup:
    """Return one line a group: a dot for each run, the mean as a stroke, and its interval where there is one.

    Args:
      title: above it.
      groups: name, values in percent, and the interval's ends.
      label: of the axis.
    """
    low = min(min([*values, *(ends or ())]) for _, values, ends in groups)
    high = max(max([*values, *(ends or ())]) for _, values, ends in groups)
    room = 0.08 * (high - low) or 1.0
    low, high = max(0.0, low - room), min(100.0, high + room) if high <= 100 else high
    row, left, width = 40, 4, 420
    height = row * len(groups) + 34
    x = Scale(low, high, left, width - 12)
    parts = []
    for value in ticks(low, high, about=5):
        parts.append(line(x(value), 4, x(value), height - 30, "grid"))
        parts.append(tag("text", number(value), x=f"{x(value):.1f}", y=height - 16, text_anchor="middle"))
    parts.append(tag("text", label, x=width / 2, y=height - 2, text_anchor="middle"))
    for place, (name, values, ends) in enumerate(groups):
        middle, look = row * place + 27, colour(place)
        parts.append(tag("text", name, x=left, y=middle - 11, class_="over"))
        if ends is not None:
            a, b = x(max(low, ends[0])), x(min(high, ends[1]))
            parts.append(_styled(a, middle, b, middle, f"stroke:{look};stroke-width:7;opacity:0.28"))
        for value in values:
            parts.append(tag("circle", cx=f"{x(value):.1f}", cy=middle, r=4, style=f"fill:{look};fill-opacity:0.75"))
        mean = x(float(np.mean(values)))
        parts.append(_styled(mean, middle - 8, mean, middle + 8, f"stroke:{look};stroke-width:2.5"))
    said = "; ".join(f"{name}: mean {np.mean(values):.1f} of {len(values)} runs" for name, values, _ in groups)
    return chart(title, parts, Markup(""), said=said, size=(width, height))


def _styled(x1: float, y1: float, x2: float, y2: float, look: str) -> Markup:
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", style=look)


def reliability_chart(title: str, bins: Sequence[tuple[float, float, float]], slot: int = 0) -> Markup:
    """Return accuracy against confidence, a bar a bin, with the diagonal that calibrated predictions lie on.

    Args:
      title: above it.
      bins: mean confidence, accuracy and share of the examples, for each bin that has examples.
      slot: which colour.
    """
    x, y = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, "confidence (largest probability)", "accuracy")
    parts.append(line(x(0), y(0), x(1), y(1), "rule"))
    for confidence, accuracy, share in bins:
        radius = 2.5 + 9.5 * math.sqrt(share)
        parts.append(_styled(x(confidence), y(confidence), x(confidence), y(accuracy), f"stroke:{colour(slot)}"))
        look = f"fill:{colour(slot)};fill-opacity:0.6;stroke:{colour(slot)}"
        tip = tag("title", f"confidence {confidence:.2f}, accuracy {accuracy:.2f}, {100 * share:.1f} % of the examples")
        parts.append(
            tag("circle", tip, cx=f"{x(confidence):.1f}", cy=f"{y(accuracy):.1f}", r=f"{radius:.1f}", style=look)
        )
    entries = [("bin; area: share of examples", slot, "dot"), ("calibrated", 6, "rule")]
    said = ", ".join(f"confidence {c:.2f}: accuracy {a:.2f}" for c, a, _ in bins)
    return chart(title, parts, legend(entries), said=said)


class Cloud(NamedTuple):
    """Points of one kind on a map.

    Attributes:
      points: `[n, 2]`, in the map's own units.
      look: a CSS colour.
      hollow: triangles with no fill in place of dots.
    """

    points: np.ndarray
    look: str
    hollow: bool


def scatter_chart(
    title: str, clouds: Sequence[Cloud], signs: Sequence[tuple[float, float, str]], *, said: str
) -> Markup:
    """Return a map of points without axes: neighbourhoods are what it shows.

    Args:
      title: above it.
      clouds: points by kind.
      signs: words that stand on the map.
      said: what it shows, for those who do not see it.
    """
    everything = np.concatenate([cloud.points for cloud in clouds])
    low, high = everything.min(axis=0), everything.max(axis=0)
    side, edge = 340, 12
    span = np.where(high > low, high - low, 1.0)

    def place(points: Any) -> np.ndarray:
        return np.asarray(edge + (side - 2 * edge) * (np.asarray(points) - low) / span)

    frame = "fill:var(--card);stroke:var(--line)"
    parts = [tag("rect", x=0.5, y=0.5, width=side - 1, height=side - 1, rx=6, style=frame)]
    for cloud in clouds:
        drawn = [
            f"M{a:.1f} {b - 3.2:.1f}l3 5.2h-6z" if cloud.hollow else f"M{a:.1f} {b:.1f}h0"
            for a, b in place(cloud.points)
        ]
        dots = f"stroke:{cloud.look};stroke-width:4.6;stroke-linecap:round;opacity:0.8"
        triangles = f"fill:none;stroke:{cloud.look};stroke-width:1;opacity:0.9"
        parts.append(tag("path", d="".join(drawn), style=triangles if cloud.hollow else dots))
    for a, b, word in signs:
        [(left, top)] = place([[a, b]])
        parts.append(tag("text", word, x=f"{left:.1f}", y=f"{top:.1f}", class_="sign"))
    return chart(title, parts, Markup(""), said=said, size=(side, side))
