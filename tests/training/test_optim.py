"""Which parameters an update moves, and how."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tladapt
from tests.training import problems
from tladapt.errors import UsageError
from tladapt.methods import MCD, Stage, Update
from tladapt.training import Group, Recipe
from tladapt.training.assemble import assemble
from tladapt.training.optim import Optimizer, blocks_moved
from tladapt.training.step import StageStep

PARAMS = {
    "backbone": {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.1, -0.1])},
    "classifier": {"kernel": jnp.array([2.0, -1.0])},
}


def gradients(params: Any, step: int) -> Any:
    """The slope of a bowl that moves with the step."""
    return jax.tree.map(lambda p: 2.0 * p + jnp.sin(jnp.float32(step)), params)


def trained(recipe: Recipe, *, steps: int = 6, rate: float | None = None) -> Any:
    optimizer, params = Optimizer(recipe, PARAMS), PARAMS
    state = optimizer.init(params)
    for step in range(steps):
        given = recipe.learning_rate if rate is None else rate
        params, state = optimizer.update(gradients(params, step), state, params, jnp.float32(given))
    return params


@pytest.mark.parametrize(
    ("recipe", "theirs"),
    [
        (Recipe(momentum=0.0), optax.sgd(0.01)),
        (Recipe(momentum=0.9), optax.sgd(0.01, momentum=0.9)),
        (Recipe(momentum=0.9, nesterov=True), optax.sgd(0.01, momentum=0.9, nesterov=True)),
        (Recipe(optimizer="adam", momentum=0.9), optax.adam(0.01)),
        (Recipe(optimizer="adamw", weight_decay=0.1), optax.adamw(0.01, weight_decay=0.1)),
        (Recipe(weight_decay=0.1), optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.01, momentum=0.9))),
        (
            Recipe(optimizer="adam", weight_decay=0.1),
            optax.chain(optax.add_decayed_weights(0.1), optax.adam(0.01)),
        ),
        (Recipe(clip=1.5), optax.chain(optax.clip_by_global_norm(1.5), optax.sgd(0.01, momentum=0.9))),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adamw", "sgd decay", "adam decay", "clip"],
)
def test_updates_are_those_of_optax(recipe: Recipe, theirs: optax.GradientTransformation) -> None:
    params, state = PARAMS, theirs.init(PARAMS)
    for step in range(6):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = theirs.update(gradients(params, step), state, params)
        params = optax.apply_updates(params, updates)
    for name, value in problems.arrays(trained(recipe)).items():
        np.testing.assert_allclose(value, problems.arrays(params)[name], rtol=2e-6)
    assert len(problems.differing(PARAMS, trained(recipe))) == 3


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_factor_0_keeps_the_bits(optimizer: Any) -> None:
    groups = (Group(pattern="^backbone/kernel$", learning_rate=0.0),)
    recipe = Recipe(optimizer=optimizer, weight_decay=0.1, groups=groups, clip=1.0)
    assert problems.differing(PARAMS, trained(recipe)) == ["backbone/bias", "classifier/kernel"]


def test_frozen_parameters_do_not_count_where_gradients_are_clipped() -> None:
    """Else what cannot move would slow down what can."""
    groups = (Group(pattern="backbone", learning_rate=0.0),)
    alone = Optimizer(Recipe(clip=0.1, momentum=0.0), {"classifier": PARAMS["classifier"]})
    both = Optimizer(Recipe(clip=0.1, momentum=0.0, groups=groups), PARAMS)
    slope = gradients(PARAMS, 0)
    rate = jnp.float32(0.1)
    one, _ = alone.update(
        {"classifier": slope["classifier"]},
        alone.init({"classifier": PARAMS["classifier"]}),
        {"classifier": PARAMS["classifier"]},
        rate,
    )
    two, _ = both.update(slope, both.init(PARAMS), PARAMS, rate)
    assert not problems.differing(one["classifier"], two["classifier"])


def test_factors_on_learning_rate_and_weight_decay() -> None:
    """The first pattern that matches counts."""
    groups = (
        Group(pattern="bias", learning_rate=3.0, weight_decay=0.0),
        Group(pattern="backbone", learning_rate=0.5),
    )
    recipe = Recipe(momentum=0.0, weight_decay=0.2, groups=groups)
    found, slope = trained(recipe, steps=1), gradients(PARAMS, 0)
    np.testing.assert_allclose(
        found["backbone"]["bias"], PARAMS["backbone"]["bias"] - 0.03 * slope["backbone"]["bias"], rtol=1e-6
    )
    kernel = PARAMS["backbone"]["kernel"]
    np.testing.assert_allclose(
        found["backbone"]["kernel"], kernel - 0.005 * (slope["backbone"]["kernel"] + 0.2 * kernel), rtol=1e-6
    )
    kernel = PARAMS["classifier"]["kernel"]
    np.testing.assert_allclose(
        found["classifier"]["kernel"], kernel - 0.01 * (slope["classifier"]["kernel"] + 0.2 * kernel), rtol=1e-6
    )


def test_pattern_that_matches_nothing() -> None:
    with pytest.raises(UsageError, match=r"recipe group 'conv9' matches no parameter. Paths look like backbone/bias"):
        Optimizer(Recipe(groups=(Group(pattern="conv9"),)), PARAMS)


def test_frozen_groups_in_a_run_keep_their_bits() -> None:
    groups = (Group(pattern="^backbone/", learning_rate=0.0),)
    for optimizer in ("sgd", "adam"):
        recipe = dataclasses.replace(problems.RECIPE, groups=groups, weight_decay=0.01, optimizer=optimizer)
        config = problems.config("dann", recipe=recipe, steps=10, evaluations=1)
        start = assemble(config, problems.scenario(), 0).state.params
        end = tladapt.run(config, problems.scenario()).weights.params
        changed = {name.split("/")[0] for name in problems.differing(start, end)}
        assert changed == {"classifier", "discriminator"}


def test_updates_of_mcd_leave_other_blocks_and_their_optimizer_bit_for_bit() -> None:
    """A moves all, B the classifiers, C the backbone: each is run alone and looked at."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Part(MCD):
        which: int = 0

        def updates(self, stage: Stage) -> tuple[Update, ...]:
            return (super().updates(stage)[self.which],)

    moved = [{"backbone", "classifier", "second_classifier"}, {"classifier", "second_classifier"}, {"backbone"}]
    for which, blocks in enumerate(moved):
        recipe = dataclasses.replace(problems.RECIPE, optimizer="adam", weight_decay=0.1)
        assembly = assemble(problems.config(Part(which=which, repeat=2), recipe=recipe), problems.scenario(), 0)
        span, state = assembly.spans[0], assembly.state
        piece = jax.tree.map(lambda leaf: leaf[0], assembly.chunk(span, 0, 1))
        after, _ = StageStep(assembly.parts, span)(state, assembly.resident(), piece)
        for tree in ("params", "optimizer"):
            one, two = getattr(state, tree), getattr(after, tree)
            assert {name.split("/")[0] for name in problems.differing(one, two)} == blocks, (which, tree)
        counts = {block: int(after.optimizer[block].count) for block in after.optimizer}
        assert counts == {block: (2 if which == 2 else 1) * (block in blocks) for block in counts}


def test_words_for_blocks() -> None:
    blocks = ("backbone", "classifier", "discriminator")
    assert blocks_moved(("all",), blocks) == blocks
    assert blocks_moved(("model",), blocks) == ("backbone", "classifier")
    assert blocks_moved(("heads", "backbone"), blocks) == ("backbone", "discriminator")
    assert blocks_moved(("bottleneck", "classifier"), blocks) == ("classifier",)  # a model may have no bottleneck
    with pytest.raises(UsageError, match="an update moves 'disciminator', but the parameter blocks are backbone"):
        blocks_moved(("disciminator",), blocks)


def test_learning_rate_is_a_function_of_the_step_within_the_stage() -> None:
    """Each stage of `shot` begins again at the top of 0.05 / (1 + 10 p)^0.75, and p is 0 at its first step."""
    history = tladapt.run(problems.config(tladapt.methods.shot(width=4), log_every=1), problems.scenario()).history
    rates = np.array([row["learning_rate"] for row in problems.numbers(history)])
    wanted = 0.05 / (1 + 10 * np.arange(20) / 20) ** 0.75
    np.testing.assert_allclose(rates, np.concatenate([wanted, wanted]), rtol=1e-5)
