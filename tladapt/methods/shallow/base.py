"""What a classical method is: no steps and no network, fitted on arrays in one go."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Protocol

import numpy as np

from tladapt.registry import Registry


class Fitted(Protocol):
    """A classifier that was fitted."""

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return a score of each class `[n, C]` for inputs `[n, d]`; the largest one is the prediction."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShallowMethod:
    """A method that is fitted on labelled source vectors and unlabelled target vectors; fields are its options."""

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""

    def fit(self, x: np.ndarray, y: np.ndarray, x_target: np.ndarray, *, classes: int) -> Fitted:
        """Return the classifier.

        Args:
          x: labelled source inputs `[n_s, d]`, float32.
          y: their classes `[n_s]`, int32.
          x_target: unlabelled target inputs `[n_t, d]`, float32.
          classes: how many there are.
        """
        raise NotImplementedError


SHALLOW: Registry[type[ShallowMethod]] = Registry("shallow method")


def spread_out(scores: Any, present: np.ndarray, classes: int) -> np.ndarray:
    """Return scores `[n, len(present)]` of the classes that were seen as `[n, C]`, minus infinity for the others."""
    scores = np.asarray(scores)
    whole = np.full((len(scores), classes), -np.inf)
    whole[:, present] = scores
    return whole
