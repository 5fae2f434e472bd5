"""Which examples each step sees: pure functions of (seed, role, step), so a resumed run needs no iterator state."""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data.domain import Domain, Labelled, Unlabelled
from tladapt.errors import DamagedDataError, UsageError

RESIDENT_BYTES = 1 << 30
"""Domains up to this size together stay on the device; larger ones, and random-access sources, are streamed."""


@functools.lru_cache(maxsize=16)
def permutation(seed: int, name: str, epoch: int, n: int) -> np.ndarray:
    """Return the order of `n` examples in one epoch of the stream `name`: int32 `[n]`, read-only.

    The order is the rank of `n` raw 64-bit draws of PCG64, whose stream NumPy keeps fixed between its versions.

    Args:
      seed: the run's seed, >= 0.
      name: the stream; two names give two independent orders.
      epoch: number of the pass over the examples, from 0.
      n: how many examples there are.

    >>> sorted(permutation(0, "source/0", 3, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    if seed < 0:
        raise UsageError(f"seed must be an integer from 0 on, got {seed}.")
    entropy = np.random.SeedSequence([seed, zlib.crc32(name.encode()), epoch])
    order = np.argsort(np.random.PCG64(entropy).random_raw(n), kind="stable").astype(np.int32)
    order.setflags(write=False)
    return order


def positions(seed: int, name: str, n: int, first: int, count: int) -> np.ndarray:
    """Return `count` entries, from `first` on, of the endless stream of example indices.

    Entry p is `permutation(seed, name, p // n)[p % n]`: every epoch is a permutation of all examples.

    Args:
      seed: the run's seed, >= 0.
      name: the stream; its role belongs in it ("source/0", "target/0"), or domains of one length march in step.
      n: length of the domain, > 0.
      first: position in the stream, >= 0.
      count: how many entries, >= 0.

    Returns:
      int32 `[count]`.

    >>> bool((positions(7, "target/0", 10, 4, 9) == positions(7, "target/0", 10, 0, 13)[4:]).all())
    True
    """
    if n < 1 or first < 0 or count < 0:
        raise UsageError(f"positions needs n >= 1, first >= 0, count >= 0; got {n=}, {first=}, {count=}.")
    out = np.empty(count, np.int32)
    done = 0
    while done < count:
        epoch, offset = divmod(first + done, n)
        taken = min(count - done, n - offset)
        out[done : done + taken] = permutation(int(seed), name, epoch, n)[offset : offset + taken]
        done += taken
    return out


def as_input(x: Any) -> np.ndarray:
    """Return inputs in the three dtypes that reach a device: uint8 and int32 as they are, all else as float32.

    Raises:
      UsageError: for texts.
    """
    x = np.asarray(x)
    if x.dtype.kind in "OSTU":
        raise UsageError(
            "the inputs are texts, and a model reads token ids: name a text backbone, which brings its tokenizer, or"
            " make them with tladapt.data.tokenized(scenario, tokenizer, length)."
        )
    return x if x.dtype in (np.uint8, np.int32) else x.astype(np.float32)


def examples(domain: Domain, index: np.ndarray, *, threads: int = 0) -> np.ndarray:
    """Return the inputs at `index` as one array `[len(index), ...]`, uint8, int32 or float32.

    Args:
      domain: arrays, or a random-access source whose examples are read one by one.
      index: positions in the domain, integers.
      threads: how many read a random-access source at a time; 0 or 1: this one alone.

    Raises:
      DamagedDataError: where an example of a random-access source has another shape than the first.
    """
    if isinstance(domain.x, np.ndarray):
        return as_input(domain.x[index])
    where = [int(i) for i in index]
    if threads > 1 and len(where) > 1:
        with ThreadPoolExecutor(threads) as pool:
            read = list(pool.map(lambda i: as_input(domain.x[i]), where))
    else:
        read = [as_input(domain.x[i]) for i in where]
    for i, x in zip(where, read, strict=True):
        if x.shape != read[0].shape:
            raise DamagedDataError(
                f"domain {domain.name!r}: example {i} has shape {x.shape}, example {where[0]} has {read[0].shape};"
                " all must have one shape."
            )
    return np.stack(read) if read else np.zeros((0, *domain.shape), np.float32)


class Feed(Protocol):
    """Batches as a function of the step: what stays on the device, what a chunk of steps brings, the batch itself."""

    batch_size: int
    """Examples in a batch, over all domains."""

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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """What both feeds share: the domains, and which of their examples a step takes."""

    domains: tuple[Domain, ...]
    batch_size: int
    seed: int
    role: str
    labelled: bool

    def index(self, first_step: int, steps: int) -> np.ndarray:
        """Return positions within each domain: int32 `[steps, domains, batch_size / domains]`."""
        share = self.batch_size // len(self.domains)
        streams = [
            positions(self.seed, f"{self.role}/{i}", len(domain), first_step * share, steps * share)
            for i, domain in enumerate(self.domains)
        ]
        return np.stack([stream.reshape(steps, share) for stream in streams], axis=1)

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """Where each domain starts when they are laid end to end: int32 `[domains]`."""
        return np.cumsum([0, *(len(domain) for domain in self.domains)])[:-1].astype(np.int32)

    def flat(self, index: np.ndarray) -> np.ndarray:
        """Return positions in the domains laid end to end: int32 `[steps, batch_size]`."""
        return (index + self.offsets[None, :, None]).reshape(len(index), self.batch_size)

    @functools.cached_property
    def mixed(self) -> bool:
        """Whether some domains are uint8 and others float, so that the former are scaled to [0, 1] on the host."""
        first = {as_input(domain.x[0]).dtype for domain in self.domains}
        return len(first) > 1

    def inputs(self, domain: Domain, index: np.ndarray) -> np.ndarray:
        x = examples(domain, index)
        return x.astype(np.float32) / np.float32(255) if self.mixed and x.dtype == np.uint8 else x

    def assemble(self, x: Any, y: Any, index: Any) -> Labelled | Unlabelled:
        domain = jnp.asarray(
            np.repeat(np.arange(len(self.domains), dtype=np.int32), self.batch_size // len(self.domains))
        )
        return Labelled(x, y, domain, index) if self.labelled else Unlabelled(x, domain, index)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Labels of the domains laid end to end: int32 `[n]`."""
        return np.concatenate([domain.y for domain in self.domains])


class ResidentFeed:
    """All examples stay on the device; a step brings indices, and gathers inside the compiled step."""

    def __init__(self, plan: _Plan):
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
    """Examples are read by threads, some steps ahead; the batches are those of `ResidentFeed`, bit for bit."""

    def __init__(self, plan: _Plan, *, threads: int = 8):
        self._plan = plan
        self.batch_size = plan.batch_size
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: dict[int, Future[dict[str, np.ndarray]]] = {}

    def arrays(self) -> tuple[()]:
        """Return `()`: nothing stays on the device."""
        return ()

    def _read(self, step: int) -> dict[str, np.ndarray]:
        plan = self._plan
        index = plan.index(step, 1)
        x = [plan.inputs(domain, index[0, i]) for i, domain in enumerate(plan.domains)]
        flat = plan.flat(index)[0]
        out = {"x": np.concatenate(x), "index": flat}
        return {**out, "y": plan.labels[flat]} if plan.labelled else out

    def chunk(self, first_step: int, steps: int) -> dict[str, np.ndarray]:
        """Return `x [steps, batch_size, ...]`, `index` and, when labelled, `y`; starts reading the steps after."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="tladapt-read")
        wanted = range(first_step, first_step + steps + max(steps, 4))
        for step in [step for step in self._ahead if step not in wanted]:
            self._ahead.pop(step).cancel()
        for step in wanted:
            if step not in self._ahead:
                self._ahead[step] = self._pool.submit(self._read, step)
        read = [self._ahead.pop(step).result() for step in range(first_step, first_step + steps)]
        return {name: np.stack([one[name] for one in read]) for name in read[0]}

    def batch(self, arrays: Any, step_slice: Any) -> Labelled | Unlabelled:
        """Return the batch of one step as it was read."""
        return self._plan.assemble(step_slice["x"], step_slice.get("y"), step_slice["index"])

    def close(self) -> None:
        """Stop reading ahead; a later `chunk` starts anew."""
        self._ahead.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


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
      threads: how many threads read a streamed domain.

    Raises:
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
    plan = _Plan(domains=domains, batch_size=batch_size, seed=int(seed), role=role, labelled=labelled)
    if sum(_bytes(domain) for domain in domains) <= resident_bytes:
        return ResidentFeed(plan)
    return StreamedFeed(plan, threads=threads)
