"""Progressive networks: what the frozen column says, and what the adapters add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tladapt.errors import UsageError
from tladapt.models import BACKBONES
from tladapt.models.backbones.lenet import LeNet
from tladapt.models.backbones.mlp import MLP
from tladapt.models.backbones.progressive import Progressive, ProgressiveNetwork
from tladapt.training.assemble import assemble
from tladapt.training.recipe import Recipe

COLUMN = MLP(widths=(7, 6), batch_norm=True, dropout=0.25)
X = jnp.asarray(np.random.default_rng(0).normal(size=(5, problems.SIZE)), jnp.float32)


def build(column: Any = COLUMN, shape: tuple[int, ...] = (problems.SIZE,), **options: Any) -> ProgressiveNetwork:
    made = Progressive(column=column, **options).build(shape, rngs=nnx.Rngs(0))
    assert isinstance(made, ProgressiveNetwork)
    return made


def laterals(network: ProgressiveNetwork, value: float) -> None:
    for adapter in network.adapters:
        adapter.lateral.kernel[...] = jnp.full_like(adapter.lateral.kernel[...], value)


@pytest.mark.parametrize(
    ("column", "shape", "places"),
    [
        (MLP(widths=(7, 6)), (8,), ("layers.0", "layers.1")),
        (LeNet(widths=(3, 4), kernel=3, hidden=(5,)), (8, 8, 1), ("convolutions.0", "convolutions.1", "dense.0")),
    ],
    ids=["mlp", "lenet"],
)
def test_adapters_at_zero_leave_an_independent_network(column: Any, shape: tuple[int, ...], places: Any) -> None:
    network, x = build(column, shape), jnp.asarray(np.random.default_rng(1).normal(size=(3, *shape)), jnp.float32)
    assert network.places == places
    np.testing.assert_array_equal(network(x), network.new(x))
    laterals(network, 0.3)
    assert np.any(np.asarray(network(x)) != np.asarray(network.new(x)))


def test_it_is_the_formula() -> None:
    network = build(MLP(widths=(4, 3)))
    laterals(network, 0.3)
    network.adapters[0].scale[...] = jnp.float32(0.5)

    def layer(block: Any, x: np.ndarray) -> np.ndarray:
        return np.maximum(x @ np.asarray(block.linear.kernel[...]) + np.asarray(block.linear.bias[...]), 0)

    g = h = np.asarray(X, np.float64)
    for old, new, adapter in zip(network.old.layers, network.new.layers, network.adapters, strict=True):
        g = layer(old, g)
        narrow, scale = adapter.narrow, float(adapter.scale[...])
        hidden = np.maximum(scale * g @ np.asarray(narrow.kernel[...]) + np.asarray(narrow.bias[...]), 0)
        h = layer(new, h) + hidden @ np.full((h_width := new.out_features, h_width), 0.3)
    np.testing.assert_allclose(network(X), h, rtol=1e-5)


def test_the_frozen_column_is_in_evaluation_mode_and_gets_no_gradient() -> None:
    network = build()
    laterals(network, 0.3)
    network.train()
    before = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.as_pure(nnx.state(network.old, nnx.Not(nnx.RngState)))))
    network.old.eval()
    wanted = network.old(X)
    network.train()
    network(X)
    assert not problems.differing(before, nnx.to_pure_dict(nnx.as_pure(nnx.state(network.old, nnx.Not(nnx.RngState)))))
    np.testing.assert_array_equal(network.old(X), wanted)  # the call above left it in evaluation mode
    gradients = nnx.grad(lambda network: jnp.sum(jnp.square(network(X))))(network)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients["old"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients["adapters"][0]["lateral"]))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    tladapt.run(problems.config(backbone=COLUMN, steps=10, evaluations=1), problems.scenario(), out=folder)
    return folder


def test_the_old_column_says_the_same_after_training(first: Path, tmp_path: Path) -> None:
    """Bit for bit, and what it says is what the earlier run's backbone says; the folder opens again."""
    backbone = Progressive(column=COLUMN, first=first)
    recipe = Recipe(batch_size=6, learning_rate=0.05, weight_decay=0.1, optimizer="adam")
    config = problems.config("dann", backbone=backbone, recipe=recipe, steps=10, evaluations=1)
    start = assemble(config, problems.scenario(), 0)
    assert [block.name for block in start.parts.network.freezing.blocks] == ["layers.0", "layers.1"]
    assert not any("old/" in name for name in problems.arrays(start.state.optimizer))
    result = tladapt.run(config, problems.scenario(), out=tmp_path / "second")
    for part in ("params", "statistics"):
        moved = problems.differing(getattr(start.state, part), getattr(result.weights, part))
        assert not any("/old/" in f"/{name}" for name in moved)
        assert any("/new/" in f"/{name}" for name in moved)
    earlier = tladapt.open_run(first).weights
    assert not problems.differing(earlier.params["backbone"], result.weights.params["backbone"]["old"])
    opened = tladapt.open_run(tmp_path / "second")
    x = problems.scenario().target.x
    np.testing.assert_array_equal(opened.logits(x), result.logits(x))


def test_blocks_of_the_new_column_are_unfrozen_with_their_adapters() -> None:
    config = problems.config(backbone=Progressive(column=COLUMN), recipe=Recipe(batch_size=6, unfreeze=3))
    plan = assemble(config, problems.scenario(), 0).parts.network.freezing
    releases = {
        path: plan.release(f"backbone/{path}")
        for path in ("old/layers/1/linear/kernel", "new/layers/0/linear/kernel", "adapters/0/scale", "adapters/1/scale")
    }
    assert list(releases.values()) == [None, 2, 2, 1]


def test_what_cannot_be_is_told(first: Path) -> None:
    assert BACKBONES["progressive"]().column == MLP()
    with pytest.raises(UsageError, match=r"column must be a backbone or the name of one, got 3"):
        Progressive(column=3)
    with pytest.raises(
        UsageError, match=r"(?s)does not fit the columns:.*layers/0/linear/kernel: expected \[8, 5\], came"
    ):
        build(MLP(widths=(5, 6), batch_norm=True), first=first)
    with pytest.raises(UsageError, match="the column has no such array"):
        build(MLP(widths=(7,), batch_norm=True), first=first)
