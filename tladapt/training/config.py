"""What a run is, as data: the config, the recipe within it, and their way to JSON and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from tladapt.errors import UnknownNameError, UsageError
from tladapt.evaluation import VALIDATORS, Validator
from tladapt.fields import Chosen
from tladapt.methods import METHODS, Method
from tladapt.models import BACKBONES, Backbone
from tladapt.models.backbones import Published
from tladapt.penalties import PENALTIES, Penalty
from tladapt.registry import Registry, suggest
from tladapt.training.recipe import BATCHNORM_PRESETS, RECIPE_NOTES, RECIPES, BatchNorm, Group, Recipe

PARTS: dict[str, Registry[Any]] = {
    "method": METHODS,
    "backbone": BACKBONES,
    "validator": VALIDATORS,
    "penalty": PENALTIES,
}
"""What a config names or holds as an object of one's own, and where the names are."""


Transfer = Literal["auto", "features", "finetune"]


def usual_recipe(backbone: Any, weights: Any) -> str:
    """Return the name of the recipe that "auto" stands for."""
    kind = BACKBONES[backbone] if isinstance(backbone, str) else type(backbone)
    return "thuml" if weights is not None and issubclass(kind, Published) else "ganin2016"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Chosen):
    """One run but for its scenario and seed. Names or objects, as you like.

    Raises:
      UnknownNameError: for a name that is not registered; the message lists the close ones.
      UsageError: for numbers out of range.
    """

    method: str | Method = "source_only"
    """What adapts."""
    backbone: Any = "auto"
    """What makes features: a name, a spec with options, your `nnx.Module`, or a function `(rngs=...)` that makes it."""
    recipe: str | Recipe = "auto"
    """How the model is trained; "auto": thuml where the backbone starts from published weights, else ganin2016."""
    steps: int = 3000
    """Number of steps of the run, all stages together."""
    validator: str | Validator = "im"
    """What chooses a checkpoint, without target labels."""
    batchnorm: str | BatchNorm | None = None
    """Replaces the recipe's BatchNorm policy."""
    penalty: str | Penalty | None = None
    """What keeps the model close to where it starts."""
    init: str | os.PathLike[str] | None = None
    """A run's folder, or a file of a run's weights, whose model the run starts from."""
    weights: str | os.PathLike[str] | None = None
    """Weights for the backbone: a registered name, a hub's id, a file or a folder."""
    transfer: Transfer = "auto"
    """"features": the backbone stays as its weights are and is run once; "finetune": it is trained, too. "auto":
    features where the backbone has published weights and the recipe says nothing on training it."""
    views: int = 0
    """How many augmented views of each example are cached with its features."""
    evaluations: int = 10
    """How many times, evenly spaced, the run is evaluated and saved."""
    patience: int | None = None
    """After how many evaluations in a row without a higher score of the validator the run stops; None: never."""
    log_every: int = 50
    """Steps between two lines of the log; also how many steps go into one dispatch."""
    debug: bool = False
    """Run step by step without compiling, with checks for non-finite numbers."""

    def __post_init__(self) -> None:
        for field, registry, base in (
            ("method", METHODS, Method),
            ("recipe", RECIPES, Recipe),
            ("validator", VALIDATORS, Validator),
            ("penalty", PENALTIES, Penalty),
        ):
            value = getattr(self, field)
            if isinstance(value, str):
                if (field, value) != ("recipe", "auto"):
                    registry[value]
            elif not isinstance(value, base) and not (field == "penalty" and value is None):
                hint = f" Call it: {field}={field}s.{value.__name__}(...)." if isinstance(value, type) else ""
                raise UsageError(f"{field} must be a name or a tladapt.{base.__name__}, got {value!r}.{hint}")
        if isinstance(self.backbone, str) and self.backbone != "auto":
            BACKBONES[self.backbone]
        if isinstance(self.batchnorm, str) and self.batchnorm not in BATCHNORM_PRESETS:
            raise UnknownNameError(
                f"Unknown BatchNorm preset {self.batchnorm!r}.{suggest(self.batchnorm, BATCHNORM_PRESETS)}"
            )
        if not isinstance(self.batchnorm, (str, BatchNorm, type(None))):
            raise UsageError(f"batchnorm must be the name of a preset or a BatchNorm, got {self.batchnorm!r}.")
        for field in ("init", "weights"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, os.fspath(getattr(self, field)))
        if self.transfer not in get_args(Transfer):
            raise UsageError(f"transfer must be one of {', '.join(get_args(Transfer))}; got {self.transfer!r}.")
        for field, low in (("steps", 1), ("evaluations", 1), ("log_every", 1), ("views", 0), ("patience", 1)):
            value = getattr(self, field)
            if value is None and field == "patience":
                continue
            if not isinstance(value, int) or value < low:
                raise UsageError(f"{field} must be a whole number of at least {low}, got {value!r}.")

    def resolved(self) -> Config:
        """Return the same config with objects in the place of names."""

        def made(value: Any, registry: Registry[Any]) -> Any:
            thing = registry[value] if isinstance(value, str) else value
            return thing() if isinstance(thing, type) else thing

        name = usual_recipe(self.backbone, self.weights) if self.recipe == "auto" else self.recipe
        recipe: Recipe = made(name, RECIPES)
        if self.batchnorm is not None:
            policy = BATCHNORM_PRESETS[self.batchnorm] if isinstance(self.batchnorm, str) else self.batchnorm
            if policy != recipe.batchnorm:  # the star says that a table under the recipe's own name is another one
                recipe = dataclasses.replace(recipe, batchnorm=policy, name=recipe.name.removesuffix("*") + "*")
        backbone = made(self.backbone, BACKBONES) if isinstance(self.backbone, str) else self.backbone
        transfer, penalty = self.transfer, made(self.penalty, PENALTIES)
        if transfer == "auto":
            still = isinstance(backbone, Published) and self.weights is not None and not recipe.trains_backbone
            transfer = "features" if still and not (penalty is not None and penalty.tunes) else "finetune"
        return dataclasses.replace(
            self,
            transfer=transfer,
            method=made(self.method, METHODS),
            recipe=recipe,
            validator=made(self.validator, VALIDATORS),
            penalty=penalty,
            backbone=backbone,
            batchnorm=None,
        )


def describe(thing: Any) -> Any:
    """Return something as JSON: a registered object by its name and fields, a function by its qualified name."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {field.name: describe(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
        name = getattr(thing, "name", None)
        return {"name": name, **fields} if isinstance(name, str) else fields
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [describe(value) for value in thing]
    if isinstance(thing, (np.generic, np.ndarray)):
        return thing.tolist()
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if callable(thing) and hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def config_json(config: Config) -> dict[str, Any]:
    """Return a config, resolved, as JSON, with the hash of its recipe."""
    config = config.resolved()
    record: dict[str, Any] = describe(config)
    record.pop("batchnorm")
    record["recipe"]["hash"] = fingerprint(record["recipe"])
    for field, registry in PARTS.items():
        thing, part = getattr(config, field), record[field]
        # A class of one's own may bear a registered name (`class DANN(Method)`), and must not be taken for the other.
        if isinstance(part, dict) and not (part.get("name") in registry and registry[part["name"]] is type(thing)):
            record[field] = {**part, "own": f"{type(thing).__module__}.{type(thing).__qualname__}"}
    return record


def fingerprint(record: Any) -> str:
    """Return twelve hexadecimal digits that stand for a JSON value."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def _rebuild(cls: type, record: Mapping[str, Any]) -> Any:
    """Return a dataclass from the fields that `describe` wrote."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.name not in record:
            continue
        value = record[field.name]
        if cls is Recipe and field.name == "batchnorm":
            value = BatchNorm(**value)
        elif cls is Recipe and field.name == "groups":
            value = tuple(Group(**group) for group in value)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)


def config_from_json(record: Mapping[str, Any], **objects: Any) -> Config:
    """Return the config of a run's folder.

    Args:
      record: what `config_json` returned.
      **objects: parts that have no registered name, to be given again: `backbone=`, `method=`, `validator=`,
        `penalty=`.

    Raises:
      UsageError: for a part that is not registered and was not given; the message says how to give it.
    """
    for given in objects:
        if given not in PARTS:
            raise UsageError(f"open_run takes {', '.join(PARTS)} of your own, and no {given!r}.{suggest(given, PARTS)}")
    values = {field.name: record[field.name] for field in dataclasses.fields(Config) if field.name in record}
    for part, registry in PARTS.items():
        if part in objects:
            values[part] = objects[part]
        elif values.get(part) is not None:
            described = values[part]
            if not isinstance(described, Mapping) or "own" in described or described.get("name") not in registry:
                known = described.get("own", described.get("name")) if isinstance(described, Mapping) else described
                raise UsageError(
                    f"this run was made with a {part} of your own ({known}); give it again:"
                    f" tladapt.open_run(folder, {part}=...)."
                )
            values[part] = _rebuild(registry[described["name"]], described)
    values["recipe"] = _rebuild(Recipe, record["recipe"])
    return Config(**values)


__all__ = [
    "BATCHNORM_PRESETS",
    "RECIPES",
    "RECIPE_NOTES",
    "Backbone",
    "BatchNorm",
    "Config",
    "Group",
    "Recipe",
    "config_from_json",
    "config_json",
    "describe",
    "fingerprint",
]
