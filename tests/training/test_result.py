"""What a run leaves, and what is opened again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.errors import DamagedDataError, RunFolderError, UsageError
from tladapt.training.assemble import assemble, held_out
from tladapt.training.inputs import Inputs

X = problems.scenario().test.x


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tladapt.Result:
    """A run of mean_teacher: its predictions are those of memory, not of the trained parameters."""
    return tladapt.run(
        problems.methods()["mean_teacher"], problems.scenario(), out=tmp_path_factory.mktemp("runs") / "teacher"
    )


def test_opened_run_predicts_the_same_bits(ran: tladapt.Result) -> None:
    opened = tladapt.open_run(ran.folder)
    problems.assert_same_result(ran, opened)
    for name in ("predict", "predict_proba", "features", "logits"):
        assert (getattr(ran, name)(X) == getattr(opened, name)(X)).all(), name
    assert opened.config == ran.config and opened.classes == ("a", "b", "c")
    assert "mean_teacher on toy" in repr(opened)


def test_predictions_have_their_shapes_and_agree_with_the_metrics(ran: tladapt.Result) -> None:
    test = problems.scenario().test
    assert ran.predict(X).shape == (35,) and ran.features(X).shape == (35, problems.SIZE)
    np.testing.assert_allclose(ran.predict_proba(X).sum(1), 1.0, rtol=1e-6)
    assert (ran.predict_proba(X).argmax(1) == ran.predict(X)).all()
    assert np.mean(ran.predict(X) == test.y) == ran.metrics["target/accuracy"]
    np.testing.assert_allclose(ran.predict_proba(X[:3]), ran.predict_proba(X)[:3], rtol=1e-5)
    with np.load(ran.folder / "outputs.npz") as outputs:
        assert (outputs["test_logits"] == ran.logits(X)).all()
        assert outputs["before_source"].shape == outputs["after_source"].shape
        assert (outputs["before_target"] != outputs["after_target"]).any()


def test_teacher_predicts_for_its_student(ran: tladapt.Result) -> None:
    teacher, student = ran.weights.memory["params"], ran.weights.params
    blocks = {block: student[block] for block in teacher}
    assert problems.differing(teacher, blocks)
    taught = dataclasses.replace(ran, weights=ran.weights._replace(params=teacher | {"more": {}}))
    assert (taught.logits(X) == ran.logits(X)).all()
    memory = {**ran.weights.memory, "params": blocks}
    assert (dataclasses.replace(ran, weights=ran.weights._replace(memory=memory)).logits(X) != ran.logits(X)).any()


def test_both_heads_of_mcd_predict() -> None:
    result = tladapt.run(problems.config("mcd", steps=10, evaluations=1), problems.scenario())
    features, params = result.features(X), problems.arrays(result.weights.params)
    wanted = sum(
        features @ params[f"{head}/kernel"] + params[f"{head}/bias"] for head in ("classifier", "second_classifier")
    )
    np.testing.assert_allclose(result.logits(X), wanted, rtol=1e-4, atol=1e-5)


def test_which_step_is_opened(ran: tladapt.Result) -> None:
    steps = {row["step"]: row for row in problems.numbers(ran.history, "eval")}
    test = problems.scenario().test
    for which in ("chosen", "oracle", 10, 30):
        step = which if isinstance(which, int) else ran.metrics[f"{which}/step"]
        accuracy = np.mean(tladapt.open_run(ran.folder, which=which).predict(test) == test.y)
        assert accuracy == steps[step]["target/accuracy"], which
    last = tladapt.open_run(ran.folder, which=problems.STEPS)
    assert not problems.differing(last.weights._asdict(), ran.weights._asdict())
    with pytest.raises(RunFolderError, match=r"kept no checkpoint of step 11, only \[10, 20, 30, 40\]"):
        tladapt.open_run(ran.folder, which=11)
    with pytest.raises(UsageError, match="which must be 'last', 'chosen', 'oracle' or a step, got 'best'"):
        tladapt.open_run(ran.folder, which="best")


def test_run_that_has_not_finished_or_lost_its_model(tmp_path: Path) -> None:
    config, folder = problems.config(steps=5, evaluations=1), tmp_path / "run"
    with pytest.raises(problems.Stopped):
        tladapt.run(config, problems.scenario(labelled=False), out=folder, callbacks=(problems.stop("eval", 5),))
    with pytest.raises(RunFolderError, match=r"has not finished. Go on with it: .* --resume"):
        tladapt.open_run(folder)
    tladapt.run(config, problems.scenario(labelled=False), out=folder, resume=True)
    with pytest.raises(UsageError, match="saw no test labels, so there is no oracle step"):
        tladapt.open_run(folder, which="oracle")
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedDataError, match="not a whole safetensors file"):
        tladapt.open_run(folder)


def test_inputs_of_another_shape(ran: tladapt.Result) -> None:
    with pytest.raises(UsageError, match=r"reads inputs of shape \[n, 8\], got \[35, 7\]"):
        ran.predict(X[:, :7])
    with pytest.raises(UsageError, match="x must be"):
        ran.predict(X[0])


class Own(nnx.Module):
    """A network of one's own, with all that has state: normalisation and dropout."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(problems.SIZE, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(5, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dropout(jax.nn.relu(self.norm(self.linear(x))))


def state_of(module: nnx.Module) -> Any:
    return nnx.to_pure_dict(nnx.as_pure(nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))))


def test_own_module_is_not_changed_by_a_run_and_is_given_again_to_open_it(tmp_path: Path) -> None:
    own = Own(rngs=nnx.Rngs(0))
    own.eval()
    before = problems.copied(state_of(own))
    key = jax.random.key_data(own.dropout.rngs.key[...])
    config = problems.config("dann", backbone=own, steps=10, evaluations=1)
    result = tladapt.run(config, problems.scenario(), out=tmp_path / "run")
    assert not problems.differing(before, state_of(own))
    assert (key == jax.random.key_data(own.dropout.rngs.key[...])).all() and int(own.dropout.rngs.count[...]) == 0
    assert own.norm.use_running_average and own.dropout.deterministic
    assert problems.differing(before["linear"], result.weights.params["backbone"]["linear"])
    with pytest.raises(UsageError, match=r"a backbone of your own \(.*Own\)"):
        tladapt.open_run(tmp_path / "run")
    for again in (own, Own(rngs=nnx.Rngs(5)), Own):  # a fresh one, or what makes one, does as well
        assert (tladapt.open_run(tmp_path / "run", backbone=again).logits(X) == result.logits(X)).all()


def test_a_second_run_of_one_module_starts_from_the_same_parameters() -> None:
    own = Own(rngs=nnx.Rngs(0))
    config = problems.config(backbone=own, steps=5, evaluations=1)
    problems.assert_same_result(tladapt.run(config, problems.scenario()), tladapt.run(config, problems.scenario()))


# ---- validation, several sources, inputs -----------------------------------------------------------------------------


def test_a_tenth_of_the_source_is_held_out_and_never_trained_on() -> None:
    scenario = problems.scenario(sources=2)
    (first, second), held = held_out(scenario, seed=0)
    assert (len(first), len(second), len(held)) == (36, 36, 8)
    rows = {row.tobytes() for domain in (first, second) for row in domain.x}
    assert len(rows) == 72 and not rows & {row.tobytes() for row in held.x}
    assert {row.tobytes() for domain in scenario.source for row in domain.x} == rows | {r.tobytes() for r in held.x}
    labels = {row.tobytes(): y for domain in scenario.source for row, y in zip(domain.x, domain.y, strict=True)}
    assert all(labels[row.tobytes()] == y for row, y in zip(held.x, held.y, strict=True))
    assert {row.tobytes() for row in held_out(scenario, seed=1)[1].x} != {row.tobytes() for row in held.x}
    in_feed = {row.tobytes() for row in np.asarray(assemble(problems.config(), scenario, 0).resident()["source"]["x"])}
    assert in_feed == rows


def test_validation_of_the_scenario_is_used_as_it_is() -> None:
    small = problems.scenario()
    scenario = Scenario(small.source, small.target, small.test, validation=small.source[0], classes=small.classes)
    assert held_out(scenario, seed=0) == (scenario.source, scenario.validation)
    tiny = Scenario(small.source[0].take(np.arange(2)), small.target, small.test, classes=small.classes)
    with pytest.raises(UsageError, match="has 2 examples: too few to hold a tenth out"):
        held_out(tiny, seed=0)


def test_two_sources_train_together_in_equal_counts() -> None:
    scenario = problems.scenario(sources=2)
    assembly = assemble(problems.config("dann"), scenario, 0)
    assert assembly.parts.network.sizes.sources == 2 and assembly.parts.network.sizes.source_examples == 72
    piece = jax.tree.map(lambda leaf: leaf[0], assembly.chunk(assembly.spans[0], 0, 1))
    batch = assembly.parts.feeds["source"].batch(assembly.resident()["source"], piece["source"])
    assert np.asarray(batch.domain).tolist() == [0, 0, 0, 1, 1, 1]
    result = tladapt.run(problems.config("dann"), scenario)
    assert result.metrics["source/accuracy"] > 0.6  # both domains are in the validation examples
    with pytest.raises(UsageError, match="multiple of the number of domains"):
        tladapt.run(problems.config("dann"), problems.scenario(sources=4))


def test_8_bit_inputs_are_read_as_0_to_1_wherever_they_meet_others() -> None:
    """A uint8 domain and the same one as floats are one domain: in training, validation and standardisation."""
    images = problems.images()
    floats = Domain(images.source[0].x.astype(np.float32) / np.float32(255), images.source[0].y, name="floats")
    mixed = Scenario((images.source[0], floats), images.target, images.test, classes=images.classes)
    (_, _), held = held_out(mixed, seed=0)
    assert held.x.dtype == np.float32 and 0.9 < held.x.max() <= 1.0
    found = Inputs.measure("domain", [images.source[0].x, floats.x], images.target.x)
    one = Inputs.measure("domain", [floats.x], images.target.x)
    np.testing.assert_allclose(found.mean["source"], one.mean["source"], rtol=1e-5)
    np.testing.assert_allclose(found.deviation["source"], one.deviation["source"], rtol=1e-4)
    x = images.source[0].x
    np.testing.assert_allclose(Inputs.scale(jax.numpy.asarray(x)), x / 255.0, rtol=1e-6)


def test_standardised_domains_have_mean_0_and_deviation_1_and_are_opened_so(tmp_path: Path) -> None:
    recipe = dataclasses.replace(problems.RECIPE, standardize="domain")
    config = problems.config(recipe=recipe, steps=5, evaluations=1)
    assembly = assemble(config, problems.scenario(), 0)
    for name, x in (("source", assembly.resident()["source"]["x"]), ("target", problems.scenario().target.x)):
        seen = np.asarray(assembly.state.inputs(jax.numpy.asarray(x), name))
        np.testing.assert_allclose(seen.mean(0), 0.0, atol=1e-5)
        np.testing.assert_allclose(seen.std(0), 1.0, rtol=1e-4)
    result = tladapt.run(config, problems.scenario(), out=tmp_path / "run")
    assert (tladapt.open_run(tmp_path / "run").logits(X) == result.logits(X)).all()


def test_metrics_are_flat_and_the_same_as_the_summary(ran: tladapt.Result) -> None:
    metrics: dict[str, Any] = ran.metrics
    for name in ("source/accuracy", "target/accuracy", "chosen/target/accuracy", "oracle/target/accuracy"):
        assert 0.0 <= metrics[name] <= 1.0
    assert metrics["oracle/target/accuracy"] >= max(metrics["chosen/target/accuracy"], metrics["target/accuracy"])
    assert {"validator/im", "validator/entropy", "validator/source_accuracy", "chosen/step", "method"} <= set(metrics)
    assert not [name for name, value in metrics.items() if isinstance(value, dict)]
