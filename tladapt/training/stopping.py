"""Early stopping: when a run ends before its last step, as a function of its log alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tladapt.training.config import Config
from tladapt.training.passes import Span


class Stop(NamedTuple):
    """After which step a run stops, and why."""

    step: int
    reason: str


def stopped(history: Sequence[Mapping[str, Any]], config: Config, spans: Sequence[Span]) -> Stop | None:
    """Return where a run's log says that it stops; None while it goes on.

    It stops after the first evaluation by which `patience` evaluations in a row have not raised the validator's
    highest score. Evaluations that the collapse guard refuses, or without a finite score, raise nothing. The count
    begins with the last stage, and with its last phase where it unfreezes in phases: what the method prescribes after
    the first ones is never left out. The last step is no early stop.

    Args:
      history: the lines of the log, in order.
      config: a resolved config.
      spans: the stages and phases of the run.
    """
    if config.patience is None:
        return None
    name: str = config.validator.name  # type: ignore[union-attr]
    best, since = -math.inf, 0
    for row in history:
        if row["kind"] != "eval" or row["step"] <= spans[-1].first:
            continue
        score: float | None = row.get(f"validator/{name}")
        if score is not None and not row["collapsed"] and best < score < math.inf:
            best, since = score, 0
        else:
            since += 1
        if since >= config.patience and row["step"] < config.steps:
            count = f"{since} evaluation{'s' * (since != 1)}"
            highest = "there was none to raise" if best == -math.inf else f"{best:.4g}"
            reason = f"{count} in a row did not raise the highest {name} ({highest})"
            return Stop(int(row["step"]), f"stopped after step {row['step']:,} of {config.steps:,}: {reason}")
    return None
