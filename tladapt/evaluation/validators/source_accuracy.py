"""Accuracy on held-out source examples: blind to the target, and so never fooled by it."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tladapt.evaluation.metrics import accuracy
from tladapt.evaluation.validators.base import VALIDATORS, ValidationOutputs, Validator


@VALIDATORS.register("source_accuracy")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceAccuracy(Validator):
    """Accuracy on the source's validation examples, in [0, 1].

    It says nothing of the target; what speaks for it is that adaptation cannot game it, and that it falls when the
    features are destroyed.

    Example:
      >>> import numpy as np
      >>> z = np.array([[1.0, 3.0], [5.0, 0.0]])
      >>> SourceAccuracy().score(ValidationOutputs(z, z, np.array([1, 1]), z, z))
      0.5
    """

    name: ClassVar[str] = "source_accuracy"
    summary: ClassVar[str] = "accuracy on held-out source examples"

    def score(self, outputs: ValidationOutputs) -> float:
        """Return the accuracy."""
        return accuracy(outputs.source_logits, outputs.source_labels)
