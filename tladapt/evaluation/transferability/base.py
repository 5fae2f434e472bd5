"""What every transferability score is: a number of features or probabilities and labels; higher is better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np

from tladapt.errors import UsageError
from tladapt.registry import Registry

Reads = Literal["features", "probabilities"]
Function = TypeVar("Function", bound=Callable[..., float])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferabilityScore:
    """A score that ranks source models for a labelled data set before any training; higher is better.

    Attributes:
      name: its registered name.
      summary: one line on it.
      reads: what of a model it looks at: "features" `[n, d]`, or "probabilities" `[n, Z]` of the model's own classes.
      function: `function(array, labels) -> float`.
    """

    name: str
    summary: str
    reads: Reads
    function: Callable[[Any, Any], float]

    def __call__(self, array: Any, labels: Any) -> float:
        """Return the score of features or probabilities and labels `[n]`."""
        return self.function(array, labels)


TRANSFERABILITY: Registry[TransferabilityScore] = Registry("transferability score")


def transferability(name: str, summary: str, *, reads: Reads) -> Callable[[Function], Function]:
    """Return a decorator that files a function `(array, labels) -> float` in `TRANSFERABILITY` and gives it back."""

    def file(function: Function) -> Function:
        score = TransferabilityScore(name=name, summary=summary, reads=reads, function=function)
        TRANSFERABILITY.register(name)(score)
        return function

    return file


def checked_labels(labels: Any) -> np.ndarray:
    """Return labels as positions among the classes that occur, int64 `[n]`.

    Raises:
      UsageError: for what is no vector of integers, or fewer than two classes.
    """
    y = np.asarray(labels)
    if y.ndim != 1 or len(y) == 0 or y.dtype.kind not in "iu":
        raise UsageError(f"labels must be a non-empty vector of class indices, got {y.dtype} of shape {y.shape}.")
    classes, index = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise UsageError(f"labels of at least two classes are needed, and all {len(y)} are of class {classes[0]}.")
    return index.astype(np.int64)


def checked(features: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return features `[n, d]` in float64, and labels `[n]` as positions among the classes that occur.

    Raises:
      UsageError: for shapes that do not fit, values that are not finite, or fewer than two classes.
    """
    y, f = checked_labels(labels), np.asarray(features)
    if f.ndim != 2 or len(f) != len(y) or f.shape[1] == 0:
        raise UsageError(f"expected features [n, d] and labels [n], got shapes {f.shape} and {y.shape}.")
    f = f.astype(np.float64)
    if not np.isfinite(f).all():
        bad = int((~np.isfinite(f)).any(axis=1).sum())
        raise UsageError(f"{bad} of {len(f)} examples have features that are not finite; leave these examples out.")
    return f, y


def indicators(y: np.ndarray) -> np.ndarray:
    """Return one column a class `[n, C]`, 1 where the example is of it; `y` are positions among the classes."""
    return np.asarray(y[:, None] == np.arange(y.max() + 1)[None, :], dtype=np.float64)
