"""L2-SP: weight decay towards the starting point."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from tladapt.errors import UsageError
from tladapt.penalties.base import PENALTIES, Penalty, PenaltyStart, PyTree
from tladapt.ranges import Choice, Range


@PENALTIES.register("l2sp")
@dataclasses.dataclass(frozen=True, kw_only=True)
class L2SP(Penalty):
    """(weight / 2) ||theta - theta_0||^2 over the model's parameters, theta_0 where the run started.

    Zero, with zero gradient, at the start; the gradient is weight (theta - theta_0). It replaces weight decay, which
    the recipe then leaves at 0.

    Which parameters move: backbone, bottleneck and classifier, scales and shifts of normalisation among them; running
    statistics and a method's heads do not.

    Logged: `loss/penalty`, the value above (its weight is in it, so `weight/penalty` is 1).

    Deviations from the paper:
      1. A bottleneck or classifier that the run draws anew is pulled to its first values too, where the paper pulls new
         layers to 0. `classifier=False` leaves the classifier to the recipe's weight decay.

    Defaults: the weight of thuml's library.

    Source: Li, Grandvalet, Davoine: Explicit inductive bias for transfer learning with convolutional networks. ICML
    2018. arXiv 1802.01483.
    """

    name: ClassVar[str] = "l2sp"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(1e-3, 1.0, log=True),
    }
    """1. weight: chosen here; the 0.01 of thuml's library is inside, and so is the paper's order of magnitude, 0.1."""

    weight: float = 0.01
    """Strength of the pull."""
    classifier: bool = True
    """Whether the classifier is anchored too."""

    def __post_init__(self) -> None:
        if not self.weight >= 0.0:
            raise UsageError(f"penalty {self.name!r}: weight must be 0 or more, got {self.weight!r}.")

    def prepare(self, start: PenaltyStart) -> PyTree:
        return {block: tree for block, tree in start.params.items() if self.classifier or block != "classifier"}

    def value(self, params: Mapping[str, PyTree], memory: PyTree) -> jax.Array:
        squares = jax.tree.map(
            lambda now, then: jnp.sum(jnp.square(now - then)), {block: params[block] for block in memory}, memory
        )
        return 0.5 * self.weight * jax.tree.reduce(jnp.add, squares)
