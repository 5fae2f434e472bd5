"""`tladapt rank`: which source model promises most for a data set, before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import WithFields, as_json, given_fields, shift_option, whole
from tladapt.cli.sources import model_options

_WIDE = 100  # columns that a table of all scores needs

EPILOG = """\b
Examples:
  tladapt rank --data office-caltech10:amazon-webcam \\
    --backbone mobilenetv2_100=mobilenetv2_100.safetensors \\
    --backbone squeezenet1_1=squeezenet1_1.pth
  tladapt rank --data digits-photo --run runs/a --run runs/b
"""


@click.command(name="rank", cls=WithFields, groups=("data",), epilog=EPILOG)
@click.option(
    "--data",
    required=True,
    metavar="NAME",
    help="A scenario by name; an .npz file, folder or list; FILE.py:FUNCTION; tfds:NAME.",
)
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@model_options
@click.option("--scores", metavar="NAMES", help="Which, separated by commas, or all.  [default: one of each idea]")
@whole("--limit", 5000, "At most this many examples, evenly thinned.", least=2)
@click.option("--oracle", is_flag=True, help="Rank by the target's labels: an oracle, for comparison.")
@as_json()
@click.pass_context
def command(
    ctx: click.Context,
    data: str,
    data_dir: str | None,
    backbones: tuple[str, ...],
    runs: tuple[str, ...],
    inputs: bool,
    scores: str | None,
    limit: int,
    oracle: bool,
    as_json: bool,
) -> None:
    """Rank source models by transferability scores: LogME, H-score, GBC, LEEP, NCE.

    They tell, from one pass over the labelled source and without training, whose features explain its labels best. No
    label of the target is looked at, but with --oracle.
    """
    keep_compiled()
    import numpy as np

    import tladapt
    from tladapt.cli.show import print_json
    from tladapt.cli.sources import extract_each, some, source_models, trained_on
    from tladapt.evaluation import rank_models, softmax

    loaders, chosen = source_models(backbones, runs, inputs), _chosen(scores)
    scenario = tladapt.load(data, data_dir, **given_fields(ctx)["data"])
    domains = some((scenario.oracle() if oracle else scenario).source, limit)
    labels = np.concatenate([domain.y for domain in domains])
    found = {name: parts[""] for name, parts in extract_each(loaders, {"": domains}, quiet=as_json).items()}
    features = {name: out.features for name, out in found.items()}
    probabilities = {name: softmax(out.logits) for name, out in found.items() if out.logits is not None}
    ranking = rank_models(features, labels, probabilities, scores=chosen)
    if seen := trained_on(runs, scenario.name):
        words = f"trained on {scenario.name}, whose labels its features have seen: it stands higher than it should."
        ranking = dataclasses.replace(ranking, notes=(*ranking.notes, *(f"{folder} was {words}" for folder in seen)))
    whose = "oracle: labels of the target" if oracle else "labels of the source"
    if as_json:
        print_json({"scenario": scenario.name, "labels": whose, "examples": len(labels), **ranking.record()})
    else:
        _show(ranking, scenario, whose, len(labels))


def _chosen(scores: str | None) -> tuple[str, ...]:
    """Return the names of the scores; a misspelt one is said before any feature is computed."""
    from tladapt.errors import UsageError
    from tladapt.evaluation import TRANSFERABILITY
    from tladapt.evaluation.transferability.ranking import USUAL

    if scores is None:
        return USUAL
    if scores == "all":
        return tuple(TRANSFERABILITY)
    names = tuple(name.strip() for name in scores.split(",") if name.strip())
    if not names:
        raise UsageError(f"--scores must be one or more of {', '.join(TRANSFERABILITY)}, or all; got {scores!r}.")
    for name in names:
        TRANSFERABILITY[name]
    return names


def _show(ranking: Any, scenario: Any, whose: str, examples: int) -> None:
    """Print the scores, the ranks, and how far the scores agree."""
    from rich.console import Console
    from rich.text import Text

    from tladapt.cli.show import plain_table
    from tladapt.evaluation.transferability.ranking import USUAL

    console = Console(highlight=False)
    if len(ranking.scores) > len(USUAL) and console.width < _WIDE:  # lines that go over beat columns that are cut
        console = Console(highlight=False, width=_WIDE)
    title = f"{scenario.name}: source models, ranked by {examples:,} examples ({whose})"
    console.print(title, style="bold", markup=False, soft_wrap=True)
    table = plain_table()
    table.add_column("model\n(features)", overflow="fold")
    for name in (*ranking.scores, "mean_rank"):
        table.add_column(_heading(name), justify="right", no_wrap=True)
    for row in ranking.rows:
        cells = [_scored(row.scores[name], row.ranks[name]) for name in ranking.scores]
        average = "-" if math.isnan(row.rank_average) else f"{row.rank_average:.1f}"
        table.add_row(Text(f"{row.model}\n({row.features:,})"), *cells, average)
    console.print(table)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=not console.is_terminal)

    say("Higher is better, each on its own scale; in brackets the rank. The mean is over the ranks of")
    say(f"{', '.join(ranking.counted) or 'no score'}.")
    for note in ranking.notes:
        say(note)
    _agreement(ranking, console)
    if "oracle" in whose:
        say("Oracle: the target's labels were used. A ranking to compare with, not to choose by.")


def _heading(name: str) -> Any:
    """Return a name over several lines: a column is as wide as its numbers."""
    from rich.text import Text

    return Text(name.replace("regularized_h_score", "h_score_(reg.)").replace("_", "\n"))


def _scored(score: float, rank: float) -> str:
    return "-" if math.isnan(score) else f"{score:.3f}\n({rank:g})"


def _agreement(ranking: Any, console: Any) -> None:
    """Print the rank correlation of each two scores; nothing where there are too few models or scores."""
    from tladapt.cli.show import plain_table

    names = [name for name in ranking.scores if any(not math.isnan(v) for v in ranking.agreement[name].values())]
    if len(names) < 2:
        if len(ranking.rows) < 3 and len(ranking.scores) > 1:
            console.print("How far the scores agree can be told of three models or more.", soft_wrap=True)
        return
    title = "Agreement of the scores: Spearman's rank correlation over the models"
    console.print(title, style="bold", soft_wrap=True)
    table = plain_table()
    table.add_column("")
    for name in names:
        table.add_column(_heading(name), justify="right", no_wrap=True)
    for one in names:
        values = [ranking.agreement[one].get(other, 1.0) for other in names]
        table.add_row(one.replace("_", " "), *("-" if math.isnan(value) else f"{value:.2f}" for value in values))
    console.print(table)
