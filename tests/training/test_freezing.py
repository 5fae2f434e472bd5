"""What is frozen does not move, bit for bit, and what is unfrozen in phases moves from its own phase on."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tests.training.problems import Stopped, Watcher, stop
from tladapt.errors import UsageError
from tladapt.methods import Stage
from tladapt.models import BACKBONES
from tladapt.models.backbones.mlp import MLP
from tladapt.training import Group, Recipe
from tladapt.training.assemble import Assembly, assemble
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.dispatch import boundaries, refreshes, spans
from tladapt.training.freezing import Block, Freezing, blocks_of, paths
from tladapt.training.optim import Optimizer
from tladapt.training.passes import Span
from tladapt.training.step import StageStep

THREE = MLP(widths=(7, 6, 5), batch_norm=True, dropout=0.25)
BLOCKS = tuple(Block(f"layers.{i}", (f"layers/{i}",)) for i in range(3))


def recipe(**changes: Any) -> Recipe:
    return dataclasses.replace(problems.RECIPE, **{"weight_decay": 0.01, "optimizer": "adam", **changes})


def config(method: Any = "source_only", *, backbone: Any = THREE, steps: int = problems.STEPS, **changes: Any) -> Any:
    return problems.config(method, backbone=backbone, steps=steps, recipe=recipe(**changes))


def blocks(module: nnx.Module) -> tuple[Block, ...]:
    return blocks_of(module, nnx.to_pure_dict(nnx.as_pure(nnx.state(module, nnx.Param))))


def names(found: tuple[Block, ...]) -> list[str]:
    return [block.name for block in found]


# ---- the order of networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "shape", "wanted"),
    [
        ("mlp", (8,), ["layers.0", "layers.1"]),
        ("lenet", (8, 8, 1), ["convolutions.0", "convolutions.1", "dense.0"]),
        ("digits_cnn", (8, 8, 1), ["block0", "block1", "block2", "dense"]),
    ],
)
def test_blocks_of_our_own_networks(backbone: str, shape: tuple[int, ...], wanted: list[str]) -> None:
    network = BACKBONES[backbone]().build(shape, rngs=nnx.Rngs(0))
    found = blocks(network)
    assert names(found) == wanted
    every = jax.tree.leaves(paths(nnx.to_pure_dict(nnx.as_pure(nnx.state(network, nnx.Param))), "backbone"))
    assert all(sum(block.holds(path) for block in found) == 1 for path in every)


class Own(nnx.Module):
    """Children whose alphabetical order is not the order in which they are used."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Linear(8, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.body = nnx.Sequential(nnx.Linear(4, 4, rngs=rngs), jax.nn.relu, nnx.Linear(4, 4, rngs=rngs))
        self.again = nnx.Linear(4, 3, rngs=rngs)
        self.out_features = 3

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.again(self.body(jax.nn.relu(self.norm(self.stem(x)))))


class Wrapper(nnx.Module):
    """A module that adds nothing but a name."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.network = Own(rngs=rngs)
        self.out_features = 3

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.network(x)


class Staged(nnx.Module):
    """Named stages, and a first and a last layer that are stages without a module of their own."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv_stem, self.bn1 = nnx.Linear(8, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.blocks = nnx.List([nnx.List([nnx.Linear(4, 4, rngs=rngs)]), nnx.List([nnx.Linear(4, 4, rngs=rngs)])])
        self.conv_head = nnx.Linear(4, 4, rngs=rngs)

    def stage_paths(self) -> tuple[tuple[str, str], ...]:
        return (("blocks.0.0", "blocks/0/0"), ("blocks.1.0", "blocks/1/0"))


def test_blocks_of_modules_of_ones_own() -> None:
    wanted = ["stem", "body.layers.0", "body.layers.2", "again"]
    found = blocks(Own(rngs=nnx.Rngs(0)))
    assert names(found) == wanted
    assert found[0].prefixes == ("stem", "norm")  # a normalisation belongs to what it normalises
    assert names(blocks(Wrapper(rngs=nnx.Rngs(0)))) == [f"network.{name}" for name in wanted]
    found = blocks(Staged(rngs=nnx.Rngs(0)))
    assert names(found) == ["conv_stem", "blocks.0.0", "blocks.1.0", "conv_head"]
    assert found[0].prefixes == ("conv_stem", "bn1")


def test_a_module_of_ones_own_keeps_its_order_in_a_run() -> None:
    """The model holds a copy, whose children nnx has sorted."""
    run = assemble(config(backbone=Own(rngs=nnx.Rngs(0)), unfreeze=2), problems.scenario(), 0)
    assert names(run.parts.network.freezing.blocks) == ["stem", "body.layers.0", "body.layers.2", "again"]


# ---- what a recipe says of a path ------------------------------------------------------------------------------------


def test_rates_fall_from_the_last_block_to_the_first() -> None:
    plan = Freezing(
        Recipe(layer_decay=0.5, backbone_rate=0.2, groups=(Group(pattern="bias", learning_rate=3.0),)), BLOCKS
    )
    for path, wanted in (
        ("backbone/layers/0/linear/kernel", 0.2 * 0.125),
        ("backbone/layers/1/linear/kernel", 0.2 * 0.25),
        ("backbone/layers/2/linear/kernel", 0.2 * 0.5),
        ("backbone/layers/2/linear/bias", 0.2 * 0.5 * 3.0),
        ("backbone/positions", 0.2 * 0.125),  # what stands beside the blocks is where the inputs are
        ("bottleneck/linear/kernel", 1.0),
        ("classifier/bias", 3.0),
        ("discriminator/layers/0/kernel", 1.0),
    ):
        assert plan.rate(path) == pytest.approx(wanted), path


def test_weight_decay_skips_norms_and_biases() -> None:
    groups = (Group(pattern="^classifier", weight_decay=2.0),)
    for skips, wanted in ((True, (0.1, 0.1, 0.1, 0.2)), (False, (0.1, 0.0, 0.0, 0.2))):
        plan = Freezing(Recipe(weight_decay=0.1, decay_norms=skips, groups=groups), BLOCKS)
        found = [
            plan.decay("backbone/layers/0/linear/kernel", 2),
            plan.decay("backbone/layers/0/norm/scale", 1),
            plan.decay("backbone/attention/query/bias", 2),  # heads times width
            plan.decay("classifier/kernel", 2),
        ]
        assert found == pytest.approx(wanted)


def test_phases_free_the_backbone_from_its_last_block_on() -> None:
    def moving(plan: Freezing) -> list[list[int]]:
        return [[i for i in range(3) if not plan.still(f"backbone/layers/{i}/k", k)] for k in range(plan.phases)]

    assert moving(Freezing(Recipe(unfreeze=4), BLOCKS)) == [[], [2], [1, 2], [0, 1, 2]]
    assert moving(Freezing(Recipe(unfreeze=2), BLOCKS)) == [[], [0, 1, 2]]
    assert moving(Freezing(Recipe(unfreeze=(0.1, 0.2, 0.7)), BLOCKS)) == [[], [1, 2], [0, 1, 2]]
    assert moving(Freezing(Recipe(unfreeze=3, freeze=1), BLOCKS)) == [[], [2], [1, 2]]
    assert moving(Freezing(Recipe(freeze=2), BLOCKS)) == [[2]]
    assert moving(Freezing(Recipe(freeze=r"layers/[02]/"), BLOCKS)) == [[1]]
    assert moving(Freezing(Recipe(backbone_rate=0.0), BLOCKS)) == [[]]
    for plan in (Freezing(Recipe(unfreeze=4), BLOCKS), Freezing(Recipe(freeze=3), BLOCKS)):
        assert not any(plan.still(path, 0) for path in ("classifier/kernel", "bottleneck/k", "discriminator/k"))


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(UsageError, match=r"freeze=4, but the backbone has 3 blocks: layers.0, layers.1, layers.2"):
        Freezing(Recipe(freeze=4), BLOCKS)
    with pytest.raises(UsageError, match=r"5 phases, but the backbone has 3 blocks to unfreeze .* at most 4 phases"):
        Freezing(Recipe(unfreeze=5), BLOCKS)
    with pytest.raises(UsageError, match="at most 3 phases"):
        Freezing(Recipe(unfreeze=4, freeze=1), BLOCKS)
    params = {"backbone": {"layers": {0: {"kernel": jnp.ones((2, 2))}}}}
    with pytest.raises(UsageError, match=r"recipe.freeze 'conv9' matches no parameter. Paths look like backbone/"):
        Optimizer(Recipe(freeze="conv9"), params)
    with pytest.raises(UsageError, match="freezes every parameter, so there is nothing to train"):
        Optimizer(Recipe(freeze="."), params)
    for changes, message in (
        ({"freeze": "("}, "'\\(' is no regular expression"),
        ({"freeze": -1}, "a number of blocks from 0 on"),
        ({"freeze": True}, "a number of blocks from 0 on"),
        ({"unfreeze": 1}, "a number of phases from 2 on"),
        ({"unfreeze": (1.0,)}, "at least two shares"),
        ({"unfreeze": (1.0, 0.0)}, "each share must be above 0"),
        ({"layer_decay": 0.0}, r"layer_decay must be in \(0, 1\]"),
        ({"layer_decay": 1.5}, r"layer_decay must be in \(0, 1\]"),
        ({"backbone_rate": -0.1}, "backbone_rate must be a finite number from 0 on"),
        ({"warmup": 2.5}, "a share below 1 or a whole number of steps"),
    ):
        with pytest.raises(UsageError, match=message):
            Recipe(**changes)


def test_groups_have_a_form_in_text() -> None:
    made = tladapt.fields.replace(Recipe(), {"groups": "^backbone=0.1, bias=2:0"}, called="the recipe")
    assert made.groups == (
        Group(pattern="^backbone", learning_rate=0.1),
        Group(pattern="bias", learning_rate=2.0, weight_decay=0.0),
    )
    assert tladapt.fields.show(made.groups) == "^backbone=0.1,bias=2:0"
    for text in ("backbone", "=0.1", "bias=fast", "bias=1:2:3"):
        with pytest.raises(UsageError, match="a group of parameters is PATTERN=RATE or PATTERN=RATE:DECAY"):
            Group.from_text(text)
    with pytest.raises(UsageError, match="learning_rate is a factor from 0 on, got -1"):
        Group.from_text("bias=-1")
    with pytest.raises(UsageError, match="is no regular expression"):
        Group.from_text("(=1")


def test_warmup_stands_in_front_of_the_schedule() -> None:
    params = {"classifier": {"kernel": jnp.ones((2, 2))}}

    def rates(length: int, **changes: Any) -> np.ndarray:
        optimizer = Optimizer(Recipe(learning_rate=1.0, **changes), params)
        return np.array([optimizer.learning_rate(jnp.int32(i), length) for i in range(length)])

    plain = rates(10, schedule="linear")
    np.testing.assert_allclose(plain, 1 - np.arange(10) / 10, rtol=1e-6)
    for warmup in (4, 4 / 14):
        found = rates(14, schedule="linear", warmup=warmup)
        np.testing.assert_allclose(found[:4], np.arange(1, 5) / 5, rtol=1e-6)
        np.testing.assert_allclose(found[4:], plain, rtol=1e-6)
    thuml = rates(14, schedule="thuml", warmup=4)  # a curve of the step begins after the warm-up, too
    np.testing.assert_allclose(thuml[4:], (1 + 1e-3 * np.arange(10)) ** -0.75, rtol=1e-6)
    with pytest.raises(UsageError, match="warmup of 14 steps leaves none of the 14 steps"):
        rates(14, warmup=14)


# ---- the plan of a run -----------------------------------------------------------------------------------------------


def plans(count: int = 200) -> Any:
    chance = random.Random(1)
    for _ in range(count):
        stages = tuple(
            Stage(f"s{i}", share=chance.choice([1e-6, 0.5, 1.0, 7.0]), refresh=chance.choice([0, 1, 3, 50]))
            for i in range(chance.randint(1, 3))
        )
        phases = tuple(chance.choice([1e-6, 1.0, 3.0]) for _ in range(chance.randint(1, 5)))
        yield stages, chance.randint(5, 120), phases, chance.choice([1, 7, 50])


def test_phases_cut_stages_and_change_nothing_else_about_them() -> None:
    for stages, steps, phases, chunk in plans():
        whole, cut = spans(stages, steps), spans(stages, steps, phases)
        assert cut[0].first == 0 and cut[-1].end == steps
        assert all(before.end == after.first for before, after in itertools.pairwise(cut))
        assert all(span.length >= 1 for span in cut)
        assert [phase for phase, _ in itertools.groupby(span.phase for span in cut)] == list(range(len(phases)))
        stage_of = {step: span for span in whole for step in range(span.first, span.end)}
        for span in cut:
            before = stage_of[span.first]
            assert (span.stage, span.stage_first, span.stage_length) == (before.stage, before.first, before.length)
        # Refreshes come at the same steps of the run, and chunks go exactly over each span.
        assert [at for span in cut for at in refreshes(span)] == [at for span in whole for at in refreshes(span)]
        pieces = [piece for span in cut for piece in boundaries(span, chunk)]
        assert sum(count for _, count in pieces) == steps
        assert {span.first for span in cut} <= {first for first, _ in pieces}
    assert [span.length for span in spans((Stage(),), 100, (0.1, 0.2, 0.7))] == [10, 20, 70]
    with pytest.raises(UsageError, match="4 phases of unfreezing need at least as many steps, got 3"):
        spans((Stage(),), 3, (1.0,) * 4)


# ---- runs ------------------------------------------------------------------------------------------------------------


def block_of(name: str) -> str | None:
    """Return which layer of `THREE` an array of a state is of; None: of none of them."""
    if "backbone" not in name:
        return None
    return next((f"layers/{i}" for i in range(3) if f"layers/{i}/" in name), "a count")


@pytest.fixture(scope="module")
def unfrozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watcher]:
    """A run of 40 steps in four phases, saved at the end of each."""
    folder, watcher = tmp_path_factory.mktemp("runs") / "whole", Watcher()
    tladapt.run(config("dann", unfreeze=4), problems.scenario(), out=folder, callbacks=(watcher,))
    return folder, watcher


def test_what_is_frozen_keeps_its_bits_in_every_phase(unfrozen: tuple[Path, Watcher]) -> None:
    """Parameters, statistics and the optimiser's state; and all that moves does move."""
    saved = Checkpoints(unfrozen[0] / "checkpoints")
    states = [problems.arrays(assemble(config("dann", unfreeze=4), problems.scenario(), 0).state)]
    states += [saved.read(step) for step in (10, 20, 30, 40)]
    parts = ("params/", "statistics/", "optimizer/")
    for phase, (before, after) in enumerate(itertools.pairwise(states)):
        free = {f"layers/{i}" for i in range(3 - phase, 3)}
        moved = [name for name in problems.differing(before, after) if name.startswith(parts)]
        assert {block_of(name) for name in moved} - {None, "a count"} == free, phase
        held = [name for name in before if name.startswith(parts) and block_of(name) in free]
        assert set(held) <= set(moved), phase
        assert any(name.startswith("params/classifier") for name in moved)
        assert any(name.startswith("params/discriminator") for name in moved)


def test_adam_counts_the_updates_of_each_phase_from_its_own_first_one(unfrozen: tuple[Path, Watcher]) -> None:
    state = Checkpoints(unfrozen[0] / "checkpoints").read(40)
    counts = {name.split("/")[1]: int(leaf) for name, leaf in state.items() if name.endswith("/count")}
    assert counts == {
        "backbone, phase 2": 30,
        "backbone, phase 3": 20,
        "backbone, phase 4": 10,
        "classifier": 40,
        "discriminator": 40,
    }


def test_the_log_names_the_phase(unfrozen: tuple[Path, Watcher]) -> None:
    rows = [event.row for event in unfrozen[1].events if event.kind == "train"]
    assert [row["phase"] for row in rows] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert unfrozen[1].notes == [
        "phase 1 of 4: trains the new layers alone, until step 10",
        "phase 2 of 4: trains the backbone from layers.2 on, until step 20",
        "phase 3 of 4: trains the backbone from layers.1 on, until step 30",
        "phase 4 of 4: trains the whole backbone, until step 40",
    ]


def test_phases_leave_schedules_to_the_stage(unfrozen: tuple[Path, Watcher]) -> None:
    """Learning rate and lambda go on over the phases as they would without."""
    rows = [event.row for event in unfrozen[1].events if event.kind == "train"]
    plain = Watcher()
    tladapt.run(config("dann"), problems.scenario(), callbacks=(plain,))
    others = [event.row for event in plain.events if event.kind == "train"]
    assert all("phase" not in row for row in others)
    for name in ("learning_rate", "weight/domain"):
        assert [row[name] for row in rows] == pytest.approx([row[name] for row in others], rel=1e-6)


def test_a_run_in_phases_goes_on_to_the_same_bits(unfrozen: tuple[Path, Watcher], tmp_path: Path) -> None:
    """Stopped within a phase, and at the end of one."""
    for kind, step in (("train", 15), ("eval", 20), ("train", 35)):
        with pytest.raises(Stopped):
            tladapt.run(
                config("dann", unfreeze=4),
                problems.scenario(),
                out=tmp_path / "parts",
                callbacks=(stop(kind, step),),
                resume=True,
            )
    tladapt.run(config("dann", unfreeze=4), problems.scenario(), out=tmp_path / "parts", resume=True)
    problems.assert_same_folder(unfrozen[0], tmp_path / "parts")


@pytest.mark.slow
def test_seeds_side_by_side_freeze_as_each_by_itself() -> None:
    made, scenario = config(unfreeze=2, freeze=1, steps=10), problems.scenario()
    start = assemble(made, scenario, 1)
    for one, alone in zip(
        tladapt.run_seeds(made, scenario, [0, 1], replicate="vmap"),
        tladapt.run_seeds(made, scenario, [0, 1], replicate="loop"),
        strict=True,
    ):
        for name, leaf in problems.arrays(one.weights.params).items():
            np.testing.assert_allclose(leaf, problems.arrays(alone.weights.params)[name], rtol=1e-3, atol=1e-4)
    frozen = [name for name in problems.differing(start.state.params, one.weights.params) if "layers/0/" in name]
    assert not frozen


@pytest.mark.slow
def test_stages_of_a_method_keep_their_own_beginning(tmp_path: Path) -> None:
    """`shot` has two stages of 20 steps; a phase ends after 10, and the optimiser begins anew at 20 alone."""
    method, watcher = tladapt.methods.shot(width=4, refreshes=2), Watcher()
    made = problems.config(method, backbone=THREE, recipe=recipe(unfreeze=(0.25, 0.75)))
    result = tladapt.run(made, problems.scenario(), out=tmp_path / "run", callbacks=(watcher,))
    rows = [(event.step, event.row["phase"]) for event in watcher.events if event.kind == "train"]
    assert rows == [(5, 1), (10, 1), *((step, 2) for step in range(15, 41, 5))]
    rates = [row["learning_rate"] for row in problems.numbers(result.history)]
    assert all((after > before) == (at == 3) for at, (before, after) in enumerate(itertools.pairwise(rates)))
    saved = Checkpoints(tmp_path / "run" / "checkpoints")
    counts = [int(saved.read(step)["optimizer/bottleneck/count"]) for step in (10, 20, 30, 40)]
    assert counts == [10, 20, 10, 20]


# ---- steps -----------------------------------------------------------------------------------------------------------


def step_of(run: Assembly, span: Span) -> tuple[Any, tuple[Any, ...]]:
    piece = jax.tree.map(lambda leaf: leaf[0], run.chunk(span, span.first, 1))
    return StageStep(run.parts, span), (run.state, run.resident(), piece)


@pytest.mark.parametrize("how", [{"groups": (Group(pattern="layers/0/", learning_rate=0.0),)}, {"freeze": 1}])
def test_a_group_of_factor_0_freezes_statistics_and_needs_no_state(how: dict[str, Any]) -> None:
    run = assemble(config(**how), problems.scenario(), 0)
    assert not any("layers/0/" in name for name in problems.arrays(run.state.optimizer))
    step, arguments = step_of(run, run.spans[0])
    after, _ = jax.jit(step)(*arguments)
    for part in ("params", "statistics"):
        moved = problems.differing(getattr(run.state, part), getattr(after, part))
        assert not any("layers/0/" in name for name in moved)
        assert any("layers/1/" in name for name in moved)


def test_frozen_parts_are_in_evaluation_mode_while_the_rest_trains() -> None:
    """They normalise by running statistics and drop nothing, so that a frozen backbone is the one that predicts."""
    run = assemble(config(unfreeze=4), problems.scenario(), 0)
    network, state = run.parts.network, run.state
    statistics = jax.tree.map(lambda leaf: leaf + 0.5, state.statistics["shared"])
    x = jnp.asarray(problems.scenario().source[0].x[:6])

    def features(mode: Any, phase: int) -> Any:
        return network.forward(state.params, statistics, x, mode=mode, key=jax.random.key(0), phase=phase)

    evaluated, frozen, free = features("evaluate", 0), features("train", 0), features("train", 3)
    np.testing.assert_array_equal(frozen.features, evaluated.features)
    assert not problems.differing(frozen.statistics, statistics)
    assert np.any(np.asarray(free.features) != np.asarray(evaluated.features))
    assert len(problems.differing(free.statistics, statistics)) == 6
    half = problems.differing(features("train", 2).statistics, statistics)
    assert {block_of(f"backbone/{name}") for name in half} == {"layers/1", "layers/2"}


def test_nothing_is_propagated_back_into_a_frozen_beginning() -> None:
    """Products of a layer: one forward, one more for its kernel's gradient, and one for its input's."""

    def products(jaxpr: Any) -> int:
        found = 0
        for equation in jaxpr.eqns:
            found += equation.primitive.name == "dot_general"
            for value in equation.params.values():
                for inner in value if isinstance(value, (tuple, list)) else (value,):
                    inner = getattr(inner, "jaxpr", inner)
                    found += products(inner) if hasattr(inner, "eqns") else 0
        return found

    run = assemble(config(unfreeze=4, steps=4), problems.scenario(), 0)
    counts = []
    for span in run.spans:
        step, arguments = step_of(run, span)
        counts.append(products(jax.make_jaxpr(step)(*arguments).jaxpr))
    # Four layers, of which 1, 2, 3 and 4 move: all but the first of these pass a gradient on.
    assert counts == [4 + moved + (moved - 1) for moved in (1, 2, 3, 4)]
