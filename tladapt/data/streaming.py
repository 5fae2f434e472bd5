"""Reading ahead what does not fit in memory, by Grain's `MapDataset`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from tladapt.data.domain import Domain
from tladapt.data.sampling import examples
from tladapt.errors import MissingPackageError

T = TypeVar("T")

AHEAD_BYTES = 1 << 27
"""How much `in_turn` reads ahead, if that is two batches at least."""


def require_grain(what: str) -> Any:
    """Return the module `grain`.

    Args:
      what: is read from files, for the message.

    Raises:
      MissingPackageError: where it is not installed.
    """
    try:
        import grain
    except ImportError as error:
        raise MissingPackageError(
            f"{what} is read from files as the run goes, since it has no place in memory, and Grain, which reads it,"
            f" cannot be imported ({error}). Install it: pip install 'tladapt[stream]'."
        ) from error
    return grain


@dataclasses.dataclass(frozen=True)
class _Elements(Generic[T]):
    """A function of 0, 1 ... as what Grain reads from."""

    read: Callable[[int], T]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int, /) -> T:
        return self.read(at)


class ReadAhead(Generic[T]):
    """Call it with 0, 1, 2 ...: it returns `read(0)`, `read(1)` ..., read some ahead by threads.

    What it returns depends on the argument alone. A jump, back or forth, starts the reading anew there.

    Grain's elements are whole batches here, not examples: it takes 50 to 130 microseconds an element.

    Args:
      read: a pure function; threads call it.
      count: it is asked for 0 ... count - 1.
      ahead: how many results are read, or being read, before they are asked for; at least 1.
      threads: how many read.
    """

    def __init__(self, read: Callable[[int], T], *, count: int = 1 << 62, ahead: int, threads: int):
        grain = require_grain("a domain")
        options = grain.ReadOptions(num_threads=min(threads, ahead), prefetch_buffer_size=ahead)
        self._dataset = grain.MapDataset.source(_Elements(read, count)).to_iter_dataset(options)
        self._iterator: Any = None
        self._next = 0

    def __call__(self, at: int) -> T:
        """Return `read(at)`."""
        if self._iterator is None or at != self._next:
            self.close()
            self._iterator = iter(self._dataset)
            self._iterator.set_state({"next_index": at})
        try:
            found: T = next(self._iterator)
        except BaseException:
            self.close()  # what was read ahead no longer stands where the next call would look
            raise
        self._next = at + 1
        return found

    def close(self) -> None:
        """Stop reading; a later call starts anew."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None


def in_turn(domain: Domain, batches: Sequence[np.ndarray], *, threads: int = 8) -> Iterator[np.ndarray]:
    """Yield `examples(domain, index)` for each index of `batches`; those of a random-access source are read ahead.

    Args:
      domain: whose examples.
      batches: positions in the domain, integers.
      threads: how many read a random-access source.

    Raises:
      DamagedDataError: for a file that cannot be read, or an example of another shape than the first.
      MissingPackageError: for a random-access source, without Grain.

    >>> [x.tolist() for x in in_turn(Domain([[1.0], [2.0], [3.0]]), [np.array([2, 0]), np.array([1])])]
    [[[3.0], [1.0]], [[2.0]]]
    """
    if isinstance(domain.x, np.ndarray) or len(batches) < 2:
        yield from (examples(domain, index) for index in batches)
        return
    require_grain(f"domain {domain.name!r}")
    one = 4 * math.prod(domain.shape) * max(len(index) for index in batches)
    reader = ReadAhead(
        lambda at: examples(domain, batches[at]),
        count=len(batches),
        ahead=max(2, min(64, AHEAD_BYTES // one)),
        threads=threads,
    )
    try:
        yield from map(reader, range(len(batches)))
    finally:
        reader.close()


def in_order(count: int, size: int) -> list[np.ndarray]:
    """Return the positions of `count` examples in batches of one size: the last is filled up with the last example.

    >>> [index.tolist() for index in in_order(5, 3)]
    [[0, 1, 2], [3, 4, 4]]
    """
    size = min(size, count)
    return [np.minimum(np.arange(first, first + size), count - 1) for first in range(0, count, size)]
