"""Texts as inputs: a domain of strings, and the token ids that a model reads in their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np

from tladapt.errors import UsageError

if TYPE_CHECKING:
    from tladapt.data.domain import Scenario


class Texts(Sequence[str]):
    """Texts as a random-access source: `len(texts)`, `texts[i] -> str`.

    Args:
      items: the texts.

    Raises:
      UsageError: for an item that is no text.

    >>> Texts(["a good book", "a bad one"])
    Texts(2 texts: 'a good book', 'a bad one')
    """

    def __init__(self, items: Iterable[str]):
        self._items = tuple(items)
        for place, item in enumerate(self._items):
            if not isinstance(item, str):
                raise UsageError(f"texts must all be str, got {type(item).__name__} at place {place}: {item!r}.")

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int, /) -> str: ...
    @overload
    def __getitem__(self, index: slice, /) -> Texts: ...
    def __getitem__(self, index: Any, /) -> Any:
        return Texts(self._items[index]) if isinstance(index, slice) else self._items[int(index)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def take(self, index: np.ndarray) -> Texts:
        """Return the texts at `index` (integers), in that order."""
        return Texts(self._items[int(place)] for place in index)

    def __repr__(self) -> str:
        shown = ", ".join(repr(item if len(item) <= 30 else item[:27] + "...") for item in self._items[:2])
        return f"Texts({len(self)} texts: {shown}{', ...' if len(self) > 2 else ''})"


class Tokenizer(Protocol):
    """What turns texts into token ids."""

    def encode(self, texts: Sequence[str], length: int) -> np.ndarray:
        """Return ids `[n, length]`, integers: longer texts are cut off, shorter ones padded at the end."""
        ...


def tokenized(scenario: Scenario, tokenizer: Tokenizer, length: int) -> Scenario:
    """Return the same problem with token ids in the place of texts: int32 `[n, length]` in each domain.

    Args:
      scenario: a problem whose domains hold texts.
      tokenizer: anything with `encode(texts, length) -> [n, length]`.
      length: tokens of an example, the padding at its end included.

    Raises:
      UsageError: for domains that hold no texts, and a tokenizer that returns something else.
    """
    if length < 1:
        raise UsageError(f"length is the number of tokens of an example, at least 1, got {length}.")

    def ids(texts: Any, called: str) -> np.ndarray:
        if not isinstance(texts[0], str):
            raise UsageError(f"tokenized() needs texts, and {called} holds {type(texts[0]).__name__}.")
        found = np.asarray(tokenizer.encode(list(texts), length))
        if found.shape != (len(texts), length) or found.dtype.kind not in "iu":
            raise UsageError(
                f"{type(tokenizer).__name__}.encode must return integers [{len(texts)}, {length}] for {called}, got"
                f" {found.dtype} {found.shape}."
            )
        return found.astype(np.int32)

    return scenario.with_inputs(ids)
