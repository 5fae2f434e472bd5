"""Runs that start from an earlier one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.errors import MissingDataError, UsageError
from tladapt.models.backbones.mlp import MLP
from tladapt.training import Config
from tladapt.training.assemble import assemble, weights_of

CONFIG = problems.config("source_only", backbone=problems.NORMAL)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tladapt.Result:
    return tladapt.run(CONFIG, problems.scenario(), out=tmp_path_factory.mktemp("runs") / "earlier")


def begun(config: Config, scenario: Scenario | None = None) -> tuple[dict, dict, tuple[str, ...]]:
    assembly = assemble(config, problems.scenario() if scenario is None else scenario, seed=9)
    return assembly.state.params, assembly.state.statistics, assembly.notes


@pytest.mark.parametrize("method", ["dann", "mean_teacher"])
def test_run_starts_with_the_parameters_and_statistics_of_another(method: str, earlier: tladapt.Result) -> None:
    recipe = problems.NOISY if method == "mean_teacher" else problems.RECIPE
    config = dataclasses.replace(CONFIG, method=method, init=earlier.folder, recipe=recipe)
    assembly = assemble(config, problems.scenario(), seed=9)
    for block in ("backbone", "classifier"):
        assert not problems.differing(assembly.state.params[block], earlier.weights.params[block])
    assert not problems.differing(assembly.state.statistics, earlier.weights.statistics)
    assert assembly.notes == ()
    # It is as good at step 0, the teacher's copy included, which is made from the parameters after they are loaded.
    found = assembly.evaluator.predictor.outputs(weights_of(assembly.state), problems.scenario().test, "target")
    assert (np.asarray(found.logits) == earlier.logits(problems.scenario().test)).all()
    row = assembly.evaluator.row(weights_of(assembly.state))
    assert row["target/accuracy"] == earlier.metrics["target/accuracy"]


def test_file_of_weights_serves_as_well(earlier: tladapt.Result, tmp_path: Path) -> None:
    shutil.copy(earlier.folder / "model" / "model.safetensors", tmp_path / "weights.safetensors")
    params, _, _ = begun(dataclasses.replace(CONFIG, init=tmp_path / "weights.safetensors"))
    assert not problems.differing(params["backbone"], earlier.weights.params["backbone"])


def test_weights_are_for_the_backbone_alone(earlier: tladapt.Result) -> None:
    params, statistics, _ = begun(dataclasses.replace(CONFIG, weights=earlier.folder))
    assert not problems.differing(params["backbone"], earlier.weights.params["backbone"])
    assert problems.differing(params["classifier"], earlier.weights.params["classifier"])
    assert not problems.differing(statistics, earlier.weights.statistics)


def test_statistics_find_their_place_under_another_policy(earlier: tladapt.Result) -> None:
    _, statistics, _ = begun(dataclasses.replace(CONFIG, method="dann", init=earlier.folder, batchnorm="per_domain"))
    for domain in ("source", "target"):
        assert not problems.differing(statistics[domain], earlier.weights.statistics["shared"])
    _, frozen, _ = begun(dataclasses.replace(CONFIG, init=earlier.folder, batchnorm="frozen"))
    assert not problems.differing(frozen, earlier.weights.statistics)


def test_another_number_of_classes_draws_a_new_classifier_and_says_so(earlier: tladapt.Result) -> None:
    small = problems.scenario()
    more = Scenario(small.source, small.target, small.test, classes=("a", "b", "c", "d"), name="four")
    config = dataclasses.replace(CONFIG, init=earlier.folder, steps=5, evaluations=1)
    params, _, notes = begun(config, more)
    assert not problems.differing(params["backbone"], earlier.weights.params["backbone"])
    assert params["classifier"]["kernel"].shape == (problems.SIZE, 4)
    assert len(notes) == 2 and "no example of 1 of the 4 classes: d" in notes[0]
    assert "does not fit, so a new one was drawn" in notes[1]
    assert "params/classifier/kernel: expected [8, 4], came [8, 3]" in notes[1]
    watcher = problems.Watcher()
    result = tladapt.run(config, more, callbacks=(watcher,))
    assert watcher.notes == list(notes) and result.metrics["warnings"][:2] == list(notes)


def test_misfits_list_every_array(earlier: tladapt.Result) -> None:
    wide = dataclasses.replace(CONFIG, backbone=MLP(widths=(9, 8), batch_norm=True), init=earlier.folder)
    with pytest.raises(UsageError) as error:
        begun(wide)
    words = str(error.value)
    assert "params/backbone/layers/0/linear/kernel: expected [8, 9], came [8, 8]" in words
    for part in ("linear/kernel", "norm/scale", "norm/bias"):
        assert f"params/backbone/layers/1/{part}: expected" in words and "it is missing" in words
    for part in ("mean", "var"):
        assert f"statistics/shared/backbone/layers/0/norm/{part}: expected [9], came [8]" in words
        assert f"statistics/shared/backbone/layers/1/norm/{part}: expected [8], it is missing" in words
    assert words.count("\n  ") == 3 + 3 + 2 + 2
    assert "Use the backbone, its options and the bottleneck" in words
    with pytest.raises(UsageError, match=r"params/backbone/layers/0/linear/bias: expected .*it is missing"):
        begun(dataclasses.replace(CONFIG, backbone=problems.PLAIN, init=earlier.folder))


def test_arrays_that_the_model_has_no_place_for_are_misfits(earlier: tladapt.Result, tmp_path: Path) -> None:
    narrow = dataclasses.replace(problems.RECIPE, bottleneck=8)
    with_neck = dataclasses.replace(CONFIG, recipe=narrow, steps=5, evaluations=1)
    tladapt.run(with_neck, problems.scenario(), out=tmp_path / "neck")
    with pytest.raises(UsageError, match=r"params/bottleneck/linear/bias: came \[8\], the model has no such array"):
        begun(dataclasses.replace(CONFIG, init=tmp_path / "neck"))
    with pytest.raises(UsageError, match=r"params/bottleneck/linear/bias: expected \[8\], it is missing"):
        begun(dataclasses.replace(CONFIG, recipe=narrow, init=earlier.folder))
    begun(dataclasses.replace(CONFIG, weights=tmp_path / "neck"))  # the backbone alone does fit


def test_places_where_nothing_is(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(MissingDataError, match="No weights at"):
            begun(dataclasses.replace(CONFIG, init=place))


def test_penalty_anchors_where_the_run_starts(earlier: tladapt.Result) -> None:
    config = dataclasses.replace(CONFIG, init=earlier.folder, penalty="l2sp", log_every=1, steps=3, evaluations=1)
    history = tladapt.run(config, problems.scenario()).history
    values = [row["loss/penalty"] for row in problems.numbers(history)]
    assert values[0] == 0.0 and all(value > 0.0 for value in values[1:])


def test_source_domains_are_where_penalties_look(earlier: tladapt.Result) -> None:
    scenario = problems.scenario()
    assert isinstance(scenario.source[0], Domain)
    state = assemble(dataclasses.replace(CONFIG, penalty="l2sp"), scenario, 0).state
    for block in ("backbone", "classifier"):
        assert not problems.differing(state.penalty[block], state.params[block])


def test_the_end_says_where_it_began(earlier: tladapt.Result, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, init=earlier.folder, steps=10, evaluations=1)
    metrics = tladapt.run(config, problems.scenario(), seed=0).metrics
    for domain in ("source", "target"):  # the earlier run had the same seed, so the same held-out examples
        assert metrics[f"before/{domain}/accuracy"] == earlier.metrics[f"{domain}/accuracy"]
    assert not any(name.startswith("before/") for name in earlier.metrics)
    hidden = tladapt.run(config, problems.scenario(labelled=False)).metrics
    assert "before/source/accuracy" in hidden and "before/target/accuracy" not in hidden
    # A run that was stopped says the same: it is a property of the start and not of where it went on.
    with pytest.raises(problems.Stopped):
        tladapt.run(config, problems.scenario(), out=tmp_path / "a", callbacks=[problems.stop("train", 5)])
    again = tladapt.run(config, problems.scenario(), out=tmp_path / "a", resume=True)
    assert again.metrics == metrics
