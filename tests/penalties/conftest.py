"""A run of three classes, and a task of two for a run that starts from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.training.assemble import Assembly, assemble
from tladapt.training.step import StageStep

TASK = tladapt.Scenario(
    *(
        tladapt.Domain(np.asarray(domain.x), np.asarray(domain.y) // 2, name=domain.name)
        for domain in (problems.scenario().source[0], problems.scenario().test)
    ),
    classes=("a or b", "c"),
)


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on three classes."""
    folder = tmp_path_factory.mktemp("runs") / "earlier"
    tladapt.run(problems.config(steps=10, evaluations=1, log_every=10), problems.scenario(), out=folder)
    return folder


@pytest.fixture
def begun(earlier: Path) -> Callable[..., tuple[Assembly, Callable[[Any], Any]]]:
    """Start a run of two classes from it: its assembly, and its first step as a function of a state."""

    def begin(penalty: Any, method: Any = "source_only", **changes: Any) -> tuple[Assembly, Callable[[Any], Any]]:
        config = problems.config(method, **{"init": str(earlier), "penalty": penalty, **changes})
        run = assemble(config, TASK, 0)
        piece = jax.tree.map(lambda leaf: leaf[0], run.chunk(run.spans[0], 0, 1))
        step, arrays = StageStep(run.parts, run.spans[0]), run.resident()
        return run, lambda state: step(state, arrays, piece)

    return begin
