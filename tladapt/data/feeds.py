"""Batches as functions of the step: from the device where the examples fit, else read as the run goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data.domain import Domain, Labelled, Unlabelled
from tladapt.data.sampling import Plan
from tladapt.data.streaming import ReadAhead, require_grain
from tladapt.errors import UsageError

RESIDENT_BYTES = 1 << 30
"""Domains up to this size together stay on the device; larger ones, and random-access sources, are streamed."""

PART_BYTES = 1 << 28
"""How much of a streamed domain goes to the device at once, if that is a step at least; up to three such parts are
there at a time."""


class Feed(Protocol):
    """Batches as a function of the step: what stays on the device, what a chunk of steps brings, the batch itself."""

    batch_size: int
    """Examples in a batch, over all domains."""

    @property
    def part(self) -> int | None:
        """How many steps a chunk should have at most, for what it brings; None: as many as one likes."""
        ...

    def arrays(self) -> Any:
        """Return the arrays that the compiled step is given unchanged all run long; `()` when streamed."""
        ...

    def chunk(self, first_step: int, steps: int) -> Any:
        """Return what `steps` steps need from `first_step` on: a pytree of NumPy arrays with leading axis `[steps]`."""
        ...

    def batch(self, arrays: Any, step_slice: Any) -> Labelled | Unlabelled:
        """Return the batch of one step; traced inside jit. `step_slice`: a chunk at one step."""
        ...

    def close(self) -> None:
        """Let go of arrays and threads."""
        ...


class ResidentFeed:
    """All examples stay on the device; a step brings indices, and gathers inside the compiled step."""

    part = None

    def __init__(self, plan: Plan):
        self._plan = plan
        self.batch_size = plan.batch_size
        self._arrays: dict[str, jax.Array] | None = None

    def arrays(self) -> dict[str, jax.Array]:
        """Return `x [n, ...]` and, when labelled, `y [n]`: the domains laid end to end. Made once."""
        if self._arrays is None:
            plan = self._plan
            parts = [plan.inputs(domain, np.arange(len(domain))) for domain in plan.domains]
            self._arrays = {"x": jnp.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts))}
            if plan.labelled:
                self._arrays["y"] = jnp.asarray(plan.labels)
        return self._arrays

    def chunk(self, first_step: int, steps: int) -> dict[str, np.ndarray]:
        """Return `index`, int32 `[steps, batch_size]`."""
        return {"index": self._plan.flat(self._plan.index(first_step, steps))}

    def batch(self, arrays: Any, step_slice: Any) -> Labelled | Unlabelled:
        """Return the batch of one step, gathered by index."""
        index = step_slice["index"]
        x = jnp.take(arrays["x"], index, axis=0, mode="clip")
        y = jnp.take(arrays["y"], index, axis=0, mode="clip") if self._plan.labelled else None
        return self._plan.assemble(x, y, index)

    def close(self) -> None:
        """Let go of the arrays."""
        self._arrays = None


class StreamedFeed:
    """Examples are read some steps ahead; the batches are those of `ResidentFeed`, bit for bit.

    Args:
      plan: which examples each step takes.
      part_bytes: how much a chunk brings at most, if that is a step at least; as much is read ahead of it.
      threads: how many read.

    Raises:
      MissingPackageError: without Grain.
    """

    def __init__(self, plan: Plan, *, part_bytes: int = PART_BYTES, threads: int = 8):
        require_grain(" and ".join(repr(domain.name) for domain in plan.domains))
        self._plan = plan
        self.batch_size = plan.batch_size
        one = plan.inputs(plan.domains[0], np.array([0])).nbytes
        self.part = max(1, part_bytes // (one * plan.batch_size))
        self._steps = ReadAhead(plan.read, ahead=max(2, min(self.part, 64)), threads=threads)

    def arrays(self) -> tuple[()]:
        """Return `()`: nothing stays on the device."""
        return ()

    def chunk(self, first_step: int, steps: int) -> dict[str, np.ndarray]:
        """Return `x [steps, batch_size, ...]`, `index` and, when labelled, `y`; the steps after are being read."""
        read = [self._steps(step) for step in range(first_step, first_step + steps)]
        return {name: np.stack([one[name] for one in read]) for name in read[0]}

    def batch(self, arrays: Any, step_slice: Any) -> Labelled | Unlabelled:
        """Return the batch of one step as it was read."""
        return self._plan.assemble(step_slice["x"], step_slice.get("y"), step_slice["index"])

    def close(self) -> None:
        """Stop reading ahead; a later `chunk` starts anew."""
        self._steps.close()


def _bytes(domain: Domain) -> float:
    """Size of a domain on the device; a random-access source counts as too large for any."""
    if not isinstance(domain.x, np.ndarray):
        return math.inf
    return float(domain.x.size) * (1 if domain.x.dtype == np.uint8 else 4)


def feed(
    domains: Sequence[Domain],
    *,
    batch_size: int,
    seed: int,
    labelled: bool,
    role: str | None = None,
    resident_bytes: int = RESIDENT_BYTES,
    part_bytes: int = PART_BYTES,
    threads: int = 8,
) -> ResidentFeed | StreamedFeed:
    """Return the batches of some domains, with equal counts from each, as a function of the step.

    Step s of domain i takes the positions `[s * b, (s + 1) * b)` of its stream, b = batch_size / len(domains); each
    domain cycles at its own length.

    Args:
      domains: the source domains, or the target alone.
      batch_size: examples in a batch, a multiple of the number of domains.
      seed: the run's seed, >= 0.
      labelled: give `Labelled` batches; otherwise `Unlabelled`, which have no field for a label.
      role: names the streams. None: "source" when labelled, else "target". A second labelled feed of one run needs
        its own.
      resident_bytes: limit up to which the examples stay on the device.
      part_bytes: how much of a streamed domain a chunk brings at most, if that is a step at least.
      threads: how many threads read a streamed domain.

    Raises:
      MissingPackageError: for a domain that has to be streamed, without Grain.
      UsageError: for a batch size that does not divide, no domain, or a domain without the labels that are asked for.
    """
    domains = tuple(domains)
    if not domains:
        raise UsageError("feed needs at least one domain.")
    if batch_size < 1 or batch_size % len(domains):
        raise UsageError(
            f"batch_size must be a positive multiple of the number of domains, for equal counts from each:"
            f" got {batch_size} for {len(domains)} domains;"
            f" {max(1, batch_size // len(domains)) * len(domains)} would do."
        )
    if seed < 0:
        raise UsageError(f"seed must be an integer from 0 on, got {seed}.")
    for domain in domains:
        if labelled and domain.y is None:
            raise UsageError(f"a labelled feed needs labels, and domain {domain.name!r} has none.")
    role = role or ("source" if labelled else "target")
    plan = Plan(domains=domains, batch_size=batch_size, seed=int(seed), role=role, labelled=labelled)
    if sum(_bytes(domain) for domain in domains) <= resident_bytes:
        return ResidentFeed(plan)
    return StreamedFeed(plan, part_bytes=part_bytes, threads=threads)
