"""What a penalty is: it keeps parameters close to those of an earlier model, beside any method."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jax

from tladapt.fields import Chosen
from tladapt.registry import Registry

PyTree = Any


@dataclasses.dataclass(frozen=True)
class PenaltyStart:
    """What a penalty may prepare itself from, before the first step of the run that it belongs to.

    Attributes:
      params: the model's parameters by block ("backbone", "bottleneck", "classifier") that the run starts from.
      logits: `logits(params, x) -> [n, C]`, the model in evaluation mode as a function of its parameters.
      source: labelled source examples `(x [n, ...], y [n])` as the model sees them.
      key: randomness.
    """

    params: Mapping[str, PyTree]
    logits: Any
    source: tuple[jax.Array, jax.Array]
    key: jax.Array


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


PENALTIES: Registry[type[Penalty]] = Registry("penalty")
