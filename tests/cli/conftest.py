"""A problem of points, and one run of it through the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.cli.toy import CLASSES, FAST, PENALTY, RECIPE, TRAIN, Run, call, points


@pytest.fixture(scope="session", autouse=True)
def compiled() -> Iterator[None]:
    """Keep the commands from naming a folder of their own for what is compiled: the tests have theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz of two domains of points."""
    path = tmp_path_factory.mktemp("data") / "toy.npz"
    (sx, sy), (tx, ty), (vx, vy) = points(90, 0.0, 0), points(60, 0.5, 1), points(45, 0.5, 2)
    arrays = {"source_x": sx, "source_y": sy, "target_x": tx, "test_x": vx, "test_y": vy}
    del ty  # an unlabelled target with a test set of its own
    np.savez(path, **arrays, classes=np.array(CLASSES))
    return path


@pytest.fixture(scope="session")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run with an option of every kind."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    command = ["train", "--data", str(toy), *TRAIN, *PENALTY, *RECIPE, *FAST, "--seed", "1", "--out", str(folder)]
    said = call(*command)
    assert said.status == 0, said.err
    return Run(folder, command, said)
