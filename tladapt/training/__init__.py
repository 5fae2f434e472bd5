"""Training: config, the compiled step, the loop, checkpoints and results."""

from __future__ import annotations

from tladapt.training.config import BATCHNORM_PRESETS, RECIPES, BatchNorm, Config, Group, Recipe
from tladapt.training.loop import Callback, Event, Interrupted, run
from tladapt.training.result import Result, open_run

__all__ = [
    "BATCHNORM_PRESETS",
    "RECIPES",
    "BatchNorm",
    "Callback",
    "Config",
    "Event",
    "Group",
    "Interrupted",
    "Recipe",
    "Result",
    "open_run",
    "run",
]
