"""What an entry of the catalogue is: a frozen dataclass whose fields are its options."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

from tladapt.data.domain import Scenario
from tladapt.errors import UsageError
from tladapt.registry import Registry, suggest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScenarioEntry:
    """One adaptation problem by name; a subclass adds its options as fields, each with a docstring under it.

    Register a subclass with `@SCENARIOS.register("name")`; `tladapt.load("name", option=...)` then makes one and calls
    `load`.
    """

    summary: ClassVar[str] = ""
    """One line for `tladapt list data`, protocol included."""
    domains: ClassVar[tuple[str, ...]] = ()
    """Names of the source domain(s) and, last, of the target."""
    classes: ClassVar[tuple[str, ...]] = ()
    """Class names in the order of the indices; empty where the data says them."""
    licence: ClassVar[str] = ""
    """What is known of the terms of use."""
    obtain: ClassVar[str] = ""
    """Where the files are to be had; empty where none are needed."""

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the data.

        Args:
          data_dir: where the files are; None: the variable TLADAPT_DATA.

        Raises:
          MissingDataError: a file is not there.
          DamagedDataError: a file is there and cannot be trusted.
        """
        raise NotImplementedError


SCENARIOS: Registry[type[ScenarioEntry]] = Registry("scenario")


def build(kind: type[ScenarioEntry], options: Mapping[str, Any], *, called: str) -> ScenarioEntry:
    """Return an entry with the given options; text is read as the type of its field.

    Raises:
      UsageError: for an option that there is not (the entry's options are listed), or a value of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    types_of = typing.get_type_hints(kind)
    values = {}
    for name, value in options.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise UsageError(
                f"{called} has no option {name!r}.{suggest(name, fields) if fields else ''} Options: {known}."
            )
        values[name] = _as(types_of[name], value, option=name, called=called)
    return kind(**values)


def _as(hint: Any, value: Any, *, option: str, called: str) -> Any:
    """Return `value` as the type of its field, or raise in words."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, os.PathLike) and str in kinds:
        return os.fspath(value)
    if isinstance(value, list):
        value = tuple(value)
    text = value.strip().lower() if isinstance(value, str) else None
    for kind in kinds:
        base = typing.get_origin(kind) or kind
        if base is bool and text in ("true", "yes", "1", "false", "no", "0"):
            return text in ("true", "yes", "1")
        if base in (int, float):
            if isinstance(value, bool):
                continue
            try:
                number = base(value)
            except (TypeError, ValueError):
                continue
            if text is not None or number == value:
                return number
        elif isinstance(base, type) and isinstance(value, base):
            return value
    wanted = " or ".join("nothing" if kind is type(None) else str(getattr(kind, "__name__", kind)) for kind in kinds)
    raise UsageError(f"option {option!r} of {called} must be {wanted}, got {value!r}.")
