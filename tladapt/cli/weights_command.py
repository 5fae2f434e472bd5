"""`tladapt weights`: which published weights are known, what is in a weight file, and whether it fits a backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tladapt.cli.options import as_json
from tladapt.registry import suggest

if TYPE_CHECKING:
    from tladapt.models.weights.catalogue import PublishedWeights
    from tladapt.models.weights.files import WeightsFile


class _Group(click.Group):
    """A group whose misspelt commands list the close ones."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command 'weights {args[0]}'.{suggest(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(name="weights", cls=_Group)
def command() -> None:
    """Published weights, and files of weights: .safetensors, .pth, .npz, .h5, read without torch.

    Nothing is downloaded by these commands, and nothing in a file is executed.
    """


@command.command(name="list")
@click.option("--backbone", metavar="NAME", help="Those of one backbone.")
@as_json()
def list_weights(backbone: str | None, as_json: bool) -> None:
    """List the registered weights, and which are on this machine."""
    from tladapt.models.backbones import BACKBONES
    from tladapt.models.weights.catalogue import WEIGHTS

    if backbone is not None:
        _ = BACKBONES[backbone]  # a misspelt name lists the close ones
    records = [_record(WEIGHTS[name]) for name in WEIGHTS if backbone in (None, WEIGHTS[name].backbone)]
    if as_json:
        from tladapt.cli.show import print_json

        print_json(records)
    elif not records:
        click.echo(f"No weights are registered for {backbone}.")
    for record in [] if as_json else records:
        click.echo(click.style(record["name"], bold=True))
        for line in _words(record):
            click.echo(click.wrap_text(line, 80, "    ", "      "))


def _record(known: PublishedWeights) -> dict[str, Any]:
    """Return registered weights as a record, with the place of their file on this machine."""
    from tladapt.models.weights.hub import here

    names = ("name", "backbone", "file", "hub", "url", "sha256", "classes", "licence", "source")
    place = here(known)
    return {name: getattr(known, name) for name in names} | {"path": None if place is None else str(place)}


def _words(record: dict[str, Any]) -> list[str]:
    classes = f"{record['classes']} classes" if record["classes"] else "features only"
    address = record["url"] or (f"on the hub: {record['hub']}" if record["hub"] else "has to be brought")
    return [
        f"backbone: {record['backbone']}, {classes}",
        f"licence: {record['licence'] or 'not stated'}",
        f"source: {record['source'] or 'not stated'}",
        f"file: {record['file']}, {'here: ' + record['path'] if record['path'] else 'not here, ' + address}",
    ]


@command.command()
@click.argument("name", metavar="NAME|FILE")
@as_json()
def show(name: str, as_json: bool) -> None:
    """Show what is in a weight file: tensors with shapes and dtypes, metadata, checksum, and what it is known as."""
    file, record = _read(name)
    tensors = {key: {"shape": list(value.shape), "dtype": str(value.dtype)} for key, value in file.tensors.items()}
    if as_json:
        from tladapt.cli.show import print_json

        print_json({**record, "tensors": tensors})
        return
    from rich.console import Console
    from rich.text import Text

    from tladapt.cli.show import plain_table

    console = Console(highlight=False)
    table = plain_table(f"{record['file']}, {file.format}")
    for column in ("tensor", "shape", "dtype"):
        table.add_column(column, overflow="fold")
    for key, tensor in tensors.items():
        table.add_row(Text(key), "x".join(map(str, tensor["shape"])) or "one number", tensor["dtype"])
    console.print(table)
    _say(record)


@command.command()
@click.argument("name", metavar="NAME|FILE")
@click.option("--backbone", metavar="NAME", help="What it should fit; without it, what the file is known to be of.")
@as_json()
def check(name: str, backbone: str | None, as_json: bool) -> None:
    """Check whether a weight file fits a backbone: every array filled, every tensor used, every shape right.

    Exit status 2, with all that differs, where it does not.
    """
    from tladapt.models.pretrained import check_fit

    file, record = _read(name)
    chosen = backbone or record["backbone"]
    if chosen is None:
        raise click.UsageError(_unknown(name, file))
    report = check_fit(chosen, file.tensors, known=record["known"], called=name)
    record |= {"backbone": chosen, "fits": True, "names_of": report.table, "filled": len(report.arrays)}
    record |= {"dropped": report.dropped, "notes": report.notes}
    if as_json:
        from tladapt.cli.show import print_json

        print_json(record)
        return
    _say(record)
    click.echo(f"It fits {chosen}: {len(report.arrays)} arrays filled, under the names of {report.table}.")
    for label, texts in (("Left out on purpose", report.dropped), ("Note", report.notes)):
        if texts:
            more = f" and {len(texts) - 8} more" if len(texts) > 8 else ""
            click.echo(f"{label}: {', '.join(texts[:8])}{more}.")
