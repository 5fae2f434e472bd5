"""Curves of a run: what training minimised, how adaptation went, and what the validator saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tladapt.reporting.folder import RunFiles
from tladapt.reporting.style import BLACK, BLUE, GREEN, LINES, ORANGE, RED, new_figure

_WIDTH, _ROW = 7.2, 2.3  # inches: two columns of a journal page
_DOTTED = 40  # evaluations above which their dots would merge into a band
_MANY = 200  # logged points above which a curve is drawn as its moving average over a pale raw line

Panel = Callable[[Any], None]


def curves_figure(run: RunFiles) -> Any:
    """Draw the curves of a run, one panel a quantity; panels without data are left out.

    Args:
      run: a run's files; it may be unfinished.

    Returns:
      A matplotlib figure, or None where nothing has been logged.
    """
    train, evaluations = run.of_kind("train"), run.of_kind("eval")
    summary = run.summary or {}
    wide = [_accuracy(evaluations, summary)] if _known(evaluations, "source/accuracy", "target/accuracy") else []
    panels = [
        _terms(train, "loss/", "Loss terms", "value"),
        _terms(train, "gradient/", "Gradient of each term", "norm w.r.t. features"),
        _lambda(train),
        _discriminator(train),
        _learning_rate(train),
        _validator(run, evaluations, summary),
    ]
    present = [panel for panel in panels if panel is not None]
    if not wide and not present:
        return None
    if len(present) % 2:  # the odd one out takes a row of its own
        wide.append(present.pop())
    rows = len(wide) + len(present) // 2
    figure = new_figure(_WIDTH, _ROW * rows + 0.35)
    grid = figure.add_gridspec(rows, 2)
    last = max(row["step"] for row in (*train, *evaluations))
    cells = [grid[index, :] for index in range(len(wide))]
    cells += [grid[len(wide) + index // 2, index % 2] for index in range(len(present))]
    for cell, draw in zip(cells, wide + present, strict=True):
        axes = figure.add_subplot(cell)
        draw(axes)
        axes.set_xlim(-0.01 * last, 1.02 * last)
        axes.set_xlabel("step" + axes.get_xlabel())
    figure.suptitle(title_of(run), fontsize=10.5)
    return figure


def title_of(run: RunFiles) -> str:
    """Return "method on scenario, seed n", with "oracle" where the run trained on labels of the target."""
    summary = run.summary or {}

    def name(key: str) -> str:
        entry = run.config.get(key, summary.get(key, "?"))
        return str(entry.get("name", "?") if isinstance(entry, Mapping) else entry)

    oracle = " (oracle: trained on target labels)" if summary.get("oracle_run") else ""
    return f"{name('method')}{oracle} on {name('scenario')}, seed {run.config.get('seed', '?')}"


def _accuracy(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> Panel:
    def draw(axes: Any) -> None:
        series = (
            ("source/accuracy", "source, held out", BLUE, "-", "o"),
            ("target/accuracy", "target (oracle: test labels)", ORANGE, "--", "s"),
        )
        for key, label, colour, dashes, marker in series:
            steps, values = _series(rows, key)
            if len(steps):
                axes.plot(steps, 100 * values, color=colour, linestyle=dashes, label=label, **_dots(marker, steps))
        _mark_chosen(axes, summary)
        axes.set_ylabel("accuracy (%)")
        low = min((line.get_ydata().min() for line in axes.lines if len(line.get_xdata()) > 2), default=0.0)
        axes.set_ylim(max(0.0, 10 * math.floor(low / 10 - 0.5)), 102)
        _title(axes, "Accuracy over evaluations")

    return draw


def _terms(rows: Sequence[Mapping[str, Any]], prefix: str, title: str, label: str) -> Panel | None:
    keys = list(dict.fromkeys(key for row in rows for key in row if key.startswith(prefix)))
    if not keys:
        return None

    def draw(axes: Any) -> None:
        from matplotlib.ticker import LogLocator

        everything = []
        for index, key in enumerate(keys):
            steps, values = _series(rows, key)
            colour, dashes = LINES[index % len(LINES)]
            _plot(axes, steps, values, color=colour, linestyle=dashes, label=key.removeprefix(prefix))
            everything.append(values[np.isfinite(values)])
        values = np.concatenate(everything)
        # Terms often differ by orders of magnitude; a logarithm shows them together, where all are positive.
        if len(values) and values.min() > 0 and values.max() > 30 * values.min():
            axes.set_yscale("log")
            few = values.max() < 300 * values.min()  # decades alone would leave an axis with one number
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.set_ylabel(label)
        _title(axes, title)

    return draw


def _lambda(rows: Sequence[Mapping[str, Any]]) -> Panel | None:
    steps, values = _series(rows, "lambda")
    if not len(steps):
        return None

    def draw(axes: Any) -> None:
        axes.plot(steps, values, color=BLUE)
        axes.set_ylabel(r"$\lambda$")
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(values))))
        _title(axes, "Adaptation coefficient")

    return draw


def _discriminator(rows: Sequence[Mapping[str, Any]]) -> Panel | None:
    steps, values = _series(rows, "discriminator/accuracy")
    if not len(steps):
        return None

    def draw(axes: Any) -> None:
        _plot(axes, steps, 100 * values, color=BLUE, label="discriminator")
        axes.axhline(50, color=BLACK, linestyle=":", linewidth=1.2, label="chance")
        axes.set_ylabel("balanced accuracy (%)")
        axes.set_ylim(min(45.0, 100 * float(np.nanmin(values)) - 3), 102)
        _title(axes, "Domain discriminator")

    return draw


def _learning_rate(rows: Sequence[Mapping[str, Any]]) -> Panel | None:
    steps, values = _series(rows, "learning_rate")
    if not len(steps):
        return None

    def draw(axes: Any) -> None:
        axes.plot(steps, values, color=BLUE)
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:g}")
        _title(axes, "Learning rate")

    return draw


def _validator(run: RunFiles, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> Panel | None:
    name = run.config.get("validator") or "im"
    name = name.get("name", "im") if isinstance(name, Mapping) else str(name)
    steps, values = _series(rows, f"validator/{name}")
    if not len(steps):
        return None
    collapsed = {row["step"] for row in rows if row.get("collapsed")}

    def draw(axes: Any) -> None:
        axes.plot(steps, values, color=GREEN, label=name, **_dots("o", steps))
        refused = np.isin(steps, list(collapsed))
        if refused.any():
            look = {"linestyle": "none", "marker": "x", "color": RED, "markersize": 7, "markeredgewidth": 1.8}
            axes.plot(steps[refused], values[refused], label="refused (collapse)", **look)
        _mark_chosen(axes, summary, label="chosen")
        axes.set_ylabel(f"{name} (nats)" if name in ("im", "entropy") else name)
        _title(axes, "Validator (no target labels)")

    return draw


def _dots(marker: str, steps: np.ndarray) -> dict[str, Any]:
    return {"marker": marker, "markersize": 3.5} if len(steps) <= _DOTTED else {}


def _mark_chosen(axes: Any, summary: Mapping[str, Any], label: str = "chosen (step {step})") -> None:
    step = summary.get("chosen/step")
    if step is not None:
        axes.axvline(step, color=BLACK, linestyle=(0, (1, 1.5)), linewidth=1.3, label=label.format(step=step))


def _plot(axes: Any, steps: np.ndarray, values: np.ndarray, **look: Any) -> None:
    if len(steps) > _MANY:
        axes.set_xlabel(" (pale: each log point; full: moving average)")
        axes.plot(steps, values, color=look["color"], linewidth=0.5, alpha=0.3)
        width = len(steps) // 50
        kernel = np.ones(width) / width
        steps, values = np.convolve(steps, kernel, "valid"), np.convolve(values, kernel, "valid")
    axes.plot(steps, values, **look)


def _title(axes: Any, text: str) -> None:
    """Set the title, and below it the legend in a line of its own, where it can hide no curve."""
    handles, labels = axes.get_legend_handles_labels()
    span = axes.get_subplotspec().colspan
    columns = 4 if len(span) > 1 else 3 if sum(map(len, labels)) <= 36 else 2
    axes.set_title(text, pad=6 + 12 * max(1, math.ceil(len(handles) / columns)))  # 1: titles of a row stand level
    if handles:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=columns,
            handlelength=2.4,
            columnspacing=1.2,
            labelspacing=0.25,
            borderpad=0.2,
            borderaxespad=0.1,
        )


def _series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(row["step"], row[key]) for row in rows if key in row]
    steps = np.array([step for step, _ in pairs], dtype=np.float64)
    return steps, np.array([math.nan if value is None else value for _, value in pairs], dtype=np.float64)


def _known(rows: Sequence[Mapping[str, Any]], *keys: str) -> bool:
    return any(key in row for row in rows for key in keys)
