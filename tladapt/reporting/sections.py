"""Parts of a page that any run has: warnings, what was trained on what, and curves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tladapt.reporting.charts import Series, line_chart
from tladapt.reporting.folder import RunFiles
from tladapt.reporting.measures import (
    command_of,
    fields_of,
    named,
    names_of,
)
from tladapt.reporting.page import Markup, details, facts, listing, paragraph, picture, render, table, tag

LISTED = 40  # up to this many classes are listed at once


def warning_list(texts: Sequence[str]) -> Markup:
    """Return warnings in words, or the word that there are none."""
    if not texts:
        return paragraph("No warnings: none of the usual failures was seen.", class_="fine")
    return listing((text[:1].upper() + text[1:] for text in texts), class_="warnings")


def how_to_read() -> Markup:
    """Return what last, chosen and oracle mean."""
    return facts(
        [
            ("last", "The model after the last step: the number to report."),
            (
                "chosen",
                "The evaluation that the validator chose. It looks at no label of the target, so this is what one could"
                " do in practice; a guard refuses collapsed models.",
            ),
            (
                "oracle",
                "The evaluation with the best accuracy on the target's test labels. Nobody has these in practice: it is"
                " an upper bound for comparison, and no result.",
            ),
        ]
    )


def trained_on(run: RunFiles) -> list[Markup]:
    """Return the domains in numbers and pictures, how the model was trained, and the command."""
    data, outputs = run.record("data.json"), run.outputs()
    parts: list[Markup] = []
    if data.get("domains"):
        rows = []
        for domain in data["domains"]:
            span = "–" if domain["minimum"] is None else _span(domain["minimum"], domain["maximum"])
            moments = ["–" if domain[name] is None else f"{domain[name]:.3f}" for name in ("mean", "deviation")]
            shape = " × ".join(map(str, domain["shape"]))
            rows.append([domain["role"], domain["name"] or "–", f"{domain['examples']:,}", shape, span, *moments])
        head = ["role", "domain", "examples", "shape", "range", "mean", "deviation"]
        caption = (
            "The domains as the model reads them (8-bit inputs as 0 to 1). Labels of the target stay in the test set."
        )
        parts.append(table(head, rows, caption=caption, left=(1,)))
    for role, word in (("source", "Source, with labels"), ("target", "Target, labels unknown to training")):
        shown = outputs.get(f"pictures_{role}")
        if shown is None:
            continue
        labels = outputs.get(f"pictures_{role}_labels")
        names = names_of(run, max(len((run.summary or {}).get("classes", [])), 1))
        alts = [
            f"{role} example" + (f" of class {_at(names, labels[i])}" if labels is not None else "")
            for i in range(len(shown))
        ]
        parts.append(tag("h3", word))
        parts.append(listing([picture(one, alt=alt) for one, alt in zip(shown, alts, strict=True)], class_="pictures"))
    counts = data.get("classes") or {}
    if counts:
        parts.append(_class_counts(counts))
    parts += [tag("h3", "How it was trained"), facts(_training(run))]
    command = command_of(run)
    if command is not None:
        parts += [tag("h3", "The command that made it"), tag("pre", command, tabindex="0")]
    return parts


def _span(low: float, high: float) -> str:
    """Return a range, a rounding error beside the other end as 0."""
    extent = max(abs(low), abs(high))
    return " to ".join(f"{0 if abs(end) < 5e-4 * extent else end:.3g}" for end in (low, high))


def _class_counts(counts: dict[str, int]) -> Markup:
    words = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
    text = f"Source examples by class ({len(counts)} classes)"
    if len(counts) > LISTED:
        return details(text, paragraph(words))
    return paragraph(f"{text}: {words}.", class_="small soft")


def _training(run: RunFiles) -> list[tuple[str, Any]]:
    config, environment = run.config, run.record("environment.json")
    pairs: list[tuple[str, Any]] = []
    for key in ("method", "backbone", "recipe", "validator", "penalty"):
        if config.get(key) is None:
            continue
        words = fields_of(config[key])
        pairs.append(
            (
                key,
                render(named(run, key), Markup(" "), tag("span", words, class_="soft small"))
                if words
                else named(run, key),
            )
        )
    pairs.append(("steps", f"{config['steps']:,}" if isinstance(config.get("steps"), int) else "?"))
    pairs.append(("seed", str(config.get("seed", "?"))))
    for key in ("init", "weights"):
        if config.get(key):
            pairs.append((f"starts from ({key})", str(config[key])))
    if config.get("transfer") == "features":
        views = f", and {config['views']} augmented views of each example" if config.get("views") else ""
        pairs.append(("transfer", f"features: the backbone stayed as its weights are, and was run once{views}"))
    if "seconds" in environment:
        devices = ", ".join(environment.get("devices", []))
        pairs.append(("time", f"{environment['seconds'] / 60:.1f} minutes on {devices or 'an unknown device'}"))
    versions = [f"{name} {version}" for name, version in environment.get("packages", {}).items() if version]
    if versions:
        own = f"tladapt {environment.get('tladapt', '?')}"
        commit = f" (commit {environment['commit']})" if environment.get("commit") else ""
        pairs.append(("versions", tag("span", f"{own}{commit}, {', '.join(versions)}", class_="small")))
    return pairs


def whole_config(run: RunFiles) -> Markup:
    """Return everything that makes the run, on demand."""
    text = json.dumps(run.config, indent=1, ensure_ascii=False)
    return details("config.json, whole", tag("pre", text, tabindex="0"))


def curves(run: RunFiles) -> list[Markup]:
    """Return a chart a quantity; those without data are left out."""
    train, evaluations = run.of_kind("train"), run.of_kind("eval")
    summary = run.summary or {}
    chosen = summary.get("chosen/step")
    marks = [] if chosen is None else [(float(chosen), f"chosen (step {chosen:,})")]
    charts: list[Markup] = []

    def series(
        rows: Sequence[Any], key: str, label: str, slot: int, *, factor: float = 1.0, dots: bool = False
    ) -> Series:
        pairs = [(row["step"], math.nan if row[key] is None else factor * row[key]) for row in rows if key in row]
        return Series(label, [x for x, _ in pairs], [y for _, y in pairs], slot, dots=dots and len(pairs) <= 40)

    accuracies = [
        series(evaluations, "source/accuracy", "source, held out", 0, factor=100, dots=True),
        series(evaluations, "target/accuracy", "target (oracle: test labels)", 1, factor=100, dots=True),
    ]
    shown = [one for one in accuracies if len(one.x)]
    charts.append(line_chart("Accuracy", shown, y_label="accuracy (%)", y_range=(None, 101), marks=marks))
    validator = named(run, "validator", "im")
    curve = series(evaluations, f"validator/{validator}", validator, 2, dots=True)
    refused = [
        (row["step"], row[f"validator/{validator}"])
        for row in evaluations
        if row.get("collapsed") and row.get(f"validator/{validator}") is not None
    ]
    title = f"Validator {validator} (no target labels)"
    charts.append(line_chart(title, [curve], marks=marks, crosses=refused, cross_label="refused: collapsed"))
    for prefix, title, label in (
        ("loss/", "Loss terms", "loss"),
        ("gradient/", "Gradient of each term", "norm w.r.t. features"),
    ):
        keys = list(dict.fromkeys(key for row in train for key in row if key.startswith(prefix)))
        lines = [series(train, key, key.removeprefix(prefix), slot) for slot, key in enumerate(keys)]
        values = np.array([y for one in lines for y in one.y if math.isfinite(y)])
        log = bool(len(values) and values.min() > 0 and values.max() > 30 * values.min())
        charts.append(line_chart(title, lines, y_label=label, log=log))
    judged = series(train, "discriminator/accuracy", "discriminator", 0, factor=100)
    if len(judged.x):
        rules = [(50.0, "chance")]
        charts.append(
            line_chart(
                "Domain discriminator", [judged], y_label="balanced accuracy (%)", y_range=(None, 101), rules=rules
            )
        )
    known = {
        "learning_rate": "Learning rate",
        "lambda": "Adaptation coefficient λ",
        "teacher/confident": "Confident target examples",
    }
    for key, title in known.items():
        one = series(train, key, "", 0)
        if len(one.x) and np.nanmax(np.abs(one.y)) > 0:
            charts.append(line_chart(title, [one], y_range=(0.0, None)))
    return charts


def _at(names: list[str], index: Any) -> str:
    return names[int(index)] if int(index) < len(names) else str(int(index))
