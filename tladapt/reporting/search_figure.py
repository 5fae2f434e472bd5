"""The figure of a search over hyper-parameters: scores in the order of trials, and against each searched field."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.errors import RunFolderError
from tladapt.reporting.style import BLACK, BLUE, ORANGE, RED, new_figure, save_figure, style

_PANEL, _HEIGHT, _ROW = 2.6, 2.5, 3  # inches, inches, panels


def write_search_figure(out: str | Path) -> Path:
    """Draw `figures/search.png` into the folder of a search, from its `trials.csv` alone.

    Args:
      out: the folder that `tladapt tune` made.

    Raises:
      RunFolderError: for a folder that is not a search's.
      MissingPackageError: where matplotlib is not installed.
    """
    folder = Path(out)
    try:
        asked = json.loads((folder / "tune.json").read_text())
        rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder} is not the folder of a search ('tladapt tune' makes one): {error}") from error
    prefix = "oracle/" if asked["validator"] == "oracle" else ""
    by = "oracle" if prefix else asked["validator"]["name"]
    scored = [row for row in rows if row[key := f"{prefix}{'target/accuracy' if prefix else f'validator/{by}'}"]]
    with style():
        fields = list(asked["space"])
        panels = 1 + len(fields)
        lines = math.ceil(panels / _ROW)
        figure = new_figure(_PANEL * min(panels, _ROW) + 0.4, _HEIGHT * lines + 0.35)
        grid = figure.add_gridspec(lines, min(panels, _ROW))
        score = "oracle: target accuracy" if prefix else by
        numbers = [int(row[f"{prefix}trial"]) for row in scored]
        scores = [float(row[key]) for row in scored]
        first = figure.add_subplot(grid[0, 0])
        _history(first, numbers, scores, [int(row[f"{prefix}trial"]) for row in rows if row not in scored])
        first.set(title="Trials", xlabel="trial", ylabel=score)
        for place, name in enumerate(fields, start=1):
            axes = figure.add_subplot(grid[place // _ROW, place % _ROW])
            _against(axes, [row[f"{prefix}{name}"] for row in scored], scores, asked["space"][name])
            axes.set(xlabel=name, ylabel=score if place % _ROW == 0 else "")
        word = "oracle: by labels of the target" if prefix else f"by {by}, no target labels"
        figure.suptitle(f"{asked['config']['method']['name']} on {asked['scenario']}: {word}", fontsize=10.5)
        return save_figure(figure, folder / "figures" / "search.png")


def _history(axes: Any, numbers: list[int], scores: list[float], refused: list[int]) -> None:
    """Draw each trial's score, the best so far, and the trials that have none."""
    if scores:
        axes.plot(numbers, scores, "o", color=BLUE, markersize=4, label="trial")
        axes.step(numbers, np.maximum.accumulate(scores), where="post", color=ORANGE, label="best so far")
        best = int(np.argmax(scores))
        axes.plot(numbers[best], scores[best], "o", mfc="none", mec=BLACK, markersize=9, label="chosen")
    if refused:
        bottom = [min(scores, default=0.0)] * len(refused)
        axes.plot(refused, bottom, "x", color=RED, markersize=6, label="no score")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if scores or refused:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)


def _against(axes: Any, values: list[str], scores: list[float], space: str) -> None:
    """Draw scores against a field: on the scale that it was searched on, or by value where it has a few."""
    if ".." in space:
        low, high = (float(end) for end in space.removesuffix(":log").split(".."))
        axes.plot([float(value) for value in values], scores, "o", color=BLUE, markersize=4)
        if space.endswith(":log"):
            axes.set(xscale="log", xlim=(low / 1.2, high * 1.2))
            axes.xaxis.set_minor_formatter("")  # what lies between powers of ten would run into each other
        else:
            axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    else:
        options = space.split("|" if "|" in space else ",")
        axes.plot([options.index(value) for value in values], scores, "o", color=BLUE, markersize=4)
        axes.set_xticks(range(len(options)), options)
        axes.set_xlim(-0.5, len(options) - 0.5)
