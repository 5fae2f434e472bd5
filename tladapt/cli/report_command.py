"""`tladapt report`: one page about a run, or about several that are compared."""

from __future__ import annotations

import click

from tladapt.cli.options import as_json

EPILOG = """\b
Examples:
  tladapt report runs/a
  tladapt report runs/a --compare runs/source
  tladapt report runs/demo
  tladapt report runs/a runs/b runs/c --out comparison.html
"""


@click.command(name="report", epilog=EPILOG)
@click.argument("folders", metavar="DIR...", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="Where to write the page.  [default: DIR/report.html, for one DIR]")
@click.option(
    "--compare",
    multiple=True,
    metavar="RUN",
    help="A source-only run, or one from scratch, to hold the others against; may be given several times.",
)
@as_json()
def command(folders: tuple[str, ...], out: str | None, compare: tuple[str, ...], as_json: bool) -> None:
    """Write one self-contained HTML page about the run in DIR, or compare the runs of several.

    A DIR that holds runs, at any depth, stands for all of them. The page needs no network.
    """
    from tladapt.reporting import write_report

    file = write_report(folders, out, against=compare)
    if as_json:
        import json

        click.echo(json.dumps({"page": str(file), "bytes": file.stat().st_size}))
    else:
        click.echo(f"Page: {file}")
