"""Figures of a benchmark for a paper or a README: ranks with their critical difference, and gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tladapt.reporting.style import BLACK, BLUE, ORANGE, RED, SKY, new_figure

_WIDTH = 7.2  # inches: two columns of a journal page
_GREY = "#666666"


def rank_figure(
    methods: Sequence[str], ranks: Sequence[float], *, difference: float, groups: Sequence[Sequence[int]]
) -> Any:
    """Draw a critical-difference diagram; a bar joins methods whose ranks lie within the difference.

    Args:
      methods: names.
      ranks: mean rank of each; 1 is best, and stands on the left.
      difference: the critical difference, drawn to scale above the axis.
      groups: positions of methods whose ranks lie within it.

    Returns:
      A matplotlib figure.

    Source: Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), figure 1.
    """
    k = len(methods)
    order = sorted(range(k), key=lambda place: ranks[place])
    half = (k + 1) // 2  # the better half is named on the left
    top = 1.0 + 0.35 * len(groups)  # where the names begin, in lines below the axis
    figure = new_figure(_WIDTH, 0.75 + 0.2 * (top + half))
    axes = figure.add_subplot()
    axes.set_axis_off()
    margin = 0.42 * (k - 1)
    axes.set_xlim(1 - margin, k + margin)
    axes.set_ylim(top + half, -2.6)
    axes.plot([1, k], [0, 0], color=BLACK, linewidth=1)
    for value in range(1, k + 1):
        axes.plot([value, value], [-0.25, 0], color=BLACK, linewidth=1)
        axes.text(value, -0.4, str(value), ha="center", va="bottom", fontsize=8)
    shown = min(difference, k - 1.0)  # one that is wider than the axis parts nobody
    axes.plot([1, 1 + shown], [-1.7, -1.7], color=RED, linewidth=1.5, marker="|", markersize=7)
    axes.text(1, -1.95, f"critical difference {difference:.2f}", ha="left", va="bottom", fontsize=8, color=RED)
    for number, group in enumerate(groups):
        level = 0.4 + 0.35 * number
        ends = (ranks[group[0]] - 0.012 * k, ranks[group[-1]] + 0.012 * k)
        axes.plot(ends, [level, level], color=BLACK, linewidth=3, solid_capstyle="round")
    for position, place in enumerate(order):
        left = position < half
        level = top + (position if left else k - 1 - position) + 0.4
        end = 1 - 0.06 * (k - 1) if left else k + 0.06 * (k - 1)
        axes.plot([ranks[place], ranks[place], end], [0, level, level], color=_GREY, linewidth=0.8)
        axes.plot(ranks[place], 0, "o", color=BLUE, markersize=4, zorder=3)
        said = f"{methods[place]} ({ranks[place]:.2f})"
        axes.text(
            end, level, f"{said} " if left else f" {said}", ha="right" if left else "left", va="center", fontsize=8
        )
    return figure


class GainRow(NamedTuple):
    """The gains of a method in points: of each problem (NaN where unknown), and of their mean with two intervals."""

    name: str
    by_problem: Sequence[float]
    mean: float
    over_seeds: tuple[float, float]
    over_problems: tuple[float, float]


def gain_figure(rows: Sequence[GainRow], *, baseline: str, problems: int) -> Any:
    """Draw the gain of each method: a pale dot a problem, the mean with its intervals over seeds and over problems.

    Args:
      rows: the methods, from the top.
      baseline: what the gains are over.
      problems: how many there are.

    Returns:
      A matplotlib figure.
    """
    figure = new_figure(_WIDTH, 0.9 + 0.4 * len(rows))
    axes = figure.add_subplot()
    axes.axvline(0, color=BLACK, linewidth=0.8)
    for place, row in enumerate(rows):

        def words(text: str, first: bool = place == 0) -> str | None:
            return text if first else None  # one entry in the legend for all rows

        known = [value for value in row.by_problem if not math.isnan(value)]
        if problems > 1:
            dots = {"color": ORANGE, "markersize": 4, "alpha": 0.7}
            axes.plot(known, [place - 0.22] * len(known), "o", label=words("a problem"), **dots)
        axes.plot(
            row.over_seeds, [place] * 2, color=SKY, linewidth=6, solid_capstyle="butt", label=words("95 % over seeds")
        )
        if problems > 1:
            ends = {"color": BLUE, "linewidth": 1.3, "marker": "|", "markersize": 6}
            axes.plot(row.over_problems, [place + 0.22] * 2, label=words("95 % over problems"), **ends)
        axes.plot(row.mean, place, "D", color=BLACK, markersize=4.5, label=words("mean gain"))
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    # Few seeds or problems may have intervals that dwarf every gain: the axis shows the gains.
    shown = [v for row in rows for v in (0.0, row.mean, *row.by_problem, *row.over_seeds) if math.isfinite(v)]
    means = [v for row in rows for v in (0.0, row.mean, *row.by_problem) if math.isfinite(v)]
    reach = 1.5 * (max(means) - min(means)) + 1.0
    low, high = max(min(shown), min(means) - reach), min(max(shown), max(means) + reach)
    axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_xlabel(f"gain over {baseline} in points, last step")
    figure.legend(loc="outside upper left", ncols=4)
    return figure
