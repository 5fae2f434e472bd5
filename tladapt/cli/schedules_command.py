"""`tladapt schedules`: how the schedules of lambda and of the learning rate differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from tladapt.cli.options import as_json, whole

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
POINTS = 101
LAMBDAS = (
    "Weights of an adaptation term (lambda)",
    "What a method's own weight is multiplied by; for DANN and CDAN, the coefficient of the gradient reversal.",
    "method.schedule",
)
RATES = (
    "Learning rates",
    "What the recipe's learning rate is multiplied by, from the start of each stage.",
    "recipe.schedule",
)


@click.command(name="schedules")
@whole("--steps", 3000, "Length of the run that the curves are of.", least=10)
@click.option("--out", metavar="FILE", help="Write them as one page to look at, which needs no network.")
@as_json()
def command(steps: int, out: str | None, as_json: bool) -> None:
    """Show every schedule of lambda and of the learning rate, by the names that a run takes.

    Some follow the share of the run that is done, others count steps, whatever the length of the run: one name in two
    code bases can mean either.
    """
    from tladapt.losses.schedules import LAMBDA_SCHEDULES, LEARNING_RATE_SCHEDULES

    groups = [_group(LAMBDAS, LAMBDA_SCHEDULES, steps), _group(RATES, LEARNING_RATE_SCHEDULES, steps)]
    if out is not None:
        _write(groups, steps, out)
    if as_json:
        _print_json(groups, steps, out)
        return
    _print(groups, steps)
    if out is not None:
        click.echo(f"Page: {out}")
    else:
        click.echo(f"As curves: tladapt schedules --steps {steps} --out schedules.html")


def _group(words: tuple[str, str, str], table: Mapping[str, Callable[..., Any]], steps: int) -> Any:
    """Return the schedules of a table; names of one function stand together."""
    from tladapt.reporting.schedules_page import Group

    names: dict[Callable[..., Any], list[str]] = {}
    for name, schedule in table.items():
        names.setdefault(schedule, []).append(name)
    return Group(*words, tuple(_curve(tuple(called), schedule, steps) for schedule, called in names.items()))


def _curve(names: tuple[str, ...], schedule: Callable[..., Any], steps: int) -> Any:
    import numpy as np

    from tladapt.reporting.schedules_page import Curve

    shares, points = np.array(SHARES, np.float32), np.linspace(0, 1, POINTS, dtype=np.float32)
    lengths = (steps // 10, steps, 10 * steps)
    looks: list[tuple[Any, Any]] = [(points, points * length) for length in lengths] + [(shares, shares * steps)]
    # What moves it: the share of the run at one step, and steps at one share.
    looks += [(points, np.full(POINTS, 2000.0)), (np.full(POINTS, 0.5, np.float32), np.linspace(0, 100_000, POINTS))]
    progress = np.concatenate([share for share, _ in looks])
    step = np.round(np.concatenate([step for _, step in looks])).astype(np.int32)
    values = np.asarray(schedule(progress, step))  # in one call: every schedule compiles for one shape
    *runs, table, by_share, by_steps = np.split(values, np.cumsum([len(share) for share, _ in looks])[:-1])
    moving = [word for word, seen in (("share of the run", by_share), ("steps", by_steps)) if np.ptp(seen) > 0]
    formula, source = _words(schedule)
    return Curve(
        names=names,
        formula=formula,
        source=source,
        counts=" and ".join(moving) or "nothing",
        runs={length: run.tolist() for length, run in zip(lengths, runs, strict=True)},
        values=dict(zip(SHARES, table.tolist(), strict=True)),
    )


def _words(schedule: Callable[..., Any]) -> tuple[str, str]:
    """Return the first sentence of a schedule's docstring, and the rest of it up to the example."""
    import inspect

    text = (inspect.getdoc(schedule) or "").split("Example:")[0].replace("`", "")
    first, _, rest = text.partition("\n\n")
    return " ".join(first.split()), " ".join(rest.split())


def _write(groups: list[Any], steps: int, out: str) -> None:
    from pathlib import Path

    from tladapt.errors import UsageError
    from tladapt.reporting.schedules_page import page

    file = Path(out)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page(groups, steps, f"tladapt schedules --steps {steps} --out {out}"), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be written ({error.strerror or error}); name a file such as schedules.html."
        ) from error


def _print_json(groups: list[Any], steps: int, out: str | None) -> None:
    import json

    record = {
        "steps": steps,
        "page": out,
        "schedules": [
            {
                "option": f"--{group.option}",
                "names": curve.names,
                "formula": curve.formula,
                "counts": curve.counts,
                "values": {f"{share:g}": value for share, value in curve.values.items()},
                "ends": {str(length): values[-1] for length, values in curve.runs.items()},
            }
            for group in groups
            for curve in group.curves
        ],
    }
    click.echo(json.dumps(record, indent=1))


def _print(groups: list[Any], steps: int) -> None:
    from rich.console import Console

    from tladapt.cli.show import plain_table
    from tladapt.reporting.schedules_page import ends, number

    console = Console(highlight=False)
    for group in groups:
        table = plain_table(f"{group.title} over {steps} steps: --{group.option} NAME")
        for name in ("name", *(f"{share:.0%}" for share in SHARES), "counts"):
            table.add_column(name, justify="left" if name in ("name", "counts") else "right")
        for curve in group.curves:
            values = (number(value) for value in curve.values.values())
            table.add_row(", ".join(curve.names), *values, curve.counts)
        console.print(table)
    console.print("What counts steps differs with the length of the run:", markup=False)
    for group in groups:
        for curve in group.curves:
            if curve.counts_steps:
                console.print(f"  --{group.option} {curve.names[0]}: {ends(curve)}", markup=False, soft_wrap=True)
