"""`tladapt eval`: a finished run, evaluated again on its own data or on other data."""

from __future__ import annotations

import click


@click.command(
    name="eval",
    short_help="Evaluate a finished run again.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("folder", metavar="DIR")
@click.option("--which", default="last", show_default=True, help="last, chosen, oracle, or a step with a checkpoint.")
@click.option("--data", default=None, metavar="NAME", help="Other data than the run's own; its test set is used.")
@click.option("--data-dir", default=None, metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, folder: str, which: str, data: str | None, data_dir: str | None, as_json: bool) -> None:
    """Load the model of a finished run and score it on the target's labelled test set."""
    import tladapt
    from tladapt.cli.parts import dotted
    from tladapt.errors import UsageError
    from tladapt.evaluation import classification_metrics
    from tladapt.training.folder import RunFolder

    options = dotted(ctx.args, ctx.command)["data"]
    result = tladapt.open_run(folder, which=int(which) if which.isdigit() else which)
    if data is None:
        record = RunFolder(folder).read_json("config.json")["scenario"]
        if not record["data"]:
            raise UsageError(f"the run in {folder} was made from Python; say what to evaluate it on with --data.")
        data, options = record["data"], {**record["options"], **options}
    scenario = tladapt.load(data, data_dir, **options)
    if scenario.test is None:
        raise UsageError(f"scenario {scenario.name!r} has no labelled test set to evaluate on.")
    if scenario.classes != result.classes:
        raise UsageError(
            f"the run knows the classes {', '.join(result.classes)}; {scenario.name!r} has {', '.join(scenario.classes)}."
        )
    metrics = classification_metrics(
        result.logits(scenario.test), scenario.test.y, scenario.classes, groups=scenario.test.groups
    )
    if as_json:
        import json

        from tladapt.training.folder import jsonable

        click.echo(json.dumps(jsonable({"scenario": scenario.name, "which": which, **metrics}), indent=1))
        return
    from tladapt.cli.show import percent

    low, high = metrics["interval"]
    click.echo(f"{scenario.name}, {which} step: accuracy {percent(metrics['accuracy'])} (95 % interval {100 * low:.1f} to {100 * high:.1f})")
    click.echo(f"mean over classes {percent(metrics['mean_class_accuracy'])}, macro-F1 {percent(metrics['macro_f1'])}")
