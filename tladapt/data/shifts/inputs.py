"""Shifts that change inputs one by one: at once where they are arrays, on reading where they are not in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tladapt.data.domain import Domain, Scenario
from tladapt.data.shifts.base import Shift, Side, generator, on_side, side_of
from tladapt.errors import UsageError

Mover = Callable[[np.ndarray, np.random.RandomState | None], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputShift(Shift):
    """Base of shifts that make of each input another, as a function of (seed, role of its domain, its position)."""

    of: Side = "target"
    """Whose inputs are changed: target (and its test set) or source (and its validation set)."""

    draws: ClassVar[bool] = True
    """Whether `one` looks at random numbers; a subclass that does has a field `seed`."""

    def one(self, x: np.ndarray, rng: np.random.RandomState | None) -> np.ndarray:
        """Return one input, changed; the same random numbers for the same example, whoever reads it and when."""
        raise NotImplementedError(f"{type(self).__name__} must define one(self, x, rng).")

    def check_input(self, x: np.ndarray, called: str) -> None:
        """Raise where inputs like this one cannot be changed so."""

    def mover(self, scenario: Scenario) -> Mover:
        """Return `one`, with what it needs to know of the problem."""
        del scenario
        return self.one

    def random(self, stream: str, position: int) -> np.random.RandomState | None:
        """Return the random numbers for an example; None where none are drawn."""
        return generator(self.name, stream, getattr(self, "seed", 0), position) if self.draws else None

    def inputs(self, x: Any, *, stream: str = "target", first: int = 0) -> np.ndarray:
        """Return inputs changed as those of a scenario would be.

        Args:
          x: `[n, ...]`, as a domain has them.
          stream: the role of their domain ("target", "test", "source/0", ...), of which random numbers are a function.
          first: position of the first of them in that domain.

        >>> from tladapt.data.shifts import Inverse
        >>> Inverse().inputs(np.zeros((2, 4, 4), np.uint8)).min()
        np.uint8(255)
        """
        if len(x) == 0:
            raise UsageError(f"{self.called}: there is no input to change (len(x) = 0).")
        self.check_input(np.asarray(x[0]), "x")
        return np.stack([self.one(np.asarray(one), self.random(stream, first + i)) for i, one in enumerate(x)])

    def shifted(self, scenario: Scenario) -> Scenario:
        """Return the problem with the inputs of a side changed."""
        check_numbers(self, scenario)
        mover = self.mover(scenario)

        def change(role: str, domain: Domain) -> Domain:
            if not on_side(role, self.of):
                return domain
            self.check_input(np.asarray(domain.x[0]), f"domain {domain.name!r}")
            lazy = Shifted(domain.x, self, mover, role)
            if not isinstance(domain.x, np.ndarray):
                return dataclasses.replace(domain, x=lazy)
            first = lazy[0]
            x = np.empty((len(domain), *first.shape), first.dtype)
            x[0] = first
            for position in range(1, len(domain)):
                x[position] = lazy[position]
            return dataclasses.replace(domain, x=x)

        return scenario.with_domains(change)


@dataclasses.dataclass(frozen=True)
class Shifted:
    """Inputs of a random-access source, changed as they are read."""

    source: Any
    shift: InputShift
    mover: Mover
    stream: str

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> np.ndarray:
        position = range(len(self.source))[index]  # -1 is the last one
        return self.mover(np.asarray(self.source[position]), self.shift.random(self.stream, position))


def check_numbers(shift: Shift, scenario: Scenario) -> None:
    """Raise where inputs are texts or token ids, which cannot be computed with."""
    if scenario.target.is_text or scenario.target.holds_indices:
        what = "texts" if scenario.target.is_text else "int32, read as indices (token ids)"
        raise UsageError(
            f"{shift.called} computes with inputs, and those of {scenario.name} are {what}. Shifts of labels go with"
            " any inputs: label_shift, tweak_one, knock_out, imbalance, missing_classes, concept_shift."
        )


def unit(x: Any) -> np.ndarray:
    """Return inputs as models see them: float32, 8-bit ones in [0, 1]."""
    x = np.asarray(x)
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32)


def vectors(domain: Domain) -> np.ndarray:
    """Return all inputs of a domain as vectors `[n, d]`, float32; 8-bit ones in [0, 1]."""
    x = (
        domain.x
        if isinstance(domain.x, np.ndarray)
        else np.stack([np.asarray(domain.x[i]) for i in range(len(domain))])
    )
    return unit(x).reshape(len(x), -1)


def sample(scenario: Scenario, side: Side, most: int = 300) -> np.ndarray:
    """Return at most about `most` inputs of a side as vectors `[n, d]`, float64, evenly spaced in its domains.

    Raises:
      UsageError: for inputs that are not finite.
    """
    domains = side_of(scenario, side)
    total = sum(map(len, domains))
    parts = []
    for domain in domains:
        count = max(1, min(len(domain), most * len(domain) // total))
        where = np.linspace(0, len(domain) - 1, count).astype(np.int64)
        parts.append(vectors(domain.take(where)))
        if not np.isfinite(parts[-1]).all():
            raise UsageError(
                f"domain {domain.name!r} has inputs that are not finite, so it has no principal directions."
            )
    return np.concatenate(parts).astype(np.float64)


def principal(x: np.ndarray, count: int) -> np.ndarray:
    """Return the first principal directions of vectors as orthonormal columns `[d, count]`.

    They are the eigenvectors of the covariance. Where there are fewer examples than features they come from the Gram
    matrix of the examples: X X^T a = l a gives X^T a / sqrt(l). Each has the sign with which its largest entry is
    positive.

    Args:
      x: `[n, d]`, float64.
      count: how many.

    Raises:
      UsageError: where examples vary in fewer directions.
    """
    centred = x - x.mean(axis=0)
    wide = len(x) < x.shape[1]
    values, found = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)  # ascending
    values, found = values[::-1][:count], found[:, ::-1][:, :count]
    if len(values) < count or values[-1] <= 1e-9 * max(float(values[0]), 1e-30):
        raise UsageError(f"inputs vary in fewer directions than the {count} that are asked for.")
    directions = centred.T @ (found / np.sqrt(values)) if wide else found  # [d, count]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(count)]
    return np.asarray(directions * np.sign(largest))


def check_picture(shift: Shift, x: np.ndarray, called: str, *, eight_bit: bool, channels: tuple[int, ...] = ()) -> None:
    """Raise unless inputs like `x` are pictures that a shift can change.

    Args:
      shift: the shift, for the message.
      x: one input.
      called: what messages call its domain.
      eight_bit: whether they have to be uint8.
      channels: numbers of channels that it understands; empty: any.
    """
    from tladapt.data.pictures import is_picture

    if not is_picture(x.shape, x.dtype):
        raise UsageError(
            f"{shift.called} changes pictures, [height, width, 1 or 3] or 8-bit [height, width]; the inputs of {called}"
            f" are {x.dtype} {x.shape}."
        )
    if eight_bit and x.dtype != np.uint8:
        raise UsageError(
            f"{shift.called} takes 8-bit pictures (uint8, 0 to 255), and those of {called} are {x.dtype}."
            " numpy.rint(255 * x).astype(numpy.uint8) makes them of numbers in [0, 1]."
        )
    found = x.shape[2] if x.ndim == 3 else 1
    if channels and found not in channels:
        wanted = " or ".join(map(str, channels))
        raise UsageError(f"{shift.called} needs pictures with {wanted} channels; those of {called} have {found}.")
