"""`tladapt eval`: a finished run, evaluated again on its own data or on other data."""

from __future__ import annotations

from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import WithFields, as_json, given_fields, shift_option


@click.command(name="eval", cls=WithFields, groups=("data",))
@click.argument("folder", metavar="DIR")
@click.option("--which", default="last", show_default=True, help="last, chosen, oracle, or a step with a checkpoint.")
@click.option("--data", metavar="NAME", help="Other data than the run's own; its test set is used.")
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@as_json()
@click.pass_context
def command(ctx: click.Context, folder: str, which: str, data: str | None, data_dir: str | None, as_json: bool) -> None:
    """Score the model of a finished run on the target's labelled test set.

    Options of the data may be given, too: --data.seed 3
    """
    keep_compiled()
    import tladapt
    from tladapt.cli.parts import step_or_word
    from tladapt.evaluation import classification_metrics

    result = tladapt.open_run(folder, which=step_or_word(which))
    scenario = _scenario(folder, result, data, data_dir, given_fields(ctx)["data"])
    test = scenario.test
    metrics = classification_metrics(result.logits(test), test.y, scenario.classes, groups=test.groups)
    from tladapt.cli.show import interval, percent, print_json

    if as_json:
        print_json({"folder": folder, "which": which, "scenario": scenario.name, "examples": len(test), **metrics})
        return
    click.echo(f"{scenario.name}, {len(test):,} test examples, {'step ' * which.isdigit()}{which}:")
    click.echo(f"accuracy {percent(metrics['accuracy'])}{interval(metrics['interval'])}")
    click.echo(f"mean over classes {percent(metrics['mean_class_accuracy'])}, macro-F1 {percent(metrics['macro_f1'])}")


def _scenario(folder: str, result: Any, data: str | None, data_dir: str | None, options: dict[str, Any]) -> Any:
    """Return what to evaluate on, with a test set that the run's model can read."""
    import numpy as np

    import tladapt
    from tladapt.errors import UsageError
    from tladapt.training.folder import RunFolder

    record = RunFolder(folder).read_json("config.json")["scenario"]
    if data is None:
        if not record["data"]:
            raise UsageError(f"the run in {folder} was made from Python; say what to evaluate it on with --data.")
        data, options = record["data"], {**record["options"], **options}
    scenario = tladapt.load(data, data_dir, **options)
    if scenario.test is None:
        raise UsageError(f"{scenario.name} has no labelled test set, so there is nothing to compare predictions with.")
    if scenario.classes != result.classes:
        raise UsageError(
            f"the run in {folder} knows the classes {_some(result.classes)}; {scenario.name} has"
            f" {_some(scenario.classes)}. Names and order have to be equal."
        )
    shape = tuple(record["shape"])
    if result.readable(scenario.test.take(np.arange(1))).shape != shape:
        raise UsageError(
            f"the run in {folder} takes inputs of shape {shape}; those of {scenario.name} are {scenario.test.shape}."
            " Images can be resized as they are loaded (--data.size)."
        )
    return scenario


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (f", ... ({len(names)})" if len(names) > 12 else "")
