"""`tladapt tune`: a search over hyper-parameters that looks at no label of the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import OneOf, Options, Whole, WithFields, given_fields, whole
from tladapt.cli.parts import GROUPS
from tladapt.cli.train_command import command as train

EPILOG = """\b
Ranges: an interval, in factors with ':log', or values; '|' where they have commas.
  --range method.weight=0.01..1:log  --range recipe.learning_rate=0.001,0.01
  --range 'method.hidden=100|1024,1024'  --range recipe.learning_rate (its own)
  --fix method.hidden=100 (or --method.hidden 100): not searched

\b
Examples:
  tladapt tune --data digits-photo --method dann --trials 20
  tladapt tune --data mnist-usps --method mcc --validator dev --jobs 4
Called again with the same --out it goes on where it was.
"""

# What a trial is trained with is what `tladapt train` takes, but for how one run is kept and watched.
_OWN = ("seed", "seeds", "replicate", "devices", "out", "resume", "tensorboard", "no_figures", "as_json", "debug")
_SHARED = [parameter for parameter in train.params if parameter.name not in _OWN]


@click.command(name="tune", cls=WithFields, groups=GROUPS, epilog=EPILOG)
@whole("--trials", 20, "How many sets of values to try.")
@whole("--seeds", 1, "Runs of each trial, of the seeds from 0 on; its score is their mean.")
@click.option("--range", "ranges", multiple=True, metavar="FIELD=RANGE", help="Search a field over a range of yours.")
@click.option("--fix", "fixed", multiple=True, metavar="FIELD[=VALUE]", help="Leave a field as it is.")
@click.option(
    "--sampler",
    type=OneOf(("tpe", "random", "grid")),
    default="tpe",
    show_default=True,
    metavar="HOW",
    help="How values are drawn: tpe, random or grid.",
)
@click.option(
    "--seed", default=0, show_default=True, type=Whole(0), metavar="N", help="Seed that values are drawn from."
)
@whole("--jobs", 1, "Processes here; other machines may work on the same --out.")
@click.option("--out", metavar="DIR", help="The search's folder.  [default: runs/tune-DATA-METHOD]")
@click.option("--figure", is_flag=True, help="Draw the search: OUT/figures/search.png.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Search a method's hyper-parameters by a validator, without a label of the target.

    Trials are runs of 'tladapt train'. The score of one is what --validator gives to the checkpoint that it chooses
    behind the collapse guard. --validator oracle scores by the target's test labels, and calls itself so.
    """
    found = tune(given, given_fields(ctx))
    if given["figure"]:
        from tladapt.reporting.search_figure import write_search_figure

        write_search_figure(found.out)
    if given["as_json"]:
        from tladapt.cli.show import print_json

        print_json({**found.record(), "trials": found.rows(), "folder": str(found.out)})
        return
    from tladapt.cli.search import show_search

    show_search(found)


command.params = [*_SHARED, *command.params]


def tune(given: dict[str, Any], options: Options) -> Any:
    """Search as the options say, and return what was found."""
    keep_compiled()
    import tladapt
    from tladapt.bench.search.search import tune as search
    from tladapt.bench.search.trial import ORACLE
    from tladapt.cli.counter import Counter
    from tladapt.cli.train_command import config_of, default_out, sizes_for

    fixed = [*(f"{part}.{field}" for part in ("method", "penalty") for field in options[part])]
    for text in given["fixed"]:
        name, equals, value = text.partition("=")
        fixed.append(name)
        part, _, field = name.partition(".")
        if equals and part in options:
            options[part][field] = value
    by_labels = given["validator"] == ORACLE
    config = config_of({**given, "debug": False, "validator": "im" if by_labels else given["validator"]}, options)
    scenario = tladapt.load(given["data"], given["data_dir"], **{**sizes_for(config, given["data"]), **options["data"]})
    plain = default_out(scenario.name, given["method"], None)
    out = Path(given["out"] or plain.with_name(f"tune-{f'{ORACLE}-' * by_labels}{plain.name}"))
    pairs = [text.partition("=") for text in given["ranges"]]
    with Counter(f"tuning {given['method']} on {scenario.name}", quiet=given["as_json"]) as counter:
        try:
            return search(
                config,
                scenario,
                out=out,
                validator=ORACLE if by_labels else config.validator,
                trials=given["trials"],
                seeds=given["seeds"],
                ranges={name: value if equals else None for name, equals, value in pairs},
                fixed=[name for name in fixed if name not in {name for name, _, _ in pairs}],
                sampler=given["sampler"],
                seed=given["seed"],
                jobs=given["jobs"],
                watcher=counter,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted. The same command goes on with the search.") from None
