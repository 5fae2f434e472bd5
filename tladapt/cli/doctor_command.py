"""`tladapt doctor`: what is wrong, or worth knowing, about data before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.options import WithFields, as_json, given_fields, shift_option

STYLES = {"stop": "bold red", "warn": "yellow", "note": "cyan"}
EPILOG = """\b
Examples:
  tladapt doctor --data digits-photo --out samples.png
  tladapt doctor --data photos/ --data.source amazon --data.target webcam
"""


@click.command(name="doctor", cls=WithFields, groups=("data",), epilog=EPILOG)
@click.option(
    "--data",
    required=True,
    metavar="NAME",
    help="A scenario by name; an .npz file, folder or list; FILE.py:FUNCTION; tfds:NAME.",
)
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@click.option("--out", metavar="FILE", help="A picture (.png) of samples of both domains.")
@as_json()
@click.pass_context
def command(ctx: click.Context, data: str, data_dir: str | None, out: str | None, as_json: bool) -> int:
    """Examine data: ranges, classes by name, equal examples, and how large the shift looks.

    Exit status 2 where something stops a run on this data.
    """
    from rich.console import Console

    import tladapt
    from tladapt.errors import UsageError

    if out is not None and Path(out).suffix.lower() != ".png":
        raise UsageError(f"--out must end in .png, got {out!r}.")
    scenario = tladapt.load(data, data_dir, **given_fields(ctx)["data"])
    if out is not None and scenario.target.is_text:
        raise UsageError(f"--out draws pictures and numbers, and {scenario.name} is text. Leave --out out.")
    with Console(stderr=True).status(f"examining {scenario.name}"):
        report = tladapt.doctor(scenario)
        if out is not None:
            _picture(scenario, Path(out))
    if as_json:
        from tladapt.cli.show import print_json

        print_json({**report.record(), "picture": out})
    else:
        _show(report, out)
    return 2 if report.texts("stop") else 0


def _picture(scenario: Any, out: Path) -> None:
    """Draw samples of both domains."""
    from tladapt.data.pictures import pictures, some_of_each_class
    from tladapt.evaluation.doctor import flattened
    from tladapt.reporting.samples import picture_samples, vector_samples
    from tladapt.reporting.style import save_figure, style

    source, target = scenario.source[0], scenario.target
    index = some_of_each_class(source, 30)
    first, second = pictures(source, index), pictures(target, some_of_each_class(target, 30))
    names, title = (source.name or "source", target.name or "target"), scenario.name
    with style():
        if first is not None and second is not None:
            labels = [scenario.classes[label] for label in source.y[index]]
            figure = picture_samples(first, second, labels=labels, names=names, title=title)
        else:
            figure = vector_samples(flattened(source, 500), flattened(target, 500), names=names, title=title)
        save_figure(figure, out)


def _show(report: Any, out: str | None) -> None:
    """Print the domains, the classes, and what was found, the gravest first."""
    from rich.console import Console
    from rich.text import Text

    from tladapt.cli.show import plain_table

    console = Console(highlight=False)
    table = plain_table(report.scenario)
    for name in ("", "domain", "examples", "shape", "range", "mean", "deviation"):
        table.add_column(name, justify="right" if name in ("examples", "mean", "deviation") else "left")
    for facts in report.domains:
        shape, span = "x".join(map(str, facts.shape)), facts.span()
        numbers = [f"{facts.mean:.4g}", f"{facts.deviation:.4g}"]
        table.add_row(facts.role, Text(facts.name or "-"), f"{facts.examples:,}", shape, span, *numbers)
    console.print(table)
    counts = [f"{name}: {count:,}" for name, count in report.classes.items()]
    shown = ", ".join(counts[:20]) + (f" and {len(counts) - 20} more" if len(counts) > 20 else "")
    console.print(f"Source examples of each class: {shown}", markup=False)
    for finding in report.findings:
        console.print(Text.assemble((finding.severity, STYLES[finding.severity]), f": {finding.text}"))
    if not report.texts("stop", "warn"):
        console.print("Nothing stands in the way of a run.")
    if out is not None:
        console.print(f"Picture: {out}", markup=False, soft_wrap=True)
