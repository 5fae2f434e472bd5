"""Networks that read texts train like any other: inputs are token ids, in float32 and bfloat16."""

from __future__ import annotations

import numpy as np
import pytest

import tladapt
from tladapt.data import Domain, Scenario
from tladapt.models.backbones import Bert
from tladapt.training import Config, Recipe

BERT = Bert(vocabulary=70, width=16, layers=1, heads=2, inner=20, positions=12, dropout=0.0)


def texts() -> Scenario:
    """Two classes, told by the second token; the rest is noise, and texts end in padding."""
    rng = np.random.default_rng(0)

    def domain(count: int, name: str) -> Domain:
        y = np.arange(count) % 2
        x = rng.integers(5, 40, (count, 12)).astype(np.int32)
        x[:, 1] = np.where(y, 50, 60)
        for row in x:
            row[rng.integers(6, 13) :] = 0
        return Domain(x, y, name=name)

    return Scenario(domain(60, "source"), domain(50, "target"), domain(50, "test"), classes=("a", "b"), name="ids")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_on_token_ids(precision):
    recipe = Recipe(name="toy", batch_size=16, optimizer="adam", learning_rate=0.01, precision=precision)
    config = Config(method="source_only", backbone=BERT, recipe=recipe, steps=60, log_every=20, evaluations=1)
    result = tladapt.run(config, texts(), seed=0)
    assert result.metrics["target/accuracy"] > 0.95
