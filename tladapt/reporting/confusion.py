"""The confusion matrix of a run's last step on the target's test set."""

from __future__ import annotations

from typing import Any

import numpy as np

from tladapt.reporting.curves import title_of
from tladapt.reporting.folder import RunFiles
from tladapt.reporting.style import new_figure

_ANNOTATED = 12  # up to this many classes a cell has room for its share and count
_NAMED = 40  # up to this many classes each row has room for its name


def confusion_figure(run: RunFiles) -> Any:
    """Draw how the examples of each class were predicted: shares of the class as colour, counts as text.

    Args:
      run: a run's files, with `test_logits` and `test_labels` among the outputs.

    Returns:
      A matplotlib figure, or None where the run has no labelled test set.
    """
    outputs = run.outputs()
    if "test_logits" not in outputs or "test_labels" not in outputs:
        return None
    logits, labels = outputs["test_logits"], outputs["test_labels"].astype(np.int64)
    logits, labels = logits[labels >= 0], labels[labels >= 0]
    if len(labels) == 0:
        return None
    size = logits.shape[1]
    counts = np.bincount(labels * size + logits.argmax(axis=1), minlength=size * size).reshape(size, size)
    examples = counts.sum(axis=1)
    shares = np.where(examples[:, None] > 0, 100 * counts / np.maximum(examples, 1)[:, None], np.nan)
    names = class_names(run, size)

    side = float(np.clip(0.5 * size, 3.2, 9.0)) if size <= _ANNOTATED else 7.0
    figure = new_figure(side + 1.9, side + 1.3)
    figure.set_layout_engine("compressed")  # the matrix is square
    axes = figure.add_subplot()
    axes.grid(False)
    axes.set_facecolor("#EEEEEE")  # a class without examples has no shares
    image = axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=100)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("share of the true class (%)")
    bar.outline.set_visible(False)
    if size <= _ANNOTATED:
        _annotate(axes, shares, counts)
    every = 1 if size <= _NAMED else int(np.ceil(size / _NAMED))
    ticks = np.arange(0, size, every)
    small = 8 if size <= 20 else 6
    long = max(len(name) for name in names) * size > 40  # letters that would have to fit beside each other
    axes.set_xticks(
        ticks,
        [names[tick] for tick in ticks],
        rotation=45 if long else 0,
        ha="right" if long else "center",
        fontsize=small,
    )
    axes.set_yticks(ticks, [f"{names[tick]} ({examples[tick]})" for tick in ticks], fontsize=small)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (test examples)")
    accuracy = counts.trace() / counts.sum()
    axes.set_title(f"{title_of(run)}\nTarget test set, last step: {100 * accuracy:.1f} % of {counts.sum():,} right")
    return figure


def class_names(run: RunFiles, size: int) -> list[str]:
    """Return the names of the classes from the summary, or their indices; long names are cut at 16 letters."""
    names = [str(name) for name in (run.summary or {}).get("classes", [])]
    if len(names) != size:
        names = [str(index) for index in range(size)]
    return [name if len(name) <= 16 else name[:15] + "…" for name in names]


def _annotate(axes: Any, shares: np.ndarray, counts: np.ndarray) -> None:
    for i, j in np.ndindex(*counts.shape):
        if counts[i, j]:
            dark = shares[i, j] > 55
            text = f"{shares[i, j]:.0f}" if shares[i, j] >= 0.5 else "<1"
            ink = {"ha": "center", "color": "white" if dark else "#222222"}
            axes.text(j, i - 0.04, text, va="bottom", fontsize=8.5, fontweight="bold" if i == j else "normal", **ink)
            axes.text(j, i + 0.04, f"{counts[i, j]}", va="top", fontsize=6, **ink)
