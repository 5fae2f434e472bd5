"""How raw inputs become what the model sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data.sampling import as_input
from tladapt.errors import UsageError

DOMAINS = ("source", "target")


class Inputs(NamedTuple):
    """Raw inputs to the model's: 8-bit ones to [0, 1], then (x - mean) / deviation of each domain.

    The constants are arrays of the run's state: seeds that hold out other examples have others, and one compiled step
    serves them all.

    Attributes:
      mean, deviation: by domain, float32 over the last axis; empty where inputs stay as they are.
    """

    mean: Mapping[str, Any]
    deviation: Mapping[str, Any]

    @staticmethod
    def scale(x: jax.Array) -> jax.Array:
        """Return 8-bit inputs in [0, 1] as float32, and others as they are."""
        return x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else x

    def __call__(self, x: jax.Array, domain: str) -> jax.Array:
        """Return scaled inputs `[n, ...]` of a domain, shifted and divided by its constants."""
        if domain not in self.mean:
            return x
        shape = (1,) * (x.ndim - 1) + (-1,)
        mean, deviation = (jnp.asarray(each[domain], x.dtype).reshape(shape) for each in self)
        return (x - mean) / deviation

    @classmethod
    def blank(cls, how: str, channels: int) -> Inputs:
        """Return constants that change nothing, in the form that a recipe's `standardize` asks for."""
        if how == "none":
            return cls({}, {})
        return cls(*({name: fill(channels, np.float32) for name in DOMAINS} for fill in (np.zeros, np.ones)))

    @classmethod
    def measure(cls, how: str, source: Sequence[Any], target: Any, limit: int = 20_000) -> Inputs:
        """Return the constants that a recipe's `standardize` asks for, from at most `limit` examples of each domain.

        Raises:
          UsageError: where inputs are indices, which have no mean.
        """
        if how == "none":
            return cls({}, {})
        if as_input(target[0]).dtype == np.int32:
            raise UsageError(
                f"the recipe's standardize={how!r} shifts and scales inputs, and these are int32, read as indices"
                " (token ids). Choose standardize='none' (--recipe.standardize none), or give numbers as float32."
            )
        measured = {"source": _moments(source, limit)}
        measured["target"] = measured["source"] if how == "source" else _moments([target], limit)
        return cls(*({name: measured[name][place] for name in DOMAINS} for place in (0, 1)))


def _moments(arrays: Sequence[Any], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation over all axes but the last, of examples evenly spaced in each array."""
    parts = [
        np.stack([as_input(x[int(i)]) for i in np.linspace(0, len(x) - 1, min(len(x), limit)).astype(int)])
        for x in arrays
    ]
    x = np.concatenate([part / (255.0 if part.dtype == np.uint8 else 1.0) for part in parts], dtype=np.float64)
    axes = tuple(range(x.ndim - 1))
    deviation = x.std(axes)
    return x.mean(axes).astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
