"""`tladapt select`: every validator's choice among the checkpoints of some runs, and its regret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import WithFields, as_json, given_fields, shift_option


@click.command(name="select", cls=WithFields, groups=("data",))
@click.argument("folders", metavar="DIR...", nargs=-1, required=True)
@click.option("--validators", metavar="NAMES", help="Which, separated by commas.  [default: all]")
@click.option("--out", metavar="FILE", help="Also write every checkpoint with all its scores to a .csv file.")
@click.option("--data", metavar="NAME", help="The runs' data, where its name in their folders does not lead to it.")
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@as_json()
@click.pass_context
def command(
    ctx: click.Context,
    folders: tuple[str, ...],
    validators: str | None,
    out: str | None,
    data: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Compare all validators over the kept checkpoints of runs on one scenario.

    DIR is a run's folder, or a folder of runs. Each validator chooses a checkpoint without a label of the target,
    behind the collapse guard. Then the target's test labels tell how good the choices were: columns with the word
    oracle.
    """
    keep_compiled()
    import tladapt
    from tladapt.cli.counter import Counter
    from tladapt.errors import UsageError

    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UsageError(f"--out must end in .csv, got {out!r}.")
    options = given_fields(ctx)["data"]
    if options and data is None:
        raise UsageError(f"--data.{next(iter(options))} is an option of --data NAME, and none is named.")
    names = None if validators is None else [name.strip() for name in validators.split(",") if name.strip()]
    scenario = None if data is None else tladapt.load(data, data_dir, **options)
    with Counter("scoring checkpoints", quiet=as_json) as counter:
        found = tladapt.select(folders, scenario, validators=names, data_dir=data_dir, watcher=counter)
    if out is not None:
        from tladapt.training.folder import write_whole

        write_whole(Path(out), _csv(found.rows()))
    if as_json:
        from tladapt.cli.show import print_json

        print_json(found.record())
        return
    from tladapt.cli.selection import show_selection

    show_selection(found)
    if out is not None:
        click.echo(f"Every checkpoint with all scores: {out}")


def _csv(rows: list[dict[str, Any]]) -> bytes:
    import csv
    import io

    from tladapt.training.folder import jsonable

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(jsonable(rows))
    return text.getvalue().encode()
