"""Dataclasses from text: how `--method.weight 0.5` becomes a field, and how a field's docstring becomes its help."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import os
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tladapt.errors import UsageError
from tladapt.registry import suggest

T = TypeVar("T")
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")
_NO = object()  # no value of that type


class FieldInfo(typing.NamedTuple):
    """A field as people see it: name, type in words, default, and the docstring under it."""

    name: str
    type: str
    default: Any
    help: str


class Chosen:
    """Base of dataclasses whose fields people choose: a misspelt one is told with the close ones."""

    def __new__(cls, *args: Any, **given: Any) -> Any:
        owner = next(each for each in cls.__mro__ if "__init__" in each.__dict__)
        if "__dataclass_fields__" in owner.__dict__:  # and not an `__init__` of one's own
            known = [field.name for field in dataclasses.fields(owner) if field.init]
            if args:
                options = f": {', '.join(known)}" if known else ", and has none"
                raise UsageError(f"{cls.__name__}(...) takes its options by name{options}; got {args[0]!r}.")
            for name in given:
                if name not in known:
                    close = suggest(name, known) if known else " It has no options."
                    raise UsageError(f"{cls.__name__}(...) has no option {name!r}.{close}")
        return super().__new__(cls)


def make(kind: type[T], options: Mapping[str, Any], *, called: str) -> T:
    """Return a dataclass made from options; text is read as the type of its field.

    Args:
      kind: the dataclass.
      options: fields by name, as values or as text.
      called: what messages call it.

    Raises:
      UsageError: for an option that there is not (all are listed), one that is missing, or a value of another type.

    >>> @dataclasses.dataclass
    ... class Net:
    ...     widths: tuple[int, ...] = (32,)
    >>> make(Net, {"widths": "64,64"}, called="the net")
    Net(widths=(64, 64))
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    values = _values(kind, list(fields), options, called)
    bare = dataclasses.MISSING
    for name, field in fields.items():
        if name not in values and field.default is bare and field.default_factory is bare:
            raise UsageError(f"{called} needs option {name!r}: {spell(typing.get_type_hints(kind)[name])}.")
    return kind(**values)


def replace(thing: T, options: Mapping[str, Any], *, called: str) -> T:
    """Return a copy of a dataclass with some fields read from options; raises as `make` does."""
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}  # type: ignore[arg-type]
    return type(thing)(**{**fields, **_values(type(thing), list(fields), options, called)})


def _values(kind: type, known: list[str], options: Mapping[str, Any], called: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in options.items():
        if name not in known:
            there = f"{suggest(name, known)} Options: {', '.join(known)}." if known else " It has none."
            raise UsageError(f"{called} has no option {name!r}.{there}")
        values[name] = read(hints[name], value, option=name, called=called)
    return values


def read(hint: Any, value: Any, *, option: str, called: str) -> Any:
    """Return `value` as a type hint asks for.

    Text is read: "0.5" for a number, "64,64" for a tuple, "none" where None is allowed, "yes" or "off" for a bool. A
    type of one's own is read by its class method `from_text`, and called in messages what its `spelled` says.

    Raises:
      UsageError: for a value of another type; the message says what was expected, with the close choices.

    >>> read(tuple[int, ...], "16,32", option="widths", called="the net")
    (16, 32)
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    kinds = _alternatives(hint)
    for kind in sorted(kinds, key=lambda kind: kind is not type(None)):  # "none" is None before it is a word
        found = _one(kind, value)
        if found is not _NO:
            return found
    choices = [str(choice) for kind in kinds if _is_literal(kind) for choice in typing.get_args(kind)]
    close = suggest(value, choices) if choices and isinstance(value, str) else ""
    close = close if close.startswith(" Did") else ""  # all choices are in the message anyway
    raise UsageError(f"option {option!r} of {called} must be {spell(hint)}, got {value!r}.{close}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Literal


def _one(kind: Any, value: Any) -> Any:
    """Return `value` as one type that is no union, or `_NO`."""
    text = value.strip() if isinstance(value, str) else None
    if kind is Any:
        return value
    if kind is type(None):
        return None if value is None or (text is not None and text.lower() in ("none", "")) else _NO
    if _is_literal(kind):
        return next((choice for choice in typing.get_args(kind) if value == choice or text == str(choice)), _NO)
    if kind is bool:
        lower = (text or "").lower()
        return value if isinstance(value, bool) else True if lower in _TRUE else False if lower in _FALSE else _NO
    if kind in (int, float):
        return _number(kind, value)
    origin = typing.get_origin(kind)
    if origin is tuple or kind is tuple:
        return _tuple(typing.get_args(kind), value)
    base = origin or kind
    if text is not None and hasattr(kind, "from_text"):
        return kind.from_text(text)
    return value if isinstance(base, type) and isinstance(value, base) else _NO


def _number(kind: type[int] | type[float], value: Any) -> Any:
    if isinstance(value, bool):
        return _NO
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        return _NO
    if not math.isfinite(number):
        return _NO
    return number if isinstance(value, str) or number == value else _NO


def _tuple(kinds: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, str):
        inside = value.strip().strip("()[]").strip().removesuffix(",")
        value = [] if inside.lower() in ("", "none") else [part.strip() for part in inside.split(",")]
    if not isinstance(value, (list, tuple)):
        return _NO
    if not kinds:
        return tuple(value)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        return _NO
    found = []
    for kind, item in zip(kinds, value, strict=True):
        one = next((one for one in (_one(k, item) for k in _alternatives(kind)) if one is not _NO), _NO)
        found.append(one)
    return _NO if any(one is _NO for one in found) else tuple(found)


def spell(kind: Any) -> str:
    """Return a type in words.

    >>> spell(tuple[int, ...] | None)
    'whole numbers separated by commas, or none'
    """
    kinds = _alternatives(kind)
    if len(kinds) > 1:
        words = [spell(one) for one in sorted(kinds, key=lambda one: one is type(None))]
        return f"{', '.join(words[:-1])}{',' if ',' in words[0] or 'comma' in words[0] else ''} or {words[-1]}"
    if kind is type(None):
        return "none"
    if _is_literal(kind):
        choices = [str(choice) for choice in typing.get_args(kind)]
        return " or ".join([*([", ".join(choices[:-1])] if choices[1:] else []), choices[-1]])
    if typing.get_origin(kind) is tuple:
        first, *rest = typing.get_args(kind)
        count = "" if rest == [Ellipsis] else f"{1 + len(rest)} "
        plural = {int: "whole numbers", float: "numbers", str: "words"}.get(first, f"{spell(first)} values")
        return f"{count}{plural} separated by commas"
    if hasattr(kind, "spelled"):
        return str(kind.spelled)
    words_of = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Any: "anything"}
    return words_of.get(kind, str(getattr(kind, "__name__", kind)))


def show(value: Any) -> str:
    """Return a value as it would be typed: "64,64", "none", "true"; the fields of a dataclass as "a=1 b=2".

    >>> show((64, 64)), show(None), show(False), show(0.5)
    ('64,64', 'none', 'false', '0.5')
    """
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(show, value))
    if hasattr(type(value), "from_text"):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return " ".join(f"{field.name}={show(getattr(value, field.name))}" for field in dataclasses.fields(value))
    if callable(value):
        return str(getattr(value, "__qualname__", value))
    return str(value)


def describe_fields(kind: type) -> list[FieldInfo]:
    """Return the fields of a dataclass with the docstrings that stand under them, its bases' fields included."""
    texts: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        if dataclasses.is_dataclass(cls):
            texts |= _docstrings(cls)
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        found.append(FieldInfo(field.name, spell(hints[field.name]), default, texts.get(field.name, "")))
    return found


def _docstrings(cls: type) -> dict[str, str]:
    """Return the text under each field, from the source of the class; nothing where there is no source to read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = tree.body[0].body  # type: ignore[attr-defined]
    return {
        statement.target.id: " ".join(after.value.value.split())
        for statement, after in itertools.pairwise(body)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and _is_text(after)
    }


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
