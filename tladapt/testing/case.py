"""A loss under test, how to call it, and the words for what it does not do."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

Kind = Literal["pair", "domains", "single", "aligned", "labelled"]

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "pair": ("source features", "target features"),
    "domains": ("source logits", "target logits"),
    "single": ("logits",),
    "aligned": ("first logits", "second logits"),
    "labelled": ("logits", "labels"),
}


class ConformanceError(AssertionError):
    """A loss that failed a check of `check_loss`; the message names the check, the numbers and the usual cause."""


ConformanceError.__module__ = "tladapt.testing"  # tracebacks show the name that people import


def weight_names(kind: str) -> tuple[str, ...]:
    """Return the keyword arguments that weigh the examples of a kind of loss."""
    return ("source_weights", "target_weights") if kind in ("pair", "domains") else ("weights",)


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss under test, and how to call it."""

    fn: Callable[..., Any]
    kind: Kind
    given_sizes: tuple[tuple[int, int], ...]
    width: int
    equal_sizes: bool
    no_gradient: tuple[int, ...]
    bias: float
    tolerance: float
    seed: int
    compiled: Callable[..., Any] = dataclasses.field(init=False)
    """Value and gradients of `fn`, jitted."""
    traces: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """How many times `fn` was traced, without weights, for float32 inputs of these shapes."""

    def __post_init__(self) -> None:
        def counted(*arrays: Any, **keywords: Any) -> Any:
            if not keywords and jnp.result_type(arrays[0]) == jnp.float32:
                self.traces[str([a.shape for a in arrays])] += 1
            return self.fn(*arrays, **keywords)

        # One compiled function for all checks: each shape compiles once.
        object.__setattr__(self, "compiled", jax.jit(jax.value_and_grad(counted, argnums=self.moved)))

    @property
    def names(self) -> tuple[str, ...]:
        return ARGUMENTS[self.kind]

    @property
    def unpaired(self) -> bool:
        return self.kind in ("pair", "domains")

    @property
    def moved(self) -> tuple[int, ...]:
        """Positions of the floating arguments."""
        return (0,) if self.kind in ("single", "labelled") else (0, 1)

    @property
    def even(self) -> tuple[int, int]:
        """A size that losses over pairs of examples and 8 devices divide."""
        return (32, 32)

    def sizes(self) -> list[tuple[int, int]]:
        """The sizes that `fn` has to take."""
        if self.equal_sizes or not self.unpaired:
            return [(n, n) for n in dict.fromkeys(n for n, _ in self.given_sizes)]
        return list(self.given_sizes)

    def inputs(self, sizes: tuple[int, int], *, shift: float = 1.0, draw: int = 0) -> list[np.ndarray]:
        """Random float32 inputs. `shift` 0 gives two samples of one distribution, 1 moves and stretches the second."""
        rng = np.random.default_rng([self.seed, draw, *sizes])
        n, m = sizes
        if self.kind == "labelled":
            return [2 * normal(rng, n, self.width), rng.integers(0, self.width, n).astype(np.int32)]
        if self.kind == "domains":
            return [normal(rng, n, 1)[:, 0], normal(rng, m, 1)[:, 0]]
        if self.kind == "pair":
            moved = (1 + shift) * normal(rng, m, self.width) + np.float32(1.5 * shift)
            return [normal(rng, n, self.width), moved.astype(np.float32)]
        return [2 * normal(rng, n, self.width) for _ in self.names]

    def value(self, *arrays: Any, **keywords: Any) -> Any:
        """`fn` as it is, eagerly; an exception becomes a failed check."""
        try:
            return self.fn(*map(jnp.asarray, arrays), **keywords)
        except Exception as error:
            fail("value", f"{raised(error)} at shapes {[a.shape for a in arrays]}.", RAISES, error)

    def both(self, check: str, *arrays: Any, **keywords: Any) -> tuple[float, list[np.ndarray]]:
        """Value and gradients, compiled, as float64 arrays on the host."""
        try:
            value, gradients = self.compiled(*arrays, **keywords)
        except Exception as error:
            cause = OWN_DEVICES if check == "devices" else UNTRACEABLE
            fail(check, f"{raised(error)} under jax.jit(jax.value_and_grad(fn)).", cause, error)
        return float(value), [np.asarray(g.astype(jnp.float32), np.float64) for g in gradients]


RAISES = (
    "Usual cause: halves split by position or matrices subtracted, which needs equal batches (a loss that does need "
    "them refuses others by ValueError and is checked with equal_sizes=True), or shapes and dtypes that were mixed."
)
BLOCKS = (
    "It takes 32 examples and not 17. Usual cause: the batch is cut into blocks of equal size, one for each device, "
    "replica or chunk: batches come in any size, and a statistic of the batch has to see all of it."
)
PER_DEVICE = (
    "Usual cause: a statistic (mean, covariance, bandwidth, marginal) of each device's, replica's or chunk's part of "
    "the batch, averaged over the parts: shard_map, pmap, or vmap over blocks. Write the loss for the whole batch and "
    "let jax.jit divide it; inside shard_map, sum the statistic over the devices (jax.lax.psum) before it is used."
)
OWN_DEVICES = (
    "The batch was split over several devices. Usual cause: a mesh or device of the loss's own: leave the placement to "
    "jax.jit and to the sharding of the inputs."
)
UNTRACEABLE = (
    "Usual cause: float(), bool(), `if` or NumPy on an array: stay in jax.numpy, and use jnp.where for a condition."
)
NO_GRADIENT = (
    "look for stop_gradient, argmax, sign, round, a comparison, or a detached copy. Training would run and adapt "
    "nothing."
)


def fail(check: str, what: str, cause: str, error: Exception | None = None) -> NoReturn:
    """Raise `ConformanceError` with the check, what happened and its usual cause."""
    raise ConformanceError(f"check {check!r}: {what} {cause}") from error


def raised(error: Exception) -> str:
    """Return an exception of the loss in one line."""
    lines = str(error).strip().splitlines()
    return f"the loss raised {type(error).__name__} ({lines[0] if lines else 'no message'})"


def normal(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """Return standard normal float32 numbers `[n, width]`."""
    return rng.standard_normal((n, width)).astype(np.float32)


def close(a: Any, b: Any, relative: float) -> bool:
    """Return whether two arrays agree relative to their largest entry."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = max(float(np.max(np.abs(a), initial=0.0)), float(np.max(np.abs(b), initial=0.0)))
    return bool(np.all(np.abs(a - b) <= relative * scale + 1e-6))
