"""What a run says on the terminal when it has ended."""

from __future__ import annotations

from typing import Any


def percent(value: Any) -> str:
    """Return a fraction in percent with one decimal, or a dash."""
    return "-" if value is None else f"{100 * value:.1f} %"


def show_run(result: Any) -> None:
    """Print the table of one run: source and target accuracy at the last, the chosen and the oracle's step."""
    from rich.console import Console
    from rich.table import Table

    console, metrics = Console(highlight=False), result.metrics
    word = " (oracle: trained on the target's labels)" if metrics.get("oracle_run") else ""
    table = Table(title=f"{metrics['method']} on {metrics['scenario']}, seed {metrics['seed']}{word}", title_justify="left")
    for name in ("", "step", "source accuracy", "target accuracy"):
        table.add_column(name, justify="left" if not name else "right")
    rows = {row["step"]: row for row in result.history if row["kind"] == "eval"}
    shown = [("last", metrics["steps"])]
    shown += [(f"chosen by {metrics['chosen/validator']}", metrics["chosen/step"])]
    if "oracle/step" in metrics:
        shown += [("oracle (best on test labels)", metrics["oracle/step"])]
    for name, step in shown:
        row = rows.get(step, {})
        table.add_row(name, str(step), percent(row.get("source/accuracy")), percent(row.get("target/accuracy")))
    console.print(table)
    if metrics.get("target/interval"):
        low, high = metrics["target/interval"]
        console.print(
            f"last step on the target's test set: {percent(metrics['target/accuracy'])}"
            f" (95 % interval {100 * low:.1f} to {100 * high:.1f}), macro-F1 {percent(metrics['target/macro_f1'])}"
        )
    for text in metrics.get("warnings", []):
        console.print(f"Warning: {text}", markup=False)
    if result.folder is not None:
        console.print(f"Folder: {result.folder}", markup=False, soft_wrap=True)
