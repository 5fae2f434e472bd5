"""From the text of options to the objects of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tladapt.cli.options import Options
from tladapt.errors import UsageError
from tladapt.registry import suggest

GROUPS = ("data", "method", "backbone", "recipe", "validator", "penalty", "batchnorm")


def made(registry: Any, name: str, options: Mapping[str, str], kind: str) -> Any:
    """Return the registered thing `name` with fields from options."""
    from tladapt import fields

    thing = registry[name]
    called = f"{kind} {name!r}"
    if isinstance(thing, type):
        return fields.make(thing, options, called=called)
    return fields.replace(thing, options, called=called)


def backbone_of(name: str, options: Mapping[str, str]) -> Any:
    """Return the backbone with fields from options."""
    from tladapt.models import BACKBONES

    if name == "auto" and options:
        raise UsageError(
            f"backbone 'auto' picks by the shape of the inputs and has no option {next(iter(options))!r}. Name one,"
            " such as --backbone digits_cnn; 'tladapt list backbones' shows them with their options."
        )
    return made(BACKBONES, name, options, "backbone")


def recipe_of(name: str, options: Options, batchnorm: str | None) -> Any:
    """Return the recipe with its fields and its BatchNorm policy changed as asked for.

    A recipe that differs from the registered one gets a star behind its name: tables keep the two apart.
    """
    from tladapt import fields
    from tladapt.training.recipe import BATCHNORM_PRESETS, RECIPES

    own = dict(options["recipe"])
    preset = own.pop("batchnorm", batchnorm)
    recipe = made(RECIPES, name, own, "recipe")
    if preset is not None:
        if preset not in BATCHNORM_PRESETS:
            raise UsageError(f"Unknown BatchNorm preset {preset!r}.{suggest(preset, BATCHNORM_PRESETS)}")
        recipe = dataclasses.replace(recipe, batchnorm=BATCHNORM_PRESETS[preset])
    if options["batchnorm"]:
        policy = fields.replace(recipe.batchnorm, options["batchnorm"], called="the BatchNorm policy")
        recipe = dataclasses.replace(recipe, batchnorm=policy)
    return recipe if recipe == RECIPES[name] else dataclasses.replace(recipe, name=f"{recipe.name}*")


def penalty_of(name: str | None, options: Mapping[str, str]) -> Any:
    """Return the penalty with fields from options, or None."""
    from tladapt.penalties import PENALTIES

    if name is not None:
        return made(PENALTIES, name, options, "penalty")
    if options:
        raise UsageError(
            f"--penalty.{next(iter(options))} is an option of a penalty, and none is named. Add --penalty NAME:"
            f" {', '.join(PENALTIES)}."
        )
    return None


def step_or_word(which: str) -> str | int:
    """Return `--which`: a step as a number, else the word.

    Raises:
      UsageError: for a word that is none, with the close ones.
    """
    if which.isdigit():
        return int(which)
    if which not in (words := ("last", "chosen", "oracle")):
        raise UsageError(f"--which must be last, chosen, oracle or a step; got {which!r}.{suggest(which, words)}")
    return which
