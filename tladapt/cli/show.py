"""What a run says on the terminal when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def percent(value: Any) -> str:
    """Return a fraction in percent with one decimal, or a dash.

    >>> percent(0.8437), percent(None)
    ('84.4 %', '-')
    """
    return "-" if value is None else f"{100 * value:.1f} %"


def change(before: float, after: float) -> str:
    """Return two fractions and the points between them in words.

    >>> change(0.991, 0.975)
    '99.1 % before, 97.5 % after (-1.6 points)'
    """
    return f"{percent(before)} before, {percent(after)} after ({100 * (after - before):+.1f} points)"


def interval(bounds: Any) -> str:
    """Return a 95 % interval of fractions in words, or nothing.

    >>> interval([0.81, 0.873])
    ' (95 % interval 81.0 to 87.3)'
    """
    return f" (95 % interval {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else ""


def plain_table(title: str = "") -> Any:
    """Return an empty table in the one look that all commands have."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title, style="bold") if title else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )


def show_run(result: Any) -> None:
    """Print the table of one run: source and target accuracy at the last, the chosen and the oracle's step."""
    from rich.console import Console

    console, metrics = Console(highlight=False), result.metrics
    word = " (oracle: trained on the target's labels)" if metrics.get("oracle_run") else ""
    table = plain_table(f"{metrics['method']} on {metrics['scenario']}, seed {metrics['seed']}{word}")
    for name in ("", "step", "source accuracy", "target accuracy"):
        table.add_column(name, justify="left" if not name else "right")
    rows = {row["step"]: row for row in result.history if row["kind"] == "eval"}
    shown = {"last": metrics["steps"], f"chosen by {metrics['chosen/validator']}": metrics["chosen/step"]}
    if "before/source/accuracy" in metrics:
        before = [metrics.get(f"before/{name}/accuracy") for name in ("source", "target")]
        table.add_row("before (--init)", "0", *map(percent, before))
    if "oracle/step" in metrics:
        shown["oracle (best on test labels)"] = metrics["oracle/step"]
    for name, step in shown.items():
        row = rows.get(step, {})
        table.add_row(name, str(step), percent(row.get("source/accuracy")), percent(row.get("target/accuracy")))
    console.print(table)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=not console.is_terminal)

    if "target/accuracy" in metrics:
        scores = [percent(metrics[f"target/{name}"]) for name in ("accuracy", "mean_class_accuracy", "macro_f1")]
        say(f"Last step on the target's test set: {scores[0]}{interval(metrics['target/interval'])},")
        say(f"mean over classes {scores[1]}, macro-F1 {scores[2]}.")
    else:
        say("The target has no labelled test set: its accuracy is not known.")
    if "before/source/accuracy" in metrics:
        say(f"Source accuracy: {change(metrics['before/source/accuracy'], metrics['source/accuracy'])}.")
    if "stopped/reason" in metrics:
        say(f"Early stop: {metrics['stopped/reason']}.")
    for text in metrics.get("warnings", []):
        say(f"Warning: {text}")
    if result.folder is not None:
        console.print(f"Run folder: {result.folder}", markup=False, soft_wrap=True)


def show_runs(folders: Sequence[Any]) -> None:
    """Print the table of several runs, a line a method, and where they are."""
    from rich.console import Console

    from tladapt.reporting import read_run, results_table, to_rich

    console = Console(highlight=False)
    console.print(to_rich(results_table([read_run(folder) for folder in folders])))
    for folder in folders:
        console.print(f"Run folder: {folder}", markup=False, soft_wrap=True)


def print_json(record: Any) -> None:
    """Print a record as JSON, NaN as null."""
    import json

    import click

    from tladapt.training.folder import jsonable

    click.echo(json.dumps(jsonable(record), indent=1, ensure_ascii=False))
