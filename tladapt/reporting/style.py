"""How figures look: one set of colours that differ in grey, sizes that survive a printed column, and safe writing."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tladapt.errors import MissingPackageError
from tladapt.reporting.folder import write_whole

# Okabe and Ito's palette, safe for the colour-blind, ordered so that neighbours differ in lightness as well.
BLACK, ORANGE, BLUE, GREEN, RED, SKY, PURPLE = (
    "#000000",
    "#E69F00",
    "#0072B2",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
SOURCE, TARGET = BLUE, ORANGE
LINES = (
    (BLUE, "-"),
    (ORANGE, "--"),
    (BLACK, "-."),
    (GREEN, ":"),
    (PURPLE, (0, (5, 1, 1, 1, 1, 1))),
    (SKY, (0, (6, 2))),
    (RED, (0, (1, 1))),
)
DPI = 150


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn.

    Raises:
      MissingPackageError: where matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingPackageError(
            f"figures need matplotlib, which cannot be imported ({error}). Install it: pip install 'tladapt[plot]'."
        ) from error

    return matplotlib.rc_context(
        {
            "font.size": 9,
            "font.family": "sans-serif",
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.labelsize": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.5,
            "axes.axisbelow": True,
            "lines.linewidth": 1.5,
            "legend.fontsize": 8,
            "legend.frameon": True,
            "legend.framealpha": 0.85,
            "legend.edgecolor": "none",
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "figure.constrained_layout.use": True,
        }
    )


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure, in inches, that no window and no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, file: Path) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises:
      RunFolderError: where the file cannot be written.
    """
    buffer = io.BytesIO()
    # "tight": the solver of the layout may leave a label of a square panel half outside the page.
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08)
    return write_whole(file, buffer.getvalue())
