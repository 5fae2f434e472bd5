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
@click.option("--html", metavar="FILE", help="Of a grid: also write the report as a page.")
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
    html: str | None,
    data: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Compare all validators over the kept checkpoints of runs.

    DIR is a run's folder, or a folder of runs. Each validator chooses a checkpoint without a label of the target,
    behind the collapse guard. Then the target's test labels tell how good the choices were: columns with the word
    oracle. For the folder of 'tladapt bench', or runs on several problems, the answer is a table of means over
    problems (--out: .csv or .md).
    """
    keep_compiled()
    import tladapt
    from tladapt.cli.counter import Counter
    from tladapt.errors import UsageError

    grid = is_grid(folders)
    endings = (".csv", ".md") if grid else (".csv",)
    if out is not None and Path(out).suffix.lower() not in endings:
        raise UsageError(f"--out must end in {' or '.join(endings)}, got {out!r}.")
    if html is not None and not grid:
        raise UsageError("--html writes the report of a grid, and these are runs on one problem; leave it out.")
    options = given_fields(ctx)["data"]
    if options and data is None:
        raise UsageError(f"--data.{next(iter(options))} is an option of --data NAME, and none is named.")
    names = None if validators is None else [name.strip() for name in validators.split(",") if name.strip()]
    scenario = None if data is None else tladapt.load(data, data_dir, **options)
    if grid:
        _report(folders[0], names, scenario, data_dir, out=out, html=html, as_json=as_json)
        return
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


def is_grid(folders: tuple[str, ...]) -> bool:
    """Return whether one folder was named, and it is a grid's or holds runs on several problems."""
    if len(folders) != 1 or not Path(folders[0]).is_dir() or (Path(folders[0]) / "config.json").is_file():
        return False
    if (Path(folders[0]) / "bench.json").is_file():
        return True
    from tladapt.training.folder import RunFolder
    from tladapt.training.gather import run_folders, trained_on

    places = [RunFolder(path) for path in run_folders(folders[0])]
    problems = [trained_on(place, place.read_json("config.json")) for place in places]
    return any(problem != problems[0] for problem in problems)


def _report(
    folder: str,
    names: list[str] | None,
    scenario: Any,
    data_dir: str | None,
    *,
    out: str | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Say and write the report of a grid."""
    from tladapt.bench.selection.report import selection_report
    from tladapt.bench.selection.show import as_csv, as_markdown, as_text, record, selection_section
    from tladapt.cli.counter import Counter
    from tladapt.reporting.page import Markup, document
    from tladapt.training.folder import write_whole

    given = None if scenario is None else {scenario.name: scenario}
    with Counter("scoring runs", quiet=as_json) as counter:
        found = selection_report(folder, validators=names, scenarios=given, data_dir=data_dir, watcher=counter)
    if out is not None:
        write_whole(Path(out), (as_csv if Path(out).suffix.lower() == ".csv" else as_markdown)(found).encode())
    if html is not None:
        body = Markup(selection_section(found))
        page = document(f"Validators over {found.out}", body, eyebrow="tladapt")
        write_whole(Path(html), page.encode())
    if as_json:
        from tladapt.cli.show import print_json

        print_json(record(found))
        return
    click.echo(as_text(found), nl=False)
    for file in (out, html):
        if file is not None:
            click.echo(f"Written: {file}")


def _csv(rows: list[dict[str, Any]]) -> bytes:
    import csv
    import io

    from tladapt.training.folder import jsonable

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(jsonable(rows))
    return text.getvalue().encode()
