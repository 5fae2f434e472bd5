"""What usually goes wrong in this field, read off a run's log, in words with what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tladapt.evaluation import Choice


def health(history: Sequence[Mapping[str, Any]], *, chosen: Choice | None = None) -> list[str]:
    """Return the warnings that a run's log gives rise to; none of them looks at a label of the target.

    Args:
      history: the rows of `metrics.jsonl`.
      chosen: what the validator chose.
    """
    train = [row for row in history if row["kind"] == "train"]
    evaluations = [row for row in history if row["kind"] == "eval"]
    words: list[str] = []
    names = sorted({name for row in train for name in row if name.startswith("gradient/")})
    for name in names:
        values = [row.get(name) for row in train if name in row and (row.get("weight/" + name[9:]) or 0) != 0]
        if len(values) >= 2 and all(value == 0 for value in values):
            words.append(
                f"term {name[9:]!r} has no gradient with respect to the features: it trains nothing in the backbone."
                " Look for a stop_gradient, an argmax, or a weight of 0; tladapt.testing.check_loss(fn) tells more."
            )
    accuracy = [row["discriminator/accuracy"] for row in train if row.get("discriminator/accuracy") is not None]
    late = accuracy[len(accuracy) // 2 :]
    if len(late) >= 3 and min(late) > 0.98:
        words.append(
            f"the domain discriminator is right all the time (at least {min(late):.0%} in the second half):"
            " features of the domains stay apart. Try a larger weight, a wider bottleneck, or a smaller discriminator."
        )
    if len(accuracy) >= 3 and max(accuracy) < 0.52:
        words.append(
            "the domain discriminator is at chance from the start: it learns nothing, so features are not compared."
            " Try a larger discriminator, and check that both domains differ at all."
        )
    if evaluations and evaluations[-1].get("collapsed"):
        words.append(
            f"the model has collapsed: {evaluations[-1]['collapsed']}. Try a smaller weight of the adaptation term."
        )
    if chosen is not None and not chosen.passed:
        words.append(f"no checkpoint could be chosen: {chosen.reason}.")
    return words
