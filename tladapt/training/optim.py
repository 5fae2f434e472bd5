"""The optimiser of each parameter block, and which parameters it may move."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from tladapt.errors import UsageError
from tladapt.losses.schedules import LEARNING_RATE_SCHEDULES
from tladapt.training.config import Recipe

PyTree = Any
MODEL_BLOCKS = ("backbone", "bottleneck", "classifier")


def paths(tree: PyTree, block: str) -> PyTree:
    """Return a tree of the shape of `tree` whose leaves are their paths, such as "backbone/conv1/kernel"."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [block + "/" + "/".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path) for path, _ in leaves]
    return jax.tree_util.tree_unflatten(structure, names)


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


class Optimizer:
    """A recipe's optimiser, with a state for each block: an update leaves the blocks that it does not move alone.

    Momentum and moments belong to a block, whichever update moves it. The learning rate is not in the state: it is a
    function of the step. Parameters in a group with factor 0 keep their bits, and do not count where gradients are
    clipped.

    Args:
      recipe: update rule, rates, groups.
      params: parameters by block.

    Raises:
      UsageError: for a group whose pattern matches no parameter.
    """

    def __init__(self, recipe: Recipe, params: Mapping[str, PyTree]):
        self.recipe = recipe
        if recipe.optimizer == "sgd":
            rule = optax.trace(recipe.momentum, nesterov=recipe.nesterov) if recipe.momentum else optax.identity()
        else:
            rule = optax.scale_by_adam(b1=recipe.momentum)
        self._rule = rule
        self._schedule = LEARNING_RATE_SCHEDULES[recipe.schedule]
        names = {block: paths(tree, block) for block, tree in params.items()}
        known = jax.tree.leaves(names)
        for group in recipe.groups:
            if not any(re.search(group.pattern, name) for name in known):
                raise UsageError(
                    f"recipe group {group.pattern!r} matches no parameter. Paths look like {', '.join(known[:3])}."
                )

        def factor(name: str, field: str) -> float:
            for group in recipe.groups:
                if re.search(group.pattern, name):
                    return float(getattr(group, field))
            return 1.0

        self._rate = jax.tree.map(lambda name: factor(name, "learning_rate"), names)
        self._decay = jax.tree.map(lambda name: recipe.weight_decay * factor(name, "weight_decay"), names)

    def init(self, params: Mapping[str, PyTree]) -> dict[str, PyTree]:
        """Return a fresh state by block."""
        return {block: self._rule.init(tree) for block, tree in params.items()}

    def learning_rate(self, progress: jax.Array, step: jax.Array) -> jax.Array:
        """Return the learning rate at a step of a stage."""
        return jnp.asarray(self.recipe.learning_rate * self._schedule(progress, step), jnp.float32)

    def update(
        self,
        gradients: Mapping[str, PyTree],
        state: Mapping[str, PyTree],
        params: Mapping[str, PyTree],
        learning_rate: jax.Array,
    ) -> tuple[dict[str, PyTree], dict[str, PyTree]]:
        """Return parameters and state after one update of the blocks in `gradients`; the others stay as they are."""
        params, state = dict(params), dict(state)
        if self.recipe.clip is not None:
            rates = {block: self._rate[block] for block in gradients}
            norm = optax.tree.norm(jax.tree.map(lambda g, r: g if r else jnp.zeros_like(g), dict(gradients), rates))
            scale = jnp.minimum(1.0, self.recipe.clip / jnp.maximum(norm, 1e-12))
            gradients = jax.tree.map(lambda g: g * scale.astype(g.dtype), dict(gradients))
        decoupled = self.recipe.optimizer == "adamw"
        for block, gradient in gradients.items():
            rate, decay = self._rate[block], self._decay[block]
            if not decoupled:
                gradient = jax.tree.map(lambda g, p, d: g + d * p if d else g, gradient, params[block], decay)
            with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer's power
                step, state[block] = self._rule.update(gradient, state[block], params[block])
            if decoupled:
                step = jax.tree.map(lambda s, p, d: s + d * p if d else s, step, params[block], decay)
            params[block] = jax.tree.map(
                lambda p, s, r: p - (learning_rate * r).astype(p.dtype) * s if r else p, params[block], step, rate
            )
        return params, state
