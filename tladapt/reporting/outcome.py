"""Parts of a page about the target's test set: classes, confusion, calibration, mistakes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tladapt.reporting.folder import RunFiles
from tladapt.reporting.measures import (
    ClassScore,
    class_scores,
    confusion,
    names_of,
    probabilities,
    reliability,
    tested,
)
from tladapt.reporting.page import Markup, details, listing, paragraph, percent, picture, render, table, tag
from tladapt.reporting.plots import reliability_chart
from tladapt.reporting.sections import LISTED

_MATRIX = 20  # up to this many classes the confusion matrix is a table


def classes_and_confusion(run: RunFiles) -> list[Markup]:
    """Return accuracy and F1 of each class, and what was taken for what; empty without a labelled test set."""
    found = tested(run)
    if found is None:
        return []
    logits, labels = found
    names = names_of(run, logits.shape[1])
    counts = confusion(logits, labels)
    scores = class_scores(counts, names)
    matrix = [_matrix(counts, names)] if len(names) <= _MATRIX else []
    taken = render(*matrix, _confusions(counts, names))
    parts = [_score_table(scores), taken]
    return [tag("div", parts[0], tag("div", taken), class_="two")] if len(names) <= 12 else parts


def _score_table(scores: list[ClassScore]) -> Markup:
    def cell(value: float, *, bar: bool = False) -> Markup:
        text = "–" if math.isnan(value) else f"{100 * value:.1f}"
        return tag(
            "td",
            text,
            class_="bar" if bar else None,
            style=f"--v:{0 if math.isnan(value) else 100 * value:.1f}" if bar else None,
        )

    def line(score: ClassScore) -> list[Any]:
        return [score.name, f"{score.examples:,}", cell(score.recall, bar=True), cell(score.precision), cell(score.f1)]

    mean = ClassScore(
        "mean",
        sum(score.examples for score in scores),
        float(np.nanmean([score.recall for score in scores])),
        float(np.nanmean([score.precision for score in scores]))
        if not all(math.isnan(s.precision) for s in scores)
        else math.nan,
        float(np.nanmean([score.f1 for score in scores])),
    )
    head = ["class", "examples", "accuracy (%)", "precision (%)", "F1 (%)"]
    ordered = scores if len(scores) <= LISTED else sorted(scores, key=lambda s: (math.isnan(s.recall), s.recall))
    caption = "Each class of the target's test set, last step. The mean of F1 is macro-F1; each class counts the same."
    first = ordered if len(ordered) <= LISTED else ordered[:20]
    shown = table(head, [*map(line, first), line(mean)], caption=caption, strong=(len(first),))
    if len(first) == len(ordered):
        return shown
    rest = table(head, map(line, ordered[20:]), caption="The other classes, from worst to best.")
    return render(shown, details(f"The other {len(ordered) - 20} classes", rest))


def _matrix(counts: np.ndarray, names: list[str]) -> Markup:
    rows = []
    totals = counts.sum(axis=1)
    for i, name in enumerate(names):
        cells: list[Any] = [name]
        for j, count in enumerate(counts[i]):
            share = count / totals[i] if totals[i] else 0.0
            attributes: dict[str, Any] = {"style": f"--a:{0.62 * share:.3f}", "class_": "hit" if i == j else None}
            cells.append(
                tag(
                    "td",
                    f"{count:,}" if count else Markup('<span class="unseen">0</span>'),
                    title=f"{name} taken for {names[j]}: {count:,} ({percent(share)})",
                    **attributes,
                )
            )
        rows.append(cells)
    caption = (
        "Confusion: rows are true classes, columns predicted ones, cells counts; the shade is the share of the row."
    )
    return table([Markup('<span class="unseen">true class</span>'), *names], rows, caption=caption, class_="matrix")


def _confusions(counts: np.ndarray, names: list[str]) -> Markup:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:8]
    pairs = [(int(place // len(names)), int(place % len(names))) for place in order]
    rows = [
        [names[i], names[j], f"{wrong[i, j]:,}", percent(wrong[i, j] / counts[i].sum())]
        for i, j in pairs
        if wrong[i, j]
    ]
    if not rows:
        return paragraph("No test example was predicted wrong.")
    return table(
        ["true", "taken for", "examples", "of its class"], rows, caption="The most frequent confusions.", left=(1,)
    )


def calibration(run: RunFiles) -> list[Markup]:
    """Return the reliability diagram with its numbers; empty without a labelled test set."""
    found = tested(run)
    if found is None or not np.isfinite(found[0]).all():
        return []
    bins, error = reliability(*found)
    over = sum(share * (sure - accuracy) for sure, accuracy, share in bins)
    side = "over-confident" if over > 0 else "under-confident"
    whole = f"Taken together, the model is {side} on the target by {100 * abs(over):.1f} points."
    if abs(over) < 0.005:
        whole = "Taken together, it is neither over- nor under-confident on the target."
    words = (
        f"Expected calibration error (ECE) {100 * error:.1f} %: confidence and accuracy differ by that much on average."
        f" {whole}"
    )
    rows = [[f"{sure:.3f}", f"{accuracy:.3f}", percent(share)] for sure, accuracy, share in bins]
    numbers = details(
        "The numbers",
        table(["confidence", "accuracy", "share"], rows, caption="Bins of confidence that have examples."),
    )
    return [
        tag(
            "div",
            reliability_chart("Reliability on the target's test set", bins),
            tag("div", paragraph(words), numbers),
            class_="two",
        )
    ]


def mistakes(run: RunFiles, *, most: int = 24) -> list[Markup]:
    """Return the test examples that the model is most certain about and wrong, as pictures where there are any."""
    found, outputs = tested(run), run.outputs()
    if found is None or "mistakes" not in outputs:
        return []
    logits, labels = found
    names = names_of(run, logits.shape[1])
    sure = probabilities(logits)
    shown = outputs.get("mistakes_pictures")
    index = outputs["mistakes"][:most].astype(np.int64)
    if len(index) == 0:
        return [paragraph("No test example was predicted wrong.")]
    said = [(names[labels[i]], names[int(logits[i].argmax())], float(sure[i].max())) for i in index]
    if shown is None:
        rows = [[f"{i:,}", true, taken, percent(share)] for i, (true, taken, share) in zip(index, said, strict=True)]
        return [
            table(
                ["test example", "true", "predicted", "confidence"],
                rows,
                caption="Most confident mistakes.",
                left=(1, 2),
            )
        ]
    items = []
    for i, one, (true, taken, share) in zip(index, shown, said, strict=False):
        words = tag("span", "said ", tag("b", taken), f" ({percent(share)}), is ", tag("b", true))
        items.append(render(picture(one, alt=f"test example {i}: true class {true}, predicted {taken}"), words))
    return [listing(items, class_="mistakes")]
