"""A toy shift, and single updates of a method on it, through the public step alone."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import tladapt
from tladapt.methods import Method
from tladapt.models import BACKBONES
from tladapt.training.assemble import Assembly, assemble
from tladapt.training.step import StageStep

CLASSES = 3
STEPS = 150


def draw(count: int, seed: int, *, target: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return Gaussians of three classes in 8 dimensions; the target's are moved along one that tells classes apart."""
    labels = np.arange(count) % CLASSES
    x = 2.0 * np.eye(CLASSES, 8)[labels] + 0.5 * np.random.default_rng(seed).normal(size=(count, 8))
    if target:
        x += 1.5 * np.eye(8)[0] + 3.0 * np.eye(8)[3]
    return x.astype(np.float32), labels


@functools.cache
def scenario(*, permuted: bool = False) -> tladapt.Scenario:
    """Return the toy problem; `permuted` shuffles the labels of the target."""
    x, y = draw(300, 1, target=True)
    return tladapt.Scenario(
        tladapt.Domain(*draw(300, 0), name="source"),
        tladapt.Domain(x, np.random.default_rng(0).permutation(y) if permuted else y, name="target"),
        test=tladapt.Domain(*draw(300, 2, target=True)),
        validation=tladapt.Domain(*draw(150, 3)),
    )


def config(
    method: Method,
    *,
    widths: tuple[int, ...] = (16,),
    batch_norm: bool = False,
    dropout: float = 0.0,
    penalty: tladapt.Penalty | str | None = None,
    **recipe: Any,
) -> tladapt.Config:
    """Return the config of a short run; `recipe` are fields of the recipe."""
    usual = {"batch_size": 16, "learning_rate": 0.02, "augment": "noise" if "views" in method.needs else "none"}
    return tladapt.Config(
        method=method,
        backbone=BACKBONES["mlp"](widths=widths, batch_norm=batch_norm, dropout=dropout),
        recipe=tladapt.Recipe(**{**usual, **recipe}),
        penalty=penalty,
        steps=STEPS,
        log_every=25,
        evaluations=1,
    )


class Moment(NamedTuple):
    """A stage of a run at one step: call `step(state, arrays, piece)`."""

    assembly: Assembly
    step: StageStep
    state: Any
    arrays: Any
    piece: Any

    def go(self, state: Any = None) -> tuple[Any, dict[str, jax.Array]]:
        """Return the state after the step, and its log."""
        return self.step(self.state if state is None else state, self.arrays, self.piece)


def moment(method: Method, *, stage: int = 0, progress: float = 0.5, seed: int = 0, **options: Any) -> Moment:
    """Return a stage at one point of its progress, with the run's initial parameters; batches of 13 are odd."""
    assembly = assemble(
        config(method, **{"widths": (8,), "bottleneck": 6, "batch_size": 13, **options}), scenario(), seed
    )
    span = assembly.spans[stage]
    first = span.first + int(progress * span.length)
    piece = jax.tree.map(lambda leaf: leaf[0], assembly.chunk(span, first, 1))
    arrays = {name: leaf for name, leaf in assembly.resident().items() if name in piece}
    state = assembly.state._replace(step=jnp.int32(first))
    return Moment(assembly, StageStep(assembly.parts, span), state, arrays, piece)


def one_update(method: Method, number: int, term: str | None = None, *, weight: float | None = None) -> Method:
    """Return the method with update `number` alone, once; and of its loss one term alone, with another weight."""

    class One(type(method)):  # type: ignore[misc]
        name = method.name

        def updates(self, stage):
            update = super().updates(stage)[number]

            def loss(ctx):
                result = update.loss(ctx)
                terms, aux = result if isinstance(result, tuple) else (result, {})
                if term is not None:
                    terms = {term: terms[term] if weight is None else terms[term]._replace(weight=weight)}
                return terms, aux

            return (dataclasses.replace(update, loss=loss, repeat=1),)

    return One(**{field.name: getattr(method, field.name) for field in dataclasses.fields(method)})


def gradients(method: Method, **options: Any) -> dict[str, list[np.ndarray]]:
    """Return the gradient of one step by parameter block: after it, momentum that was 0 is the gradient, to the bit."""
    state, _ = moment(method, **{"momentum": 0.9, **options}).go()
    return leaves_by_block(state.optimizer)


def leaves_by_block(tree: Any) -> dict[str, list[np.ndarray]]:
    """Return the leaves of each block as NumPy arrays."""
    return {block: [np.asarray(leaf) for leaf in jax.tree.leaves(part)] for block, part in tree.items()}


def same(left: Any, right: Any) -> bool:
    """Return whether two trees are equal bit for bit."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
