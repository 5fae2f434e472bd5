"""What each BatchNorm policy does to running statistics and to predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.errors import UsageError
from tladapt.models import BatchNorm as OurBatchNorm
from tladapt.training import BATCHNORM_PRESETS, BatchNorm, Config
from tladapt.training.assemble import Assembly, assemble, weights_of
from tladapt.training.state import State
from tladapt.training.step import StageStep


class First(nnx.Module):
    """Batch normalisation of the inputs themselves, then a layer with dropout: its statistics are those of the data."""

    def __init__(self, kind: Any, *, rngs: nnx.Rngs, momentum: float = 0.9):
        self.norm = kind(problems.SIZE, momentum=momentum, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.linear = nnx.Linear(problems.SIZE, 6, rngs=rngs)
        self.second = kind(6, momentum=momentum, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(self.linear(self.dropout(self.norm(x))))


KINDS = {"ours": OurBatchNorm, "flax": nnx.BatchNorm}


def first(kind: str = "ours", **options: Any) -> First:
    return First(KINDS[kind], rngs=nnx.Rngs(0), **options)


def config(preset: str | BatchNorm, method: Any = "dann", **changes: Any) -> Config:
    return problems.config(method, **{"backbone": first(), "batchnorm": preset, **changes})


def one_step(assembly: Assembly) -> tuple[State, dict[str, Any]]:
    """Return the state after the first step of a run, and the raw batches that it saw."""
    span = assembly.spans[0]
    step = StageStep(assembly.parts, span)
    pieces = assembly.chunk(span, 0, 1)
    piece = jax.tree.map(lambda leaf: leaf[0], pieces)
    arrays = assembly.resident()
    state, _ = jax.jit(step)(assembly.state, arrays, piece)
    raw = {name: assembly.parts.feeds[name].batch(arrays[name], piece[name]) for name in span.domains}
    return state, {name: np.asarray(batch.x, np.float64) for name, batch in raw.items()}


def norm(state: Any, kept: str = "shared") -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in state.statistics[kept]["backbone"]["norm"].items()}


def unbiased(x: np.ndarray) -> np.ndarray:
    return x.var(0, ddof=1)


def test_joint_statistics_are_those_of_the_concatenated_batch() -> None:
    state, x = one_step(assemble(config("joint"), problems.scenario(), 0))
    both = np.concatenate([x["source"], x["target"]])
    np.testing.assert_allclose(norm(state)["mean"], 0.1 * both.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm(state)["var"], 0.9 + 0.1 * unbiased(both), rtol=1e-4)


def test_separate_statistics_take_the_source_first_and_the_target_after_it() -> None:
    state, x = one_step(assemble(config("separate"), problems.scenario(), 0))
    a, m = 0.1, np.zeros(problems.SIZE)
    wanted = (1 - a) ** 2 * m + a * (1 - a) * x["source"].mean(0) + a * x["target"].mean(0)
    np.testing.assert_allclose(norm(state)["mean"], wanted, rtol=1e-4, atol=1e-6)
    wanted = (1 - a) ** 2 + a * (1 - a) * unbiased(x["source"]) + a * unbiased(x["target"])
    np.testing.assert_allclose(norm(state)["var"], wanted, rtol=1e-4)
    # Each domain is normalised by its own batch: the features of both have mean 0 before the last layer's shift.
    joint = one_step(assemble(config("joint"), problems.scenario(), 0))[0]
    assert problems.differing(joint.params, state.params)


def test_per_domain_statistics_are_apart() -> None:
    assembly = assemble(config("per_domain"), problems.scenario(), 0)
    state, x = one_step(assembly)
    assert state.statistics.keys() == {"source", "target"}
    for domain in ("source", "target"):
        np.testing.assert_allclose(norm(state, domain)["mean"], 0.1 * x[domain].mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(norm(state, domain)["var"], 0.9 + 0.1 * unbiased(x[domain]), rtol=1e-4)


def test_a_source_pass_leaves_the_target_statistics_bit_for_bit() -> None:
    assembly = assemble(config("per_domain"), problems.scenario(), 0)
    step = StageStep(assembly.parts, dataclasses.replace(assembly.spans[0], stage=tladapt.methods.Stage(target=False)))
    x = jnp.asarray(assembly.parts.feeds["source"].arrays()["x"][:6])
    state = assembly.state
    _, after = step.passes.outputs(state.params, state.statistics, {"source": x}, jax.random.key(0), {})
    assert not problems.differing(state.statistics["target"], after["target"])
    moved = problems.differing(state.statistics["source"], after["source"])
    assert len(moved) == len(problems.arrays(after["source"]))


def test_predictions_on_the_target_use_its_own_statistics() -> None:
    scenario = problems.scenario()
    assembly = assemble(config("per_domain"), scenario, 0)
    state, _ = one_step(assembly)
    weights = weights_of(state)
    predictor = assembly.evaluator.predictor
    swapped = weights._replace(
        statistics={"source": weights.statistics["target"], "target": weights.statistics["source"]}
    )
    on_target = predictor.outputs(weights, scenario.target, "target").logits
    assert (on_target != predictor.outputs(weights, scenario.target, "source").logits).any()
    assert (on_target == predictor.outputs(swapped, scenario.target, "source").logits).all()


def test_frozen_statistics_stay_bit_for_bit_and_normalise(tmp_path: Any) -> None:
    result = tladapt.run(config("frozen", steps=10, evaluations=1), problems.scenario())
    start = assemble(config("frozen"), problems.scenario(), 0).state
    assert not problems.differing(start.statistics, result.weights.statistics)
    assert problems.differing(start.params, result.weights.params)
    # Training normalises by them, too: with mean 0 and variance 1 the first layer is the identity but for its epsilon.
    assembly = assemble(config("frozen", backbone=First(OurBatchNorm, rngs=nnx.Rngs(0))), problems.scenario(), 0)
    model = assembly.parts.network.model.merge(
        {block: start.params[block] for block in ("backbone", "classifier")},
        start.statistics["shared"],
        mode="train",
        key=jax.random.key(0),
    )
    x = jnp.asarray(problems.scenario().target.x[:5])
    np.testing.assert_allclose(model.backbone.norm(x), x, rtol=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("momentum", [0.9, 0.99, 0.0])
def test_target_evaluation_uses_statistics_of_the_whole_target(kind: str, momentum: float) -> None:
    """1,203 examples in three uneven batches, far from zero, with their spread between the batches."""
    rng = np.random.default_rng(0)
    x = 1000.0 + 30.0 * rng.normal(size=(1203, problems.SIZE)) + np.linspace(0, 200, 1203)[:, None]
    small = problems.scenario()
    scenario = Scenario(small.source, Domain(x.astype(np.float32), name="far"), small.test, classes=small.classes)
    assembly = assemble(config("target", backbone=first(kind, momentum=momentum)), scenario, 0)
    weights = weights_of(assembly.state)
    adapted = assembly.evaluator.adapted(weights)
    found = norm(adapted)
    np.testing.assert_allclose(found["mean"], x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["var"], x.var(0), rtol=3e-3)  # ours keeps the unbiased one of each batch
    assert not problems.differing(weights.params, adapted.params)
    # The second layer sees what the first makes of them, without dropout: mean of W x + b at mean 0.
    linear = {name: np.asarray(leaf) for name, leaf in adapted.params["backbone"]["linear"].items()}
    second = {name: np.asarray(leaf) for name, leaf in adapted.statistics["shared"]["backbone"]["second"].items()}
    np.testing.assert_allclose(second["mean"], linear["bias"], atol=1e-3)
    # Twice is once: they depend on the data and the parameters alone.
    again = assembly.evaluator.adapted(adapted)
    for name, value in problems.arrays(adapted.statistics).items():
        np.testing.assert_allclose(problems.arrays(again.statistics)[name], value, rtol=1e-4, atol=1e-4)


def test_target_evaluation_on_the_source_changes_about_nothing() -> None:
    """Where the target is the source, training has left about the statistics that are measured."""
    small = problems.scenario()
    same = Scenario(small.source, small.source[0].unlabelled(), small.source[0], classes=small.classes)
    recipe = dataclasses.replace(problems.RECIPE, batch_size=36, learning_rate=0.01)
    run = config(
        "target", "source_only", recipe=recipe, steps=80, evaluations=1, backbone=First(OurBatchNorm, rngs=nnx.Rngs(0))
    )
    assembly = assemble(run, same, 0)
    result = tladapt.run(run, same)
    trained = result.weights
    plain = tladapt.run(dataclasses.replace(run, batchnorm="joint"), same).weights
    assert not problems.differing(trained.params, plain.params)
    for name in ("mean", "var"):
        np.testing.assert_allclose(norm(trained)[name], norm(plain)[name], rtol=0.15, atol=0.15)
    assert assembly.parts.network.policy.evaluation == "target"


def test_target_evaluation_leaves_the_source_its_own_statistics() -> None:
    run = dict(steps=20, evaluations=1)
    plain = tladapt.run(config("joint", "source_only", **run), problems.scenario())
    adapted = tladapt.run(config("target", "source_only", **run), problems.scenario())
    for row, other in zip(plain.history, adapted.history, strict=True):
        assert row.get("source/accuracy") == other.get("source/accuracy")
    assert plain.history[-1]["validator/source_accuracy"] == adapted.history[-1]["validator/source_accuracy"]
    assert plain.history[-1]["validator/im"] != adapted.history[-1]["validator/im"]


@pytest.mark.parametrize("preset", ["joint", "separate"])
def test_source_only_never_looks_at_the_target(preset: str) -> None:
    scenario = problems.scenario()
    noise = np.random.default_rng(5).normal(size=scenario.target.x.shape).astype(np.float32)
    other = Scenario(scenario.source, Domain(100 * noise), scenario.test, classes=scenario.classes)
    run = config(preset, "source_only")
    first, second = tladapt.run(run, scenario), tladapt.run(run, other)
    assert not problems.differing(first.weights.params, second.weights.params)
    assert not problems.differing(first.weights.statistics, second.weights.statistics)
    assert problems.numbers(first.history) == problems.numbers(second.history)


def test_contradictions_are_refused() -> None:
    with pytest.raises(UsageError, match="forward='joint' mixes the domains"):
        BatchNorm(statistics="per_domain")
    with pytest.raises(UsageError, match="statistics='frozen' keeps the statistics that the run starts with"):
        BatchNorm(statistics="frozen", evaluation="target")
    with pytest.raises(UsageError, match="batchnorm forward must be one of joint, separate; got 'both'"):
        BatchNorm(forward="both")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="stage 'train' of method 'source_only' sees the source alone"):
        assemble(config("per_domain", "source_only"), problems.scenario(), 0)
    with pytest.raises(UsageError, match="stage 'source' of method 'shot' sees the source alone"):
        assemble(config("per_domain", "shot"), problems.scenario(), 0)
    with pytest.raises(UsageError, match="'mean_teacher' predicts with running statistics of its own"):
        assemble(config("target", "mean_teacher", recipe=problems.NOISY), problems.scenario(), 0)
    assert set(BATCHNORM_PRESETS) == {"joint", "separate", "per_domain", "frozen", "target"}


def test_run_that_predicts_with_target_statistics_opens_at_its_last_step_only(tmp_path: Any) -> None:
    run = config("target", backbone=problems.NORMAL, steps=20, evaluations=2)
    result = tladapt.run(run, problems.scenario(), out=tmp_path / "run")
    x = problems.scenario().test.x
    assert (tladapt.open_run(tmp_path / "run").logits(x) == result.logits(x)).all()
    for which in ("chosen", "oracle", 10):
        with pytest.raises(UsageError, match="only which='last' can be opened"):
            tladapt.open_run(tmp_path / "run", which=which)


def test_a_policy_that_changes_nothing_is_said() -> None:
    words = "batchnorm evaluation='target' changes nothing"
    assert any(words in note for note in assemble(config("target", backbone="mlp"), problems.scenario(), 0).notes)
    assert not any(words in note for note in assemble(config("target"), problems.scenario(), 0).notes)
