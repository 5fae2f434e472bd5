"""Dataclasses from text: how `--method.weight 0.5` becomes a field, and how a field's docstring becomes its help."""

from __future__ import annotations

import ast
import dataclasses
import inspect
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


class FieldInfo(typing.NamedTuple):
    """A field as people see it: name, type in words, default, and the docstring under it."""

    name: str
    type: str
    default: Any
    help: str


def make(kind: type[T], options: Mapping[str, Any], *, called: str) -> T:
    """Return a dataclass made from options; text is read as the type of its field.

    Raises:
      UsageError: for an option that there is not (all are listed), or a value of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in options.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            hint = suggest(name, fields) if fields else ""
            raise UsageError(f"{called} has no option {name!r}.{hint} Options: {known}.")
        values[name] = read(hints[name], value, option=name, called=called)
    return kind(**values)


def replace(thing: T, options: Mapping[str, Any], *, called: str) -> T:
    """Return a copy of a dataclass with some fields read from options."""
    fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}  # type: ignore[arg-type]
    unknown = {name: value for name, value in options.items() if name not in fields}
    if unknown:
        return make(type(thing), unknown, called=called)  # raises, in words
    hints = typing.get_type_hints(type(thing))
    read_in = {name: read(hints[name], value, option=name, called=called) for name, value in options.items()}
    return type(thing)(**{**fields, **read_in})


def read(hint: Any, value: Any, *, option: str, called: str) -> Any:
    """Return `value` as a type hint asks for, or raise `UsageError` in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    kinds = arguments if origin in (types.UnionType, typing.Union) else (hint,)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    for kind in kinds:
        found = _one(kind, value)
        if found is not _NO:
            return found
    wanted = " or ".join(spell(kind) for kind in kinds)
    raise UsageError(f"option {option!r} of {called} must be {wanted}, got {value!r}.")


_NO = object()


def _one(kind: Any, value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else None
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if kind is type(None):
        return None if value is None or (text is not None and text.lower() in ("none", "")) else _NO
    if origin is typing.Literal:
        for choice in typing.get_args(kind):
            if value == choice or text == str(choice):
                return choice
        return _NO
    if kind is bool:
        if isinstance(value, bool):
            return value
        lower = (text or "").lower()
        return True if lower in _TRUE else False if lower in _FALSE else _NO
    if kind in (int, float):
        if isinstance(value, bool):
            return _NO
        try:
            number = kind(value)
        except (TypeError, ValueError):
            return _NO
        return number if text is not None or number == value else _NO
    if origin is tuple or kind is tuple:
        items = [part for part in (text or "").strip("()[]").split(",") if part.strip()] if text is not None else value
        if not isinstance(items, (list, tuple)):
            return _NO
        inner = typing.get_args(kind)[0] if typing.get_args(kind) else Any
        found = [_one(inner, item.strip() if isinstance(item, str) else item) for item in items]
        return _NO if any(item is _NO for item in found) else tuple(found)
    base = origin or kind
    return value if isinstance(base, type) and isinstance(value, base) else _NO


def spell(kind: Any) -> str:
    """Return a type in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return "none"
    if origin is typing.Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(spell(argument) for argument in arguments)
    if origin is tuple:
        return f"{spell(arguments[0])}s separated by commas"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        kind, str(getattr(kind, "__name__", kind))
    )


def describe_fields(kind: type) -> list[FieldInfo]:
    """Return the fields of a dataclass with the docstrings that stand under them, its bases' fields included."""
    texts: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body  # type: ignore[attr-defined]
        for statement, after in zip(body, body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and _is_text(after):
                texts[statement.target.id] = " ".join(after.value.value.split())
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        found.append(FieldInfo(field.name, spell(hints[field.name]), default, texts.get(field.name, "")))
    return found


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
