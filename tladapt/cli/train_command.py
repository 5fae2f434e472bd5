"""`tladapt train`: one run, with its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import DeviceCount, OneOf, Options, Whole, WithFields, given_fields, shift_option, whole
from tladapt.cli.parts import GROUPS

EPILOG = """\b
Fields of the parts are options, too:
  --data.contrast 0.5  --method.weight 0.5  --method.hidden 64,64
  --backbone mlp --backbone.widths 16,32  --recipe.learning_rate 0.003
  --batchnorm.forward separate  --penalty l2sp --penalty.weight 0.1
'tladapt list methods' (backbones, data, ...) shows them all.

\b
Examples:
  tladapt train --data digits-photo --method dann
  tladapt train --data digits-photo --shift gaussian_noise:severity=3
  tladapt train --data mnist-usps --data-dir ~/data --method mcd
  tladapt train --data pictures --data.source amazon --data.target webcam
"""


@click.command(name="train", cls=WithFields, groups=GROUPS, epilog=EPILOG)
@click.option(
    "--data",
    required=True,
    metavar="NAME",
    help="A scenario by name; an .npz file, folder or list; FILE.py:FUNCTION; tfds:NAME.",
)
@click.option("--method", default="source_only", show_default=True, metavar="NAME", help="What adapts.")
@click.option("--backbone", default="auto", show_default=True, metavar="NAME", help="What makes features.")
@whole("--steps", 3000, "Number of steps.")
@click.option("--seed", default=0, show_default=True, type=Whole(0), metavar="N", help="Seed of the run.")
@click.option(
    "--seeds", type=Whole(1), metavar="N", help="Train N seeds, from --seed on, each in a folder of its own in --out."
)
@click.option(
    "--replicate",
    type=OneOf(("auto", "loop", "vmap", "pmap")),
    metavar="HOW",
    help="How --seeds are trained: loop, vmap (together on a device), pmap (one a device).  [default: auto]",
)
@click.option("--devices", type=DeviceCount(), metavar="N|all", help="Split each batch over N devices.  [default: 1]")
@click.option("--out", metavar="DIR", help="The run's folder.  [default: runs/DATA-METHOD-seedN]")
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@click.option(
    "--recipe",
    default="auto",
    metavar="NAME",
    help="How it trains: optimiser, schedules ...  [default: ganin2016; thuml from published weights]",
)
@click.option(
    "--validator",
    default="im",
    show_default=True,
    metavar="NAME",
    help="Chooses a checkpoint without target labels.",
)
@click.option("--batchnorm", metavar="PRESET", help="joint, separate, per_domain, frozen or target.")
@click.option("--penalty", metavar="NAME", help="What keeps the model close to where it starts.")
@click.option("--init", metavar="RUN_OR_WEIGHTS", help="A run's folder, or a file of weights, to start from.")
@click.option("--weights", metavar="NAME_OR_FILE", help="Weights for the backbone: 'tladapt weights list', or a file.")
@click.option(
    "--transfer",
    type=OneOf(("auto", "features", "finetune")),
    default="auto",
    metavar="HOW",
    help="features (the backbone stays, and is run once) or finetune.  [default: features from published weights]",
)
@click.option("--views", default=0, type=Whole(0), metavar="N", help="Augmented views to cache with the features.")
@whole("--evaluations", 10, "How often to evaluate and save.")
@click.option(
    "--patience", type=Whole(1), metavar="N", help="Stop after N evaluations without a higher validator score."
)
@whole("--log-every", 50, "Steps between two lines of the log.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint in the run's folder.")
@click.option("--debug", is_flag=True, help="Step by step, not compiled, stopping at the first NaN.")
@click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard into DIR/tensorboard.")
@click.option("--no-figures", is_flag=True, help="Leave the figures out.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON, and no progress.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Train a model on the labelled source of a scenario so that it works on its unlabelled target."""
    results = train(given, given_fields(ctx))
    from tladapt.cli.show import print_json, show_run, show_runs

    records = [{**result.metrics, "folder": str(result.folder)} for result in results]
    if given["as_json"]:
        print_json(records if given["seeds"] else records[0])
    elif given["seeds"]:
        show_runs([result.folder for result in results])
    else:
        show_run(results[0])


def config_of(given: dict[str, Any], options: Options) -> Any:
    """Return the config that the options stand for."""
    from tladapt.cli.parts import backbone_of, made, penalty_of, recipe_of
    from tladapt.evaluation import VALIDATORS
    from tladapt.methods import METHODS
    from tladapt.training import Config
    from tladapt.training.config import usual_recipe

    return Config(
        method=made(METHODS, given["method"], options["method"], "method"),
        backbone=backbone_of(given["backbone"], options["backbone"]),
        recipe=recipe_of(
            usual_recipe(given["backbone"], given["weights"]) if given["recipe"] == "auto" else given["recipe"],
            options,
            given["batchnorm"],
        ),
        steps=given["steps"],
        validator=made(VALIDATORS, given["validator"], options["validator"], "validator"),
        penalty=penalty_of(given["penalty"], options["penalty"]),
        init=given["init"],
        weights=given["weights"],
        transfer=given["transfer"],
        views=given["views"],
        evaluations=given["evaluations"],
        patience=given["patience"],
        log_every=given["log_every"],
        debug=given["debug"],
    )


def default_out(scenario: str, method: str, seed: int | None) -> Path:
    """Return the folder of a run that was given none; without a seed, that of several runs."""
    return Path("runs") / f"{file_name(scenario).strip('_')}-{method}{'' if seed is None else f'-seed{seed}'}"


def file_name(text: str) -> str:
    """Return a text with what is no letter, digit, point or dash as one underscore."""
    import re

    return re.sub(r"[^A-Za-z0-9.-]+", "_", text)


def train(given: dict[str, Any], options: Options) -> list[Any]:
    """Run what the options stand for, with its figures, and return the results."""
    keep_compiled()
    import tladapt
    from tladapt.cli.progress import Progress
    from tladapt.reporting import write_report

    first, count = given["seed"], given["seeds"]
    _check_ways(given)
    config = config_of(given, options)
    scenario = tladapt.load(given["data"], given["data_dir"], **{**sizes_for(config, given["data"]), **options["data"]})
    out = Path(given["out"]) if given["out"] else default_out(scenario.name, given["method"], None if count else first)
    seeds = range(first, first + (count or 1))
    folders = [out / f"seed{seed}" for seed in seeds] if count else [out]
    finished = [(folder / "summary.json").is_file() for folder in folders]
    trackers = (tladapt.callbacks.tensorboard(out / "tensorboard"),) if given["tensorboard"] else ()
    with Progress(f"{given['method']} on {scenario.name}", quiet=given["as_json"]) as progress:
        common: dict[str, Any] = {"out": out, "callbacks": (progress, *trackers), "resume": given["resume"]}
        try:
            if count:
                how: Any = given["replicate"] or "auto"
                results = tladapt.run_seeds(config, scenario, seeds, replicate=how, **common)
            else:
                results = [tladapt.run(config, scenario, seed=first, devices=given["devices"] or 1, **common)]
        except KeyboardInterrupt as stop:
            if str(stop) or not any((folder / "config.json").is_file() for folder in folders):
                raise
            raise KeyboardInterrupt("interrupted. Go on with the same command and --resume.") from None
        for seed, folder, ended in zip(seeds, folders, finished, strict=True):
            if ended:
                progress.say(f"the run in {folder} had finished before", seed)
    for seed, folder in zip(seeds, folders, strict=True):
        if not given["no_figures"]:
            draw(folder, progress, seed)
        write_report([folder])
    if len(folders) > 1:
        write_report(folders, out / "report.html")
    return results


def sizes_for(config: Any, data: str) -> dict[str, Any]:
    """Return the size of pictures that the backbone's weights were trained to read, for data that can have any."""
    import dataclasses

    from tladapt.data import SCENARIOS
    from tladapt.models.backbones import Published
    from tladapt.models.preprocessing import Preprocessing
    from tladapt.models.pretrained_model import locate

    name = data.split(":")[0]
    fields = {field.name for field in dataclasses.fields(SCENARIOS[name])} if name in SCENARIOS else set()
    if not (isinstance(config.backbone, Published) and config.weights and {"size", "resize"} <= fields):
        return {}
    known = locate(config.weights, config.backbone.name).known
    reads = config.backbone.reads(None if known is None else known.preprocessing, None)
    return {"size": reads.size} if isinstance(reads, Preprocessing) and reads.size != 224 else {}


def _check_ways(given: dict[str, Any]) -> None:
    """Refuse ways to use devices that do not go together."""
    from tladapt.errors import UsageError

    if given["replicate"] and not given["seeds"]:
        raise UsageError("--replicate says how several seeds are trained; say how many, such as --seeds 3.")
    if given["devices"] and given["seeds"]:
        raise UsageError(
            "--devices splits the batches of one run, and --seeds trains several. Leave --devices out:"
            " --replicate pmap puts one seed on each device."
        )


def draw(out: Path, progress: Any, seed: int) -> None:
    """Draw the figures of a run; where matplotlib is not installed, say so."""
    from tladapt.errors import MissingPackageError
    from tladapt.reporting import write_figures

    try:
        with progress.busy("drawing figures"):
            write_figures(out)
    except MissingPackageError as error:
        progress.say(f"no figures: {error}", seed)
