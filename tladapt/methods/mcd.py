"""MCD: two classifiers that disagree where the target is far from the source."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
from flax import nnx

from tladapt import losses
from tladapt.methods.base import METHODS, Context, Method, Sizes, Stage, Term, Terms, Update, classification
from tladapt.models import Outputs


@METHODS.register("mcd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MCD(Method):
    """Maximum classifier discrepancy.

    With disc = mean over batch and classes of |p1 - p2| on the target, each step makes three updates:
    A moves backbone and both classifiers by CE1 + CE2; B moves the classifiers by CE1 + CE2 - disc;
    C moves the backbone by disc, `repeat` times. The two classifiers predict together, by the sum of their logits.

    Deviations from the paper:
      1. Both domains pass in one forward where the BatchNorm policy is joint (the authors' digits code passes them one by one).
      2. `weight` multiplies disc in B and C; 1 is the paper's. The mean over classes is the authors' code (the paper's L1 over C).

    Source: Saito, Watanabe, Ushiku, Harada: Maximum classifier discrepancy for unsupervised domain adaptation. CVPR 2018.
    arXiv 1712.02560. Defaults of the authors' digits code.
    """

    name: ClassVar[str] = "mcd"

    repeat: int = 4
    """How many times the backbone moves in step C."""
    weight: float = 1.0
    """Weight of the discrepancy."""

    def heads(self, sizes: Sizes, rngs: nnx.Rngs) -> Mapping[str, nnx.Module]:
        return {"second_classifier": sizes.classifier(rngs=rngs)}

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        return (
            Update(self.classify),
            Update(self.disagree, moves=("classifier", "second_classifier")),
            Update(self.agree, moves=("backbone", "bottleneck"), repeat=self.repeat),
        )

    def classify(self, ctx: Context) -> Terms:
        """Step A: both classifiers learn the source."""
        second = ctx.heads["second_classifier"](ctx.source.features)  # [n_s, C]
        return {
            "classification": classification(ctx),
            "second_classification": Term(losses.cross_entropy(second, ctx.source.y)),
        }

    def disagree(self, ctx: Context) -> Terms:
        """Step B: the classifiers move apart on the target and stay right on the source."""
        return {**self.classify(ctx), "disagreement": Term(self._discrepancy(ctx), -self.weight)}

    def agree(self, ctx: Context) -> Terms:
        """Step C: the backbone moves the target to where the classifiers agree."""
        return {"discrepancy": Term(self._discrepancy(ctx), self.weight)}

    def _discrepancy(self, ctx: Context) -> jax.Array:
        second = ctx.heads["second_classifier"](ctx.target.features)  # [n_t, C]
        return losses.classifier_discrepancy(ctx.target.logits, second)

    def predict(self, ctx: Context, x: jax.Array, domain: Literal["source", "target"]) -> Outputs:
        out = ctx.forward(x, domain=domain)
        return Outputs(out.features, out.logits + ctx.heads["second_classifier"](out.features))
