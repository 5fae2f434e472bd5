"""`tladapt bench`: the whole table of a benchmark, by one command that goes on where it stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import OneOf, Options, Whole, WithFields, given_fields, shift_option

GROUPS = ("data", "backbone", "recipe", "batchnorm", "validator")
EPILOG = """\b
Finished runs are kept, unfinished ones go on, and failed ones wait for --retry-failed: call the same command again
after whatever happened. --methods and --seeds may grow from call to call; the table shows all that is in the folder.

\b
Examples:
  tladapt bench amazon-reviews --methods source_only,dann,mmd --seeds 5
  tladapt bench office-caltech10 --problems A>W,W>A --jobs 1
  tladapt bench digits --settings all --launcher submitit --array 16 --slurm partition=gpu --slurm gpus=1
  tladapt bench my_benchmark.py --steps 500 --recipe.learning_rate 0.003

\b
On a cluster without submitit: the tasks train, and a call without --shard shows the table.
  sbatch --array=0-7 --wrap 'tladapt bench NAME --out DIR --shard $SLURM_ARRAY_TASK_ID/8'
"""


class Jobs(Whole):
    """A whole number of at least 1, or "auto"."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


class Shard(click.ParamType):
    """I/N: part I, from 0 on, of N."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        which, _, of = str(value).partition("/")
        if not (which.isdigit() and of.isdigit() and int(which) < int(of)):
            raise click.UsageError(f"--shard must be I/N with I from 0 to N - 1, such as 0/8; got {value!r}", ctx)
        return int(which), int(of)


@click.command(name="bench", cls=WithFields, groups=GROUPS, epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--methods", metavar="A,B,C", help="Rows of the table.  [default: those of the benchmark]")
@click.option("--problems", metavar="P,Q", help="Columns of the table.  [default: all]")
@click.option("--settings", metavar="S,T|all", help="Recipes, each a table of its own.  [default: the common one]")
@click.option("--seeds", type=Whole(1), metavar="N", help="How many seeds.  [default: what the benchmark says]")
@click.option("--seed", default=0, show_default=True, type=Whole(0), metavar="N", help="The first seed.")
@click.option("--out", metavar="DIR", help="The folder of the grid.  [default: runs/bench-NAME]")
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@click.option(
    "--jobs",
    default="auto",
    show_default=True,
    type=Jobs(),
    metavar="N|auto",
    help="Processes, each on a core of its own; auto: one a core, or a single one with an accelerator.",
)
@click.option("--shard", type=Shard(), metavar="I/N", help="Train part I, from 0 on, of N: a task of a job array.")
@click.option(
    "--launcher",
    default="local",
    show_default=True,
    type=OneOf(("local", "submitit")),
    metavar="HOW",
    help="Where it trains: local processes, or an array of jobs that submitit sends to Slurm.",
)
@click.option("--array", type=Whole(1), metavar="N", help="Tasks of the array, a shard of the grid each.  [default: 8]")
@click.option(
    "--slurm", multiple=True, metavar="KEY=VALUE", help="What sbatch is told: partition=gpu, time=4:00:00, gpus=1 ..."
)
@click.option("--no-wait", is_flag=True, help="Leave when the jobs are sent; the same command collects.")
@click.option("--retry-failed", is_flag=True, help="Try runs again that failed before.")
@click.option("--dry-run", is_flag=True, help="Say what there is to do, and do nothing.")
@click.option("--figures", is_flag=True, help="Also draw the figures and the page of each run.")
@click.option("--steps", type=Whole(1), metavar="N", help="Steps of each run, in place of the benchmark's.")
@click.option("--evaluations", type=Whole(1), metavar="N", help="How often each run is evaluated.")
@click.option("--patience", type=Whole(1), metavar="N", help="Stop after N evaluations without a higher score.")
@click.option("--backbone", metavar="NAME", help="What makes features, in place of the benchmark's.")
@click.option("--weights", metavar="NAME_OR_FILE", help="Its weights.")
@click.option("--transfer", type=OneOf(("auto", "features", "finetune")), metavar="HOW", help="features or finetune.")
@click.option("--recipe", metavar="NAME", help="How all rows are trained, in place of the benchmark's.")
@click.option("--validator", metavar="NAME", help="What chooses a checkpoint, without target labels.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as JSON, and no progress.")
@click.option("--core", type=int, hidden=True)
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:
    """Train every problem by method by seed of a benchmark, and print its table.

    NAME is a benchmark ('tladapt list benchmarks'), or a Python file with one.
    """
    if given["core"] is not None:
        return _serve(given, given_fields(ctx))
    return _bench(given, given_fields(ctx), _arguments(ctx))


def _arguments(ctx: click.Context) -> list[str]:
    """Return the words after `tladapt bench`, for the processes that train."""
    kept: list[str] = ctx.meta["tladapt.arguments"]
    return kept


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()] if text else []


def _grid(given: dict[str, Any], options: Options) -> tuple[Any, Any, Any]:
    """Return the benchmark, its folder and the groups that are asked for."""
    from tladapt.bench.benchmark import find_benchmark
    from tladapt.bench.grid import Place, grid

    benchmark = find_benchmark(given["name"])
    settings = _words(given["settings"])
    seeds = range(given["seed"], given["seed"] + (given["seeds"] or benchmark.seeds))
    groups = grid(
        benchmark,
        settings=[setting.name for setting in benchmark.settings] if settings == ["all"] else settings,
        methods=_words(given["methods"]),
        problems=_words(given["problems"]),
        seeds=seeds,
        options=options["data"],
        change=lambda config: _changed(config, given, options),
    )
    return benchmark, Place(Path(given["out"] or f"runs/bench-{benchmark.name}")), groups


def _changed(config: Any, given: dict[str, Any], options: Options) -> Any:
    """Return a row's config with what the command line says otherwise."""
    import dataclasses

    from tladapt import fields
    from tladapt.cli.parts import backbone_of, made, recipe_of
    from tladapt.evaluation import VALIDATORS

    plain = ("steps", "evaluations", "patience", "weights", "transfer")
    new = {name: given[name] for name in plain if given[name] is not None}
    if given["backbone"]:
        new["backbone"] = backbone_of(given["backbone"], options["backbone"])
    elif options["backbone"]:
        new["backbone"] = fields.replace(config.resolved().backbone, options["backbone"], called="the backbone")
    if given["validator"] or options["validator"]:
        name = given["validator"] or config.resolved().validator.name
        new["validator"] = made(VALIDATORS, name, options["validator"], "validator")
    if given["recipe"]:
        new["recipe"] = recipe_of(given["recipe"], options, None)
    elif options["recipe"] or options["batchnorm"]:
        recipe = config.resolved().recipe
        policy = fields.replace(recipe.batchnorm, options["batchnorm"], called="the BatchNorm policy")
        recipe = fields.replace(recipe, options["recipe"], called="the recipe")
        new["recipe"] = dataclasses.replace(recipe, batchnorm=policy, name=f"{recipe.name.rstrip('*')}*")
    return dataclasses.replace(config, **new)


def _serve(given: dict[str, Any], options: Options) -> int:
    """Train what the process that started this one asks for, line by line."""
    from tladapt.bench.pool import pin, take_orders

    take_orders()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to the log, not between the answers
    if given["core"] >= 0:
        pin(given["core"])
    keep_compiled()
    from tladapt.bench.pool import serve

    _, place, groups = _grid(given, options)
    serve(place, groups, given["data_dir"], sys.stdin, answers)
    return 0


def _bench(given: dict[str, Any], options: Options, arguments: Sequence[str]) -> int:
    from tladapt.bench.grid import shard
    from tladapt.bench.pool import available_cores, train_in_processes, worker_command
    from tladapt.bench.run import pending
    from tladapt.cli.bench_progress import BenchProgress
    from tladapt.cli.bench_slurm import check_launcher, send, task_arguments

    check_launcher(given)
    benchmark, place, whole = _grid(given, options)
    groups = shard(whole, *given["shard"]) if given["shard"] else whole
    if given["dry_run"]:
        left = pending(place, groups)
        click.echo(_plan(place, groups, left))
        return 0
    place.begin(benchmark, whole, ["tladapt", "bench", *task_arguments(arguments)])
    left = pending(place, groups, retry_failed=given["retry_failed"])
    jobs, accelerator = given["jobs"], _has_accelerator()
    if jobs == "auto":
        jobs = 1 if accelerator else len(available_cores())
    with BenchProgress(benchmark.name, place, groups, left, quiet=given["as_json"]) as progress:
        try:
            if given["launcher"] == "submitit":
                unfinished = send(place, groups, left, progress, given, arguments)
            else:
                unfinished = 0
                train_in_processes(place, left, worker_command(arguments), jobs, progress, pinned=not accelerator)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(str(stop) or "interrupted. Go on with the same command.") from None
    if given["no_wait"]:
        return 0
    from tladapt.cli.bench_show import show

    status = show(benchmark, place, groups, given["as_json"], whole=not given["shard"], figures=given["figures"])
    return status or int(unfinished > 0)


def _plan(place: Any, groups: Any, left: Any) -> str:
    """Return what there is to do, in words."""
    total, rest = (sum(map(len, some)) for some in (groups, left))
    failed = sum(place.has_failed(cell.name) for group in groups for cell in group)
    steps = sum(cell.steps for group in left for cell in group)
    lines = [f"{total} runs in {place.out}: {total - rest - failed} finished, {failed} failed, {rest} to train"]
    if rest:
        lines[0] += f", {steps:,} steps in all"
        lines += [f"  {cell.name}" for group in left for cell in group]
    return "\n".join(lines)


def _has_accelerator() -> bool:
    """Return whether JAX will use an accelerator, without starting it: this process would take its memory."""
    import importlib.util

    if platforms := os.environ.get("JAX_PLATFORMS"):
        return platforms.split(",")[0] != "cpu"
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin", "libtpu")
    devices = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0")
    return any(map(importlib.util.find_spec, plugins)) and any(map(os.path.exists, devices))
