"""What a run is, as data: the config, the recipe within it, and their way to JSON and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from tladapt.data.augment import AUGMENTATIONS
from tladapt.errors import UsageError
from tladapt.evaluation import VALIDATORS, Validator
from tladapt.losses.schedules import LEARNING_RATE_SCHEDULES
from tladapt.methods import METHODS, Method
from tladapt.models import BACKBONES, Backbone
from tladapt.penalties import PENALTIES, Penalty
from tladapt.registry import Registry, suggest


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """How batch normalisation treats two domains. Papers and libraries differ in it, mostly by accident.

    Raises:
      UsageError: for a value that is none of the choices, and for choices that contradict each other.
    """

    forward: Literal["joint", "separate"] = "joint"
    """"joint": source and target pass in one batch and share its statistics; "separate": one after the other."""
    statistics: Literal["shared", "per_domain", "frozen"] = "shared"
    """Running statistics: one set for both domains, one for each, or those that the run starts with."""
    evaluation: Literal["running", "target"] = "running"
    """What predictions use: running statistics, or statistics of the whole target, measured before each evaluation."""

    def __post_init__(self) -> None:
        for field, choices in (
            ("forward", ("joint", "separate")),
            ("statistics", ("shared", "per_domain", "frozen")),
            ("evaluation", ("running", "target")),
        ):
            value = getattr(self, field)
            if value not in choices:
                raise UsageError(f"batchnorm {field} must be one of {', '.join(choices)}; got {value!r}.")
        if self.forward == "joint" and self.statistics == "per_domain":
            raise UsageError(
                "batchnorm forward='joint' mixes the domains in one batch, so there are no statistics='per_domain';"
                " use forward='separate' (preset 'per_domain')."
            )


BATCHNORM_PRESETS: dict[str, BatchNorm] = {
    "joint": BatchNorm(),
    "separate": BatchNorm(forward="separate"),
    "per_domain": BatchNorm(forward="separate", statistics="per_domain"),
    "frozen": BatchNorm(statistics="frozen"),
    "target": BatchNorm(evaluation="target"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """How the parameters whose path matches are trained."""

    pattern: str
    """A regular expression that is searched in paths such as "backbone/conv1/kernel"."""
    learning_rate: float = 1.0
    """Factor on the learning rate; 0 freezes the parameters bit for bit."""
    weight_decay: float = 1.0
    """Factor on the weight decay."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained, whatever the method: one table of results has one recipe, source-only included."""

    name: str = "custom"
    """How tables call it."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Update rule: SGD with momentum, Adam (weight decay in the gradient), or AdamW (decoupled)."""
    learning_rate: float = 0.01
    """Learning rate at the start of a stage."""
    schedule: str = "ganin2016"
    """Learning-rate schedule by name."""
    momentum: float = 0.9
    """Momentum of SGD, or the first moment's decay of Adam."""
    nesterov: bool = False
    """Whether SGD's momentum is Nesterov's."""
    weight_decay: float = 0.0
    """L2 coefficient."""
    clip: float | None = None
    """Largest norm of an update's gradient; None: no clipping."""
    batch_size: int = 64
    """Examples of each domain in a batch."""
    batchnorm: BatchNorm = BatchNorm()
    """How batch normalisation treats two domains."""
    augment: str = "none"
    """What augments the inputs, by name; "a+b" does a, then b."""
    standardize: Literal["none", "source", "domain"] = "none"
    """Whether inputs are shifted and scaled by mean and deviation (of each channel) of the source or of each domain."""
    bottleneck: int = 0
    """Width of a linear layer with ReLU between backbone and classifier; 0: none."""
    groups: tuple[Group, ...] = ()
    """Parameters that are trained differently; the first match counts."""

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam", "adamw"):
            raise UsageError(f"recipe.optimizer must be sgd, adam or adamw; got {self.optimizer!r}.")
        if self.schedule not in LEARNING_RATE_SCHEDULES:
            raise UsageError(f"Unknown learning-rate schedule {self.schedule!r}.{suggest(self.schedule, LEARNING_RATE_SCHEDULES)}")
        if self.standardize not in ("none", "source", "domain"):
            raise UsageError(f"recipe.standardize must be none, source or domain; got {self.standardize!r}.")
        for part in self.augment.split("+"):
            AUGMENTATIONS[part]
        for field, low in (("learning_rate", 0.0), ("momentum", 0.0), ("weight_decay", 0.0), ("bottleneck", 0)):
            if not getattr(self, field) >= low:
                raise UsageError(f"recipe.{field} must be {low} or more, got {getattr(self, field)}.")
        if self.batch_size < 2:
            raise UsageError(f"recipe.batch_size must be 2 or more (batch statistics need it), got {self.batch_size}.")


RECIPES: Registry[Recipe] = Registry("recipe")
for _recipe in (
    Recipe(name="ganin2016"),
    Recipe(name="adam", optimizer="adam", learning_rate=1e-3, schedule="constant"),
    Recipe(name="saito2018", optimizer="adam", learning_rate=2e-4, schedule="constant", weight_decay=5e-4, batch_size=128),
    Recipe(
        name="french2018",
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        batch_size=256,
        augment="translate+noise",
        standardize="domain",
        batchnorm=BATCHNORM_PRESETS["separate"],
    ),
    Recipe(name="liang2020", nesterov=True, weight_decay=1e-3),
    Recipe(name="thuml", nesterov=True, weight_decay=1e-3, schedule="thuml", batch_size=32, bottleneck=256),
):
    RECIPES.register(_recipe.name)(_recipe)

RECIPE_NOTES: dict[str, str] = {
    "ganin2016": "DANN paper: SGD, momentum 0.9, 0.01 / (1 + 10 p)^0.75, 64 + 64 examples, one joint forward",
    "adam": "Adam at 1e-3, constant: a plain default of many code bases",
    "saito2018": "MCD's digits code: Adam at 2e-4, weight decay 5e-4, 128 + 128 examples",
    "french2018": "self-ensembling: Adam at 1e-3, 256 + 256, noise and translation, standardised domains, separate forwards",
    "liang2020": "SHOT's digits code: SGD with Nesterov momentum, weight decay 1e-3, the DANN paper's annealing",
    "thuml": "transfer-learning library of thuml: SGD with Nesterov momentum, 0.01 (1 + i/1000)^-0.75, bottleneck 256",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One run but for its scenario and seed. Names or objects, as you like.

    Raises:
      UnknownNameError: for a name that is not registered; the message lists the close ones.
      UsageError: for numbers out of range.
    """

    method: str | Method = "source_only"
    """What adapts."""
    backbone: Any = "auto"
    """What makes features: a name, a spec with options, your `nnx.Module`, or a callable `(rngs=...)` that makes one."""
    recipe: str | Recipe = "ganin2016"
    """How the model is trained."""
    steps: int = 3000
    """Number of steps of the run, all stages together."""
    validator: str | Validator = "im"
    """What chooses a checkpoint, without target labels."""
    batchnorm: str | BatchNorm | None = None
    """Replaces the recipe's BatchNorm policy."""
    penalty: str | Penalty | None = None
    """What keeps the model close to where it starts."""
    init: str | None = None
    """A run's folder, or a file of a run's weights, whose model the run starts from."""
    weights: str | None = None
    """A file of weights for the backbone."""
    evaluations: int = 10
    """How many times, evenly spaced, the run is evaluated and saved."""
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
                registry[value]
            elif not isinstance(value, base) and not (field == "penalty" and value is None):
                hint = f" Call it: {field}={field}s.{value.__name__}(...)." if isinstance(value, type) else ""
                raise UsageError(f"{field} must be a name or a tladapt.{base.__name__}, got {value!r}.{hint}")
        if isinstance(self.backbone, str) and self.backbone != "auto":
            BACKBONES[self.backbone]
        if isinstance(self.batchnorm, str) and self.batchnorm not in BATCHNORM_PRESETS:
            raise UsageError(f"Unknown BatchNorm preset {self.batchnorm!r}.{suggest(self.batchnorm, BATCHNORM_PRESETS)}")
        for field, low in (("steps", 1), ("evaluations", 1), ("log_every", 1)):
            value = getattr(self, field)
            if not isinstance(value, int) or value < low:
                raise UsageError(f"{field} must be a whole number of at least {low}, got {value!r}.")

    def resolved(self) -> Config:
        """Return the same config with objects in the place of names."""

        def made(value: Any, registry: Registry[Any]) -> Any:
            thing = registry[value] if isinstance(value, str) else value
            return thing() if isinstance(thing, type) else thing

        recipe: Recipe = made(self.recipe, RECIPES)
        if self.batchnorm is not None:
            policy = BATCHNORM_PRESETS[self.batchnorm] if isinstance(self.batchnorm, str) else self.batchnorm
            recipe = dataclasses.replace(recipe, batchnorm=policy)
        return dataclasses.replace(
            self,
            method=made(self.method, METHODS),
            recipe=recipe,
            validator=made(self.validator, VALIDATORS),
            penalty=made(self.penalty, PENALTIES),
            backbone=made(self.backbone, BACKBONES) if isinstance(self.backbone, str) else self.backbone,
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
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if callable(thing) and hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def config_json(config: Config) -> dict[str, Any]:
    """Return a config, resolved, as JSON, with the hash of its recipe."""
    record: dict[str, Any] = describe(config.resolved())
    record.pop("batchnorm")
    record["recipe"]["hash"] = fingerprint(record["recipe"])
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
      **objects: things that have no registered name, to be given again: `backbone=`, `method=`, `validator=`, `penalty=`.

    Raises:
      UsageError: for a part that is not registered and was not given; the message says how to give it.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Config):
        if field.name in record:
            values[field.name] = record[field.name]
    for field_name, registry in (
        ("method", METHODS),
        ("backbone", BACKBONES),
        ("validator", VALIDATORS),
        ("penalty", PENALTIES),
    ):
        if field_name in objects:
            values[field_name] = objects[field_name]
            continue
        part = record.get(field_name)
        if part is None or part == "auto":
            continue
        name = part.get("name") if isinstance(part, Mapping) else part
        if name not in registry:
            raise UsageError(
                f"this run was made with a {field_name} of your own ({name!r}); give it again:"
                f" tladapt.open_run(folder, {field_name}=...)."
            )
        values[field_name] = _rebuild(registry[name], part)
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
