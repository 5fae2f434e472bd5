"""Feature extraction: a frozen backbone's features, cached, give the run that has the backbone in its loop."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.errors import DamagedDataError, UsageError
from tladapt.methods import dann, mean_teacher, source_only
from tladapt.models.backbones import DigitsCNN
from tladapt.training import Config, Recipe
from tladapt.training import features as room
from tladapt.training.recipe import BATCHNORM_PRESETS

BACKBONE = DigitsCNN(widths=(4,), features=6)  # with batch normalisation
RECIPE = Recipe(name="toy", batch_size=6, learning_rate=0.05, bottleneck=5)
STEPS = {"steps": 20, "log_every": 5, "evaluations": 2}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A run whose backbone others start from."""
    folder = tmp_path_factory.mktemp("runs") / "earlier"
    config = Config(method=source_only(), backbone=BACKBONE, recipe=dataclasses.replace(RECIPE, bottleneck=0), **STEPS)
    tladapt.run(config, problems.images(), seed=3, out=folder)
    return folder / "model" / "model.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def config_of(earlier, **changes):
    given = {"method": dann(hidden=(4,)), "backbone": BACKBONE, "recipe": RECIPE, "weights": earlier, **STEPS}
    return Config(**{**given, "transfer": "features", **changes})


def test_equals_the_loop(earlier, cache):
    """The same run, with the backbone frozen in each step: its parameters by rate 0, its statistics by the policy."""
    cached = tladapt.run(config_of(earlier), problems.images(), seed=1)
    recipe = dataclasses.replace(RECIPE, backbone_rate=0.0, batchnorm=BATCHNORM_PRESETS["frozen"])
    looped = tladapt.run(config_of(earlier, recipe=recipe, transfer="finetune"), problems.images(), seed=1)
    for ours, theirs in zip(cached.history, looped.history, strict=True):
        names = [name for name in ours if name.startswith(("loss/", "validator/"))]
        assert len(names) >= 2 and ours.keys() == theirs.keys()
        for name in names:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-4, abs=2e-5), (ours["step"], name)
    x = problems.images().target.x
    np.testing.assert_allclose(cached.logits(x), looped.logits(x), rtol=2e-3, atol=2e-4)
    files = sorted(path.name for path in cache.iterdir())
    assert len(files) == 3 and all(name.startswith("features-") for name in files)


def test_the_second_run_reads_the_cache(earlier, monkeypatch):
    first = tladapt.run(config_of(earlier), problems.images(), seed=1)
    calls = []
    computed = room._computed
    monkeypatch.setattr(room, "_computed", lambda *a: calls.append(a) or computed(*a))
    again = tladapt.run(config_of(earlier), problems.images(), seed=1)
    assert not calls
    jax.tree.map(np.testing.assert_array_equal, again.weights.params, first.weights.params)
    # Other inputs, and other options of the backbone's, are other features.
    tladapt.run(config_of(earlier), problems.images(seed=1), seed=1)
    assert len(calls) == 3
    lower = dataclasses.replace(RECIPE, precision="bfloat16")
    tladapt.run(config_of(earlier, recipe=lower), problems.images(), seed=1)
    assert len(calls) == 6


def test_a_damaged_cache_is_made_again(earlier, cache, caplog):
    first = tladapt.run(config_of(earlier), problems.images(), seed=1)
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    again = tladapt.run(config_of(earlier), problems.images(), seed=1)
    jax.tree.map(np.testing.assert_array_equal, again.weights.params, first.weights.params)
    assert "damaged" in caplog.text


def test_folder_reads_inputs_as_they_are(earlier, tmp_path):
    scenario = problems.images()
    result = tladapt.run(config_of(earlier), scenario, seed=1, out=tmp_path / "run")
    opened = tladapt.open_run(tmp_path / "run")
    np.testing.assert_array_equal(opened.logits(scenario.test.x), result.logits(scenario.test.x))
    assert np.mean(opened.predict(scenario.test.x) == scenario.test.y) == result.metrics["target/accuracy"]
    step = tladapt.open_run(tmp_path / "run", which=10)
    assert not np.array_equal(step.logits(scenario.test.x), result.logits(scenario.test.x))
    backbones = (step.weights.params["backbone"], result.weights.params["backbone"])
    jax.tree.map(np.testing.assert_array_equal, *backbones)
    selection = tladapt.select([tmp_path / "run"], scenario)
    assert {candidate.step for candidate in selection.candidates} == {10, 20}
    # Fine-tuning may go on from there.
    tuned = tladapt.run(
        config_of(earlier, weights=None, init=tmp_path / "run", transfer="finetune", method=source_only()), scenario
    )
    assert tuned.metrics["before/target/accuracy"] == result.metrics["target/accuracy"]


def test_killed_and_resumed(earlier, tmp_path):
    class Stopped(Exception):
        pass

    def stop(event):
        if event.kind == "eval" and event.step == 10:
            raise Stopped

    scenario = problems.images()
    with pytest.raises(Stopped):
        tladapt.run(config_of(earlier), scenario, seed=1, out=tmp_path / "run", callbacks=[stop])
    resumed = tladapt.run(config_of(earlier), scenario, seed=1, out=tmp_path / "run", resume=True)
    whole = tladapt.run(config_of(earlier), scenario, seed=1)
    jax.tree.map(np.testing.assert_array_equal, resumed.weights.params, whole.weights.params)


def test_views(earlier):
    teacher = mean_teacher()
    with pytest.raises(UsageError, match="--views"):
        tladapt.run(config_of(earlier, method=teacher), problems.images())
    result = tladapt.run(config_of(earlier, method=teacher, views=2), problems.images(), seed=1)
    assert np.isfinite(result.metrics["validator/im"])
    x = problems.images().target.x
    assert result.logits(x).shape == (len(x), 3)
    found = room.extract(config_of(earlier, method=teacher, views=2).resolved(), problems.images())
    first, others = found.scenario.target.x[:, 0], found.scenario.target.x[:, 1:]
    plain = room.extract(config_of(earlier).resolved(), problems.images())
    np.testing.assert_array_equal(first, plain.scenario.target.x)
    assert all(np.abs(others[:, place] - first).max() > 1e-4 for place in range(2))
    key = jax.random.key(0)
    drawn = np.asarray(room.cached_view(key, found.scenario.target.x))
    assert drawn.shape == (len(x), 1, 6)
    seen = [[bool((row[0] == view).all()) for view in views] for row, views in zip(drawn, others, strict=True)]
    assert all(any(row) for row in seen) and any(row[0] for row in seen) and any(row[1] for row in seen)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weights": None}, "no weights are named"),
        ({"recipe": dataclasses.replace(RECIPE, augment="noise")}, "have one"),
        ({"views": 3}, "nothing augments"),
        ({"penalty": "lwf"}, "penalty 'lwf' is on how the backbone is trained"),
        ({"recipe": dataclasses.replace(RECIPE, unfreeze=2)}, "which blocks of the backbone are trained when"),
        ({"recipe": dataclasses.replace(RECIPE, standardize="source")}, "standardises inputs"),
    ],
)
def test_what_features_cannot_give_is_said(earlier, changes, words):
    with pytest.raises(UsageError, match=words):
        tladapt.run(config_of(earlier, **changes), problems.images())


def test_one_compiled_step_serves_seeds(earlier):
    results = tladapt.run_seeds(config_of(earlier), problems.images(), [0, 1])
    one = tladapt.run(config_of(earlier), problems.images(), seed=1)
    np.testing.assert_allclose(
        results[1].logits(problems.images().target.x), one.logits(problems.images().target.x), rtol=1e-5, atol=1e-6
    )


def test_a_damaged_file_of_weights_is_said(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{not json at all}")
    config = Config(method="source_only", backbone="cifar_resnet20", weights=tmp_path / "net.safetensors", steps=5)
    with pytest.raises(DamagedDataError, match=r"net\.safetensors"):
        tladapt.run(config, problems.images(channels=3))


def test_weights_of_another_network_are_said_before_anything_runs(tmp_path):
    config = Config(backbone="resnet18", weights="tensorflow/mobilenetv2_035", steps=5)
    with pytest.raises(UsageError, match="are of 'mobilenetv2_035', and the backbone is 'resnet18'"):
        tladapt.run(config, problems.images(channels=3))


@pytest.mark.parametrize("format", ["stablehlo", "safetensors"])
def test_an_export_reads_inputs_as_they_are(earlier, tmp_path, format):
    scenario = problems.images()
    tladapt.run(config_of(earlier), scenario, seed=1, out=tmp_path / "run")
    if format == "stablehlo":
        pytest.importorskip("flatbuffers")
    file = tladapt.export(tmp_path / "run", format=format, examples=scenario.target)
    assert file.is_file()  # it was compared with the run before it was kept
