"""Token ids through training, evaluation and prediction."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from flax import nnx

import tladapt
from tladapt.data import Domain, Scenario
from tladapt.errors import UsageError
from tladapt.models import Backbone


class Mean(nnx.Module):
    """The mean of an embedding of each token."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.embedding = nnx.Embed(30, 4, rngs=rngs)
        self.out_features = 4

    def __call__(self, x):
        return self.embedding(x).mean(axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bag(Backbone):
    """`Mean` as a backbone."""

    name: ClassVar[str] = "bag"
    dtype: ClassVar[str] = "int32"

    def build(self, shape, *, rngs):
        return Mean(rngs=rngs)


def tokens(n: int, moved: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens of two classes: 0 to 9 and 15 to 24, moved by some."""
    y = np.arange(n) % 2
    return (np.random.default_rng(n).integers(0, 10, (n, 6)) + 15 * y[:, None] + moved).astype(np.int32), y


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario(Domain(*tokens(80, 0)), Domain(*tokens(60, 3)), name="toy")


def config(**options) -> tladapt.Config:
    recipe = tladapt.Recipe(learning_rate=0.1, batch_size=8)
    return tladapt.Config(**{"backbone": Bag(), "recipe": recipe, "steps": 200, "evaluations": 1, **options})


def test_a_run_on_tokens(scenario):
    result = tladapt.run(config(), scenario)
    assert result.metrics["source/accuracy"] > 0.9 and result.metrics["target/accuracy"] > 0.6
    x = scenario.test.x[:5]
    np.testing.assert_array_equal(result.predict(x), result.predict(x.astype(np.int64).tolist()))
    with pytest.raises(UsageError, match="token"):
        result.predict(x.astype(np.float32))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backbone": "mlp"}, "backbone 'mlp' reads numbers, and the inputs of toy are int32"),
        ({"method": "mean_teacher"}, "'translate' needs floating numbers, got int32"),
        ({"recipe": tladapt.Recipe(standardize="source")}, "standardize='source'.*token ids"),
        ({"recipe": tladapt.Recipe(mixup=0.2)}, "mixup blends inputs"),
    ],
)
def test_what_tokens_cannot_have_is_said(scenario, options, words):
    with pytest.raises(UsageError, match=words):
        tladapt.run(config(**options), scenario)


def test_texts_and_numbers_are_refused_in_words():
    with pytest.raises(UsageError, match="these data are texts, and backbone 'bag' reads none"):
        tladapt.run(config(), Scenario(Domain(["a", "b"] * 9, [0, 1] * 9), Domain(["a", "c"] * 9), name="words"))
    numbers = Scenario(Domain(np.ones((18, 3)), [0, 1] * 9), Domain(np.ones((18, 3))), name="numbers")
    with pytest.raises(UsageError, match="backbone 'bag' reads token ids, and numbers has none"):
        tladapt.run(config(), numbers)
