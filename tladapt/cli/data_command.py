"""`tladapt data prepare`: sets in TFDS's random-access format from released files, for `--data tfds:NAME`."""

from __future__ import annotations

from typing import Any

import click

from tladapt.cli.options import as_json
from tladapt.registry import suggest

EPILOG = """\b
Examples:
  tladapt data prepare usps --data-dir DATA
  tladapt train --data tfds:usps --data.target tfds:mnist_m --data.size 32 ...
"""


class _Group(click.Group):
    """A group whose misspelt commands list the close ones."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command 'data {args[0]}'.{suggest(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(name="data", cls=_Group)
def command() -> None:
    """Prepare data sets; 'tladapt list data' shows what there is.

    Nothing is downloaded by these commands.
    """


@command.command(name="prepare", epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--data-dir", metavar="DIR", help="Where the released files are; or set TLADAPT_DATA.")
@click.option(
    "--out",
    metavar="DIR",
    help="Where the set goes, DIR/NAME/VERSION. Without it: TFDS_DATA_DIR, or tensorflow_datasets in the data"
    " directory.",
)
@click.option(
    "--no-verify", is_flag=True, help="Take files whose checksums or counts are not those of the released ones."
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
@as_json()
def prepare(name: str, data_dir: str | None, out: str | None, no_verify: bool, quiet: bool, as_json: bool) -> None:
    """Write a set as array_record, from the files as released, without TensorFlow.

    NAME is usps, mnist_m, office_caltech10, office_caltech10_surf, fsdd (spoken digits by speaker), amazon_reviews
    (word counts) or amazon_text; NAME/CONFIG is one domain of a set that has several. A set is whole or absent, and is
    made once. The checksums of the files that it was made from are in its metadata.json.
    """
    from tladapt.cli.counter import Counter
    from tladapt.data.builders import prepare as prepared
    from tladapt.data.catalogue.prepared import find_prepared
    from tladapt.errors import MissingDataError

    with Counter(f"preparing {name}", quiet=quiet or as_json) as counter:
        made = prepared(name, data_dir, out, verify=not no_verify, watcher=counter)
    if as_json:
        from tladapt.cli.show import print_json

        print_json([{**one._asdict(), "folder": str(one.folder)} for one in made])
        return
    for one in made:
        sizes = ", ".join(f"{split} {count:,}" for split, count in one.sizes.items())
        click.echo(f"tfds:{one.name} {'is there already' if one.was_there else 'was made'}: {one.folder} ({sizes})")
    try:
        find_prepared(made[0].name, data_dir)
    except MissingDataError:
        root = made[0].folder.parents[1 + made[0].name.count("/")]
        click.echo(f"Say TFDS_DATA_DIR={root} for tfds:{made[0].name} to be found there.")
