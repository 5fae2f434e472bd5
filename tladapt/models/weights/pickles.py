"""Pickles read without running them: an interpreter of the opcodes that plain data needs, and no others.

A pickle is a program. Python's own machine imports and calls whatever it names; this one has no import and calls only
what its caller lists. Opcodes are cut by `pickletools.genops`, which decodes and never executes.

Source: the opcodes are described in CPython's `Lib/pickletools.py`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn, cast

MOST_OPCODES = 2_000_000
"""A state dict takes about thirty for each tensor; each one makes at most a small object, so memory is bounded."""

_LONGEST = 2**24
"""Bytes of one text or number."""

_KEYS = (str, int, float, bytes, bool, type(None))
"""What may be a key of a dict: hashing a deeply nested tuple overflows the C stack."""

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING")
_LITERALS = frozenset((*_NUMBERS, *_TEXTS, "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset(("PROTO", "FRAME"))
_PUT = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_GET = frozenset(("GET", "BINGET", "LONG_BINGET"))
_CALLS = frozenset(("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"))


class PickleBrokenError(Exception):
    """The bytes are no whole pickle; the message says where they stop making sense."""


class PickleRefusedError(Exception):
    """The pickle wants more than plain data; the message says what.

    Args:
      message: what it wants, in words.
      name: the dotted name it asks for, where it asks for one.
    """

    def __init__(self, message: str, name: str = ""):
        super().__init__(message)
        self.name = name


class Constructor:
    """A name that a pickle may call, and the function of ours that stands in for it."""

    def __init__(self, name: str, function: Callable[..., Any]):
        self.name, self.function = name, function


class _Mark:
    """Where a list of arguments begins on the stack."""


_MARK = _Mark()


def read_pickle(
    stream: BinaryIO,
    names: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None = None,
    *,
    most: int | None = None,
) -> Any:
    """Return the value of the pickle that begins at the stream's position; the stream then stands behind it.

    Args:
      stream: a binary file.
      names: dotted name -> what stands for it: a value, or a `Constructor` that the pickle may call. Nothing else can
        be named, and nothing is imported.
      persistent: turns the persistent id of an object that is stored elsewhere into what stands for it.
      most: opcodes at most; None: `MOST_OPCODES`.

    Returns:
      None, bool, int, float, str, bytes, list, tuple, dict, and what `names` and `persistent` gave.

    Raises:
      PickleRefusedError: it names, calls, builds or refers to something that is not listed.
      PickleBrokenError: it is truncated or garbled.
    """
    machine = _Machine(names, persistent)
    count, limit = 0, MOST_OPCODES if most is None else most
    try:
        for opcode, argument, _ in pickletools.genops(cast(BinaryIO, _Bounded(stream))):
            count += 1
            if count > limit:
                raise PickleRefusedError(
                    f"more than {limit:,} opcodes, far beyond what names and shapes of tensors take"
                )
            if opcode.name == "STOP":
                return machine.pop()
            machine.do(opcode.name, argument)
    except (ValueError, OverflowError, DeprecationWarning) as problem:  # how genops reports bytes that are no pickle
        raise PickleBrokenError(f"{str(problem)[:200]} (after {count:,} opcodes)") from None
    raise PickleBrokenError("it has no end")


class _Bounded:
    """A stream that gives at most `_LONGEST` bytes at once: what a pickle claims to come is not made room for."""

    def __init__(self, stream: BinaryIO):
        self.stream = stream

    def read(self, size: int) -> bytes:
        return self.stream.read(min(size, _LONGEST))

    def readline(self) -> bytes:
        return self.stream.readline(_LONGEST)


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any] | None):
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleBrokenError("it takes a value where there is none")
        return self.stack.pop()

    def top(self, kind: type, word: str) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise PickleBrokenError(f"it {word} where there is none")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise PickleBrokenError("it goes back to a mark that it never made")

    def do(self, name: str, argument: Any) -> None:
        """Run one opcode."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _PUT:
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self._whole()
        elif name in _GET:
            if int(argument) not in self.memo:
                raise PickleBrokenError(f"it recalls memory {argument}, which it never filled")
            stack.append(self.memo[int(argument)])
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(tuple(reversed([self.pop() for _ in range(_TUPLES[name])])))
        elif name not in _NOTHING:
            operation = getattr(self, f"_{name.lower()}", None)
            if operation is None:
                self._refuse(name, argument)
            operation(argument)

    def _refuse(self, name: str, argument: Any) -> NoReturn:
        wanted = ""
        if name == "INST":
            wanted = str(argument).replace(" ", ".")
        elif name in _CALLS:
            named = [value.name for value in self.stack if isinstance(value, Constructor)]
            wanted = named[-1] if named else ""
        does = "makes an object" if name in _CALLS else "uses a feature that plain data does not need"
        raise PickleRefusedError(f"it {does} (opcode {name}{f', {wanted}' if wanted else ''})", wanted)

    def _whole(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _pop(self, _: Any) -> None:
        if not self.stack:
            raise PickleBrokenError("it drops a value where there is none")
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self.pop_to_mark()

    def _empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_to_mark()))

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _list(self, _: Any) -> None:
        self.stack.append(self.pop_to_mark())

    def _empty_set(self, _: Any) -> None:
        self.stack.append([])  # a set stays a list: its values would have to be hashed

    def _frozenset(self, _: Any) -> None:
        self.stack.append(self.pop_to_mark())

    def _additems(self, _: Any) -> None:
        values = self.pop_to_mark()
        self.top(list, "fills a set").extend(values)

    def _append(self, _: Any) -> None:
        value = self.pop()
        self.top(list, "appends to a list").append(value)

    def _appends(self, _: Any) -> None:
        values = self.pop_to_mark()
        self.top(list, "appends to a list").extend(values)

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _dict(self, _: Any) -> None:
        self.stack.append(pairs(self.pop_to_mark()))

    def _setitem(self, _: Any) -> None:
        value = self.pop()
        key = self.pop()
        self.top(dict, "fills a dict").update(pairs([key, value]))

    def _setitems(self, _: Any) -> None:
        items = pairs(self.pop_to_mark())
        self.top(dict, "fills a dict").update(items)

    def _global(self, argument: Any) -> None:
        self._name(str(argument).replace(" ", "."))

    def _stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise PickleBrokenError("it names something by what is no text")
        self._name(f"{module}.{name}")

    def _name(self, name: str) -> None:
        if name not in self.names:
            raise PickleRefusedError(f"it asks for {name[:200]!r}", name)
        self.stack.append(self.names[name])

    def _reduce(self, _: Any) -> None:
        arguments, constructor = self.pop(), self.pop()
        if not (isinstance(constructor, Constructor) and type(arguments) is tuple):
            raise PickleRefusedError(f"it calls a {type(constructor).__name__} with a {type(arguments).__name__}")
        try:
            self.stack.append(constructor.function(*arguments))
        except (TypeError, ValueError) as problem:
            raise PickleBrokenError(f"it calls {constructor.name} with what does not fit ({problem})") from None

    def _build(self, _: Any) -> None:
        """Drop the attributes of an OrderedDict (torch's `_metadata`); give no other object any."""
        state, target = self.pop(), self._whole()
        if type(target) is not dict or type(state) is not dict:
            raise PickleRefusedError(f"it sets the state of a {type(target).__name__} (opcode BUILD)")

    def _binpersid(self, _: Any) -> None:
        if self.persistent is None:
            raise PickleRefusedError("it refers to an object outside of itself (opcode BINPERSID)")
        self.stack.append(self.persistent(self.pop()))


def pairs(items: list[Any]) -> dict[Any, Any]:
    """Return the dict of `[key, value, key, value, ...]`.

    Raises:
      PickleBrokenError: for an odd number of items, or a key that is no text, bytes or number.
    """
    if len(items) % 2:
        raise PickleBrokenError("it has a dict with a key and no value")
    for key in items[::2]:
        if type(key) not in _KEYS:
            raise PickleBrokenError(f"it has a dict with a key of type {type(key).__name__}")
    return dict(zip(items[::2], items[1::2], strict=True))
