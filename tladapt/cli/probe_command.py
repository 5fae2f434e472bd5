"""`tladapt probe`: what fixed features are worth: linear and nearest-neighbour probes, clusters, anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import OneOf, WithFields, as_json, given_fields, shift_option, whole
from tladapt.cli.sources import model_options

EPILOG = """\b
Examples:
  tladapt probe --data office-caltech10:amazon-webcam \\
    --backbone mobilenetv2_100=mobilenetv2_100.safetensors --strength 1
  tladapt probe --data digits-photo --run runs/a --inputs --anomalous 8,9
"""


@click.command(name="probe", cls=WithFields, groups=("data",), epilog=EPILOG)
@click.option(
    "--data",
    required=True,
    metavar="NAME",
    help="A scenario by name; an .npz file, folder or list; FILE.py:FUNCTION; tfds:NAME.",
)
@click.option("--data-dir", metavar="DIR", help="Where data sets are; or set TLADAPT_DATA.")
@shift_option()
@model_options
@click.option("--strength", type=float, metavar="C", help="Of the linear probe.  [default: chosen on held-out source]")
@click.option("--plain", is_flag=True, help="Features as they are: the linear probe does not standardise them.")
@whole("--neighbours", 1, "Of the nearest-neighbour probe.")
@click.option(
    "--metric",
    default="cosine",
    show_default=True,
    type=OneOf(("cosine", "euclidean")),
    metavar="NAME",
    help="Of the nearest-neighbour probe: cosine or euclidean.",
)
@click.option("--anomalous", metavar="CLASSES", help="Classes to leave out of the source and find as anomalies.")
@as_json()
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Probe fixed features, without training the model.

    The labelled source trains a linear and a nearest-neighbour probe; k-means clusters the target without a label. The
    target's test labels measure what came of it, and choose nothing.
    """
    keep_compiled()
    import numpy as np

    import tladapt
    from tladapt.cli.show import print_json
    from tladapt.cli.sources import extract_each, source_models
    from tladapt.errors import UsageError

    loaders = source_models(given["backbones"], given["runs"], given["inputs"])
    scenario = tladapt.load(given["data"], given["data_dir"], **given_fields(ctx)["data"])
    test = scenario.test
    if test is None:
        raise UsageError(f"{scenario.name} has no labelled test set, so there is nothing to measure features with.")
    odd = _classes(given["anomalous"], scenario)
    domains = {"source": scenario.source, "test": [test]}
    labels = np.concatenate([domain.y for domain in scenario.source])
    rows = []
    for name, found in extract_each(loaders, domains, quiet=given["as_json"]).items():
        source, target = found["source"].features, found["test"].features
        row = {"model": name, "features": source.shape[1], **_probed(source, labels, target, test.y, given)}
        row["clusters"] = _clustered(target, test.y, len(scenario.classes))
        if odd:
            row["anomalies"] = _anomalies(source, labels, target, test.y, odd, given)
        rows.append(row)
    if given["as_json"]:
        facts = {"scenario": scenario.name, "source_examples": len(labels), "test_examples": len(test)}
        print_json({**facts, "anomalous": [scenario.classes[label] for label in odd], "models": rows})
    else:
        _show(rows, scenario, [scenario.classes[label] for label in odd], given)


def _classes(names: str | None, scenario: Any) -> list[int]:
    """Return the indices of the anomalous classes by name; mistakes are said before any feature is computed."""
    import numpy as np

    from tladapt.errors import UnknownNameError, UsageError
    from tladapt.registry import suggest

    if names is None:
        return []
    known, chosen = scenario.classes, [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            raise UnknownNameError(f"--anomalous: there is no class {name!r}.{suggest(name, known)}")
    odd = sorted({known.index(name) for name in chosen})
    seen = np.unique(np.concatenate([domain.y for domain in scenario.source]))
    if not odd or len(np.setdiff1d(seen, odd)) < 2:
        raise UsageError(f"--anomalous must name some classes and leave two of the source's; got {names!r}.")
    strange = np.isin(scenario.test.y, odd)
    if not 0 < strange.sum() < len(strange):
        raise UsageError(
            f"{strange.sum()} of {len(strange)} test examples are of {names}: there is nothing to tell them apart from."
        )
    return odd


def _probed(source: Any, labels: Any, target: Any, truth: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return what the probes reach on the target's test set."""
    from tladapt.evaluation import knn_probe, linear_probe

    linear = linear_probe(source, labels, target, truth, standardize=not given["plain"], strength=given["strength"])
    near = knn_probe(source, labels, target, truth, neighbours=given["neighbours"], metric=given["metric"])
    return {
        "linear": {
            "strength": linear.strength,
            "held_out_source_accuracy": linear.held_out.get(linear.strength),
            "converged": linear.converged,
            **{f"target/{name}": value for name, value in linear.metrics.items()},
        },
        "neighbours": {f"target/{name}": value for name, value in near.metrics.items()},
    }


def _clustered(target: Any, truth: Any, classes: int) -> dict[str, float]:
    """Return how far clusters of directions of the target's features are its classes: an oracle's word."""
    import numpy as np

    from tladapt.evaluation import agreement_with_labels, k_means

    norms = np.linalg.norm(target, axis=1, keepdims=True)
    found = agreement_with_labels(k_means(target / np.where(norms > 0, norms, 1), min(classes, len(target))), truth)
    return {"oracle/nmi": found.nmi, "oracle/ari": found.ari, "oracle/accuracy": found.accuracy}


def _anomalies(
    source: Any, labels: Any, target: Any, truth: Any, odd: Sequence[int], given: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Return how well test examples of classes that the source examples lack are found, by score."""
    import numpy as np

    from tladapt.evaluation import anomaly_metrics, energy, linear_probe, mahalanobis_distance, max_softmax
    from tladapt.evaluation import neighbour_distance as distance

    kept = ~np.isin(labels, odd)
    f, y = source[kept], np.unique(labels[kept], return_inverse=True)[1]
    strange = np.isin(truth, odd)
    nothing = np.zeros(len(target), np.int64)  # no truth is needed for logits
    logits = linear_probe(f, y, target, nothing, standardize=not given["plain"], strength=given["strength"]).logits
    scores = {
        "mahalanobis": mahalanobis_distance(f, target, y),
        "neighbour_distance": distance(f, target, neighbours=min(5, len(f))),
        "max_softmax": max_softmax(logits),
        "energy": energy(logits),
    }
    return {name: anomaly_metrics(score[~strange], score[strange])._asdict() for name, score in scores.items()}


def _show(rows: list[dict[str, Any]], scenario: Any, odd: list[str], given: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from tladapt.cli.show import plain_table

    console = Console(highlight=False)
    heads = ["features", "linear,\nsource", "linear,\ntarget", f"{given['neighbours']}-NN,\ntarget"]
    heads += ["oracle:\nNMI", "oracle:\nARI", "oracle:\nacc."]
    title = f"{scenario.name}: what fixed features are worth (accuracies in percent)"
    console.print(title, style="bold", markup=False, soft_wrap=True)
    table = plain_table()
    table.add_column("model", overflow="fold", min_width=9)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        linear, clusters = row["linear"], row["clusters"]
        shares = [linear["held_out_source_accuracy"], linear["target/accuracy"], row["neighbours"]["target/accuracy"]]
        cells = ["-" if share is None else f"{100 * share:.1f}" for share in shares]
        cells += [f"{clusters[key]:.3f}" for key in ("oracle/nmi", "oracle/ari")]
        cells += [f"{100 * clusters['oracle/accuracy']:.1f}"]
        table.add_row(Text(row["model"]), str(row["features"]), *cells)
    console.print(table)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=not console.is_terminal)

    say(
        "Probes are trained on the labelled source and tested on the target's test set (source: held-out examples that"
        " chose C). Clusters of the test set are made without a label; NMI, ARI and accuracy hold them against its"
        " labels: an oracle's words."
    )
    for row in rows:
        if not row["linear"]["converged"]:
            say(f"{row['model']}: the linear probe has not converged; try a smaller --strength.")
    if not odd:
        return
    console.print(f"Anomalies: {', '.join(odd)}, left out of the source", style="bold", markup=False, soft_wrap=True)
    table = plain_table()
    for head in ("model", "score"):
        table.add_column(head, overflow="fold")
    for head in ("AUROC", "AUPR", "FPR at 95 %"):
        table.add_column(head, justify="right")
    for row in rows:
        for name, found in row["anomalies"].items():
            table.add_row(Text(row["model"]), name, *(f"{found[key]:.3f}" for key in ("auroc", "aupr", "fpr95")))
    console.print(table)
    say("AUROC: 0.5 is chance. FPR at 95 %: normal examples taken for anomalies where 95 % of those are found.")
