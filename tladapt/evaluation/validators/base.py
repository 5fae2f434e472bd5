"""What a validator is, and what it may look at: there is no field for a label of the target."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple

from tladapt.fields import Chosen
from tladapt.registry import Registry


class ValidationOutputs(NamedTuple):
    """What the model makes of the source's validation examples and of the target's *training* examples.

    Attributes:
      source_features: `[n_s, d]` float NumPy array.
      source_logits: `[n_s, C]`.
      source_labels: `[n_s]` integers in [0, C).
      target_features: `[n_t, d]`, the whole target training set (or a fixed sample of it).
      target_logits: `[n_t, C]`.
    """

    source_features: Any
    source_logits: Any
    source_labels: Any
    target_features: Any
    target_logits: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validator(Chosen, abc.ABC):
    """Scores a model without labels of the target; higher is better, always.

    A validator of one's own is a frozen dataclass (its fields are its hyper-parameters) with a `name`, a `summary` of
    one line, and `score`.

    Example:
      >>> import dataclasses, numpy as np
      >>> @dataclasses.dataclass(frozen=True, kw_only=True)
      ... class Confidence(Validator):
      ...     name = "confidence"
      ...     summary = "mean largest logit on the target"
      ...     def score(self, outputs):
      ...         return float(outputs.target_logits.max(axis=1).mean())
      >>> z = np.array([[1.0, 3.0], [5.0, 0.0]])
      >>> Confidence().score(ValidationOutputs(z, z, np.array([1, 0]), z, z))
      4.0
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""

    @abc.abstractmethod
    def score(self, outputs: ValidationOutputs) -> float:
        """Return the score; NaN where it cannot be told (such a step is not chosen)."""


VALIDATORS: Registry[type[Validator]] = Registry("validator")
