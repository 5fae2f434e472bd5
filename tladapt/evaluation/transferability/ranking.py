"""Source models side by side before any training: every score, the mean of ranks, and how far the scores agree."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.comparison import rank_correlation
from tladapt.evaluation.transferability.base import TRANSFERABILITY, checked_labels

USUAL = ("logme", "regularized_h_score", "gbc", "leep", "nce")
"""One score of each idea: two forms of one would count twice in the mean of ranks."""


class RankedModel(NamedTuple):
    """A source model among others.

    Attributes:
      model: its name.
      features: how many features it has.
      scores: by name; higher is better, NaN where the model has no such score.
      ranks: by name, 1 for the best; equal scores share their mean rank; NaN where there is no score.
      rank_average: mean of its ranks over the scores that all models have; NaN where there is none.
    """

    model: str
    features: int
    scores: Mapping[str, float]
    ranks: Mapping[str, float]
    rank_average: float


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Source models in the order of their mean rank.

    Attributes:
      rows: the best first; of equals, in the order that they were given.
      scores: the names of all scores, in order.
      counted: those that all models have, and that the mean of ranks is over.
      agreement: Spearman's rank correlation of each two scores over the models; NaN for fewer than three models.
      notes: what a reader has to know, in sentences.
    """

    rows: tuple[RankedModel, ...]
    scores: tuple[str, ...]
    counted: tuple[str, ...]
    agreement: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the ranking as one dictionary for JSON."""
        rows = [{**row._asdict(), "scores": dict(row.scores), "ranks": dict(row.ranks)} for row in self.rows]
        return {**dataclasses.asdict(self), "rows": rows}


def rank_models(
    features_by_model: Mapping[str, Any],
    labels: Any,
    probabilities_by_model: Mapping[str, Any] | None = None,
    *,
    scores: Sequence[str] = USUAL,
) -> Ranking:
    """Rank source models by transferability scores of their features on one labelled data set.

    The labels are those that training will have: the source's. Ranking by labels of the target is an oracle's work.

    Args:
      features_by_model: `[n, d]` features of the same n examples, by the model's name; d may differ.
      labels: `[n]` class indices.
      probabilities_by_model: `[n, Z]` probabilities of the model's own classes, for the models that have a classifier;
        leep and nce read them.
      scores: names in `TRANSFERABILITY`.

    Returns:
      The models, the best first, and how far the scores agree.

    Raises:
      UsageError: for no model, arrays that do not fit, probabilities of an unknown model, or fewer than two classes.
      UnknownNameError: for a score that is not registered.

    Example:
      >>> import numpy as np
      >>> y = np.arange(60) % 3
      >>> noise = np.random.default_rng(0).normal(size=(60, 4))
      >>> found = rank_models({"blind": noise, "good": noise + 9.0 * np.eye(4)[y]}, y)
      >>> [row.model for row in found.rows], found.counted
      (['good', 'blind'], ('logme', 'regularized_h_score', 'gbc'))
    """
    given = dict(probabilities_by_model or {})
    _check(features_by_model, labels, given, scores)
    chosen = tuple(dict.fromkeys(scores))
    table: dict[str, dict[str, float]] = {}
    for name in chosen:
        score = TRANSFERABILITY[name]
        read = features_by_model if score.reads == "features" else given
        table[name] = {model: score(read[model], labels) if model in read else math.nan for model in features_by_model}
    ranks = {name: _ranks(list(table[name].values())) for name in chosen}
    wide = [model for model, array in features_by_model.items() if len(array) <= np.shape(array)[1]]
    counted = tuple(name for name in chosen if not (np.isnan(ranks[name]).any() or (name == "h_score" and wide)))
    rows = []
    for place, model in enumerate(features_by_model):
        own = {name: float(ranks[name][place]) for name in chosen}
        average = float(np.mean([own[name] for name in counted])) if counted else math.nan
        values = {name: table[name][model] for name in chosen}
        rows.append(RankedModel(model, int(np.shape(features_by_model[model])[1]), values, own, average))
    rows.sort(key=lambda row: math.inf if math.isnan(row.rank_average) else row.rank_average)
    agreement = {
        one: {
            other: rank_correlation(list(table[one].values()), list(table[other].values()))
            for other in chosen
            if other != one
        }
        for one in chosen
    }
    partly = [name for name in chosen if np.isnan(ranks[name]).any()]
    return Ranking(tuple(rows), chosen, counted, agreement, tuple(_notes(partly, wide if "h_score" in chosen else [])))


def _check(features: Mapping[str, Any], labels: Any, given: Mapping[str, Any], scores: Sequence[str]) -> None:
    y = checked_labels(labels)
    if not features:
        raise UsageError("there is no model to rank: features_by_model is empty.")
    if isinstance(scores, str) or not scores:
        raise UsageError(f"scores must be one or more of {', '.join(TRANSFERABILITY)}; got {scores!r}.")
    for name in scores:
        TRANSFERABILITY[name]
    if unknown := sorted(given.keys() - features.keys()):
        raise UsageError(f"there are probabilities of {', '.join(unknown)}, and no features of it.")
    for what, arrays in (("features", features), ("probabilities", given)):
        for model, array in arrays.items():
            if np.ndim(array) != 2 or len(array) != len(y):
                raise UsageError(
                    f"{what} of {model!r} must have one row for each of the {len(y)} labels,"
                    f" got shape {np.shape(array)}."
                )


def _ranks(values: Sequence[float]) -> np.ndarray:
    from scipy.stats import rankdata  # comes with scikit-learn

    return np.asarray(rankdata(-np.array(values, dtype=np.float64), nan_policy="omit"))


def _notes(partly: Sequence[str], wide: Sequence[str]) -> list[str]:
    """Say which scores do not count, and why: those that some models have not, and the H-score of wide models."""
    notes = []
    if partly:
        verb = "read" if len(partly) > 1 else "reads"
        notes.append(
            f"{' and '.join(partly)} {verb} the probabilities of a source model's own classes, which not every model"
            " here has: left out of the mean of ranks."
        )
    if wide:
        notes.append(
            f"h_score is as high as it can be for any labels where there are no more examples than features"
            f" ({', '.join(wide)}): left out of the mean of ranks; go by regularized_h_score."
        )
    return notes
