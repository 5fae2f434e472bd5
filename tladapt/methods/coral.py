"""Deep CORAL: outputs whose covariances agree between the domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from tladapt import losses
from tladapt.errors import UsageError
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


@METHODS.register("coral")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CORAL(Method):
    """Deep CORAL: correlation alignment of the two domains.

    L = CE_s + w ||C_s - C_t||_F^2 / (4 d^2), with C_s and C_t the covariance matrices of the batch's outputs of each
    domain and d their width (see `tladapt.losses.coral`).

    Which parameters move: backbone and classifier by the cross entropy; by the distance the backbone, and the
    classifier too where `on="logits"`.

    Logged: `loss/coral`, the distance before its weight (0: the covariances agree); `lambda`, its weight.

    Deviations from the paper: none in the distance. Public code that takes mean((C_s - C_t)^2), or adds the distance of
    the means, has another scale: its weights do not carry over.

    Defaults: logits, as in the paper, which chooses the weight so that both losses are about equal at the end of
    training; compare `loss/coral` times the weight with `loss/classification`, and raise the weight where it is far
    below. The covariance is a statistic of the batch: with few examples it is mostly noise.

    Source: Sun, Saenko: Deep CORAL: correlation alignment for deep domain adaptation. ECCV 2016 workshops.
    arXiv 1607.01719.
    """

    name: ClassVar[str] = "coral"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.1, 10.0, log=True),
    }
    """1. weight: AdaTime's sweep for Deep CORAL (Ragab et al., TKDD 2023, arXiv 2203.08016), in factors; DomainBed's is
    the same (Gulrajani, Lopez-Paz, ICLR 2021, arXiv 2007.01434)."""

    weight: float = 1.0
    """Weight of the distance; the schedule's value is multiplied by it."""
    schedule: str = "constant"
    """How the weight grows over the run, by name; 'tladapt schedules' shows them."""
    on: Literal["features", "logits"] = "logits"
    """Which outputs are aligned."""

    def __post_init__(self) -> None:
        check_range(self, "weight", "[0, inf)")
        check_schedule(self.schedule)
        if self.on not in ("features", "logits"):
            raise UsageError(f"coral on must be 'features' or 'logits', got {self.on!r}.")

    def loss(self, ctx: Context) -> Terms:
        weight = self.weight * ctx.schedule(self.schedule)
        value = losses.coral(getattr(ctx.source, self.on), getattr(ctx.target, self.on))
        return {"classification": classification(ctx), "coral": Term(value, weight), "lambda": Logged(weight)}
