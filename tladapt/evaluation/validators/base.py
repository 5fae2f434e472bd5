"""What a validator is, and what it may look at: there is no field for a label of the target."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

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
      source_training_features: `[m, d]`, of source examples that the model was trained on (a fixed sample of them);
        None unless the validator `needs` them.
    """

    source_features: Any
    source_logits: Any
    source_labels: Any
    target_features: Any
    target_logits: Any
    source_training_features: Any = None


class Assessment(NamedTuple):
    """A score, and what else a validator has to say of it.

    Attributes:
      score: higher is better; NaN where it cannot be told.
      details: numbers that the log keeps beside it, by name.
      doubt: one sentence on why the score should not be trusted; empty where nothing speaks against it.
    """

    score: float
    details: Mapping[str, float] = MappingProxyType({})
    doubt: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Validator(Chosen, abc.ABC):
    """Scores a model without labels of the target; higher is better, always.

    A validator of one's own is a frozen dataclass (its fields are its hyper-parameters) with a `name`, a `summary` of
    one line, and `score`.

    Class attributes:
      name: how commands, logs and tables call it.
      summary: one line for lists.
      costly: True for one that takes long. A run computes it only where it chooses the run's checkpoint;
        `tladapt select` always does.
      needs: names of optional fields of `ValidationOutputs` that `score` cannot do without.

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
    costly: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()

    @abc.abstractmethod
    def score(self, outputs: ValidationOutputs) -> float:
        """Return the score; NaN where it cannot be told (such a step is not chosen)."""

    def assess(self, outputs: ValidationOutputs) -> Assessment:
        """Return the score with its details and doubts; for validators that have some."""
        return Assessment(float(self.score(outputs)))


def thinned(values: Any, limit: int) -> np.ndarray:
    """Return at most `limit` of the examples `[n, ...]`, evenly spread over their order, as float64."""
    x = np.asarray(values)
    kept = x if len(x) <= limit else x[np.linspace(0, len(x) - 1, limit).astype(np.int64)]
    return kept.astype(np.float64)


VALIDATORS: Registry[type[Validator]] = Registry("validator")
