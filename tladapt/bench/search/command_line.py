"""The command that makes a run: `tladapt train` with every option that is not its default."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from tladapt.data import SCENARIOS, Scenario
from tladapt.fields import show
from tladapt.training.config import PARTS, RECIPES, Config, usual_recipe


def train_command(config: Config, scenario: Scenario, *, seed: int, seeds: int, out: str) -> str | None:
    """Return the command line that trains a config on a scenario, or None where parts of it have no name.

    Args:
      config: what is trained.
      scenario: as `tladapt.load` made it; one that was made in Python has no name.
      seed: the first seed.
      seeds: how many.
      out: where their folders go.
    """
    name = scenario.origin.get("name")
    if not name or not _is_named(config):
        return None
    made = config.resolved()
    recipe: Any = made.recipe
    plainly = Config()
    words = ["tladapt", "train", "--data", str(name), *_data_options(str(name), scenario.origin.get("options", {}))]
    for part in ("method", "backbone", "validator", "penalty"):
        thing = getattr(made, part)
        if thing is not None:
            named = [] if thing.name == getattr(plainly, part) else [f"--{part}", thing.name]
            words += [*named, *_options(part, thing, type(thing)())]
    plain = recipe.name.removesuffix("*")
    if plain != usual_recipe(config.backbone, config.weights):
        words += ["--recipe", plain]
    base = dataclasses.replace(RECIPES[plain], name=recipe.name, batchnorm=recipe.batchnorm)
    words += _options("recipe", recipe, base)
    words += _options("batchnorm", recipe.batchnorm, RECIPES[plain].batchnorm)
    for field in ("steps", "init", "weights", "transfer", "views", "evaluations", "patience", "log_every"):
        value = getattr(config, field)
        if value != getattr(plainly, field):
            words += [f"--{field.replace('_', '-')}", show(value)]
    return shlex.join([*words, "--seed", str(seed), "--seeds", str(seeds), "--out", out])


def _is_named(config: Config) -> bool:
    """Return whether every part of a config is one that the command line has a name for."""
    made = config.resolved()
    for part, registry in PARTS.items():
        thing = getattr(made, part)
        name = getattr(thing, "name", None)
        if thing is not None and not (isinstance(name, str) and name in registry and registry[name] is type(thing)):
            return False
    return made.recipe.name.removesuffix("*") in RECIPES and not config.debug  # type: ignore[union-attr]


def _options(group: str, thing: Any, base: Any) -> list[str]:
    """Return `--group.field value` for each field in which a part differs from another one."""
    words: list[str] = []
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if value != getattr(base, field.name):
            words += [f"--{group}.{field.name}", show(value)]
    return words


def _data_options(name: str, options: Any) -> list[str]:
    """Return the options of data that are not the defaults of a registered scenario, nor in its name."""
    registered = name.split("?")[0].split(":")[0]
    fields = dataclasses.fields(SCENARIOS[registered]) if registered in SCENARIOS else ()
    defaults = {field.name: field.default for field in fields}
    words: list[str] = []
    for field, value in options.items():
        in_name = field == "path" or (field == "pair" and ":" in name)
        if not in_name and value is not None and value != defaults.get(field, dataclasses.MISSING):
            words += [f"--data.{field}", show(value)]
    return words
