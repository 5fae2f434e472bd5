"""The nearest source example's class: the oldest baseline of the field."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from tladapt.errors import UsageError
from tladapt.methods.shallow.base import SHALLOW, ShallowMethod, spread_out


@dataclasses.dataclass(frozen=True)
class _Neighbours:
    model: Any
    classes: int

    def scores(self, x: np.ndarray) -> np.ndarray:
        return spread_out(self.model.predict_proba(x), self.model.classes_, self.classes)


@SHALLOW.register("nearest_neighbour")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NearestNeighbour(ShallowMethod):
    """The class of the nearest source examples by Euclidean distance; equal votes go to the class of lower index.

    Raises:
      UsageError: for a number of neighbours that is not positive.
    """

    name: ClassVar[str] = "nearest_neighbour"
    summary: ClassVar[str] = "the class of the nearest source example, by Euclidean distance"

    neighbours: int = 1
    """How many vote."""

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise UsageError(f"nearest_neighbour: neighbours must be at least 1, got {self.neighbours!r}.")

    def fit(self, x: np.ndarray, y: np.ndarray, x_target: np.ndarray, *, classes: int) -> _Neighbours:
        from sklearn.neighbors import KNeighborsClassifier

        if self.neighbours > len(x):
            raise UsageError(f"nearest_neighbour: {self.neighbours} neighbours of {len(x)} source examples.")
        return _Neighbours(KNeighborsClassifier(self.neighbours).fit(x, y), classes)
