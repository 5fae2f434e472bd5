"""Co-tuning: the source classifier is trained on as well, towards what it says of each new class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.errors import UsageError
from tladapt.penalties.base import (
    BACKBONE,
    PENALTIES,
    SOURCE_CLASSIFIER,
    Penalty,
    PenaltyContext,
    PenaltyStart,
    PyTree,
    check_at_least,
    check_source_classifier,
    wide,
)
from tladapt.ranges import Choice, Range

_ALL = 2**31 - 1


@PENALTIES.register("co_tuning")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CoTuning(Penalty):
    """weight mean_i(-sum_s p(s | y_i) log q_s(x_i)), q the softmax of the source classifier on the features of now.

    The relationship p(s | t) says which of the classes that the starting weights know (s) a class of the new task (t)
    looks like: the mean of the starting model's softmax over the training examples of class t (see `relationship`).
    At the start the value is above 0: it is at least the mean entropy of p(. | y_i).

    Which parameters move: backbone (and the bottleneck, where the source classifier reads it), and the source
    classifier, which is the block "source_classifier": thuml's library trains it at the backbone's rate, which
    `--recipe.groups "^source_classifier=0.1"` does beside `--recipe.backbone_rate 0.1`.

    Logged: `loss/penalty`, the value above (its weight is in it, so `weight/penalty` is 1).

    Deviations from the paper:
      1. p(s | t) is the paper's direct estimate; that by way of p(t | s) is left out, as in thuml's library.
      2. The paper calibrates the source probabilities on held-out source data. Nobody has those here: `temperature` is
         1 unless it is given.
      3. Examples are of the labelled source domains alone; the target has no labels to look up.

    Defaults: weight 2.3 of the paper and of thuml's library.

    Source: You, Kou, Long, Wang: Co-Tuning for transfer learning. NeurIPS 2020.
    """

    name: ClassVar[str] = "co_tuning"
    needs: ClassVar[frozenset[str]] = frozenset({"labels", "source_classifier"})
    trains_source_classifier: ClassVar[bool] = True
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.23, 23.0, log=True),
    }
    """1. weight: chosen here, a factor of 10 on either side of the paper's 2.3."""

    weight: float = 2.3
    """Strength of the pull."""
    temperature: float = 1.0
    """What source logits are divided by before their softmax makes the relationship."""

    def __post_init__(self) -> None:
        check_at_least(self, "weight")
        if not self.temperature > 0:
            raise UsageError(f"penalty {self.name!r}: temperature must be above 0, got {self.temperature!r}.")

    def taps(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        return (BACKBONE,)

    def prepare(self, start: PenaltyStart) -> PyTree:
        check_source_classifier(self, start)
        assert start.source_logits is not None  # it comes with the classifier
        x, y = start.source(_ALL)
        logits = np.asarray(start.source_logits(x), np.float64) / self.temperature
        return {"relationship": jnp.asarray(relationship(logits, y, start.classes), jnp.float32)}

    def value_on(self, ctx: PenaltyContext, memory: PyTree) -> jax.Array:
        if "source" not in ctx.seen:
            raise UsageError(
                f"penalty {self.name!r} needs labelled examples in every step, and a stage of this method has none."
            )
        seen = ctx.seen["source"]
        logits = wide(ctx.source_logits(ctx.params[SOURCE_CLASSIFIER], seen))
        likely = memory["relationship"][seen.y].astype(logits.dtype)  # [n, C_s]
        return self.weight * jnp.mean(-jnp.sum(likely * jax.nn.log_softmax(logits), axis=-1))


def relationship(source_logits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return p(s | t), the mean softmax of source logits over the examples of each class.

    Args:
      source_logits: `[n, C_s]`.
      labels: class indices `[n]` of the new task.
      classes: number C of its classes.

    Returns:
      `[C, C_s]`, whose rows sum to 1; that of a class without an example is 0.

    Example:
      >>> relationship(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([0, 0]), 2)
      array([[0.5, 0.5],
             [0. , 0. ]])
    """
    likely = np.exp(source_logits - source_logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    own = np.arange(classes)[:, None] == labels[None, :]  # [C, n]
    return np.asarray(own @ likely / np.maximum(own.sum(axis=1, keepdims=True), 1))
