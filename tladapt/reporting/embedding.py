"""Features of source and target before and after training, as maps of the plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tladapt.reporting.confusion import class_names
from tladapt.reporting.curves import title_of
from tladapt.reporting.folder import RunFiles
from tladapt.reporting.projection import mapped, thinned
from tladapt.reporting.style import SOURCE, TARGET, new_figure

_NAMED = 40  # more classes than this get no names and no legend
_SLICES = 8  # source and target points are drawn in turns, so that neither domain hides the other
_LEGEND = {"handletextpad": 0.2, "alignment": "left", "title_fontproperties": {"weight": "bold", "size": 8}}


def embedding_figure(run: RunFiles, *, maps: Mapping[str, np.ndarray] | None = None) -> Any:
    """Draw source and target features before and after training, coloured by domain and by class.

    Args:
      run: a run's files, with features among the outputs.
      maps: from `mapped`; None: made here.

    Returns:
      A matplotlib figure, or None where the run kept no features, or features that are not finite.
    """
    outputs = run.outputs()
    maps = mapped(outputs) if maps is None else maps
    if not maps:
        return None
    names = class_names(run, _number_of_classes(run, outputs))
    figure = new_figure(3.1 * len(maps) + 1.9, 6.75)
    figure.set_layout_engine("compressed")  # panels are square: no room is left between them
    grid = figure.subplots(2, len(maps), squeeze=False)
    for column, (moment, points) in enumerate(maps.items()):
        known = []
        for domain in ("source", "target"):
            count = len(outputs[f"{moment}_{domain}"])
            known.append(outputs.get(f"{domain}_labels", np.full(count, -1))[thinned(count)])
        first, second = points[: len(known[0])], points[len(known[0]) :]
        _by_domain(grid[0, column], first, second)
        _by_class(grid[1, column], first, second, known[0], known[1], names)
        grid[0, column].set_title(f"{moment.capitalize()} training, by domain")
        grid[1, column].set_title(f"{moment.capitalize()} training, by class")
    for axes in grid.flat:
        _frame(axes)
    for axes in grid[1]:
        axes.set_xlabel("t-SNE 1 (no unit)", color="#555555")
    for axes in grid[:, 0]:
        axes.set_ylabel("t-SNE 2 (no unit)", color="#555555")
    _legends(figure, grid, outputs, names)
    figure.suptitle(title_of(run), fontsize=10.5)
    return figure


def _by_domain(axes: Any, source: np.ndarray, target: np.ndarray) -> None:
    _scatter(axes, source, target, [SOURCE] * len(source), [TARGET] * len(target))


def _by_class(
    axes: Any,
    source: np.ndarray,
    target: np.ndarray,
    source_labels: np.ndarray,
    target_labels: np.ndarray,
    names: list[str],
) -> None:
    from matplotlib.patheffects import withStroke

    colours = [*_colours(len(names)), "#999999"]  # the last, at -1, is for unknown labels
    _scatter(
        axes, source, target, [colours[label] for label in source_labels], [colours[label] for label in target_labels]
    )
    if len(names) > _NAMED:
        return
    # A class's sign stands where its source examples are densest, so that the map reads without colour too.
    for index, (sign, _) in enumerate(_signs(names)):
        mine = source[source_labels == index]
        if len(mine):
            distances = np.linalg.norm(mine[:, None] - mine[None, :], axis=-1)  # [m, m]
            x, y = mine[np.median(distances, axis=1).argmin()]
            outline = [withStroke(linewidth=2.2, foreground="white")]
            style = {"ha": "center", "va": "center", "fontweight": "bold", "path_effects": outline, "zorder": 5}
            axes.text(x, y, sign, fontsize=9 if len(names) <= 12 else 7.5, **style)


def _scatter(axes: Any, source: np.ndarray, target: np.ndarray, filled: list[Any], hollow: list[Any]) -> None:
    for part in range(_SLICES):
        turn = slice(part, None, _SLICES)
        axes.scatter(*source[turn].T, s=11, marker="o", c=filled[turn], alpha=0.8, linewidths=0)
        axes.scatter(*target[turn].T, s=13, marker="^", facecolors="none", edgecolors=hollow[turn], linewidths=0.8)


def _legends(figure: Any, grid: Any, outputs: dict[str, np.ndarray], names: list[str]) -> None:
    from matplotlib.lines import Line2D

    def entry(label: str, colour: Any, *, hollow: bool = False) -> Any:
        fill: Any = "none" if hollow else "full"
        marker = "^" if hollow else "o"
        return Line2D(
            [], [], linestyle="none", marker=marker, fillstyle=fill, color=colour, markersize=4.5, label=label
        )

    handles = [entry("source", SOURCE), entry("target", TARGET, hollow=True)]
    upper = grid[0, -1].legend(
        handles=handles, title="by domain", loc="upper left", bbox_to_anchor=(1.02, 1.0), **_LEGEND
    )
    upper.set_in_layout(False)  # it stands in the room that the longer legend below makes
    known = "target_labels" in outputs and (outputs["target_labels"] >= 0).any()
    label = "target (oracle:\ntest labels)" if known else "target\n(labels unknown)"
    handles = [entry("source", "#555555"), entry(label, "#555555" if known else "#999999", hollow=True)]
    if len(names) <= _NAMED:
        for (_, text), colour in zip(_signs(names), _colours(len(names)), strict=True):
            handles.append(entry(text, colour))
    small = {"fontsize": 6.0, "labelspacing": 0.25} if len(names) > 16 else {"fontsize": 8.0}
    figure.legend(handles=handles, title="by class", loc="outside right lower", **_LEGEND, **small)


def _signs(names: list[str]) -> list[tuple[str, str]]:
    """Return what stands for each class on the map and in the legend: long names get a number."""
    if all(len(name) <= 2 for name in names):
        return [(name, name) for name in names]
    return [(str(index), f"{index}  {name}") for index, name in enumerate(names)]


def _frame(axes: Any) -> None:
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#AAAAAA")
    axes.set_box_aspect(1)
    axes.margins(0.06)


def _colours(classes: int) -> list[Any]:
    """Return one colour a class: well apart up to 12; beyond, a sweep that the signs on the map make up for."""
    import matplotlib

    if classes <= 12:
        return [*(matplotlib.colormaps["tab10"](index) for index in range(10)), "#000000", "#A6D854"][:classes]
    return list(matplotlib.colormaps["turbo"](np.linspace(0.03, 0.97, classes)))


def _number_of_classes(run: RunFiles, outputs: dict[str, np.ndarray]) -> int:
    if "test_logits" in outputs:
        return int(outputs["test_logits"].shape[1])
    top = [int(outputs[name].max()) for name in ("source_labels", "target_labels") if name in outputs]
    return max([len((run.summary or {}).get("classes", [])), 1, *(label + 1 for label in top)])
