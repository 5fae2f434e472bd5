"""Fine-tuning published weights: what is frozen keeps its bits, phase by phase, batch statistics included."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.models import pretrained
from tladapt.models.weights.store import flatten
from tladapt.training import Config
from tladapt.training.recipe import RECIPES

WEIGHTS = pathlib.Path(os.environ.get("TLADAPT_WEIGHTS", "")) / "mobilenetv2_035.safetensors"


def stripes():
    """Pictures of two classes that differ by their light."""
    rng = np.random.default_rng(0)

    def domain(count, low, name):
        y = np.arange(count) % 2
        x = rng.integers(low, 120, size=(count, 32, 32, 3)) + 60 * y[:, None, None, None]
        return tladapt.Domain(x.astype(np.uint8), y, name=name)

    return tladapt.Scenario(domain(20, 0, "source"), domain(12, 40, "target"), classes=("dark", "light"))


def photographs():
    """A pair of Office-Caltech-10, small."""
    if not (pathlib.Path(os.environ.get("TLADAPT_DATA", "")) / "office_caltech10").is_dir():
        pytest.skip("needs office_caltech10/: set TLADAPT_DATA")
    return tladapt.load("office-caltech10:dslr-webcam", size=32, resize=36)


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="needs mobilenetv2_035.safetensors: set TLADAPT_WEIGHTS")
@pytest.mark.parametrize("make", [stripes, photographs])
def test_progressive_unfreezing(make, tmp_path):
    scenario = make()
    recipe = dataclasses.replace(RECIPES["thuml"], batch_size=4, bottleneck=8, unfreeze=3, backbone_rate=0.5)
    config = Config(
        method="dann", backbone="mobilenetv2_035", weights=WEIGHTS, recipe=recipe, steps=9, log_every=3, evaluations=3
    )
    tladapt.run(config, scenario, out=tmp_path / "run")
    started = flatten(pretrained("mobilenetv2_035", WEIGHTS).backbone)
    moved = []
    for step in (3, 6, 9):
        weights = tladapt.open_run(tmp_path / "run", which=step).weights
        now = problems.flat(weights.params["backbone"]) | problems.flat(weights.statistics["shared"]["backbone"])
        assert now.keys() == started.keys()
        moved.append({path for path in now if not np.array_equal(now[path], started[path])})
    first, second, third = moved
    assert not first  # the new layers alone were trained
    late = {path for path in started if path.startswith(("blocks/4", "blocks/5", "blocks/6", "head"))}
    early = {path for path in started if path.startswith(("stem", "blocks/0", "blocks/1"))}
    assert len(second & late) > 0.9 * len(late)
    assert not sorted(second & early)
    assert len(third & early) > 0.9 * len(early)
    assert any(path.endswith("/var") for path in second) and any(path.endswith("/kernel") for path in third & early)
