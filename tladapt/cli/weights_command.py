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
    from tladapt.models import BACKBONES
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
        place = f"here: {record['path']}" if record["path"] else f"not here, {_address(record)}"
        click.echo(f"    file: {record['file']}, {place}")  # not wrapped: paths and addresses are copied


def _record(known: PublishedWeights) -> dict[str, Any]:
    """Return registered weights as a record, with the place of their file on this machine."""
    from tladapt.models.weights.hub import here

    names = ("name", "backbone", "file", "hub", "url", "sha256", "classes", "licence", "source")
    place = here(known)
    return {name: getattr(known, name) for name in names} | {"path": None if place is None else str(place)}


def _address(record: dict[str, Any]) -> str:
    return str(record["url"] or (f"on the hub: {record['hub']}" if record["hub"] else "has to be brought"))


def _words(record: dict[str, Any]) -> list[str]:
    classes = f"{record['classes']} classes" if record["classes"] else "features only"
    return [
        f"backbone: {record['backbone']}, {classes}",
        f"licence: {record['licence'] or 'not stated'}",
        f"source: {record['source'] or 'not stated'}",
    ]


@command.command()
@click.argument("name", metavar="NAME|FILE")
@as_json()
def show(name: str, as_json: bool) -> None:
    """Show what is in a weight file.

    Its tensors with shapes and dtypes, its metadata, its checksum, and what it is known as.
    """
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
    table = plain_table()
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
    """Check whether a weight file fits a backbone.

    Every array has to be filled, every tensor used, every shape right. Exit status 2, with all that
    differs, where it does not.
    """
    from tladapt.models.pretrained_model import leaves, pretrained

    file, record = _read(name)
    chosen = backbone or record["backbone"]
    if chosen is None:
        raise click.UsageError(
            f"{name} is none of the registered files, so say what it should fit: --backbone NAME.{_close(file)}"
        )
    model = pretrained(chosen, record["path"])
    record |= {"backbone": chosen, "fits": True, "arrays": len(leaves(model)), "notes": list(model.notes)}
    if as_json:
        from tladapt.cli.show import print_json

        print_json(record)
        return
    _say(record)
    click.echo(f"It fits {chosen}: all of its {record['arrays']} arrays are filled.")
    for note in model.notes:
        click.echo(f"Note: {note}.")


def _read(name: str) -> tuple[WeightsFile, dict[str, Any]]:
    """Return a weight file that is on this machine, by its path or a registered name, and what it is."""
    from tladapt.errors import MissingDataError
    from tladapt.models.weights.catalogue import WEIGHTS, by_checksum
    from tladapt.models.weights.files import read_weights_file
    from tladapt.models.weights.hub import close_names, here
    from tladapt.models.weights.packages import find_in_package
    from tladapt.models.weights.places import bring, check_sha256, file_sha256

    path, known = Path(name).expanduser(), None
    if not path.exists() and name in WEIGHTS:
        known = WEIGHTS[name]
        found = here(known)
        if found is None:
            address = known.url or known.hub or known.source or "where you have it"
            raise MissingDataError(
                f"The file of the weights {name!r} is not here, and this command fetches nothing."
                f" {bring(known.file, address, sha256=known.sha256)}"
            )
        path = found
        check_sha256(path, known.sha256)
    elif not path.exists():
        carried = find_in_package(name)
        if carried is None:
            raise MissingDataError(
                f"There is no file {name!r}, and no registered weights of that name.{close_names(name)}"
            )
        path = carried
    file = read_weights_file(path)
    digest = file_sha256(file.paths[0]) if len(file.paths) == 1 else ""
    known = known or (by_checksum(digest) if digest else None)
    return file, {
        "path": str(path),
        "files": [str(each) for each in file.paths],
        "format": file.format,
        "sha256": digest or None,
        "bytes": sum(each.stat().st_size for each in file.paths),
        "known": None if known is None else known.name,
        "backbone": None if known is None else known.backbone,
        "arrays_in_file": len(file.tensors),
        "values": sum(tensor.size for tensor in file.tensors.values()),
        "metadata": file.metadata,
    }


def _close(file: WeightsFile) -> str:
    """Return in words the backbones whose tables know all names of a file, if there are some."""
    from tladapt.models import BACKBONES
    from tladapt.models.backbones.published import Published

    known = [
        name
        for name in BACKBONES
        if issubclass(kind := BACKBONES[name], Published)
        and any(
            all(table.place(tensor) is not None or table.drops(tensor) for tensor in file.tensors)
            for table in kind().tables()
        )
    ]
    return f" Its names are those of {', '.join(known)}." if known else ""


def _say(record: dict[str, Any]) -> None:
    """Print what a file is."""
    lines = [
        f"{record['path']}: {record['format']}, {record['arrays_in_file']:,} tensors, {record['values']:,} values,"
        f" {record['bytes']:,} bytes"
    ]
    lines += [f"sha256: {record['sha256']}"] if record["sha256"] else [f"in {len(record['files'])} shards"]
    known = record["known"]
    lines.append(
        f"known as: {known}, of the backbone {record['backbone']}" if known else "known as: none of the registered"
    )
    for key, value in record["metadata"].items():
        text = f"{key}: {value}"
        lines.append((text if text.isprintable() else ascii(text))[:200])
    click.echo("\n".join(lines))
