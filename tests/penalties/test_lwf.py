"""Learning without forgetting: the divergence, and what the old classifier does in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.penalties.conftest import TASK
from tests.training import problems
from tladapt.errors import UsageError
from tladapt.models.weights import load_arrays
from tladapt.penalties import PENALTIES, LwF
from tladapt.penalties.lwf import divergence
from tladapt.training.assemble import assemble


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def naive(teacher: Any, student: Any, temperature: float) -> np.ndarray:
    p, q = (softmax(np.asarray(logits, np.float64) / temperature) for logits in (teacher, student))
    return np.sum(p * np.log(p / q), axis=1)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_it_is_the_divergence_without_the_square_of_the_temperature(temperature: float) -> None:
    rng = np.random.default_rng(0)
    teacher, student = (3 * rng.normal(size=(7, 4)).astype(np.float32) for _ in range(2))
    found = divergence(jnp.asarray(teacher), jnp.asarray(student), temperature)
    np.testing.assert_allclose(found, naive(teacher, student, temperature), rtol=1e-4, atol=1e-6)
    gradient = jax.grad(lambda s: divergence(jnp.asarray(teacher), s, temperature).sum())(jnp.asarray(student))
    # (q - p) / T: with the factor T^2 it would be T (q - p).
    wanted = (softmax(student / temperature) - softmax(teacher / temperature)) / temperature
    np.testing.assert_allclose(gradient, wanted, atol=1e-5)


def test_the_teacher_gets_no_gradient_and_large_logits_no_nan() -> None:
    logits = jnp.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    value, gradients = jax.value_and_grad(lambda t, s: divergence(t, s, 2.0).sum(), argnums=(0, 1))(logits, -logits)
    assert np.isfinite(value)
    assert not np.any(gradients[0]) and np.all(np.isfinite(gradients[1]))


def test_it_begins_at_zero_with_zero_gradient(begun: Any) -> None:
    """The features are the starting model's, whatever the new classifier."""

    def after(penalty: Any) -> tuple[Any, Any]:
        run, step = begun(penalty)
        return step(run.state)

    (with_it, log), (without, _) = after(LwF(weight=50.0)), after(None)
    assert abs(float(log["loss/penalty"])) < 1e-6 and float(log["weight/penalty"]) == 1.0
    for name, leaf in problems.arrays(with_it.optimizer).items():
        np.testing.assert_allclose(leaf, problems.arrays(without.optimizer)[name], atol=2e-5)


def test_away_from_the_start_it_is_the_formula(begun: Any, earlier: Path) -> None:
    run, step = begun(LwF(weight=3.0, temperature=2.0))
    moved = run.state._replace(
        params={**run.state.params, "backbone": jax.tree.map(lambda leaf: leaf + 0.1, run.state.params["backbone"])}
    )
    _, log = step(moved)
    old = load_arrays(earlier / "model" / "model.safetensors")
    piece = jax.tree.map(lambda leaf: leaf[0], run.chunk(run.spans[0], 0, 1))
    batch = run.parts.feeds["source"].batch(run.resident()["source"], piece["source"])

    def logits(shift: float) -> np.ndarray:
        kernel, bias = (old[f"params/backbone/layers/0/linear/{name}"] + shift for name in ("kernel", "bias"))
        features = np.maximum(np.asarray(batch.x, np.float64) @ kernel + bias, 0)
        return features @ old["params/classifier/kernel"] + old["params/classifier/bias"]

    np.testing.assert_allclose(log["loss/penalty"], 3.0 * naive(logits(0.0), logits(0.1), 2.0).mean(), rtol=1e-3)
    assert "source_classifier" not in run.state.params  # the old classifier is a constant
    assert logits(0.0).shape[1] == 3 and run.state.params["classifier"]["kernel"].shape[1] == 2


def test_without_a_classifier_of_before_there_is_nothing_to_keep() -> None:
    with pytest.raises(UsageError, match=r"penalty 'lwf' needs the classifier that the starting weights .*--init RUN"):
        assemble(problems.config(penalty="lwf"), TASK, 0)


def test_what_cannot_be_is_told() -> None:
    assert PENALTIES["lwf"] is LwF
    with pytest.raises(UsageError, match="weight must be 0 or more"):
        LwF(weight=-1.0)
    with pytest.raises(UsageError, match="temperature must be above 0"):
        LwF(temperature=0.0)
