"""A way to call the command in this process, and a problem of points small enough for a run of a second."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tladapt.cli import run_app
from tladapt.cli.app import app

CLASSES = ("ant", "bee", "cat")
FAST = ["--steps", "12", "--log-every", "6", "--evaluations", "2", "--no-figures"]
SMALL = ["--backbone", "mlp", "--backbone.widths", "16,8"]
TRAIN = ["--method", "dann", "--method.hidden", "8,8", "--method.weight=0.5", *SMALL]
PENALTY = ["--penalty", "l2sp", "--penalty.weight", "0.1"]
RECIPE = ["--recipe.learning_rate", "0.003", "--batchnorm.forward", "separate"]


class Said(NamedTuple):
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str


def call(*arguments: str) -> Said:
    """Run `tladapt` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_app(app, [str(argument) for argument in arguments])
    return Said(status, out.getvalue(), err.getvalue())


def points(n: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return three clouds of points in four dimensions, float32 `[n, 4]`, and which cloud each is from."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    centres = np.array([[0, 0, 0, 0], [3, 0, 0, 0], [0, 3, 0, 0]], np.float32)
    return (centres[y] + rng.normal(scale=0.4, size=(n, 4)) + shift).astype(np.float32), y


class Run(NamedTuple):
    """A finished run, the command that made it, and what the command said."""

    folder: Path
    command: list[str]
    said: Said
