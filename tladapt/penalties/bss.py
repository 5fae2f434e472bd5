"""Batch spectral shrinkage: the weakest directions of a batch's features are shrunk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from tladapt.errors import UsageError
from tladapt.penalties.base import PENALTIES, Penalty, PenaltyContext, PenaltyStart, PyTree, check_at_least, wide
from tladapt.ranges import Choice, Range


@PENALTIES.register("bss")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BSS(Penalty):
    """weight (sigma_1^2 + ... + sigma_k^2), the k smallest singular values of a batch's features F `[n, d]`.

    What fine-tuning would carry over although it does not help the new task lies in the directions with small singular
    values. The gradient is 2 weight sum_i u_i u_i^T F, u_i the left singular vectors; a tie between the k-th and the
    next one leaves open which direction is shrunk.

    Which parameters move: backbone and bottleneck, all that makes features.

    Logged: `loss/penalty`, the value above (its weight is in it, so `weight/penalty` is 1).

    Deviations from the paper:
      1. Where a step has a source and a target, each is a batch by itself, and the penalty is the mean of both.

    Defaults: those of the paper and of thuml's library, weight 0.001 and k = 1. The sum does not grow with the batch,
    but the smallest singular value does: with n > d it is one of d directions, with n <= d one of n.

    Source: Chen, Wang, Fu, Long, Wang: Catastrophic forgetting meets negative transfer: batch spectral shrinkage for
    safe transfer learning. NeurIPS 2019.
    """

    name: ClassVar[str] = "bss"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(1e-4, 1e-2, log=True),
    }
    """1. weight: chosen here, a factor of 10 on either side of the paper's 0.001."""

    weight: float = 0.001
    """Strength of the shrinkage."""
    k: int = 1
    """How many of the smallest singular values are shrunk."""

    def __post_init__(self) -> None:
        check_at_least(self, "weight")
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise UsageError(f"penalty {self.name!r}: k must be a whole number from 1 on, got {self.k!r}.")

    def prepare(self, start: PenaltyStart) -> PyTree:
        return {}

    def value_on(self, ctx: PenaltyContext, memory: PyTree) -> jax.Array:
        values = [smallest_squares(seen.features, self.k) for seen in ctx.seen.values()]
        return self.weight * jnp.mean(jnp.stack(values))


def smallest_squares(features: jax.Array, k: int) -> jax.Array:
    """Compute the sum of the squares of the k smallest singular values, sum_i |u_i^T F|^2 with u_i of eigh(F F^T).

    The directions are constants to the gradient, which is exact all the same: to first order an eigenvalue changes as
    u_i^T d(F F^T) u_i. So nothing is divided by differences of eigenvalues, and the value is never negative.

    Args:
      features: F `[n, d]`, floating.
      k: from 1 to min(n, d).

    Returns:
      A scalar, float32 at least.

    Raises:
      UsageError: for more values than there are.

    Example:
      >>> print(smallest_squares(jnp.diag(jnp.array([3.0, 2.0, 1.0])), 2).round(3))
      5.0
    """
    if k > min(features.shape):
        raise UsageError(f"features of shape {features.shape} have {min(features.shape)} singular values, not {k=}.")
    f = wide(features)
    f = f if f.shape[0] <= f.shape[1] else f.T  # [m, other], m = min(n, d)
    f_constant = jax.lax.stop_gradient(f)
    _, vectors = jnp.linalg.eigh(f_constant @ f_constant.T)  # ascending; vectors in columns [m, m]
    return jnp.sum(jnp.square(vectors[:, :k].T @ f))  # [k, other]
