"""Learning without forgetting: the old classifier goes on saying what it said at the start."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from tladapt.errors import UsageError
from tladapt.penalties.base import (
    BACKBONE,
    PENALTIES,
    DomainName,
    Penalty,
    PenaltyContext,
    PenaltyStart,
    PyTree,
    Seen,
    check_at_least,
    check_source_classifier,
    wide,
)
from tladapt.ranges import Choice, Range


@PENALTIES.register("lwf")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LwF(Penalty):
    """weight KL(softmax(o_0 / T) || softmax(o / T)), a mean over the step's examples.

    o are the logits of the classifier that the starting weights were trained with, on the features of now; o_0 those of
    the starting model on the same inputs, in evaluation mode. There is no factor T^2. Zero, with zero gradient, as long
    as the features are those of the start: where batch normalisation normalises by the batch they never quite are.

    Which parameters move: backbone (and the bottleneck, where the old classifier reads it). The old classifier is a
    constant.

    Logged: `loss/penalty`, the value above (its weight is in it, so `weight/penalty` is 1).

    Deviations from the paper:
      1. The old classifier does not move, as in thuml's library; the paper trains it on.
      2. o_0 is computed along the way, on the inputs as they were augmented for this step, not once before training.
      3. The temperature stands in a KL divergence, whose gradient is that of the paper's modified cross entropy.

    Defaults: weight 4 of thuml's library, T = 2 of the paper.

    Source: Li, Hoiem: Learning without forgetting. ECCV 2016. arXiv 1606.09282.
    """

    name: ClassVar[str] = "lwf"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs", "source_classifier"})
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.4, 40.0, log=True),
    }
    """1. weight: chosen here, a factor of 10 on either side of thuml's 4."""

    weight: float = 4.0
    """Strength of the pull."""
    temperature: float = 2.0
    """Temperature T: the larger, the more the unlikely classes count."""

    def __post_init__(self) -> None:
        check_at_least(self, "weight")
        if not self.temperature > 0:
            raise UsageError(f"penalty {self.name!r}: temperature must be above 0, got {self.temperature!r}.")

    def taps(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        return (BACKBONE,)

    def prepare(self, start: PenaltyStart) -> PyTree:
        check_source_classifier(self, start)
        return {"model": start.model, "head": start.source_head}

    def value_on(self, ctx: PenaltyContext, memory: PyTree) -> jax.Array:
        def each(domain: DomainName, seen: Seen) -> jax.Array:
            old = ctx.source_logits(memory["head"], ctx.earlier(memory["model"], domain))
            return divergence(old, ctx.source_logits(memory["head"], seen), self.temperature)

        return self.weight * ctx.mean(each)


def divergence(teacher_logits: jax.Array, student_logits: jax.Array, temperature: float) -> jax.Array:
    """Compute KL(softmax(t / T) || softmax(s / T)) for each example, in float32 at least.

    Args:
      teacher_logits: t `[n, C]`; no gradient goes into it.
      student_logits: s `[n, C]`.
      temperature: T > 0.

    Returns:
      `[n]`, >= 0.

    Example:
      >>> print(divergence(jnp.array([[1.0, 2.0]]), jnp.array([[2.0, 3.0]]), 2.0))
      [0.]
    """
    teacher = jax.nn.log_softmax(wide(jax.lax.stop_gradient(teacher_logits)) / temperature)  # [n, C]
    student = jax.nn.log_softmax(wide(student_logits) / temperature)
    return jnp.sum(jnp.exp(teacher) * (teacher - student), axis=-1)
