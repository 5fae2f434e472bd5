"""Names for things that people choose: methods, backbones, data, validators, recipes, penalties."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from tladapt.errors import UnknownNameError

T = TypeVar("T")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'a' or 'b'?"` for the close names, or the whole list where none is close."""
    known = sorted(known)
    lowered = {other.lower(): other for other in known}
    close = [lowered[near] for near in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    if close:
        return " Did you mean " + " or ".join(repr(other) for other in close) + "?"
    return " Known: " + ", ".join(known) + "."


class Registry(Generic[T]):
    """An ordered table name -> thing; an unknown name raises with the close ones.

    Args:
      kind: what the things are, in words that a message can use ("method", "backbone").
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under `name`; a name that is taken raises `ValueError`."""

        def file(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name.")
            self._things[name] = thing
            return thing

        return file

    def __getitem__(self, name: str) -> T:
        try:
            return self._things[name]
        except KeyError:
            raise UnknownNameError(f"Unknown {self.kind} {name!r}.{suggest(name, self._things)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
