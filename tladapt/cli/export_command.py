"""`tladapt export`: the model of a finished run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import Whole, as_json


@click.command(name="export")
@click.argument("folder", metavar="DIR")
@click.option(
    "--format", "form", metavar="NAME", help="stablehlo or safetensors.  [default: by the ending of --out; stablehlo]"
)
@click.option("--out", metavar="FILE", help="The file.  [default: DIR/export/model.FORMAT]")
@click.option("--which", default="last", show_default=True, help="last, chosen, oracle, or a step with a checkpoint.")
@click.option("--examples", metavar="INPUTS", help="What to check the file on, as 'tladapt predict' reads it.")
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@click.option("--batch", type=Whole(1), metavar="N", help="The one number of examples it takes.  [default: any]")
@as_json()
def command(
    folder: str,
    form: Any,
    out: str | None,
    which: str,
    examples: str | None,
    data_dir: str | None,
    batch: int | None,
    as_json: bool,
) -> None:
    """Write the model of the run in DIR to one file, inputs' scaling included.

    The file is read again and compared with the run on examples of its target; one that predicts something else is not
    kept.

    stablehlo is a program for CPU, CUDA and TPU that jax runs without tladapt; safetensors holds the arrays, for other
    tools and for --init.
    """
    keep_compiled()
    import tladapt
    from tladapt.cli.parts import step_or_word
    from tladapt.cli.show import print_json
    from tladapt.training.folder import RunFolder

    where = step_or_word(which)
    x = None
    if examples is not None:
        from tladapt.cli.inputs import as_trained, read_inputs

        about = RunFolder(folder).read_json("config.json")["scenario"]
        x = read_inputs(Path(examples), tuple(about["shape"]), **as_trained(about)).x
    click.echo(f"exporting {folder} ...", err=True)
    path = tladapt.export(folder, out, format=form, which=where, examples=x, data_dir=data_dir, batch=batch)
    if as_json:
        print_json({"file": str(path), "bytes": path.stat().st_size, "folder": folder, "which": which})
        return
    size = path.stat().st_size / 1e6
    click.echo(f"{path} ({size:.1f} MB): it was read again, and predicts what the run predicts.")
