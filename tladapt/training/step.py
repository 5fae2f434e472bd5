"""One step of a stage as a pure function of arrays: batches, forward passes, terms, updates, memory."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tladapt.errors import UsageError
from tladapt.methods.base import Forward, Logged, Term, Update
from tladapt.training.freezing import fill
from tladapt.training.optim import MODEL_BLOCKS, blocks_moved
from tladapt.training.passes import Parts, Passes, Span
from tladapt.training.state import State

PyTree = Any
Log = dict[str, jax.Array]

RESERVED = re.compile(
    r"kind|step|stage|phase|learning_rate|gradient_norm|source/batch_accuracy|(loss|weight|gradient)/.*"
)
"""Names of the log that a method's own scalars cannot have."""


def purpose_key(seed: jax.Array, purpose: str, step: jax.Array) -> jax.Array:
    """Return the random key of one purpose at one step."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
    return jax.random.fold_in(key, step)


class Found(NamedTuple):
    """What a loss came to.

    Attributes:
      terms: what is minimised, by name.
      logged: scalars that are only logged.
      aux: what the loss hands to `Method.after_step`.
      statistics, head_statistics: running statistics after the passes.
      outputs: of the policy's passes, by domain.
    """

    terms: dict[str, Term]
    logged: Log
    aux: Mapping[str, PyTree]
    statistics: PyTree
    head_statistics: PyTree
    outputs: dict[str, Forward]

    def objective(self) -> jax.Array:
        """Return the weighted sum of the terms, float32."""
        return sum((term.value * term.weight for term in self.terms.values()), jnp.float32(0.0))


class StageStep:
    """The step of one stage. Call it with a state, the resident arrays and one step's slice of the feeds.

    Attributes:
      faults: names of what is watched for numbers that are not finite, in the order that `State.fault` counts them;
        known after the first trace.
    """

    def __init__(self, parts: Parts, span: Span):
        self.parts, self.span, self.passes = parts, span, Passes(parts, span)
        self.updates: tuple[Update, ...] = parts.method.updates(span.stage)
        if not self.updates:
            raise UsageError(f"method {parts.method.name!r}: stage {span.stage.name!r} has no update.")
        self.faults: list[str] = []

    def _found(
        self,
        update: Update,
        params: Mapping[str, PyTree],
        state: State,
        batches: tuple[Mapping[str, Any], Mapping[str, jax.Array]],
        key: jax.Array,
        nudges: Mapping[str, jax.Array],
    ) -> Found:
        """Run the passes and the loss of one update."""
        network, method, (raw, x) = self.parts.network, self.parts.method, batches
        outputs, statistics = self.passes.outputs(params, state.statistics, x, jax.random.fold_in(key, 0), nudges)
        heads = {
            name: head.merge(
                params[name],
                state.head_statistics[name],
                mode="train",
                key=jax.random.fold_in(key, 1),
                phase=self.span.phase,
            )
            for name, head in network.heads.items()
        }
        result = update.loss(self.passes.context(state, params, outputs, raw, x, heads, key, {}))
        named, aux = result if isinstance(result, tuple) else (result, {})
        terms: dict[str, Term] = {}
        logged: Log = {}
        for name, term in named.items():
            value, weight = term if isinstance(term, Term) else (term, 1.0)
            if isinstance(value, Logged):
                if RESERVED.fullmatch(name):
                    raise UsageError(
                        f"method {method.name!r}: the log has a {name!r} of its own; call yours otherwise."
                    )
                logged[name] = jnp.asarray(value.value, jnp.float32)
            elif jnp.shape(value) != ():
                raise UsageError(
                    f"method {method.name!r}: term {name!r} must be a scalar, got shape {jnp.shape(value)}."
                    " Take its mean over the batch."
                )
            else:
                terms[name] = Term(jnp.asarray(value, jnp.float32), weight)
        if not terms:
            raise UsageError(f"method {method.name!r}: the loss returned no term.")
        penalty = self.parts.penalty
        # A weight of 0 leaves the compiled step as it is without a penalty, to the bit.
        if getattr(penalty, "weight", 1.0) == 0:
            penalty = None
        if penalty is not None and set(blocks_moved(update.moves, tuple(params))) & set(MODEL_BLOCKS):
            if "penalty" in terms:
                raise UsageError(f"method {method.name!r}: 'penalty' is the run's penalty; call the term otherwise.")
            terms["penalty"] = Term(penalty.value_on(self.passes.penalized(params, outputs, raw, x), state.penalty))
        after = {
            name: functional.kept(state.head_statistics[name], functional.statistics_of(heads[name]), self.span.phase)
            for name, functional in network.heads.items()
        }
        return Found(terms, logged, aux, statistics, after, outputs)

    def __call__(self, state: State, arrays: PyTree, piece: PyTree) -> tuple[State, Log]:
        """Return the state after one step, and its log: float32 scalars."""
        optimizer, start = self.parts.optimizer, state.step
        key = purpose_key(state.seed, "step", start)
        raw, x = self.passes.batches(state.inputs, arrays, piece, key)
        rate = optimizer.learning_rate(start - self.span.stage_first, self.span.stage_length)
        log: Log = {"learning_rate": rate}
        watched: list[tuple[str, jax.Array]] = []
        aux: dict[str, PyTree] = {}
        for number, update in enumerate(self.updates):
            moved = blocks_moved(update.moves, tuple(state.params))
            for turn in range(update.repeat):
                pass_key = jax.random.fold_in(key, 1 + number * 1000 + turn)

                def objective(
                    moving: Mapping[str, PyTree],
                    state: State = state,
                    update: Update = update,
                    key: jax.Array = pass_key,
                ) -> tuple[jax.Array, Found]:
                    params = {**state.params} | {name: fill(moving[name], state.params[name]) for name in moving}
                    found = self._found(update, params, state, (raw, x), key, {})
                    return found.objective(), found

                # What stands still is a constant to the gradient: nothing is propagated back into a frozen beginning.
                moving = optimizer.moving(state.params, moved, self.span.phase)
                (_, found), gradients = jax.value_and_grad(objective, has_aux=True)(moving)
                params, optimizer_state = optimizer.update(
                    gradients, state.optimizer, state.params, rate, self.span.phase
                )
                state = state._replace(
                    params=params,
                    optimizer=optimizer_state,
                    statistics=found.statistics,
                    head_statistics=found.head_statistics,
                )
                aux.update(found.aux)
                norm = jnp.asarray(optax.tree.norm(gradients), jnp.float32)
                watched += [(name, term.value) for name, term in found.terms.items()]
                watched.append(("gradient of " + " + ".join(found.terms), norm))
                new: Log = {f"loss/{name}": term.value for name, term in found.terms.items()}
                new |= {f"weight/{name}": jnp.asarray(term.weight, jnp.float32) for name, term in found.terms.items()}
                new |= {"gradient_norm": norm, **found.logged}
                if "source" in found.outputs:
                    right = jnp.argmax(found.outputs["source"].logits, axis=-1) == raw["source"].y
                    new["source/batch_accuracy"] = jnp.mean(right.astype(jnp.float32))
                log = new | log  # a name keeps what it stood for when it first came up in the step
        self.faults = [name for name, _ in watched]
        bad = ~jnp.isfinite(jnp.stack([value for _, value in watched]))
        first = jnp.stack([start, jnp.argmax(bad).astype(jnp.int32)])
        state = state._replace(fault=jnp.where((state.fault[0] < 0) & jnp.any(bad), first, state.fault))
        memory = self.parts.method.after_step(self.passes.context(state, state.params, {}, raw, x, {}, key, aux))
        return state._replace(memory=memory, step=start + 1), log

    def checked(self, state: State) -> State:
        """Return the state, marked where parameters or running statistics are not finite: the last step's doing.

        A step's terms are computed before its update, so that they tell of its parameters one step later.
        """
        leaves = [
            leaf
            for leaf in jax.tree.leaves((state.params, state.statistics))
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        fine = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))
        mark = jnp.stack([state.step - 1, jnp.int32(len(self.faults))])
        return state._replace(fault=jnp.where((state.fault[0] < 0) & ~fine, mark, state.fault))

    def fault(self, fault: np.ndarray) -> str:
        """Return a fault of a state in words."""
        step, place = map(int, fault)
        if place < len(self.faults):
            return f"training diverged at step {step}: {self.faults[place]!r} is not finite."
        return (
            f"training diverged at step {step}: its update left parameters or running statistics that are not finite."
        )

    def probe(self, state: State, arrays: PyTree, piece: PyTree) -> Log:
        """Return, for each term, the norm of its (weighted) gradient with respect to the features, on one batch."""
        key = purpose_key(state.seed, "probe", state.step)
        batches = self.passes.batches(state.inputs, arrays, piece, key)
        width = self.parts.network.sizes.features
        nudges = {name: jnp.zeros((len(batch), width), jnp.float32) for name, batch in batches[1].items()}
        norms: Log = {}
        for update in self.updates:

            def weighted(nudges: Mapping[str, jax.Array], update: Update = update) -> Log:
                terms = self._found(update, state.params, state, batches, key, nudges).terms
                return {name: term.value * term.weight for name, term in terms.items() if name != "penalty"}

            for name, gradient in jax.jacrev(weighted)(nudges).items():
                norms.setdefault(f"gradient/{name}", optax.tree.norm(gradient).astype(jnp.float32))
        return norms
