"""SND: whether target examples of one predicted class lie densely together."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np

from tladapt.errors import UsageError
from tladapt.evaluation.metrics import softmax
from tladapt.evaluation.validators.base import VALIDATORS, ValidationOutputs, Validator, thinned

_CELLS = 2**21  # similarities held at once: 16 MiB an array


@VALIDATORS.register("snd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftNeighborhoodDensity(Validator):
    """`SND = 1/n_t sum_i H(q_i)`: the mean entropy of each target example's soft neighbourhood, in [0, ln(n_t - 1)].

    With `p_i = softmax(z_i)`, `u_i = p_i / ||p_i||` and the temperature `T`,
    `q_ij = exp(u_i . u_j / T) / sum_{k != i} exp(u_i . u_k / T)` for `j != i`. Many near neighbours make a high
    entropy: a model that has sorted the target into dense groups scores high.

    A model that gives every example the same output has the highest score of all, `ln(n_t - 1)`: use it behind the
    collapse guard only. The score grows with the number of examples, so compare it on one target.

    Costs `O(n^2 C)` time, about a second for 5,000 examples; similarities are made in blocks, never all at once.

    Deviations from the paper:
      1. More than `limit` target examples are thinned evenly.
      2. An example without another one to be near to (`n_t = 1`) has no score (NaN).

    Source: Saito, Kim, Teterwak, Sclaroff, Darrell, Saenko, "Tune it the Right Way: Unsupervised Validation of Domain
    Adaptation via Soft Neighborhood Density", ICCV 2021, arXiv 2108.10860.

    Raises:
      UsageError: for a temperature that is not positive, or a limit below 2.

    Example:
      >>> import numpy as np
      >>> z = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]])
      >>> round(SoftNeighborhoodDensity().score(ValidationOutputs(z, z, np.array([0, 0, 1, 1]), z, z)), 4)
      0.0
    """

    name: ClassVar[str] = "snd"
    summary: ClassVar[str] = "soft neighbourhood density: target predictions lie in dense groups"
    costly: ClassVar[bool] = True

    temperature: float = 0.05
    """Temperature of the softmax over cosine similarities."""
    limit: int = 5_000
    """At most this many target examples, evenly thinned."""

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise UsageError(f"snd: temperature must be positive, got {self.temperature!r}.")
        if self.limit < 2:
            raise UsageError(f"snd: limit must be at least 2 examples, got {self.limit!r}.")

    def score(self, outputs: ValidationOutputs) -> float:
        """Return the mean entropy, in nats."""
        p = softmax(thinned(outputs.target_logits, self.limit))  # [n, C]
        n = len(p)
        if n < 2 or not np.isfinite(p).all():
            return math.nan
        unit = p / np.sqrt(np.einsum("ic,ic->i", p, p))[:, None]
        rows = max(1, _CELLS // n)
        total = 0.0
        for first in range(0, n, rows):
            s = unit[first : first + rows] @ unit.T / self.temperature  # [rows, n]
            own = (np.arange(len(s)), np.arange(first, first + len(s)))
            s[own] = -np.inf
            s -= s.max(axis=1, keepdims=True)
            weights = np.exp(s)  # 0 for the example itself
            s[own] = 0.0  # 0 * -inf would be NaN
            mass = weights.sum(axis=1)
            total += float((np.log(mass) - np.einsum("ij,ij->i", weights, s) / mass).sum())
        return min(max(total / n, 0.0), math.log(n - 1))  # only rounding leaves the interval
