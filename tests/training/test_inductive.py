"""Inductive transfer: fine-tuning on a new labelled task, with what keeps the model close to where it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.errors import UsageError
from tladapt.models.backbones.mlp import MLP
from tladapt.models.weights import load_arrays
from tladapt.training import Recipe
from tladapt.training.assemble import assemble

BACKBONE = MLP(widths=(7, 6), batch_norm=True)


def task() -> tladapt.Scenario:
    """Two classes, of what were three."""
    train, test = problems.scenario().source[0], problems.scenario().test
    assert test is not None
    two = [tladapt.Domain(domain.x, domain.y // 2, name=name) for domain, name in ((train, "train"), (test, "test"))]
    return tladapt.Scenario.labelled_task(*two, classes=("a or b", "c"))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "earlier"
    tladapt.run(problems.config(backbone=BACKBONE, steps=20, evaluations=1), problems.scenario(), out=folder)
    return folder


def test_a_labelled_task_is_a_scenario_whose_target_has_no_labels() -> None:
    made = task()
    assert made.target.y is None and made.test is not None and made.test.y is not None
    assert np.array_equal(made.target.x, made.test.x)
    assert made.classes == ("a or b", "c") and made.name == "train-test"
    with pytest.raises(UsageError, match="has no labels of the target"):
        made.oracle()
    x = np.zeros((4, 2), np.float32)
    with pytest.raises(UsageError, match="the test domain 'test' needs labels"):
        tladapt.Scenario.labelled_task(tladapt.Domain(x, [0, 1, 0, 1]), tladapt.Domain(x, name="test"))


@pytest.mark.parametrize(
    ("penalty", "tuning", "frozen"),
    [
        ("delta", {"unfreeze": (0.5, 0.5)}, []),
        ("lwf", {"freeze": 1, "warmup": 2}, ["layers/0/"]),
        ("co_tuning", {"layer_decay": 0.5, "decay_norms": False, "weight_decay": 0.1}, []),
        ("bss", {"backbone_rate": 0.0}, ["layers/0/", "layers/1/"]),
    ],
)
def test_fine_tuning_from_an_earlier_run(
    earlier: Path, penalty: str, tuning: dict[str, Any], frozen: list[str]
) -> None:
    recipe = Recipe(batch_size=6, learning_rate=0.05, **tuning)
    config = problems.config(
        backbone=BACKBONE, recipe=recipe, init=str(earlier), penalty=penalty, steps=6, log_every=3, evaluations=1
    )
    result = tladapt.run(config, task())
    old = load_arrays(earlier / "model" / "model.safetensors")
    now = problems.arrays({"params": result.weights.params, "statistics": result.weights.statistics})
    for name, leaf in now.items():
        if "/backbone/" in name:
            held = any(part in name for part in frozen)
            assert (leaf.tobytes() == old[name].tobytes()) == held, name
    assert now["params/classifier/kernel"].shape == (6, 2)
    assert all(np.isfinite(row["loss/penalty"]) for row in problems.numbers(result.history))
    assert "target/accuracy" in result.metrics


def test_a_frozen_backbone_predicts_with_the_features_that_it_started_with(earlier: Path) -> None:
    """Feature extraction: the features of a run are those of the earlier model, bit for bit."""
    config = problems.config(
        backbone=BACKBONE, recipe=Recipe(batch_size=6, freeze=2), init=str(earlier), steps=5, evaluations=1
    )
    start = assemble(config, task(), 0)
    x = task().target.x
    result = tladapt.run(config, task())
    np.testing.assert_array_equal(result.features(x), tladapt.open_run(earlier).features(x))
    assert problems.differing(start.state.params["classifier"], result.weights.params["classifier"])
