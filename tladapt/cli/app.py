"""The group of commands; nothing heavy is imported here."""

from __future__ import annotations

import importlib
from typing import Any

import click

import tladapt
from tladapt.registry import suggest

COMMANDS = {
    "train": "Train a model on a scenario with a method.",
    "bench": "Train the grid of a benchmark, and print its table.",
    "tune": "Search hyper-parameters without target labels.",
    "eval": "Evaluate a finished run again.",
    "predict": "Predict classes and probabilities for new inputs.",
    "export": "Write a run's model to one file: stablehlo or safetensors.",
    "select": "Compare what every validator chooses among the checkpoints of runs.",
    "rank": "Rank source models for a data set before any training.",
    "probe": "Probe fixed features: linear, nearest neighbours, clusters, anomalies.",
    "schedules": "Show how the schedules of lambda and of the learning rate differ, as a table or a page.",
    "list": "List what can be named: methods, backbones, data, benchmarks, shifts, validators and more.",
    "data": "Prepare data sets in TFDS's random-access format from released files.",
    "weights": "List published weights, show what is in a weight file, check whether it fits a backbone.",
    "doctor": "Examine data before training: ranges, classes, equal examples, shift.",
    "report": "Write one page about a run, or a comparison of runs.",
    "demo": "Train source-only, DANN and MK-MMD on the embedded scenario, and compare them.",
}


class Lazy(click.Group):
    """A group that imports a command's file when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tladapt.cli.{name}_command").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command {args[0]!r}.{suggest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tladapt.__version__, prog_name="tladapt")
def app() -> None:
    """Domain adaptation in JAX: a labelled source, an unlabelled target, and a model that works on the target."""
