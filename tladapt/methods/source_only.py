"""The two ends of every comparison: no adaptation, and training on the labelled target."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tladapt.methods.base import METHODS, Context, Method, Stage, Terms, check_range, classification


@METHODS.register("source_only")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOnly(Method):
    """No adaptation: cross entropy on the source; the target is never looked at, its statistics included.

    L = CE(g(f(x_s)), y_s).

    Which parameters move: backbone and classifier.
    Logged: `loss/classification`, the cross entropy in nats (log C for a model that knows nothing).
    """

    name: ClassVar[str] = "source_only"

    smoothing: float = 0.0
    """Label smoothing in [0, 1); SHOT trains its source model with 0.1."""

    def __post_init__(self) -> None:
        check_range(self, "smoothing", "[0, 1)")

    def stages(self) -> tuple[Stage, ...]:
        return (Stage("train", target=False),)

    def loss(self, ctx: Context) -> Terms:
        return {"classification": classification(ctx, smoothing=self.smoothing)}


@METHODS.register("target_only")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetOnly(SourceOnly):
    """An upper bound that uses the target's labels: `source_only` on `scenario.oracle()`.

    Every artefact of such a run carries the word "oracle"; select nothing with it.
    """

    name: ClassVar[str] = "target_only"
    needs: ClassVar[frozenset[str]] = frozenset({"oracle"})
