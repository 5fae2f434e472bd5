"""What a search may change of a config: the declared ranges of its method and penalty, and those that a user names."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping
from typing import Any

from tladapt.errors import UsageError
from tladapt.methods.combine import Combined
from tladapt.ranges import Choice, Range, read_range
from tladapt.registry import suggest
from tladapt.training.config import RECIPES, Config

Space = dict[str, Range | Choice]
"""Ranges by the name of their field: "method.weight", "penalty.weight", "recipe.learning_rate"."""

PARTS = ("method", "penalty", "recipe")


def searchable(config: Config) -> Config:
    """Return a config with objects in the place of those names whose fields can be searched."""
    made = config.resolved()
    return dataclasses.replace(config, method=made.method, recipe=made.recipe, penalty=made.penalty, batchnorm=None)


def declared(config: Config, parts: Collection[str] = ("method", "penalty")) -> Space:
    """Return the ranges that parts of a config declare.

    A recipe's are left out: one table has one recipe, and a search changes it only where it is asked to.

    >>> print(declared(Config(method="mcd"))["method.repeat"])
    2,3,4
    """
    config = searchable(config)
    owners = {part: getattr(config, part) for part in parts}
    return {
        f"{part}.{field}": each
        for part, owner in owners.items()
        if owner is not None
        for field, each in owner.ranges.items()
    }


def space_of(
    config: Config, ranges: Mapping[str, Range | Choice | str | None] | None = None, fixed: Collection[str] = ()
) -> Space:
    """Return what a search goes over.

    Args:
      config: what is searched around.
      ranges: more ranges by field, or other ones: objects, text such as "0.01..1:log", or None for the declared one.
      fixed: fields that stay as they are in `config`.

    Raises:
      UsageError: for a field that there is not, a range that its part refuses, or nothing to search.
    """
    config = searchable(config)
    space = declared(config)
    for name, given in (ranges or {}).items():
        hint = _hint(config, name)
        if given is None:
            known = declared(config, PARTS)
            if name not in known:
                raise UsageError(f"{name} declares no range; give one: --range {name}=LOW..HIGH, or values.")
            space[name] = known[name]
        else:
            space[name] = read_range(given, hint, option=name, called="the search") if isinstance(given, str) else given
    for name in fixed:
        _hint(config, name)
        space.pop(name, None)
    if not space:
        method: Any = config.method
        raise UsageError(
            f"there is nothing to search: method {method.name!r} declares no ranges, or all are fixed. Name some:"
            " --range recipe.learning_rate, --range method.FIELD=LOW..HIGH."
        )
    for name, each in space.items():
        ends = (each.low, each.high) if isinstance(each, Range) else each.options
        for value in ends:
            with_values(config, {name: value})  # what a part refuses is said before anything is trained
    return space


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a config with other values in some fields; a recipe that is changed gets a star behind its name."""
    config = searchable(config)
    for name, value in values.items():
        part, path = name.split(".", 1)
        config = dataclasses.replace(config, **{part: _changed(getattr(config, part), path, value)})
    recipe: Any = config.recipe
    plain = recipe.name.removesuffix("*")
    if any(name.startswith("recipe.") for name in values) and not (plain in RECIPES and recipe == RECIPES[plain]):
        config = dataclasses.replace(config, recipe=dataclasses.replace(recipe, name=f"{plain}*"))
    return config


def _changed(thing: Any, path: str, value: Any) -> Any:
    """Return a part with another value in a field; "dann.weight" is a field of one of several combined methods."""
    name, dot, rest = path.partition(".")
    if not dot:
        return dataclasses.replace(thing, **{path: value})
    methods = tuple(_changed(each, rest, value) if each.name == name else each for each in thing.methods)
    return dataclasses.replace(thing, methods=methods)


def _hint(config: Config, name: str) -> Any:
    """Return the type of a field that is named "method.weight"; raise for one that there is not."""
    part, dot, path = name.partition(".")
    if part not in PARTS or not dot:
        raise UsageError(f"{name!r} cannot be searched: a field is {', '.join(f'{each}.NAME' for each in PARTS)}.")
    owner = getattr(config, part)
    if owner is None:
        raise UsageError(f"{name} is a field of a penalty, and the config has none. Name one: --penalty NAME.")
    if isinstance(owner, Combined):
        inner, _, path = path.partition(".")
        known = {each.name: each for each in owner.methods}
        if inner not in known or not path:
            names = [f"{part}.{each}.FIELD" for each in known]
            raise UsageError(f"{name!r} is no field of {owner.name!r}; write {' or '.join(names)}.")
        owner = known[inner]
    fields = [field.name for field in dataclasses.fields(owner) if field.init and field.name != "name"]
    if path not in fields:
        words = suggest(path, fields) if fields else " It has no fields."
        raise UsageError(f"{part} {owner.name!r} has no field {path!r}.{words}")
    return typing.get_type_hints(type(owner))[path]
