"""What `tladapt tune` says: the trials from the best score on, what was chosen, and how to train it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tladapt.cli.show import percent, plain_table


def show_search(found: Any) -> None:
    """Print a `tladapt.bench.SearchResult`."""
    from rich.console import Console

    from tladapt.fields import show

    console = Console(highlight=False)
    by = "labels of the target (oracle)" if found.is_oracle else f"{found.validator}, without a label of the target"
    table = plain_table(f"{found.method} on {found.scenario}: {len(found.trials)} trials by {by}")
    oracle = "oracle: " * found.is_oracle
    table.add_column(f"{oracle}trial", justify="right")
    table.add_column(f"{oracle}target acc." if found.is_oracle else found.validator, justify="right")
    for name in ("source acc.", "steps", *found.fields):
        table.add_column(f"{oracle}{name}", justify="right", overflow="fold")
    refused = any(trial.reason for trial in found.trials)
    if refused:
        table.add_column(f"{oracle}no score", overflow="fold")
    order = sorted(found.trials, key=lambda trial: (trial.score is None, -(trial.score or 0.0), trial.number))
    for trial in order:
        score = "-" if trial.score is None else percent(trial.score) if found.is_oracle else f"{trial.score:.4g}"
        values = [show(trial.values[name]) if name in trial.values else "-" for name in found.fields]
        cells = [percent(trial.source_accuracy), " ".join(map(str, trial.steps)), *values]
        cells += [trial.reason.partition(":")[0]] * refused
        table.add_row(str(trial.number), score, *cells)
    console.print(table)
    for line in _words(found):
        console.print(line, markup=False, soft_wrap=True)


def _words(found: Any) -> Iterator[str]:
    from tladapt.fields import show

    refused = [trial for trial in found.trials if trial.score is None and trial.reason != "not done"]
    if refused:
        yield f"{len(refused)} of {len(found.trials)} trials have no score; the first: {refused[0].reason}"
    if any(trial.reason == "not done" for trial in found.trials):
        yield "Another process works on the trials that are not done; the same command shows them later."
    yield from found.notes
    if found.best is None:
        yield "No trial has a score, so nothing was chosen. Try smaller weights or learning rates (--range)."
    else:
        values = ", ".join(f"{name} {show(value)}" for name, value in found.best.values.items())
        yield f"{'Oracle: best' if found.is_oracle else 'Chosen'}: trial {found.best.number} with {values}."
        if found.command is not None:
            yield f"Train it with new seeds: {found.command}"
        if found.oracle_accuracy is not None and not found.is_oracle:
            yield f"oracle: {percent(found.oracle_accuracy)} by the target's test labels, which took no part in this."
    yield f"Search folder: {found.out}"
