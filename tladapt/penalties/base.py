"""What a penalty is: it keeps parameters close to those of an earlier model, beside any method."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import numpy as np

from tladapt.fields import Chosen
from tladapt.registry import Registry

PyTree = Any


Logits = Callable[[Mapping[str, PyTree], jax.Array], jax.Array]
"""The model in evaluation mode: (parameters by block, raw inputs `[n, ...]`) -> logits `[n, C]`."""


@dataclasses.dataclass(frozen=True)
class PenaltyStart:
    """What a penalty may look at before the first step of a run, and after the last one.

    Attributes:
      params: the model's parameters by block ("backbone", "bottleneck", "classifier") at that moment.
      logits: by domain, "source" or "target", the model in evaluation mode: `logits["source"](params, x) -> [n, C]`;
        blocks that `params` lacks are as they were. It may be an argument of a function under `jax.jit`.
      source: `source(count) -> (x [n, ...], y [n])`, labelled source examples as the data set has them (uint8 or
        float32), n <= count, spread evenly over the source domains and over each of them.
      target: `target(count) -> x [n, ...]`, target examples; there are no labels of the target.
      key: randomness.
      earlier: what the penalty of the same name handed on in the run that this one starts from (see `Penalty.carry`);
        None where there is nothing.
    """

    params: Mapping[str, PyTree]
    logits: Mapping[str, Logits]
    source: Callable[[int], tuple[np.ndarray, np.ndarray]]
    target: Callable[[int], np.ndarray]
    key: jax.Array
    earlier: PyTree = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Penalty(Chosen):
    """Base of all penalties. A subclass is a frozen, keyword-only dataclass; its fields are its hyper-parameters."""

    name: ClassVar[str] = "penalty"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def prepare(self, start: PenaltyStart) -> PyTree:
        """Return the arrays that the penalty keeps all run long (the anchor, its importance)."""
        raise NotImplementedError(f"{type(self).__name__} must define prepare(self, start).")

    def value(self, params: Mapping[str, PyTree], memory: PyTree) -> jax.Array:
        """Return the penalty, a scalar, for parameters by block."""
        raise NotImplementedError(f"{type(self).__name__} must define value(self, params, memory).")

    def carry(self, end: PenaltyStart, memory: PyTree) -> PyTree:
        """Return what a later run that starts from this one finds in `start.earlier`: nested dictionaries of arrays.

        It is called once, after the last step. None, as here: a later run begins anew.
        """
        return None


PENALTIES: Registry[type[Penalty]] = Registry("penalty")
