"""Certainty on the target: the mean entropy of predictions, negated."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tladapt.evaluation.metrics import entropy, softmax
from tladapt.evaluation.validators.base import VALIDATORS, ValidationOutputs, Validator


@VALIDATORS.register("entropy")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Entropy(Validator):
    """`-1/n_t sum_i H(p_i)` over the whole target, `p_i = softmax(z_i)`: in [-ln C, 0] nats, higher = more certain.

    A model that predicts one class with certainty gets the best score of all: use it behind the collapse guard only,
    and not to compare methods that minimise entropy themselves.

    Source: Morerio, Cavazza, Murino, "Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain Adaptation",
    ICLR 2018, arXiv 1711.10288.

    Example:
      >>> import numpy as np
      >>> z = np.zeros((4, 2))
      >>> round(Entropy().score(ValidationOutputs(z, z, np.array([0, 1, 0, 1]), z, z)), 4)
      -0.6931
    """

    name: ClassVar[str] = "entropy"
    summary: ClassVar[str] = "certainty of predictions on the target: minus their mean entropy"

    def score(self, outputs: ValidationOutputs) -> float:
        """Return minus the mean entropy, in nats."""
        return -float(entropy(softmax(outputs.target_logits)).mean())
