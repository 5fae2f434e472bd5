"""DELTA: distances of feature maps, and the attention of channels."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.methods.toy import moment, same
from tests.training import problems
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.models.backbones.lenet import LeNet
from tladapt.penalties import DELTA, PENALTIES
from tladapt.penalties.delta import channel_attention, distances, last_of_groups
from tladapt.training.assemble import assemble
from tladapt.training.step import StageStep


def naive(maps: Any, anchors: Any, attention: Any) -> list[float]:
    """The formula, one channel of one example at a time, in float64."""
    m, m0, a = (np.asarray(x, np.float64) for x in (maps, anchors, attention))
    count, channels = m.shape[-1], range(m.shape[-1])
    places = np.prod(m.shape[1:-1]) if m.ndim > 2 else 1
    return [
        sum(0.5 * count * a[c] * np.sum((m[i][..., c] - m0[i][..., c]) ** 2) / places for c in channels)
        for i in range(len(m))
    ]


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (3, 7, 5), (4, 6)])
def test_distances_are_those_of_the_formula(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    maps, anchors = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    attention = rng.dirichlet(np.ones(shape[-1])).astype(np.float32)
    found = distances(jnp.asarray(maps), jnp.asarray(anchors), jnp.asarray(attention))
    np.testing.assert_allclose(found, naive(maps, anchors, attention), rtol=1e-5)
    uniform = distances(jnp.asarray(maps), jnp.asarray(anchors), jnp.full(shape[-1], 1 / shape[-1]))
    per_place = np.square(maps - anchors).reshape(shape[0], -1, shape[-1]).mean(1)
    np.testing.assert_allclose(uniform, 0.5 * per_place.sum(1), rtol=1e-5)
    assert distances(jnp.asarray(maps, jnp.bfloat16), jnp.asarray(anchors), jnp.asarray(attention)).dtype == jnp.float32


def test_attention_is_on_the_channels_that_the_task_needs() -> None:
    """Channel 0 tells classes apart, channel 1 does so half as well, the others are noise."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 2
    x = rng.normal(size=(90, 5)).astype(np.float32)
    x[:, 0] += 8.0 * (y - 0.5)
    x[:, 1] += 2.0 * (y - 0.5)
    found = channel_attention(lambda x: jnp.asarray(x), lambda h: h, x, y, 2)  # 90 examples: a block, and a shorter one
    assert found.sum() == pytest.approx(1.0)
    assert np.argmax(found) == 0 and found[0] > 1.3 * found[2:].max()
    # z is standardised: its mean is 0 and its deviation 1, so that logs have the deviation 1 / 5.
    assert np.log(found).std() == pytest.approx(0.2, rel=1e-6)


def test_attention_is_uniform_where_nothing_matters() -> None:
    x, y = np.ones((8, 3), np.float32), np.arange(8) % 2
    np.testing.assert_allclose(channel_attention(lambda x: jnp.asarray(x), lambda h: h, x, y, 2), 1 / 3)


def test_the_last_stage_of_each_of_four_groups_is_chosen() -> None:
    resnet = ("conv1", *(f"layer{i}.{j}" for i in range(1, 5) for j in range(3)))
    assert last_of_groups(resnet) == ("layer1.2", "layer2.2", "layer3.2", "layer4.2")
    assert last_of_groups(("layers.0", "layers.1")) == ("layers.1",)
    assert last_of_groups(("stem", "blocks.0.0", "blocks.1.0", "blocks.1.1", "head")) == ("blocks.0.0", "blocks.1.1")
    assert last_of_groups(("block0", "block1", "dense")) == ("block0", "block1", "dense")


@pytest.mark.parametrize("attention", ["supervised", "uniform"])
def test_it_is_zero_with_zero_gradient_at_the_start(attention: Any) -> None:
    def after(penalty: Any) -> tuple[Any, Any, Any]:
        found = moment(methods.dann(hidden=(8,)), penalty=penalty, widths=(8, 7))
        return found, *found.go()

    penalty = DELTA(weight=9.0, attention=attention, layers=("layers.0", "layers.1"))
    (found, with_it, log), (_, without, _) = after(penalty), after(None)
    assert float(log["loss/penalty"]) == 0.0
    assert same(with_it.params, without.params)
    assert float(found.go(with_it)[1]["loss/penalty"]) > 0.0
    for weights, width in (
        (found.state.penalty["attention"]["layers.0"], 8),
        (found.state.penalty["attention"]["layers.1"], 7),
    ):
        assert weights.shape == (width,) and float(weights.sum()) == pytest.approx(1.0, rel=1e-5)
        assert (np.ptp(np.asarray(weights)) < 1e-7) == (attention == "uniform")


def test_in_a_step_it_is_the_formula_on_the_maps_of_both_models() -> None:
    """Convolutions, two domains in one pass, and parameters that have moved away from the start."""
    penalty = DELTA(weight=0.7, layers=("convolutions.0", "dense.0"))
    backbone = LeNet(widths=(3, 4), kernel=3, hidden=(5,))
    run = assemble(problems.config("dann", backbone=backbone, penalty=penalty), problems.images(), 0)
    step = StageStep(run.parts, run.spans[0])
    moved = jax.tree.map(lambda leaf: leaf + 0.05, run.state.params["backbone"])
    state = run.state._replace(params={**run.state.params, "backbone": moved})
    piece, arrays = jax.tree.map(lambda leaf: leaf[0], run.chunk(run.spans[0], 0, 1)), run.resident()
    _, log = jax.jit(step)(state, arrays, piece)
    _, x = step.passes.batches(state.inputs, arrays, piece, jax.random.key(0))  # nothing is augmented
    both = jnp.concatenate([x["source"], x["target"]])

    def maps(backbone: Any) -> dict[str, Any]:
        params, kept = {**run.state.params, "backbone": backbone}, run.state.statistics["shared"]
        return dict(run.parts.network.forward(params, kept, both, mode="evaluate", taps=penalty.layers).taps or {})

    now, then, attention = maps(moved), maps(run.state.params["backbone"]), run.state.penalty["attention"]
    wanted = sum(np.mean(naive(now[name], then[name], attention[name])) for name in penalty.layers)
    np.testing.assert_allclose(log["loss/penalty"], 0.7 * wanted, rtol=1e-4)


def test_layers_are_found_by_name() -> None:
    with pytest.raises(UsageError, match=r"penalty 'delta': the backbone has no layer 'layers.9'. Did you mean"):
        moment(methods.source_only(), penalty=DELTA(layers=("layers.9",)))

    class Plain(nnx.Module):
        def __init__(self, *, rngs: nnx.Rngs):
            self.linear, self.out_features = nnx.Linear(problems.SIZE, 4, rngs=rngs), 4

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.linear(x)

    with pytest.raises(UsageError, match="looks at inner layers by name, and this backbone does not name its layers"):
        assemble(problems.config(backbone=Plain(rngs=nnx.Rngs(0)), penalty="delta"), problems.scenario(), 0)


def test_what_cannot_be_is_told() -> None:
    assert PENALTIES["delta"] is DELTA
    for changes, message in (
        ({"weight": -1.0}, "weight must be 0 or more"),
        ({"attention": "none"}, "attention must be supervised or uniform"),
        ({"examples": 0}, "examples must be a whole number from 1 on"),
    ):
        with pytest.raises(UsageError, match=message):
            dataclasses.replace(DELTA(), **changes)
