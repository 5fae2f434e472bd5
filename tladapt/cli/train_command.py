"""`tladapt train`: one run, with its folder."""

from __future__ import annotations

from typing import Any

import click

EPILOG = """\b
Fields of the parts are options, too:
  --data.contrast 0.5      --method.weight 0.5     --backbone.widths 32,64
  --recipe.learning_rate 0.003   --batchnorm.forward separate
'tladapt list methods' (backbones, data, ...) shows them all.

\b
Example:
  tladapt train --data digits-photo --method dann --out runs/first
"""


@click.command(
    name="train",
    epilog=EPILOG,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    short_help="Train a model on a scenario with a method.",
)
@click.option("--data", required=True, metavar="NAME", help="A scenario by name, an .npz file, a folder, a list file, or tfds:NAME.")
@click.option("--method", default="source_only", show_default=True, metavar="NAME", help="What adapts.")
@click.option("--backbone", default="auto", show_default=True, metavar="NAME", help="What makes features.")
@click.option("--steps", default=3000, show_default=True, type=click.IntRange(min=1), help="Number of steps.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the run.")
@click.option("--out", default=None, metavar="DIR", help="The run's folder.  [default: runs/DATA-METHOD-seedN]")
@click.option("--data-dir", default=None, metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@click.option("--recipe", default="ganin2016", show_default=True, metavar="NAME", help="Optimiser, schedules, batch size, BatchNorm.")
@click.option("--validator", default="im", show_default=True, metavar="NAME", help="What chooses a checkpoint, without target labels.")
@click.option("--batchnorm", default=None, metavar="PRESET", help="joint, separate, per_domain, frozen or target.")
@click.option("--penalty", default=None, metavar="NAME", help="What keeps the model close to where it starts.")
@click.option("--init", default=None, metavar="RUN_OR_WEIGHTS", help="A run's folder, or a file of weights, to start from.")
@click.option("--weights", default=None, metavar="FILE", help="Weights for the backbone alone.")
@click.option("--evaluations", default=10, show_default=True, type=click.IntRange(min=1), help="How often to evaluate and save.")
@click.option("--log-every", default=50, show_default=True, type=click.IntRange(min=1), help="Steps between two lines of the log.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in --out.")
@click.option("--debug", is_flag=True, help="Step by step, not compiled, stopping at the first NaN.")
@click.option("--no-figures", is_flag=True, help="Leave the figures out.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON; no progress bar.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Train a model on the labelled source of a scenario so that it works on its unlabelled target."""
    from tladapt.cli.parts import dotted

    options = dotted(ctx.args, ctx.command)
    result = train(given, options)
    if given["as_json"]:
        import json

        click.echo(json.dumps(result.metrics, indent=1))


def default_out(given: dict[str, Any]) -> str:
    """Return a folder's name for a run that was given none."""
    import re

    data = re.sub(r"[^A-Za-z0-9.-]+", "_", given["data"]).strip("_")
    return f"runs/{data}-{given['method']}-seed{given['seed']}"


def configured(given: dict[str, Any], options: Any) -> Any:
    """Return the config that the options stand for."""
    from tladapt.cli.parts import made, only_for, recipe_of
    from tladapt.evaluation import VALIDATORS
    from tladapt.methods import METHODS
    from tladapt.models import BACKBONES
    from tladapt.penalties import PENALTIES
    from tladapt.training import Config

    only_for(options, "penalty", given["penalty"])
    backbone = given["backbone"]
    if backbone != "auto" or options["backbone"]:
        backbone = made(BACKBONES, backbone, options["backbone"], "backbone")
    return Config(
        method=made(METHODS, given["method"], options["method"], "method"),
        backbone=backbone,
        recipe=recipe_of(given["recipe"], options, given["batchnorm"]),
        steps=given["steps"],
        validator=made(VALIDATORS, given["validator"], options["validator"], "validator"),
        penalty=None if given["penalty"] is None else made(PENALTIES, given["penalty"], options["penalty"], "penalty"),
        init=given["init"],
        weights=given["weights"],
        evaluations=given["evaluations"],
        log_every=given["log_every"],
        debug=given["debug"],
    )


def train(given: dict[str, Any], options: Any) -> Any:
    """Run what the options stand for, write the figures, and print the table of the run."""
    import tladapt
    from tladapt.cli.progress import Progress

    out = given["out"] or default_out(given)
    config = configured(given, options)
    scenario = tladapt.load(given["data"], given["data_dir"], **options["data"])
    quiet = given["as_json"]
    data = {"name": given["data"], "options": options["data"]}
    with Progress(f"{given['method']} on {scenario.name}, seed {given['seed']}", quiet=quiet) as progress:
        result = tladapt.run(
            config, scenario, seed=given["seed"], out=out, callbacks=(progress,), resume=given["resume"], data=data
        )
    if not given["no_figures"]:
        _figures(out, quiet)
    if not quiet:
        from tladapt.cli.show import show_run

        show_run(result)
    return result


def _figures(out: str, quiet: bool) -> None:
    from tladapt.errors import MissingPackageError
    from tladapt.reporting import write_figures

    try:
        write_figures(out)
    except MissingPackageError as error:
        if not quiet:
            click.echo(f"No figures: {error}", err=True)
