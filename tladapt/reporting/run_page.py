"""The page of one run."""

from __future__ import annotations

from typing import Any

from tladapt.reporting.folder import RunFiles
from tladapt.reporting.maps import features
from tladapt.reporting.measures import named
from tladapt.reporting.outcome import calibration, classes_and_confusion, mistakes
from tladapt.reporting.page import Markup, document, listing, paragraph, percent, render, section, table, tag
from tladapt.reporting.rows import Row, worse_than_baselines
from tladapt.reporting.sections import curves, how_to_read, trained_on, warning_list, whole_config


def run_page(run: RunFiles, *, row: Row | None = None) -> str:
    """Return the page of a run as HTML.

    Args:
      run: a run's files; it may be unfinished, and is then shown as far as it got.
      row: of the results table, where the run is held against source-only runs.
    """
    summary = run.summary or {}
    name = f"{named(run, 'method')} on {named(run, 'scenario')}"
    oracle = bool(summary.get("oracle_run"))
    badge = tag("span", "oracle: trained on the target's labels", class_="badge") if oracle else ""
    worse = [] if row is None else worse_than_baselines(row)
    warnings = [*worse, *summary.get("warnings", [])]
    if run.summary is None:
        reached = run.rows[-1]["step"] if run.rows else 0
        warnings.insert(
            0, f"This run is not finished: its log ends at step {reached} of {run.config.get('steps', '?')}."
        )
    parts: list[Markup] = [
        section("Warnings", warning_list(warnings)),
        *_results(run),
        section("What was trained on what", *trained_on(run), whole_config(run)),
    ]
    if any(drawn := curves(run)):
        parts.append(section("Curves", tag("div", *drawn, class_="charts")))
    for title, found in (
        ("Classes and confusion", classes_and_confusion(run)),
        ("Calibration", calibration(run)),
        ("Most confident mistakes", mistakes(run)),
    ):
        if found:
            parts.append(section(title, *found))
    if maps := features(run):
        parts.append(section("Features", *_apart(run), *maps))
    return document(
        name,
        render(*parts),
        eyebrow="tladapt run",
        lead=render(badge, paragraph(_verdict(run), _standing(row), class_="lead"), _tiles(run)),
        foot=paragraph(f"Run folder: {run.path.resolve()}"),
    )


def _verdict(run: RunFiles) -> str:
    summary = run.summary
    if summary is None:
        return "The run has not ended; this page shows it as far as its log goes."
    source = percent(summary.get("source/accuracy"))
    steps = f"{summary['steps']:,}" if isinstance(summary.get("steps"), int) else "its"
    if summary.get("target/accuracy") is None:
        return (
            f"After {steps} steps the model is right on {source} of the held-out source examples. How good it is on the"
            " target is not known: no labelled test set was given."
        )
    ends = summary.get("target/interval")
    spread = f" (95 % interval {100 * ends[0]:.1f} to {100 * ends[1]:.1f})" if ends else ""
    return (
        f"After {steps} steps the model is right on {percent(summary['target/accuracy'])} of the target's test"
        f" set{spread}, and on {source} of the held-out source examples."
    )


def _standing(row: Row | None) -> str:
    words = ""
    if row is not None and row.gain is not None:
        where = ", ".join(row.baselines)
        words += f" That is {row.gain.mean:+.1f} points against source-only on the same seed ({where})."
    if row is not None and row.transfer is not None:
        where = ", ".join(row.scratch)
        words += f" It is {row.transfer.mean:+.1f} points against the same training from scratch ({where})."
    return words


def _apart(run: RunFiles) -> list[Markup]:
    """Say how well the domains can be told apart by their features, before and after."""
    found = run.record("data.json").get("features", {})
    if not {"before", "after"} <= found.keys():
        return []
    before, after = found["before"], found["after"]
    return [
        paragraph(
            f"A linear classifier that sees features alone is wrong about the domain of {percent(before['error'])} of"
            f" held-out examples before training, and of {percent(after['error'])} after (50 % is chance; proxy"
            f" A-distance {before['distance']:.2f}, then {after['distance']:.2f}, of at most 2; {after['examples']}"
            " examples). It needs no label of the target; features that nobody can tell apart are aligned, which is not"
            " yet to say that the right classes lie on each other."
        )
    ]


def _tiles(run: RunFiles) -> Markup:
    summary = run.summary or {}
    tiles = [
        ("target accuracy, last step", "target/accuracy"),
        ("mean over classes", "target/mean_class_accuracy"),
        ("macro-F1", "target/macro_f1"),
        ("calibration error (ECE)", "target/ece"),
        ("source accuracy, held out", "source/accuracy"),
    ]
    found = [(label, summary[key]) for label, key in tiles if summary.get(key) is not None]
    return listing((render(tag("b", percent(value)), tag("span", label)) for label, value in found), class_="tiles")


def _results(run: RunFiles) -> list[Markup]:
    summary = run.summary
    if summary is None:
        return []
    rows_at = {row["step"]: row for row in run.of_kind("eval")}
    validator = summary.get("chosen/validator", named(run, "validator", "im"))
    shown: list[tuple[str, Any]] = [("last", summary.get("steps", run.config.get("steps")))]
    if summary.get("chosen/step") is not None:
        shown.append((f"chosen (by {validator})", summary["chosen/step"]))
    if summary.get("oracle/step") is not None:
        shown.append(("oracle (best on test labels)", summary["oracle/step"]))
    rows = []
    for name, step in shown:
        row = rows_at.get(step, {})
        target, score = row.get("target/accuracy"), row.get(f"validator/{validator}")
        if name == "last" and summary.get("target/accuracy") is not None:
            target = summary["target/accuracy"]
        number = "–" if score is None else f"{score:.3f}"
        at = f"{step:,}" if isinstance(step, int) else "–"
        rows.append([name, at, percent(target), percent(row.get("source/accuracy")), number])
    head = ["", "step", "target accuracy", "source accuracy", f"validator {validator}"]
    seen = summary.get("target/accuracy") is not None
    caption = (
        "Accuracy on the target's test set and on held-out source examples."
        if seen
        else ("The target has no labelled test set, so its accuracy is not known; there is no oracle either.")
    )
    reason = (
        [paragraph(f"Chosen: {summary['chosen/reason']}.", class_="small soft")] if summary.get("chosen/reason") else []
    )
    if summary.get("stopped/reason"):
        reason.append(paragraph(f"Early stop: {summary['stopped/reason']}.", class_="small soft"))
    results = table(head, rows, caption=caption, strong=(0,))
    return [section("Results", results, *reason, how_to_read())]
