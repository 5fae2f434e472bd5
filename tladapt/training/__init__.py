"""Training: config, the compiled step, the loop, checkpoints and results."""

from __future__ import annotations

from tladapt.training.config import Config
from tladapt.training.recipe import BATCHNORM_PRESETS, RECIPES, BatchNorm, Group, Recipe
from tladapt.training.result import Result, open_run
from tladapt.training.runs import run, run_seeds
from tladapt.training.selection import Selection, select
from tladapt.training.watching import Callback, Event, Interrupted

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
    "Selection",
    "open_run",
    "run",
    "run_seeds",
    "select",
]
