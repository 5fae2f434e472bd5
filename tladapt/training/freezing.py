"""What of a network stands still in which phase of a run, and in which order its blocks lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.training.recipe import Group, Recipe

PyTree = Any
BACKBONE = "backbone/"


def paths(tree: PyTree, block: str = "") -> PyTree:
    """Return a tree of the shape of `tree` whose leaves are their paths, such as "backbone/conv1/kernel"."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    first = block + "/" if block else ""
    names = [first + "/".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path) for path, _ in leaves]
    return jax.tree_util.tree_unflatten(structure, names)


def pick(tree: PyTree, chosen: PyTree) -> PyTree:
    """Return `tree` with None, which JAX takes for nothing at all, in the place of leaves that are not chosen."""
    return jax.tree.map(lambda leaf, here: leaf if here else None, tree, chosen)


def fill(picked: PyTree, tree: PyTree) -> PyTree:
    """Return what `pick` left, with the leaves of `tree` in the place of the others."""
    return jax.tree.map(lambda one, other: other if one is None else one, picked, tree, is_leaf=lambda x: x is None)


# ---- the order of a network ------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A part of a backbone that is frozen and unfrozen as one.

    Attributes:
      name: such as "layer1.0".
      prefixes: what the paths of its parameters begin with, without "backbone/".
    """

    name: str
    prefixes: tuple[str, ...]

    def holds(self, path: str) -> bool:
        """Return whether a path such as "backbone/layer1/0/conv1/kernel" is of this block."""
        own = path.removeprefix(BACKBONE)
        return own != path and any(own == prefix or own.startswith(prefix + "/") for prefix in self.prefixes)


def blocks_of(backbone: nnx.Module, params: PyTree) -> tuple[Block, ...]:
    """Return the blocks of a backbone from the input to the features.

    Blocks are the network's children in the order of their definition, those of a list one by one. Where the network
    names its stages (`stage_paths()` gives pairs of name and path prefix; a name may come up several times), names and
    order are those; children that are no stage stay behind the one they were defined after. What has no parameters is
    no block. What has only vectors (a normalisation) goes with the block before it.

    Args:
      backbone: as its author made it: a copy through `nnx.split` and `nnx.merge` has its children in the order of the
        alphabet.
      params: its parameters as a pure dictionary.
    """
    leaves = dict(zip(jax.tree.leaves(paths(params)), jax.tree.leaves(params), strict=True))
    found: list[Block] = []
    for name, prefix in _parts(backbone):
        here = Block(name, (prefix,))
        own = [leaf for path, leaf in leaves.items() if here.holds(BACKBONE + path)]
        if not own:
            continue
        if found and (all(leaf.ndim < 2 for leaf in own) or found[-1].name == name):
            found[-1] = Block(found[-1].name, (*found[-1].prefixes, prefix))
        else:
            found.append(here)
    return tuple(found)


def _parts(module: Any) -> Iterator[tuple[str, str]]:
    """Yield name and path prefix of the parts of a network in order."""
    stages = list(module.stage_paths()) if hasattr(module, "stage_paths") else []
    children = list(_children(module, "", [path for _, path in stages]))
    if len(children) == 1 and not stages and (inside := getattr(module, children[0], None)) is not None:
        parts = list(_parts(inside))
        if len(parts) > 1:  # a wrapper: what it wraps has the parts
            yield from ((f"{children[0]}.{name}", f"{children[0]}/{path}") for name, path in parts)
            return
    names, ranks, rank = {path: name for name, path in stages}, {path: i for i, (_, path) in enumerate(stages)}, -1
    order: dict[str, int] = {}
    for path in children:
        rank = order[path] = ranks.get(path, rank)
    for path in sorted(children, key=order.__getitem__):
        yield names.get(path, path.replace("/", ".")), path


def _children(module: Any, path: str, stages: list[str]) -> Iterator[str]:
    """Yield the paths of a module's children; of one that holds stages, the paths of its own children."""
    for name, child in vars(module).items():
        if not name.startswith("_pytree__"):
            yield from _expanded(child, f"{path}/{name}" if path else name, stages)


def _expanded(child: Any, path: str, stages: list[str]) -> Iterator[str]:
    if isinstance(child, nnx.Sequential):
        yield from _expanded(child.layers, f"{path}/layers", stages)
    elif isinstance(child, (nnx.List, list, tuple)):
        for place, item in enumerate(child):
            yield from _expanded(item, f"{path}/{place}", stages)
    elif isinstance(child, nnx.Module) and any(stage.startswith(path + "/") for stage in stages):
        yield from _children(child, path, stages)
    elif isinstance(child, (nnx.Module, nnx.Param)):
        yield path


# ---- the plan of a run -----------------------------------------------------------------------------------------------


class Freezing:
    """Which paths stand still in which phase, and how fast the others move.

    A path stands still for good where `recipe.freeze`, a group of factor 0 or a `backbone_rate` of 0 says so. With
    `recipe.unfreeze` the backbone is frozen in the first of P phases; in phase k (from 0 on) its last
    round(L k / (P - 1)) of L blocks move. Bottleneck, classifier and heads move from the start.

    Paths are those of parameters and of running statistics, which stand still likewise.

    Args:
      recipe: groups, factors, what is frozen and unfrozen.
      blocks: the backbone's, from the input on.
      fixed: what of the backbone never moves, whatever the recipe says, by path prefix.

    Attributes:
      blocks: as given.
      phases: number of phases.

    Raises:
      UsageError: for more phases, or more frozen blocks, than there are blocks.
    """

    def __init__(self, recipe: Recipe, blocks: tuple[Block, ...] = (), fixed: tuple[str, ...] = ()):
        self._never = Block("", fixed)
        blocks = tuple(block for block in blocks if not set(block.prefixes) <= set(fixed))
        self.recipe, self.blocks, self.phases = recipe, blocks, len(recipe.phases)
        self._fixed = recipe.freeze if isinstance(recipe.freeze, int) else 0
        named = ", ".join(block.name for block in blocks)
        if self._fixed > len(blocks):
            raise UsageError(f"recipe.freeze={self._fixed}, but the backbone has {len(blocks)} blocks: {named}.")
        free = len(blocks) - self._fixed
        if self.phases > free + 1:
            raise UsageError(
                f"recipe.unfreeze asks for {self.phases} phases, but the backbone has {free} blocks to unfreeze"
                f" ({named}), which makes at most {free + 1} phases."
            )
        self._moving = [round(free * k / max(self.phases - 1, 1)) for k in range(self.phases)]  # last blocks, by phase
        if self.phases == 1:
            self._moving = [free]

    def group(self, path: str) -> Group | None:
        """Return the recipe's first group that matches a path."""
        return next((group for group in self.recipe.groups if re.search(group.pattern, path)), None)

    def release(self, path: str) -> int | None:
        """Return the first phase in which a path moves; None: it never does."""
        freeze, place = self.recipe.freeze, self._place(path)
        if self._never.holds(path) or self.rate(path) == 0 or (isinstance(freeze, str) and re.search(freeze, path)):
            return None
        if place is None:
            return 0
        if place < self._fixed:
            return None
        return next(phase for phase, count in enumerate(self._moving) if place >= len(self.blocks) - count)

    def still(self, path: str, phase: int) -> bool:
        """Return whether a path stands still in a phase."""
        release = self.release(path)
        return release is None or phase < release

    def rate(self, path: str) -> float:
        """Return the factor on the learning rate: that of its group, the backbone's, and the decay over blocks."""
        group, place = self.group(path), self._place(path)
        factor = 1.0 if group is None else group.learning_rate
        if path.startswith(BACKBONE):
            factor *= self.recipe.backbone_rate
        if place is not None:
            factor *= self.recipe.layer_decay ** (len(self.blocks) - place)  # once for the last block
        return factor

    def decay(self, path: str, axes: int) -> float:
        """Return the weight decay of a parameter with so many axes."""
        group, last = self.group(path), path.rsplit("/", 1)[-1]
        if not self.recipe.decay_norms and (axes < 2 or last in ("bias", "scale")):
            return 0.0
        return self.recipe.weight_decay * (1.0 if group is None else group.weight_decay)

    def _place(self, path: str) -> int | None:
        """Return the number of a path's block; what the network has beside its blocks goes with the first."""
        if not self.blocks or not path.startswith(BACKBONE):
            return None
        return next((place for place, block in enumerate(self.blocks) if block.holds(path)), 0)

    def check(self, params: Mapping[str, PyTree]) -> None:
        """Raise `UsageError` for a pattern that matches no parameter, and where nothing is left to move."""
        known = [name for block, tree in params.items() for name in jax.tree.leaves(paths(tree, block))]
        patterns = [("recipe group", group.pattern) for group in self.recipe.groups]
        if isinstance(self.recipe.freeze, str):
            patterns.append(("recipe.freeze", self.recipe.freeze))
        for called, pattern in patterns:
            if not any(re.search(pattern, name) for name in known):
                raise UsageError(f"{called} {pattern!r} matches no parameter. Paths look like {', '.join(known[:3])}.")
        if all(self.release(name) is None for name in known):
            raise UsageError("the recipe freezes every parameter, so there is nothing to train.")

    def words(self, phase: int) -> str:
        """Return what a phase trains, for people."""
        count = self._moving[phase]
        free = [block.name for block in self.blocks[len(self.blocks) - count :]] if count else []
        what = "the new layers alone" if not free else f"the backbone from {free[0]} on"
        if count == len(self.blocks):
            what = "the whole backbone"
        return f"phase {phase + 1} of {self.phases}: trains {what}"
