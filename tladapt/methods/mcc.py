"""MCC: predictions on the target that do not waver between two classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tladapt import losses
from tladapt.methods.base import (
    METHODS,
    Context,
    Logged,
    Method,
    Term,
    Terms,
    check_range,
    check_schedule,
    classification,
)
from tladapt.ranges import Choice, Range


@METHODS.register("mcc")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MCC(Method):
    """Minimum class confusion.

    L = CE_s + w MCC(g_t / T): the mean confusion between pairs of different classes within the target batch (see
    `tladapt.losses.minimum_class_confusion`).

    Which parameters move: backbone and classifier, by both terms. The weights of the examples within the confusion
    carry no gradient.

    Logged: `loss/confusion`, before its weight (1 - 1/C for predictions that know nothing, 0 for certain ones);
    `lambda`, its weight.

    Deviations from the paper: none; those in how the confusion is computed are the loss's, and change no value.

    Defaults: T 2.5 and weight 1 throughout, as in thuml's library, which starts from a pretrained network. The
    confusion is a statistic of the batch: use batches of at least as many examples as classes.

    Source: Jin, Wang, Long, Wang: Minimum class confusion for versatile domain adaptation. ECCV 2020. arXiv 1912.03699.
    """

    name: ClassVar[str] = "mcc"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.1, 10.0, log=True),
        "temperature": Range(1.0, 4.0),
    }
    """1. weight: chosen here, a factor of 10 on either side of 1. 2. temperature: chosen here, around the 2.5 and 3.0
    of the authors' commands; 1 is no softening."""
    improves: ClassVar[frozenset[str]] = frozenset({"entropy", "im"})

    weight: float = 1.0
    """Weight of the confusion; the schedule's value is multiplied by it."""
    schedule: str = "constant"
    """How the weight grows over the run, by name; 'tladapt schedules' shows them."""
    temperature: float = 2.5
    """What target logits are divided by before the softmax; higher lets the less likely classes count more."""

    def __post_init__(self) -> None:
        check_range(self, "weight", "[0, inf)")
        check_schedule(self.schedule)
        check_range(self, "temperature", "(0, inf)")

    def loss(self, ctx: Context) -> Terms:
        weight = self.weight * ctx.schedule(self.schedule)
        confusion = losses.minimum_class_confusion(ctx.target.logits, temperature=self.temperature)
        return {"classification": classification(ctx), "confusion": Term(confusion, weight), "lambda": Logged(weight)}
