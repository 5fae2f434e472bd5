"""How a model is trained, whatever the method: optimiser, schedules, augmentation, and the BatchNorm policy."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from tladapt.data.augment import AUGMENTATIONS
from tladapt.errors import UnknownNameError, UsageError
from tladapt.fields import Chosen
from tladapt.losses.schedules import LEARNING_RATE_SCHEDULES
from tladapt.ranges import Choice, Range
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
        if self.statistics == "frozen" and self.evaluation == "target":
            raise UsageError(
                "batchnorm statistics='frozen' keeps the statistics that the run starts with, and evaluation='target'"
                " replaces them; use one of the two (preset 'frozen' or 'target')."
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
    """How the parameters whose path matches are trained.

    Raises:
      UsageError: for a pattern that is no regular expression, or a factor that is none.
    """

    spelled: ClassVar[str] = "PATTERN=RATE or PATTERN=RATE:DECAY"

    pattern: str
    """A regular expression that is searched in paths such as "backbone/conv1/kernel"."""
    learning_rate: float = 1.0
    """Factor on the learning rate; 0 freezes what matches bit for bit, running statistics included."""
    weight_decay: float = 1.0
    """Factor on the weight decay."""

    def __post_init__(self) -> None:
        check_pattern("recipe group", self.pattern)
        for field in ("learning_rate", "weight_decay"):
            if not (getattr(self, field) >= 0 and math.isfinite(getattr(self, field))):
                raise UsageError(
                    f"recipe group {self.pattern!r}: {field} is a factor from 0 on, got {getattr(self, field)}."
                )

    def __str__(self) -> str:
        return f"{self.pattern}={self.learning_rate:g}" + (f":{self.weight_decay:g}" if self.weight_decay != 1 else "")

    @classmethod
    def from_text(cls, text: str) -> Group:
        """Return the group that "PATTERN=RATE" or "PATTERN=RATE:DECAY" stands for.

        >>> Group.from_text("^backbone=0.1:0")
        Group(pattern='^backbone', learning_rate=0.1, weight_decay=0.0)
        """
        pattern, equals, factors = text.rpartition("=")
        rate, colon, decay = factors.partition(":")
        try:
            if not (pattern and equals):
                raise ValueError
            return cls(pattern=pattern, learning_rate=float(rate), weight_decay=float(decay) if colon else 1.0)
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"a group of parameters is {cls.spelled}, such as ^backbone=0.1 or bias=2:0; got {text!r}. A pattern"
                " with a comma in it can be given from Python: tladapt.Recipe(groups=(...))."
            ) from None


def check_pattern(called: str, pattern: str) -> None:
    """Raise `UsageError` unless a text is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{called} {pattern!r} is no regular expression: {error}.") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Chosen):
    """How a model is trained, whatever the method: one table of results has one recipe, source-only included."""

    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "learning_rate": Range(1e-4, 0.1, log=True),
        "weight_decay": Range(1e-6, 1e-2, log=True),
        "batch_size": Choice((16, 32, 64, 128)),
    }
    """What `tladapt tune` searches where it is asked to (`--range recipe.learning_rate`): never by itself, since one
    table has one recipe. 1. learning_rate: chosen here, from below AdaTime's sweep (5e-4 to 1e-2, arXiv 2203.08016) to
    above the rates of SGD. 2. weight_decay: DomainBed's (arXiv 2007.01434). 3. batch_size: chosen here."""

    name: str = "custom"
    """How tables call it."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Update rule: SGD with momentum, Adam (weight decay in the gradient), or AdamW (decoupled)."""
    learning_rate: float = 0.01
    """Learning rate at the start of a stage."""
    schedule: str = "ganin2016"
    """Learning-rate schedule by name; 'tladapt schedules' shows them."""
    momentum: float = 0.9
    """Momentum of SGD, or the first moment's decay of Adam."""
    nesterov: bool = False
    """Whether SGD's momentum is Nesterov's."""
    warmup: float = 0.0
    """Steps in which the learning rate climbs linearly before the schedule begins; below 1: their share of a stage."""
    weight_decay: float = 0.0
    """L2 coefficient."""
    decay_norms: bool = True
    """Whether biases, and scales and shifts of normalisation, decay too."""
    clip: float | None = None
    """Largest norm of an update's gradient; None: no clipping."""
    batch_size: int = 64
    """Examples of each domain in a batch."""
    batchnorm: BatchNorm = BatchNorm()
    """How batch normalisation treats two domains."""
    augment: str = "none"
    """What augments the inputs, by name; "flip+rotation(degrees=10)" mirrors, then turns."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the backbone computes in; parameters, statistics, features and losses are float32."""
    mixup: float = 0.0
    """Source examples are mixed in pairs, and their labels too, by a share from Beta(mixup, mixup); 0: they are not."""
    standardize: Literal["none", "source", "domain"] = "none"
    """Whether inputs are shifted and scaled by mean and deviation (of each channel) of the source or of each domain."""
    bottleneck: int = 0
    """Width of a linear layer with ReLU between backbone and classifier; 0: none."""
    groups: tuple[Group, ...] = ()
    """Parameters that are trained differently, "^backbone=0.1,bias=2:0" (rate:decay); the first match counts."""
    backbone_rate: float = 1.0
    """Factor on the learning rate of the backbone; 0 freezes it."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each block of the backbone to the one before; the last has it once."""
    freeze: int | str | None = None
    """What never moves: the first blocks of the backbone by number, or a pattern that is searched in paths."""
    unfreeze: int | tuple[float, ...] | None = None
    """Phases in which the backbone, frozen at first, is freed from its last block on: their number, or their shares."""

    @property
    def trains_backbone(self) -> bool:
        """Whether anything is said here on how the backbone is trained, so that it is to be."""
        return self != dataclasses.replace(
            self, groups=(), backbone_rate=1.0, layer_decay=1.0, freeze=None, unfreeze=None
        )

    @property
    def phases(self) -> tuple[float, ...]:
        """Shares of the run's phases; one where nothing is unfrozen on the way."""
        if self.unfreeze is None:
            return (1.0,)
        return (1.0,) * self.unfreeze if isinstance(self.unfreeze, int) else self.unfreeze

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam", "adamw"):
            raise UsageError(f"recipe.optimizer must be sgd, adam or adamw; got {self.optimizer!r}.")
        if self.schedule not in LEARNING_RATE_SCHEDULES:
            raise UnknownNameError(
                f"Unknown learning-rate schedule {self.schedule!r}.{suggest(self.schedule, LEARNING_RATE_SCHEDULES)}"
            )
        if self.precision not in ("float32", "bfloat16"):
            raise UsageError(f"recipe.precision must be float32 or bfloat16; got {self.precision!r}.")
        if self.standardize not in ("none", "source", "domain"):
            raise UsageError(f"recipe.standardize must be none, source or domain; got {self.standardize!r}.")
        AUGMENTATIONS[self.augment]
        for field in ("learning_rate", "weight_decay", "warmup", "backbone_rate", "mixup"):
            if not (getattr(self, field) >= 0 and math.isfinite(getattr(self, field))):
                raise UsageError(f"recipe.{field} must be a finite number from 0 on, got {getattr(self, field)}.")
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise UsageError(f"recipe.warmup must be a share below 1 or a whole number of steps, got {self.warmup}.")
        if not 0 < self.layer_decay <= 1:
            raise UsageError(f"recipe.layer_decay must be in (0, 1], got {self.layer_decay}.")
        self._check_frozen()
        if not 0 <= self.momentum < 1:
            raise UsageError(f"recipe.momentum must be in [0, 1), got {self.momentum}.")
        if self.clip is not None and not self.clip > 0:
            raise UsageError(f"recipe.clip must be above 0, or None for no clipping; got {self.clip}.")
        for field, low in (("batch_size", 2), ("bottleneck", 0)):  # batch statistics need two examples
            if not isinstance(getattr(self, field), int) or getattr(self, field) < low:
                raise UsageError(f"recipe.{field} must be a whole number from {low} on, got {getattr(self, field)}.")

    def _check_frozen(self) -> None:
        if isinstance(self.freeze, str):
            check_pattern("recipe.freeze", self.freeze)
        elif self.freeze is not None and (isinstance(self.freeze, bool) or self.freeze < 0):
            raise UsageError(f"recipe.freeze must be a pattern or a number of blocks from 0 on, got {self.freeze!r}.")
        phases, whole = self.phases, isinstance(self.unfreeze, int)
        if self.unfreeze is not None and (isinstance(self.unfreeze, bool) or len(phases) < 2):
            raise UsageError(
                "recipe.unfreeze must be a number of phases from 2 on, or at least two shares such as (0.2, 0.8); got"
                f" {self.unfreeze!r}."
            )
        if not whole and not all(0 < share < math.inf for share in phases):
            raise UsageError(f"recipe.unfreeze: each share must be above 0, got {self.unfreeze!r}.")


RECIPES: Registry[Recipe] = Registry("recipe")
for _recipe in (
    Recipe(name="ganin2016"),
    Recipe(name="digits-photo", learning_rate=0.03, standardize="source"),
    Recipe(name="digits", learning_rate=0.03, standardize="domain", augment="translate+noise"),
    Recipe(name="adam", optimizer="adam", learning_rate=1e-3, schedule="constant"),
    Recipe(name="word-counts", optimizer="adam", learning_rate=3e-4, schedule="constant"),
    Recipe(
        name="saito2018", optimizer="adam", learning_rate=2e-4, schedule="constant", weight_decay=5e-4, batch_size=128
    ),
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
    "digits-photo": "ganin2016 at rate 0.03, inputs standardised by the source; fixed on design seeds of digits-photo",
    "digits": "ganin2016 at rate 0.03, with the inputs of french2018: standardised domains, translation and noise",
    "adam": "Adam at 1e-3, constant: a plain default of many code bases",
    "word-counts": "Adam at 3e-4, constant: the better of two rates on held-out source reviews of amazon-reviews",
    "saito2018": "MCD's digits code: Adam at 2e-4, weight decay 5e-4, 128 + 128 examples",
    "french2018": "self-ensembling: Adam at 1e-3, 256 + 256, noise and translation, standardised domains, two forwards",
    "liang2020": "SHOT's digits code: SGD with Nesterov momentum, weight decay 1e-3, the DANN paper's annealing",
    "thuml": "transfer-learning library of thuml: SGD with Nesterov momentum, 0.01 (1 + i/1000)^-0.75, bottleneck 256",
}
