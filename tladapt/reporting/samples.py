"""Samples of both domains side by side: pictures as they are, vectors as a map and number by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tladapt.reporting.projection import principal
from tladapt.reporting.style import SOURCE, TARGET, new_figure

_COLUMNS = 10
_SHOWN = 12  # numbers of a vector that differ most


def picture_samples(
    source: np.ndarray, target: np.ndarray, *, labels: Sequence[str], names: tuple[str, str], title: str
) -> Any:
    """Draw pictures of the source above pictures of the target.

    Args:
      source: uint8 `[n_s, h, w, 1 or 3]`.
      target: uint8 `[n_t, h, w, 1 or 3]`.
      labels: the class of each source picture.
      names: of the domains.
      title: above both.

    Returns:
      A matplotlib figure.
    """
    rows = [-(-len(pictures) // _COLUMNS) for pictures in (source, target)]
    figure = new_figure(7.2, 0.78 * sum(rows) + 1.3)
    upper, lower = figure.subfigures(2, 1, height_ratios=[rows[0] + 0.5, rows[1] + 0.3])
    words = (f"Source {names[0]!r}, with labels", f"Target {names[1]!r}, without labels")
    for part, pictures, count, word, known in (
        (upper, source, rows[0], words[0], labels),
        (lower, target, rows[1], words[1], None),
    ):
        part.suptitle(word, fontsize=9.5, fontweight="bold", x=0.01, ha="left")
        for place, axes in enumerate(part.subplots(count, _COLUMNS, squeeze=False).flat):
            axes.axis("off")
            if place < len(pictures):
                one = pictures[place]
                axes.imshow(one[..., 0] if one.shape[-1] == 1 else one, cmap="gray", vmin=0, vmax=255)
                if known is not None:
                    text = known[place]
                    axes.set_title(text if len(text) <= 12 else text[:11] + "…", fontsize=7, loc="center", pad=2)
    figure.suptitle(title, fontsize=10.5)
    return figure


def vector_samples(source: np.ndarray, target: np.ndarray, *, names: tuple[str, str], title: str) -> Any:
    """Draw vectors of both domains as points of the plane, and the numbers in which the domains differ most.

    Args:
      source: `[n_s, d]` floats.
      target: `[n_t, d]`.
      names: of the domains.
      title: above both.

    Returns:
      A matplotlib figure.
    """
    both = np.concatenate([source, target]).astype(np.float64)
    spread = both.std(axis=0)
    scaled = (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    points = principal(scaled)
    order = np.argsort(-np.abs(scaled[: len(source)].mean(axis=0) - scaled[len(source) :].mean(axis=0)), kind="stable")
    order = order[:_SHOWN][::-1]
    figure = new_figure(7.2, max(3.4, 0.27 * len(order) + 1.4))
    left, right = figure.subplots(1, 2)
    middle = len(source)
    parts = (
        (scaled[:middle], points[:middle], SOURCE, "o", names[0]),
        (scaled[middle:], points[middle:], TARGET, "^", names[1]),
    )
    for number, (x, place, colour, marker, name) in enumerate(parts):
        look = {"marker": marker, "facecolors": "none" if number else colour, "edgecolors": colour}
        left.scatter(*place.T, s=10, linewidths=0.7, label=name, **look)
        y = np.arange(len(order)) + 0.17 - 0.34 * number
        low, median, high = np.quantile(x[:, order], [0.05, 0.5, 0.95], axis=0)
        right.hlines(y, low, high, color=colour, linewidth=1.6)
        right.plot(median, y, linestyle="none", marker=marker, color=colour, markersize=4)
    left.set_xlabel("first principal component")
    left.set_ylabel("second")
    left.set_title("Both domains, standardised")
    left.legend(loc="best")
    right.set_yticks(np.arange(len(order)), [f"input {index}" for index in order])
    right.set_xlabel("median, and from 5 to 95 % of the examples, standardised")
    right.set_title("Inputs that differ most")
    figure.suptitle(title, fontsize=10.5)
    return figure
