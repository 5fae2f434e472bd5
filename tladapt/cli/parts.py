"""Options such as `--method.weight 0.5`, and the objects that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from tladapt.errors import UsageError
from tladapt.registry import suggest

GROUPS = ("data", "method", "backbone", "recipe", "validator", "penalty", "batchnorm")

Options = Mapping[str, dict[str, str]]


def dotted(arguments: list[str], command: click.Command) -> Options:
    """Return the options `--group.field value` by group.

    Raises:
      UsageError: for anything else, with the close names.
    """
    found: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    known = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        group, dot, field = name.removeprefix("--").partition(".")
        if not name.startswith("--") or not dot or group not in found:
            choices = [*known, *(f"--{group}.FIELD" for group in GROUPS)]
            what = "option" if word.startswith("-") else "argument"
            raise UsageError(f"There is no {what} {word!r}.{suggest(name, choices)}")
        if not equals:
            if not rest:
                raise UsageError(f"option {name} needs a value: {name} VALUE.")
            value = rest.pop(0)
        found[group][field.replace("-", "_")] = value
    return found


def made(registry: Mapping[str, Any] | Any, name: str, options: Mapping[str, str], kind: str) -> Any:
    """Return the registered thing `name` with fields from options."""
    from tladapt import fields

    thing = registry[name]
    called = f"{kind} {name!r}"
    if isinstance(thing, type):
        return fields.make(thing, options, called=called)
    return fields.replace(thing, options, called=called) if options else thing


def recipe_of(name: str, options: Options, batchnorm: str | None) -> Any:
    """Return the recipe with its fields and its BatchNorm policy changed as asked for."""
    from tladapt import fields
    from tladapt.training.config import BATCHNORM_PRESETS, RECIPES

    recipe = made(RECIPES, name, options["recipe"], "recipe")
    policy = recipe.batchnorm
    if batchnorm is not None:
        if batchnorm not in BATCHNORM_PRESETS:
            raise UsageError(f"Unknown BatchNorm preset {batchnorm!r}.{suggest(batchnorm, BATCHNORM_PRESETS)}")
        policy = BATCHNORM_PRESETS[batchnorm]
    if options["batchnorm"]:
        policy = fields.replace(policy, options["batchnorm"], called="the BatchNorm policy")
    changed = options["recipe"] or policy != recipe.batchnorm
    return dataclasses.replace(recipe, batchnorm=policy, name=f"{recipe.name}*" if changed else recipe.name)


def only_for(options: Options, group: str, name: str | None) -> None:
    """Refuse `--group.field` where no `--group NAME` is given."""
    if options[group] and name is None:
        first = next(iter(options[group]))
        raise UsageError(f"--{group}.{first} needs --{group} NAME.")
