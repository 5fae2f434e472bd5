"""The optimiser of each parameter block, and which parameters it may move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tladapt.errors import UsageError
from tladapt.losses.schedules import LEARNING_RATE_SCHEDULES
from tladapt.training.freezing import Freezing, fill, paths, pick
from tladapt.training.recipe import Recipe

PyTree = Any
MODEL_BLOCKS = ("backbone", "bottleneck", "classifier")


def blocks_moved(moves: tuple[str, ...], blocks: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of `blocks` an update moves.

    Raises:
      UsageError: for a word that stands for no block.
    """
    moved: list[str] = []
    for word in moves:
        if word == "all":
            moved += blocks
        elif word == "model":
            moved += [block for block in blocks if block in MODEL_BLOCKS]
        elif word == "heads":
            moved += [block for block in blocks if block not in MODEL_BLOCKS]
        elif word in blocks:
            moved.append(word)
        elif word not in MODEL_BLOCKS:
            raise UsageError(f"an update moves {word!r}, but the parameter blocks are {', '.join(blocks)}.")
    return tuple(block for block in blocks if block in moved)


class Section(NamedTuple):
    """Parameters of one block that begin to move in the same phase, and share their optimiser state.

    Attributes:
      block: of the parameters.
      release: the phase from which they move.
      mask: which leaves of the block these are.
      rate, decay: factor on the learning rate, and weight decay, for each of them.
    """

    block: str
    release: int
    mask: PyTree
    rate: PyTree
    decay: PyTree


class Optimizer:
    """A recipe's optimiser, with a state for each block: an update leaves the blocks that it does not move alone.

    Momentum and moments belong to a block, whichever update moves it; a block whose parameters begin to move in
    different phases has a state for each of these phases, so that Adam counts the updates of each from its own first
    one. The learning rate is not in the state: it is a function of the step. What is frozen keeps its bits, does not
    count where gradients are clipped, and has no state where it is frozen for good.

    Args:
      recipe: update rule, rates, groups.
      params: parameters by block.
      freezing: what moves when, and how fast; by default what the recipe says of a network without blocks.

    Raises:
      UsageError: for a group whose pattern matches no parameter.
    """

    def __init__(self, recipe: Recipe, params: Mapping[str, PyTree], freezing: Freezing | None = None):
        self.recipe = recipe
        self.freezing = freezing = Freezing(recipe) if freezing is None else freezing
        freezing.check(params)
        if recipe.optimizer == "sgd":
            rule = optax.trace(recipe.momentum, nesterov=recipe.nesterov) if recipe.momentum else optax.identity()
        else:
            rule = optax.scale_by_adam(b1=recipe.momentum)
        self._rule = rule
        self._schedule = LEARNING_RATE_SCHEDULES[recipe.schedule]
        self.sections: dict[str, Section] = {}
        for block, tree in params.items():
            names = paths(tree, block)
            releases = jax.tree.map(freezing.release, names)  # without a leaf where a path never moves
            each = sorted(set(jax.tree.leaves(releases)))
            for release in each:
                mask = jax.tree.map(lambda name, at=release: freezing.release(name) == at, names)
                called = block if len(each) == 1 else f"{block}, phase {release + 1}"
                rate = jax.tree.map(freezing.rate, names)
                decay = jax.tree.map(lambda name, leaf: freezing.decay(name, leaf.ndim), names, tree)
                self.sections[called] = Section(block, release, mask, pick(rate, mask), pick(decay, mask))

    def init(self, params: Mapping[str, PyTree]) -> dict[str, PyTree]:
        """Return a fresh state by section."""
        return {name: self._rule.init(pick(params[part.block], part.mask)) for name, part in self.sections.items()}

    def moving(self, params: Mapping[str, PyTree], blocks: tuple[str, ...], phase: int) -> dict[str, PyTree]:
        """Return what moves of some blocks in a phase, with None in the place of the other leaves (see `fill`)."""
        found = {block: jax.tree.map(lambda leaf: None, params[block]) for block in blocks}
        for part in self.sections.values():
            if part.block in found and part.release <= phase:
                found[part.block] = fill(pick(params[part.block], part.mask), found[part.block])
        return found

    def learning_rate(self, step: jax.Array, length: int) -> jax.Array:
        """Return the learning rate at a step of a stage of `length` steps.

        With a warm-up of W steps it is, for step i < W, (i + 1) / (W + 1) of where the schedule begins; the schedule
        takes the other length - W steps.
        """
        warmup = self.recipe.warmup
        count = round(warmup * length) if warmup < 1 else int(warmup)
        if count >= length:
            raise UsageError(f"recipe.warmup of {count} steps leaves none of the {length} steps of a stage.")
        after = jnp.maximum(step - count, 0) if count else step
        factor = self._schedule(after.astype(jnp.float32) / (length - count), after)
        if count:
            factor = factor * jnp.minimum((step + 1).astype(jnp.float32) / (count + 1), 1.0)
        return jnp.asarray(self.recipe.learning_rate * factor, jnp.float32)

    def update(
        self,
        gradients: Mapping[str, PyTree],
        state: Mapping[str, PyTree],
        params: Mapping[str, PyTree],
        learning_rate: jax.Array,
        phase: int | None = None,
    ) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        """Return parameters and state after one update of the blocks in `gradients`; the others stay as they are.

        Args:
          gradients: by block; leaves that do not move in this phase are not looked at, and may be None.
          state: by section.
          params: by block.
          learning_rate: a scalar.
          phase: of the run; None: the last one, in which all that can move does.
        """
        params, state = dict(params), dict(state)
        phase = self.freezing.phases - 1 if phase is None else phase
        moved = {
            name: part for name, part in self.sections.items() if part.block in gradients and part.release <= phase
        }
        picked = {name: _picked(gradients[part.block], part.mask) for name, part in moved.items()}
        if self.recipe.clip is not None:
            scale = jnp.minimum(1.0, self.recipe.clip / jnp.maximum(optax.tree.norm(picked), 1e-12))
            picked = jax.tree.map(lambda g: g * scale.astype(g.dtype), picked)
        decoupled = self.recipe.optimizer == "adamw"
        for name, (block, _, mask, rate, decay) in moved.items():
            gradient, own = picked[name], pick(params[block], mask)
            if not decoupled:
                gradient = jax.tree.map(lambda g, p, d: g + d * p if d else g, gradient, own, decay)
            with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer's power
                step, state[name] = self._rule.update(gradient, state[name], own)
            if decoupled:
                step = jax.tree.map(lambda s, p, d: s + d * p if d else s, step, own, decay)
            own = jax.tree.map(lambda p, s, r: p - (learning_rate * r).astype(p.dtype) * s, own, step, rate)
            params[block] = fill(own, params[block])
        return params, state


def _picked(gradients: PyTree, mask: PyTree) -> PyTree:
    """Return the gradients of a section, of which some may be None because they do not move."""
    return jax.tree.map(lambda here, g: g if here else None, mask, gradients)
