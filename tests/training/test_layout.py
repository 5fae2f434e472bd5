"""One device or eight, one seed or several at once: the same numbers to rounding, for every method."""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.errors import DivergenceError, UsageError
from tladapt.methods import METHODS, combine, dann, mmd
from tladapt.models import BatchNorm
from tladapt.training import Config
from tladapt.training.assemble import Assembly, assemble
from tladapt.training.layout import Layout, Single, Stacked
from tladapt.training.runs import _way
from tladapt.training.state import State, flat
from tladapt.training.step import StageStep

SMALL = {"dann": {"hidden": (4,)}, "cdan": {"hidden": (4,)}, "mcd": {"repeat": 2}, "shot": {"width": 4, "refreshes": 1}}
NAMES = [*METHODS, "combined"]
QUICK = [name for name in NAMES if name != "target_only"]  # whose steps are those of source_only, on other data
SEEDS = (0, 1)
LAST = -1  # the stage whose steps are compared: the one that adapts


class Normalised(nnx.Module):
    """A layer whose features depend on the whole batch."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.layer, self.norm = nnx.Linear(problems.SIZE, 4, rngs=rngs), BatchNorm(4, rngs=rngs)
        self.out_features = 4

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.norm(self.layer(x)))


def config(name: str, *, method: Any = None, **changes: Any) -> Config:
    if method is not None:
        pass
    elif name == "combined":
        method = combine(dann(hidden=(4,)), mmd())
    else:
        method = METHODS[name](**SMALL.get(name, {}))
    recipe = dataclasses.replace(problems.RECIPE, batch_size=8, standardize="domain", augment="noise")
    return problems.config(method, recipe=recipe, backbone=Normalised, **{"steps": 6, "log_every": 3, **changes})


def double(tree: Any) -> Any:
    """Return a tree in fresh buffers, its floating arrays in float64."""
    return jax.tree.map(
        lambda leaf: jnp.array(leaf, jnp.float64 if jnp.issubdtype(leaf.dtype, jnp.floating) else None, copy=True), tree
    )


def traced(run: Assembly) -> Any:
    """Return the step of a run's last stage; traced once for all layouts."""
    return jax.jit(StageStep(run.parts, run.spans[LAST]).__call__)


class Three:
    """Three steps of the last stage of some runs, compiled for a layout."""

    def __init__(self, layout: Layout, runs: Sequence[Assembly], step: Any, kind: Any = double):
        self.layout, span = layout, runs[0].spans[LAST]
        self.state = layout.join([kind(run.state._replace(step=jnp.int32(span.first))) for run in runs])
        self.arrays, axes = layout.resident(
            [{name: kind(run.resident()[name]) for name in span.domains} for run in runs]
        )
        self.pieces = layout.pieces([run.chunk(span, span.first, 3) for run in runs])

        def chunk(state: State, arrays: Any, pieces: Any) -> State:
            return jax.lax.scan(lambda state, piece: (step(state, arrays, piece)[0], ()), state, pieces)[0]

        self.chunk = layout.compile(chunk, convolutions=False, axes=axes)

    def states(self) -> list[State]:
        return self.layout.split(self.chunk(self.state, self.arrays, self.pieces))


def assert_close(found: State, wanted: State, *, within: float) -> None:
    one, other = flat(found), flat(wanted)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(np.asarray(one[name]), np.asarray(other[name]), atol=within, rtol=0, err_msg=name)


@pytest.mark.parametrize("name", QUICK)
def test_every_method_is_the_same_on_eight_devices_and_with_seeds_as_an_axis(name: str) -> None:
    """In float64 after three steps, so that rounding cannot hide a statistic of a part of the batch.

    With `pmap` each device runs the program of one seed, whatever the method: one of them is enough.
    """
    runs = [assemble(config(name), problems.scenario(), seed) for seed in SEEDS]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        step = traced(runs[0])
        alone = Three(Single(), runs[:1], step).states()[0]
        assert_close(Three(Single(8), runs[:1], step).states()[0], alone, within=1e-12)
        for how in ("vmap", "pmap") if name == "combined" else ("vmap",):
            assert_close(Three(Stacked(how, 2), runs, step).states()[0], alone, within=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_the_same_to_rounding_in_float32(name: str) -> None:
    runs = [assemble(config(name), problems.scenario(), seed) for seed in SEEDS]
    step = traced(runs[0])
    alone = Three(Single(), runs[:1], step, problems.copied).states()[0]
    assert_close(Three(Single(8), runs[:1], step, problems.copied).states()[0], alone, within=2e-6)
    for how in ("vmap", "pmap"):
        assert_close(Three(Stacked(how, 2), runs, step, problems.copied).states()[0], alone, within=2e-6)


@pytest.mark.slow
def test_convolutions_are_the_same_on_eight_devices_and_each_sees_its_images() -> None:
    def floats(domain: Domain) -> Domain:
        return Domain(domain.x.astype(np.float32) / 255, domain.y, name=domain.name)

    images = problems.images()
    scenario = Scenario(floats(images.source[0]), floats(images.target), floats(images.test))
    recipe = dataclasses.replace(problems.RECIPE, batch_size=8)
    run = Config(method="dann", backbone="digits_cnn", recipe=recipe, steps=6, log_every=3, evaluations=1)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        runs = [assemble(run, scenario, seed) for seed in SEEDS]
        step = traced(runs[0])
        alone = Three(Single(), runs[:1], step).states()[0]
        eight = Three(Single(8), runs[:1], step)
        program = eight.chunk.lower(eight.state, eight.arrays, eight.pieces).compile().as_text()
        assert re.search(r"f64\[2,8,8,\d+\]\S* convolution", program)  # 2 of the 16 images of both domains
        assert_close(eight.states()[0], alone, within=1e-11)
        for how in ("vmap", "pmap"):
            assert_close(Three(Stacked(how, 2), runs, step).states()[0], alone, within=1e-11)


def test_each_device_computes_its_part_of_the_batch_and_they_add_up() -> None:
    """Without a sum over devices, each of them would compute the whole batch."""
    run = assemble(config("dann"), problems.scenario(), 0)
    three = Three(Single(8), [run], traced(run), problems.copied)
    program = three.chunk.lower(three.state, three.arrays, three.pieces).compile().as_text()
    assert "all-reduce" in program and "num_partitions=8" in program
    for path, leaf in flat(three.chunk(three.state, three.arrays, three.pieces)).items():
        assert leaf.is_fully_replicated, path


# ---- whole runs ------------------------------------------------------------------------------------------------------


def close(found: tladapt.Result, wanted: tladapt.Result) -> None:
    """Two results are equal to rounding in float32."""
    assert_close(found.weights, wanted.weights, within=1e-5)
    for one, other in zip(found.history, wanted.history, strict=True):
        assert one.keys() == other.keys()
        numbers = [name for name, value in one.items() if isinstance(value, float)]
        np.testing.assert_allclose([one[name] for name in numbers], [other[name] for name in numbers], atol=1e-4)


@pytest.fixture(scope="module")
def alone() -> list[tladapt.Result]:
    """`shot` has two stages and refreshes, so that its states are split and joined again."""
    return [tladapt.run(config("shot"), problems.scenario(), seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def plain() -> tladapt.Result:
    return tladapt.run(config("source_only"), problems.scenario(), 2)


def test_a_run_on_eight_devices_is_the_run_on_one(plain: tladapt.Result, tmp_path: Path) -> None:
    close(tladapt.run(config("source_only"), problems.scenario(), 2, tmp_path / "run", devices=8), plain)
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["layout"] == "batches over 8 devices"


def test_seeds_one_after_another_are_the_runs_themselves_bit_for_bit(alone: list[tladapt.Result]) -> None:
    found = tladapt.run_seeds(config("shot"), problems.scenario(), SEEDS, replicate="loop")
    for one, other in zip(found, alone, strict=True):
        problems.assert_same_result(one, other)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tladapt.Result], problems.Watcher]:
    """The same two runs with seeds as an axis: their folder, results and events."""
    folder, watcher = tmp_path_factory.mktemp("runs") / "whole", problems.Watcher()
    results = tladapt.run_seeds(
        config("shot"), problems.scenario(), SEEDS, folder, callbacks=(watcher,), replicate="vmap"
    )
    return folder, results, watcher


def test_seeds_as_an_axis_end_as_run_folders_like_any_other(alone: list[tladapt.Result], together: Any) -> None:
    folder, found, watcher = together
    for seed, one, other in zip(SEEDS, found, alone, strict=True):
        close(one, other)
        close(tladapt.open_run(folder / f"seed{seed}", backbone=Normalised), other)
        assert one.metrics["seed"] == seed
        assert [e.step for e in watcher.events if (e.kind, e.seed) == ("train", seed)] == [3, 6]


def test_seeds_that_hold_out_other_examples_keep_their_own_data() -> None:
    """The arrays of the source differ by seed here, and the target's are shared."""
    runs = [assemble(config("dann"), problems.scenario(), seed) for seed in SEEDS]
    arrays, axes = Stacked("vmap", 2).resident([run.resident() for run in runs])
    assert axes == {"source": 0, "target": None}
    assert arrays["source"]["x"].shape[0] == 2 and arrays["target"]["x"].shape[0] == 35


def test_more_seeds_than_devices_run_in_groups(plain: tladapt.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    two = jax.devices()[:2]
    monkeypatch.setattr(jax, "devices", lambda: two)
    results = tladapt.run_seeds(config("source_only"), problems.scenario(), range(3), replicate="pmap")
    assert [result.metrics["seed"] for result in results] == [0, 1, 2]
    close(results[2], plain)


def test_seeds_that_were_stopped_apart_go_on_together(together: Any, tmp_path: Path) -> None:
    """The first seed's evaluation was saved, and the second's was not when the power went."""
    options: dict[str, Any] = {"replicate": "vmap"}
    _, whole, _ = together

    def power(event: Any) -> None:
        if (event.kind, event.step, event.seed) == ("eval", 6, 1):
            raise problems.Stopped

    with pytest.raises(problems.Stopped):
        tladapt.run_seeds(config("shot"), problems.scenario(), SEEDS, tmp_path / "cut", callbacks=(power,), **options)
    resumed = tladapt.run_seeds(config("shot"), problems.scenario(), SEEDS, tmp_path / "cut", resume=True, **options)
    for one, other in zip(resumed, whole, strict=True):
        problems.assert_same_result(one, other)
    again = tladapt.run_seeds(config("shot"), problems.scenario(), SEEDS, tmp_path / "cut", resume=True, **options)
    assert [result.metrics for result in again] == [result.metrics for result in whole]


@pytest.mark.parametrize("how", ["loop", "vmap"])
def test_a_seed_that_diverges_does_not_take_the_others_with_it(how: Any, tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Unlucky(tladapt.Method):
        def memory(self, start: Any) -> Any:
            return {"luck": jax.random.uniform(start.key)}

        def loss(self, ctx: Any) -> Any:
            root = jnp.sqrt(ctx.memory["luck"] - 0.5)  # not a number for some seeds
            return {"classification": tladapt.methods.classification(ctx), "luck": 0.1 * root}

    luck = [float(jax.random.uniform(jax.random.fold_in(jax.random.key(s), zlib.crc32(b"memory")))) for s in range(4)]
    bad = [seed for seed in range(4) if luck[seed] < 0.5]
    assert 0 < len(bad) < 4
    with pytest.raises(DivergenceError, match="'luck' is not finite") as caught:
        tladapt.run_seeds(
            config("source_only", method=Unlucky()), problems.scenario(), range(4), tmp_path, replicate=how
        )
    for seed in range(4):
        assert (tmp_path / f"seed{seed}" / "summary.json").exists() == (seed not in bad)
        assert (f"seed {seed}:" in str(caught.value)) == (seed in bad)


def test_auto_is_the_loop_on_a_cpu() -> None:
    assert _way("auto", assemble(config("source_only"), problems.scenario(), 0)) == "loop"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": 3}, r"seeds must be a list such as range\(3\)"),
        ({"seeds": []}, "seeds must be a list"),
        ({"seeds": [1, 1]}, "each seed can be given once"),
        ({"seeds": [0, -1]}, "seed must be a whole number"),
        ({"seeds": [0, 1], "replicate": "mesh"}, "replicate must be one of auto, loop, vmap, pmap"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tladapt.run_seeds(config("source_only"), problems.scenario(), **arguments)


def test_folders_that_hold_runs_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    tladapt.run(config("source_only"), problems.scenario(), 1, tmp_path / "seed1")
    with pytest.raises(UsageError, match="seed1 holds a run already"):
        tladapt.run_seeds(config("source_only"), problems.scenario(), SEEDS, tmp_path)
    assert not (tmp_path / "seed0").exists()


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (0, "devices must be a number of at least 1, or 'all'; got 0"),
        (9, "9 devices were asked for, and JAX sees 8 .cpu.. JAX_NUM_CPU_DEVICES=9"),
        (3, "a batch of 8 examples a domain cannot be split evenly over 3 devices.*such as 9"),
    ],
)
def test_devices_that_cannot_be_had_are_refused(devices: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tladapt.run(config("source_only"), problems.scenario(), devices=devices)
