"""What a backbone is: a frozen record of choices that builds the network once the shape of the inputs is known."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.fields import Chosen
from tladapt.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone(Chosen):
    """A network that makes features, as configuration; a subclass adds its choices as fields, documented below each.

    Register a subclass with `@BACKBONES.register("name")` and give it the same `name`.
    """

    name: ClassVar[str] = ""
    """How configs and the command line call it."""
    summary: ClassVar[str] = ""
    """One line for `tladapt list backbones`."""

    dtype: ClassVar[str] = "float32"
    """What the network reads: "float32", or "int32" for token ids."""

    def prepare(self, x: jax.Array) -> jax.Array:
        """Return inputs `[n, *shape]` as the network reads them; by default as they are."""
        return x

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        """Return the network.

        Args:
          shape: of one input, without the batch: (d,) or (height, width, channels).
          rngs: draws the initial parameters, and feeds dropout.

        Returns:
          A module with `features = module(x)`, x floating `[n, *shape]`, features `[n, d]`, and `out_features`, d.

        Raises:
          UsageError: for inputs that this network cannot read.
        """
        raise NotImplementedError


BACKBONES: Registry[type[Backbone]] = Registry("backbone")


def check_image(backbone: str, shape: tuple[int, ...], smallest: int) -> None:
    """Raise `UsageError` unless `shape` is an image of at least `smallest` pixels a side, channels last."""
    wanted = f"backbone {backbone!r} reads images [height, width, channels] of at least {smallest} x {smallest} pixels"
    if len(shape) == 1:
        raise UsageError(
            f"{wanted}; these inputs are vectors of {shape[0]} numbers. Use 'mlp', or reshape them to images."
        )
    if len(shape) == 2:
        raise UsageError(f"{wanted}; these have shape {shape}. Give a grey image its channel: x[..., None].")
    if len(shape) != 3:
        raise UsageError(f"{wanted}; these inputs have shape {shape}.")
    if min(shape[:2]) < smallest:
        hint = (
            " Are the channels first? They have to be last." if shape[0] in (1, 3) else " Use 'mlp', or enlarge them."
        )
        raise UsageError(f"{wanted}; these have shape {shape}.{hint}")


def check_positive(backbone: str, **values: float | tuple[int, ...]) -> None:
    """Raise `UsageError` unless each value, or each number of a tuple, is at least 1."""
    for field, value in values.items():
        for one in value if isinstance(value, tuple) else (value,):
            if not (isinstance(one, int) and one >= 1):
                raise UsageError(f"backbone {backbone!r}: {field} must be whole numbers of at least 1, got {value!r}.")


def check_rate(backbone: str, dropout: float) -> None:
    """Raise `UsageError` unless a dropout rate is in [0, 1)."""
    if not 0.0 <= dropout < 1.0:
        raise UsageError(f"backbone {backbone!r}: dropout is the share that is dropped, in [0, 1); got {dropout!r}.")


def flat_size(shape: tuple[int, ...]) -> int:
    """Return the number of values of one input."""
    return math.prod(shape)
