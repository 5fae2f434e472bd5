"""Which examples each step sees: pure functions of (seed, role, step), so a resumed run needs no iterator state."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from tladapt.data.domain import Domain, Labelled, Unlabelled
from tladapt.errors import DamagedDataError, UsageError


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


def examples(domain: Domain, index: np.ndarray) -> np.ndarray:
    """Return the inputs at `index` as one array `[len(index), ...]`, uint8, int32 or float32.

    Args:
      domain: arrays, or a random-access source whose examples are read one by one.
      index: positions in the domain, integers.

    Raises:
      DamagedDataError: where an example of a random-access source has another shape than the first.
    """
    if isinstance(domain.x, np.ndarray):
        return as_input(domain.x[index])
    where = [int(i) for i in index]
    read = [as_input(domain.x[i]) for i in where]
    for i, x in zip(where, read, strict=True):
        if x.shape != read[0].shape:
            raise DamagedDataError(
                f"domain {domain.name!r}: example {i} has shape {x.shape}, example {where[0]} has {read[0].shape};"
                " all must have one shape."
            )
    return np.stack(read) if read else np.zeros((0, *domain.shape), np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The domains of a feed, and which of their examples a step takes."""

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

    def read(self, step: int) -> dict[str, np.ndarray]:
        """Return what one step needs: `x [batch_size, ...]`, `index` and, when labelled, `y`."""
        index = self.index(step, 1)
        x = [self.inputs(domain, index[0, i]) for i, domain in enumerate(self.domains)]
        flat = self.flat(index)[0]
        out = {"x": np.concatenate(x), "index": flat}
        return {**out, "y": self.labels[flat]} if self.labelled else out

    def assemble(self, x: Any, y: Any, index: Any) -> Labelled | Unlabelled:
        domain = jnp.asarray(
            np.repeat(np.arange(len(self.domains), dtype=np.int32), self.batch_size // len(self.domains))
        )
        return Labelled(x, y, domain, index) if self.labelled else Unlabelled(x, domain, index)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Labels of the domains laid end to end: int32 `[n]`."""
        return np.concatenate([domain.y for domain in self.domains])
