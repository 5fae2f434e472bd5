"""Co-tuning: the relationship of old and new classes, and the source classifier that is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tests.penalties.conftest import TASK
from tests.training import problems
from tests.training.problems import Stopped, stop
from tladapt.errors import UsageError
from tladapt.methods import Stage
from tladapt.methods.source_only import SourceOnly
from tladapt.models.weights import load_arrays
from tladapt.penalties import PENALTIES, CoTuning
from tladapt.penalties.co_tuning import relationship
from tladapt.training.assemble import assemble


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_relationship_is_the_mean_softmax_of_each_class() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(11, 4)), np.arange(11) % 3
    found = relationship(logits, labels, 4)
    for label in range(3):
        np.testing.assert_allclose(found[label], softmax(logits[labels == label]).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found[:3].sum(1), 1.0, rtol=1e-12)
    assert not found[3].any()  # no example, no opinion


def source_logits(earlier: Path, x: Any) -> np.ndarray:
    """What the earlier run's model says, in plain NumPy."""
    old = load_arrays(earlier / "model" / "model.safetensors")
    kernel, bias = (old[f"params/backbone/layers/0/linear/{name}"] for name in ("kernel", "bias"))
    features = np.maximum(np.asarray(x, np.float64) @ kernel + bias, 0)
    return features @ old["params/classifier/kernel"] + old["params/classifier/bias"]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_value_at_the_start_is_the_formula(begun: Any, earlier: Path, temperature: float) -> None:
    run, step = begun(CoTuning(weight=2.0, temperature=temperature))
    feed, arrays = run.parts.feeds["source"], run.resident()["source"]
    train = run.evaluator._training[0]
    table = np.stack(
        [softmax(source_logits(earlier, train.x[train.y == c]) / temperature).mean(0) for c in range(len(TASK.classes))]
    )
    np.testing.assert_allclose(run.state.penalty["relationship"], table, rtol=1e-4)
    batch = feed.batch(arrays, jax.tree.map(lambda leaf: leaf[0], run.chunk(run.spans[0], 0, 1))["source"])
    logs = np.log(softmax(source_logits(earlier, batch.x)))
    wanted = 2.0 * np.mean(-np.sum(table[np.asarray(batch.y)] * logs, axis=1))
    _, log = step(run.state)
    np.testing.assert_allclose(log["loss/penalty"], wanted, rtol=1e-4)


def test_the_source_classifier_is_trained_and_starts_as_it_was(begun: Any, earlier: Path) -> None:
    run, step = begun("co_tuning")
    head = run.state.params["source_classifier"]
    old = load_arrays(earlier / "model" / "model.safetensors")
    np.testing.assert_array_equal(head["kernel"], old["params/classifier/kernel"])
    after, _ = step(run.state)
    assert len(problems.differing(head, after.params["source_classifier"])) == 2
    recipe = tladapt.Recipe(groups=(tladapt.training.Group(pattern="^source_classifier", learning_rate=0.0),))
    run, step = begun("co_tuning", recipe=recipe)
    assert not problems.differing(head, step(run.state)[0].params["source_classifier"])


def test_a_run_with_it_resumes_and_opens(earlier: Path, tmp_path: Path) -> None:
    config = problems.config(init=str(earlier), penalty="co_tuning", steps=10, evaluations=2)
    whole = tladapt.run(config, TASK, out=tmp_path / "whole")
    with pytest.raises(Stopped):
        tladapt.run(config, TASK, out=tmp_path / "parts", callbacks=(stop("eval", 5),))
    tladapt.run(config, TASK, out=tmp_path / "parts", resume=True)
    problems.assert_same_folder(tmp_path / "whole", tmp_path / "parts")
    for which in ("last", "chosen"):
        opened = tladapt.open_run(tmp_path / "whole", which=which)
        assert opened.predict(TASK.target.x).shape == (len(TASK.target),)
    np.testing.assert_array_equal(
        tladapt.open_run(tmp_path / "whole").logits(TASK.target.x), whole.logits(TASK.target.x)
    )


def test_every_stage_needs_labels(begun: Any) -> None:
    class Unlabelled(SourceOnly):
        name = "unlabelled"

        def stages(self) -> tuple[Stage, ...]:
            return (Stage("adapt", source=False),)

        def loss(self, ctx: Any) -> Any:
            return {"size": jnp.mean(ctx.target.features)}

    run, step = begun("co_tuning", Unlabelled())
    with pytest.raises(UsageError, match="needs labelled examples in every step"):
        step(run.state)


def test_what_cannot_be_is_told() -> None:
    assert PENALTIES["co_tuning"] is CoTuning
    with pytest.raises(UsageError, match="penalty 'co_tuning' needs the classifier that the starting weights"):
        assemble(problems.config(penalty="co_tuning"), TASK, 0)
    with pytest.raises(UsageError, match="weight must be 0 or more"):
        CoTuning(weight=float("nan"))
    with pytest.raises(UsageError, match="temperature must be above 0"):
        CoTuning(temperature=-1.0)
