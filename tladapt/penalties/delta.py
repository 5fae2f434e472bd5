"""DELTA: inner feature maps stay where the starting model has them, channels that matter more than others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tladapt.errors import UsageError
from tladapt.models.compile import has_convolutions
from tladapt.models.compile import jit as compiled
from tladapt.penalties.base import (
    PENALTIES,
    DomainName,
    Penalty,
    PenaltyContext,
    PenaltyStart,
    PyTree,
    Seen,
    check_at_least,
    wide,
)
from tladapt.ranges import Choice, Range

Attention = Literal["supervised", "uniform"]
BLOCK = 64  # examples of a pass
FIT = 300  # steps in which the classifier behind the attention is fitted
SHARPNESS = 5.0  # what standardised importance is divided by, in the official code


@PENALTIES.register("delta")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DELTA(Penalty):
    """(weight / 2) sum_l C_l sum_c a_lc ||M_lc(x) - M0_lc(x)||^2 / S_l, a mean over the step's examples.

    M_lc is channel c of C_l of layer l, a map of S_l places, M0 that of the starting model in evaluation mode on the
    same inputs. The attention a_l sums to 1 over channels: "supervised" a_l = softmax(z / 5), z the standardised
    increase of the loss on labelled source examples when a channel is set to 0 (see `channel_attention`); "uniform" is
    the same for all. Zero, with zero gradient, as long as the maps are those of the start: where batch normalisation
    normalises by the batch they never quite are.

    Which parameters move: those of the backbone, up to the last of the layers.

    Logged: `loss/penalty`, the value above (its weight is in it, so `weight/penalty` is 1).

    Deviations from the paper and its official code:
      1. A mean over examples, where the code sums over a batch of 48 with weight 0.01: 0.48 here is that.
      2. Maps are the outputs of the backbone's stages, after their activation, and a channel is set to 0 there; the
         code takes those of convolutions, and sets filters to 0.
      3. The classifier behind the attention is fitted to the frozen features alone, on the examples that the attention
         is measured on.
      4. New layers are left to the recipe's weight decay; the code adds its own, (0.01 / 2) ||w||^2.

    Defaults: as said; the layers are the last stage of each of the last four groups ("layer1.2" of "layer1.0" to
    "layer1.2"), which are the paper's for a ResNet.

    Source: Li, Xiong, Wang, Rao, Liu, Huan: DELTA: deep learning transfer using feature map with attention for
    convolutional networks. ICLR 2019. arXiv 1901.09229.
    """

    name: ClassVar[str] = "delta"
    needs: ClassVar[frozenset[str]] = frozenset({"inputs", "taps"})
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.048, 4.8, log=True),
    }
    """1. weight: chosen here, a factor of 10 on either side of the default."""

    weight: float = 0.48
    """Strength of the pull."""
    attention: Attention = "supervised"
    """Which channels matter: "supervised" measures it on labelled source examples, "uniform" takes all alike."""
    layers: tuple[str, ...] = ()
    """Names of the backbone's stages; none: the last of each of its last four groups."""
    examples: int = 256
    """How many labelled examples the attention is measured on, at most."""

    def __post_init__(self) -> None:
        check_at_least(self, "weight")
        if self.attention not in get_args(Attention):
            raise UsageError(f"penalty {self.name!r}: attention must be supervised or uniform, got {self.attention!r}.")
        if not isinstance(self.examples, int) or self.examples < 1:
            raise UsageError(
                f"penalty {self.name!r}: examples must be a whole number from 1 on, got {self.examples!r}."
            )

    def taps(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        return self.layers or last_of_groups(layers)

    def prepare(self, start: PenaltyStart) -> PyTree:
        names = self.taps(start.layers)
        assert start.halves is not None  # it comes with named layers
        x, y = start.source(self.examples)
        attention = {}
        for name in names:
            before, after = start.halves(name)
            width = jax.eval_shape(before, x[:1]).shape[-1]
            if self.attention == "uniform":
                attention[name] = jnp.full((width,), 1.0 / width)
            else:
                attention[name] = jnp.asarray(channel_attention(before, after, x, y, start.classes), jnp.float32)
        return {"model": start.model, "attention": attention}

    def value_on(self, ctx: PenaltyContext, memory: PyTree) -> jax.Array:
        def each(domain: DomainName, seen: Seen) -> jax.Array:
            then = ctx.earlier(memory["model"], domain).taps
            return sum(
                (distances(seen.taps[name], then[name], attention) for name, attention in memory["attention"].items()),
                start=jnp.zeros((), jnp.float32),
            )

        return self.weight * ctx.mean(each)


def last_of_groups(layers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the last stage of each of the last four groups: what is numbered after one name, "layer1.0" and so on.

    Where no stage is numbered, each is a group.

    >>> last_of_groups(("conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1"))
    ('layer1.1', 'layer2.1')
    """
    numbered = [name for name in layers if name.rpartition(".")[0] and name.rpartition(".")[2].isdigit()]
    groups = {name.rpartition(".")[0]: name for name in numbered} or {name: name for name in layers}
    return tuple(groups.values())[-4:]


def distances(maps: jax.Array, anchors: jax.Array, attention: jax.Array) -> jax.Array:
    """Compute (C / 2) sum_c a_c ||M_c - M0_c||^2 / S for each example.

    Args:
      maps: M `[n, ..., C]`; S is the number of places between.
      anchors: M0, likewise.
      attention: a `[C]`.

    Returns:
      `[n]`, float32 at least.
    """
    squares = jnp.square(wide(maps) - wide(anchors))
    squares = squares.reshape(squares.shape[0], -1, squares.shape[-1]).mean(axis=1)  # [n, C], a mean over places
    return 0.5 * squares.shape[-1] * (squares @ attention.astype(squares.dtype))


def channel_attention(
    before: Callable[..., jax.Array], after: Callable[..., jax.Array], x: Any, y: np.ndarray, classes: int
) -> np.ndarray:
    """Compute softmax(z / 5), z_c the standardised increase of the loss when channel c of a layer is set to 0.

    The loss is the cross entropy of a linear classifier that is first fitted to the features of these examples.

    Args:
      before: raw inputs `[n, ...]` -> the layer's output `[n, ..., C]`.
      after: that -> features `[n, d]`.
      x: raw inputs.
      y: class indices `[n]`.
      classes: number of classes.

    Returns:
      `[C]`, float64, which sums to 1; uniform where no channel matters more than another.
    """

    def split(before: Any, after: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        middle = before(x)
        return middle, after(middle)

    def losses(after: Any, fitted: Any, middle: jax.Array, y: jax.Array) -> jax.Array:
        """Return the summed loss without each channel in turn, and that with all of them at the end: `[C + 1]`."""
        width = middle.shape[-1]

        def one(channel: jax.Array) -> jax.Array:
            keep = (jnp.arange(width) != channel).astype(middle.dtype)
            logits = _classify(fitted, after(middle * keep.reshape((1,) * (middle.ndim - 1) + (-1,))))
            return jnp.sum(optax.softmax_cross_entropy_with_integer_labels(logits, y))

        return jax.lax.map(one, jnp.arange(width + 1))

    # Pytrees, so that arrays that they hold are arguments and are not compiled in.
    before, after = (
        half if isinstance(half, jax.tree_util.Partial) else jax.tree_util.Partial(half) for half in (before, after)
    )
    pieces = [(x[first : first + BLOCK], y[first : first + BLOCK]) for first in range(0, len(x), BLOCK)]
    convolutions = has_convolutions(split, before, after, x[:1])
    split, losses = (compiled(function, convolutions=convolutions) for function in (split, losses))
    halves = [split(before, after, part) for part, _ in pieces]
    fitted = _fit(jnp.concatenate([features for _, features in halves]), jnp.asarray(y), classes)
    total = np.sum(
        [
            np.asarray(losses(after, fitted, middle, jnp.asarray(labels)), np.float64)
            for (middle, _), (_, labels) in zip(halves, pieces, strict=True)
        ],
        axis=0,
    )  # [C + 1]
    increase = (total[:-1] - total[-1]) / len(x)
    deviation = increase.std()
    z = (increase - increase.mean()) / deviation if deviation > 0 else np.zeros_like(increase)
    weights = np.exp((z - z.max()) / SHARPNESS)
    return np.asarray(weights / weights.sum())


def _classify(fitted: dict[str, jax.Array], features: jax.Array) -> jax.Array:
    standard = (features.astype(jnp.float32) - fitted["mean"][None, :]) / fitted["deviation"][None, :]
    return standard @ fitted["kernel"] + fitted["bias"][None, :]


def _fit(features: jax.Array, y: jax.Array, classes: int) -> dict[str, jax.Array]:
    """Return a linear classifier of standardised features, after some steps of Adam on all examples at once."""
    features = features.astype(jnp.float32)
    fixed = {"mean": features.mean(0), "deviation": features.std(0) + 1e-6}
    weights = {"kernel": jnp.zeros((features.shape[1], classes)), "bias": jnp.zeros(classes)}
    rule = optax.scale_by_adam()

    def loss(weights: Any) -> jax.Array:
        logits = _classify({**fixed, **weights}, features)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        weights, state = carry
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer's power
            direction, state = rule.update(jax.grad(loss)(weights), state)
        return (jax.tree.map(lambda w, d: w - 0.03 * d, weights, direction), state), None

    found, _ = jax.jit(lambda carry: jax.lax.scan(step, carry, length=FIT))((weights, rule.init(weights)))
    return {**fixed, **found[0]}
