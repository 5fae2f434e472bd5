"""What usually goes wrong in this field, read off a run's log, in words with what to try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tladapt.evaluation import Choice

Rows = Sequence[Mapping[str, Any]]

RIGHT, CHANCE = 0.98, 0.52  # a discriminator's balanced accuracy, all the time above or below
UNSURE = 0.01  # share of confident target examples below which their term does nothing
APART, FALLEN = 0.10, 0.03  # training accuracy over the held-out one, and the held-out one under its best: over-fitting
SATURATED, EARLY = 0.99, 0.1  # lambda above this share of its last value within this share of the run


def health(history: Rows, *, chosen: Choice | None = None) -> list[str]:
    """Return the warnings that a run's log gives rise to; none of them looks at a label of the target.

    What the data give rise to (unequal ranges, label sets that differ) the data doctor says before the first step.

    Args:
      history: the rows of `metrics.jsonl`.
      chosen: what the validator chose.
    """
    train = [row for row in history if row["kind"] == "train"]
    evaluations = [row for row in history if row["kind"] == "eval"]
    words = [*_gradients(train), *_discriminator(train), *_saturated(train), *_collapsed(evaluations)]
    words += _overfitted(train, evaluations)
    if chosen is not None and not chosen.passed:
        words.append(f"no checkpoint could be chosen: {chosen.reason}.")
    return words


def _gradients(train: Rows) -> Iterator[str]:
    """Find terms that count and whose gradient with respect to the features is 0 throughout."""
    names = sorted({name[9:] for row in train for name in row if name.startswith("gradient/")})
    silent = []
    for name in names:
        values = [
            row.get(f"gradient/{name}")
            for row in train
            if f"gradient/{name}" in row and (row.get(f"weight/{name}") or 0) != 0
        ]
        if len(values) >= 2 and all(value == 0 for value in values):
            silent.append(name)
    sure = _column(train, "/confident")
    if silent and sure and max(sure) < UNSURE:
        some = "no target example passes" if max(sure) == 0 else f"at most {max(sure):.1%} of the target examples pass"
        terms = " and ".join(map(repr, silent))
        yield (
            f"{some} the confidence threshold in the whole run, so {terms} adapt{'s' * (len(silent) == 1)} nothing. Try"
            " a lower threshold (--method.confidence), more steps, or a start from a trained source model (--init)."
        )
        return
    for name in silent:
        yield (
            f"term {name!r} has no gradient with respect to the features: it trains nothing in the backbone."
            " Look for a stop_gradient, an argmax, or a weight of 0; tladapt.testing.check_loss(fn) tells more."
        )


def _discriminator(train: Rows) -> Iterator[str]:
    accuracy = _column(train, "discriminator/accuracy")
    late = accuracy[len(accuracy) // 2 :]
    if len(late) >= 3 and min(late) > RIGHT:
        yield (
            f"the domain discriminator is right all the time (at least {min(late):.0%} in the second half):"
            " features of the domains stay apart. Try a larger weight, a wider bottleneck, or a smaller discriminator."
        )
    if len(accuracy) >= 3 and max(accuracy) < CHANCE:
        yield (
            "the domain discriminator is at chance from the start: it learns nothing, so features are not compared."
            " Try a larger discriminator, and check that both domains differ at all."
        )


def _saturated(train: Rows) -> Iterator[str]:
    """Find a lambda that rises, and is there before a tenth of the run is done; a constant one is meant to be there.

    A line of the log is a mean over its steps, so that the first one tells a steep rise from none.
    """
    steps = max((row["step"] for row in train), default=0)
    for name in sorted({name for row in train for name in row if name.split("/")[-1] == "lambda"}):
        pairs = [(row["step"], row[name]) for row in train if row.get(name) is not None]
        there = [step for step, value in pairs if value >= SATURATED * pairs[-1][1] > 0]
        if there and pairs[0][0] < there[0] <= EARLY * steps:
            yield (
                f"{name} is at {SATURATED:.0%} of its last value by step {there[0]:,} of {steps:,}: adaptation pulls"
                " with full force before there are features worth aligning. The schedule counts steps, not the share of"
                " the run, or rises too steeply; try --method.schedule ganin2016, or train for fewer steps."
            )


def _collapsed(evaluations: Rows) -> Iterator[str]:
    if not evaluations or not evaluations[-1].get("collapsed"):
        return
    reason = str(evaluations[-1]["collapsed"])
    if "not finite" in reason:
        advice = "Try a smaller learning rate (--recipe.learning_rate), or --recipe.clip 1."
    elif "every target example is predicted" in reason:
        advice = (
            "Try a smaller weight of the adaptation term, a slower schedule of it, or more examples in a batch; see"
            " whether source-only does the same, and then at the inputs' ranges (tladapt doctor)."
        )
    elif "features" in reason:
        advice = (
            "Features that carry no class are easy to align: try a smaller weight of the adaptation term, a slower"
            " schedule of it, or a wider bottleneck."
        )
    else:
        advice = "Try a smaller weight of the adaptation term, or a slower schedule of it."
    yield f"the model has collapsed: {reason}. {advice}"


def _overfitted(train: Rows, evaluations: Rows) -> Iterator[str]:
    """Find held-out source accuracy that falls for good while training batches are right far more often.

    Where the last steps train on no source labels (a second stage), a fall has other reasons.
    """
    late: list[Any] = [row.get("source/batch_accuracy") for row in train[-max(2, len(train) // 4) :]]
    pairs: list[tuple[int, Any]] = [(row["step"], row.get("source/accuracy")) for row in evaluations]
    if len(pairs) < 4 or any(value is None for value in (*late, *(accuracy for _, accuracy in pairs))):
        return
    step, best = max(pairs, key=lambda pair: pair[1])
    # All of the last third: one evaluation on few examples may be low by chance.
    ends = [accuracy for _, accuracy in pairs[-max(3, len(pairs) // 3) :]]
    trained, last = sum(late) / len(late), sum(ends) / len(ends)
    if trained - last >= APART and best - last >= FALLEN and best - max(ends) >= FALLEN / 3:
        yield (
            f"the model over-fits the source: held-out accuracy has fallen from {best:.1%} at step {step:,} to"
            f" {last:.1%} in the last evaluations, while {trained:.1%} of the training batches are right. Try an early"
            " stop (--patience 2 --validator source_accuracy), augmentation (--recipe.augment), a smaller learning rate"
            " or frozen stages for the backbone, or a penalty (--penalty l2sp)."
        )


def _column(rows: Rows, ending: str) -> list[float]:
    """Return what is logged under names that end so, in the order of the log."""
    return [row[name] for row in rows for name in row if name.endswith(ending) and row[name] is not None]
