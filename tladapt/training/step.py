"""One step of a stage as a pure function of arrays: batches, forward passes, terms, updates, memory."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from tladapt.data import AUGMENTATIONS, Feed
from tladapt.errors import UsageError
from tladapt.methods.base import (
    Context,
    Forward,
    Logged,
    Method,
    SourceOutputs,
    Stage,
    TargetOutputs,
    Term,
    Update,
)
from tladapt.penalties import Penalty
from tladapt.training.network import Inputs, Network
from tladapt.training.optim import MODEL_BLOCKS, Optimizer, blocks_moved
from tladapt.training.state import State

PyTree = Any


def purpose_key(seed: jax.Array, purpose: str, step: jax.Array) -> jax.Array:
    """Return the random key of one purpose at one step."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
    return jax.random.fold_in(key, step)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the steps of a run are made from; fixed before the first one."""

    network: Network
    method: Method
    optimizer: Optimizer
    inputs: Inputs
    augment: str
    feeds: Mapping[str, Feed]
    penalty: Penalty | None


@dataclasses.dataclass(frozen=True)
class Span:
    """A stage with its place in the run: steps `first` to `first + length - 1`."""

    stage: Stage
    first: int
    length: int


class StageStep:
    """The step of one stage. Call it with a state, the resident arrays and one step's slice of the feeds.

    Attributes:
      faults: names of the terms in the order that `State.fault` counts them; known after the first trace.
    """

    def __init__(self, parts: Parts, span: Span):
        self.parts, self.span = parts, span
        self.updates: tuple[Update, ...] = parts.method.updates(span.stage)
        if not self.updates:
            raise UsageError(f"method {parts.method.name!r}: stage {span.stage.name!r} has no update.")
        self.faults: list[str] = []
        self._augment: Callable[[jax.Array, jax.Array], jax.Array] = AUGMENTATIONS[parts.augment]

    # ---- batches -------------------------------------------------------------------------------------------------

    def _view(self, raw: Any, domain: str, key: jax.Array) -> jax.Array:
        """Return one augmented view of a raw batch, as the model sees it."""
        x = self._augment(key, Inputs.scale(raw.x))
        return self.parts.inputs.standardize(x, domain)

    def _batches(self, arrays: PyTree, piece: PyTree, key: jax.Array) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """Return raw batches and the model's inputs by domain."""
        stage = self.span.stage
        domains = [name for name, used in (("source", stage.source), ("target", stage.target)) if used]
        raw = {name: self.parts.feeds[name].batch(arrays[name], piece[name]) for name in domains}
        keys = {name: jax.random.fold_in(key, zlib.crc32(b"augment/" + name.encode())) for name in domains}
        return raw, {name: self._view(raw[name], name, keys[name]) for name in domains}

    # ---- forward passes ------------------------------------------------------------------------------------------

    def _outputs(
        self,
        params: Mapping[str, PyTree],
        statistics: Mapping[str, PyTree],
        x: Mapping[str, jax.Array],
        key: jax.Array,
        nudges: Mapping[str, jax.Array],
    ) -> tuple[dict[str, Forward], dict[str, PyTree]]:
        """Run the forward passes that the BatchNorm policy asks for; return outputs and statistics by domain."""
        network, after = self.parts.network, dict(statistics)
        outputs: dict[str, Forward] = {}
        if network.policy.forward == "joint" and len(x) == 2:
            count = len(x["source"])
            nudge = jnp.concatenate([nudges["source"], nudges["target"]]) if nudges else None
            out = network.forward(
                params, after["shared"], jnp.concatenate([x["source"], x["target"]]), training=True, key=key, nudge=nudge
            )
            after["shared"] = out.statistics
            outputs["source"] = Forward(out.features[:count], out.logits[:count], None)
            outputs["target"] = Forward(out.features[count:], out.logits[count:], None)
            return outputs, after
        for name in x:
            kept = network.key_of(name)  # type: ignore[arg-type]
            out = network.forward(
                params,
                after[kept],
                x[name],
                training=True,
                key=jax.random.fold_in(key, zlib.crc32(name.encode())),
                nudge=nudges.get(name),
            )
            after[kept] = out.statistics
            outputs[name] = out
        return outputs, after

    def _context(
        self,
        state: State,
        params: Mapping[str, PyTree],
        outputs: Mapping[str, Forward],
        raw: Mapping[str, Any],
        x: Mapping[str, jax.Array],
        heads: Mapping[str, Any],
        key: jax.Array,
        aux: Mapping[str, PyTree],
    ) -> Context:
        network, span = self.parts.network, self.span
        local = state.step - span.first

        def run_forward(
            inputs: jax.Array,
            *,
            domain: Literal["source", "target"],
            params: Mapping[str, PyTree] | None,
            statistics: PyTree,
            current: Mapping[str, PyTree] = params,
        ) -> Forward:
            kept = network.key_of(domain)
            if statistics is None:
                statistics = state.statistics
            return self._again(current if params is None else params, statistics, kept, inputs, key)

        def run_view(domain: Literal["source", "target"], view_key: jax.Array) -> jax.Array:
            return self._view(raw[domain], domain, view_key)

        source = target = None
        if "source" in outputs:
            batch, out = raw["source"], outputs["source"]
            source = SourceOutputs(x["source"], batch.y, batch.domain, batch.index, out.features, out.logits)
        if "target" in outputs:
            batch, out = raw["target"], outputs["target"]
            target = TargetOutputs(x["target"], batch.domain, batch.index, out.features, out.logits)
        return Context(
            source=source,
            target=target,
            heads=heads,
            memory=state.memory,
            params=params,
            progress=local.astype(jnp.float32) / span.length,
            step=local,
            aux=aux,
            random_key=key,
            run_forward=run_forward,
            run_view=run_view,
        )

    def _again(
        self, params: Mapping[str, PyTree], statistics: PyTree, kept: str, x: jax.Array, key: jax.Array
    ) -> Forward:
        """Run one more training-mode pass; statistics go in and out by domain, as a run keeps them."""
        key = jax.random.fold_in(key, zlib.crc32(b"again"))
        out = self.parts.network.forward(params, statistics[kept], x, training=True, key=key)
        return Forward(out.features, out.logits, {**statistics, kept: out.statistics})

    # ---- terms ---------------------------------------------------------------------------------------------------

    def _terms(
        self,
        update: Update,
        params: Mapping[str, PyTree],
        state: State,
        raw: Mapping[str, Any],
        x: Mapping[str, jax.Array],
        key: jax.Array,
        nudges: Mapping[str, jax.Array],
    ) -> tuple[dict[str, Term], dict[str, jax.Array], Mapping[str, PyTree], PyTree, PyTree, dict[str, Forward]]:
        """Return terms, logged scalars, aux, statistics of model and heads after the pass, and the outputs."""
        network = self.parts.network
        outputs, statistics = self._outputs(params, state.statistics, x, jax.random.fold_in(key, 0), nudges)
        heads = {
            name: head.merge(params[name], state.head_statistics[name], training=True, key=jax.random.fold_in(key, 1))
            for name, head in network.heads.items()
        }
        ctx = self._context(state, params, outputs, raw, x, heads, key, {})
        result = update.loss(ctx)
        named, aux = result if isinstance(result, tuple) else (result, {})
        terms: dict[str, Term] = {}
        logged: dict[str, jax.Array] = {}
        for name, term in named.items():
            if isinstance(term, Logged):
                logged[name] = jnp.asarray(term.value, jnp.float32)
                continue
            if not isinstance(term, Term):
                term = Term(term)
            if jnp.shape(term.value) != ():
                raise UsageError(
                    f"method {self.parts.method.name!r}: term {name!r} must be a scalar, got shape {jnp.shape(term.value)}."
                    " Take its mean over the batch."
                )
            terms[name] = term
        if not terms:
            raise UsageError(f"method {self.parts.method.name!r}: the loss returned no term.")
        if self.parts.penalty is not None and set(blocks_moved(update.moves, tuple(params))) & set(MODEL_BLOCKS):
            terms["penalty"] = Term(self.parts.penalty.value(params, state.penalty))
        after = {name: network.heads[name].statistics_of(head) for name, head in heads.items()}
        return terms, logged, aux, statistics, after, outputs

    # ---- the step ------------------------------------------------------------------------------------------------

    def __call__(self, state: State, arrays: PyTree, piece: PyTree) -> tuple[State, dict[str, jax.Array]]:
        """Return the state after one step, and its log: float32 scalars."""
        optimizer, start = self.parts.optimizer, state.step
        key = purpose_key(state.seed, "step", start)
        raw, x = self._batches(arrays, piece, key)
        progress = (start - self.span.first).astype(jnp.float32) / self.span.length
        rate = jnp.asarray(optimizer.learning_rate(progress, start - self.span.first), jnp.float32)
        log: dict[str, jax.Array] = {"learning_rate": rate}
        names: list[str] = []
        values: list[jax.Array] = []
        aux: dict[str, PyTree] = {}
        for number, update in enumerate(self.updates):
            moved = blocks_moved(update.moves, tuple(state.params))
            for turn in range(update.repeat):
                pass_key = jax.random.fold_in(key, 1 + number * 1000 + turn)

                def objective(moving: Mapping[str, PyTree], state: State = state, update: Update = update,
                              pass_key: jax.Array = pass_key) -> tuple[jax.Array, Any]:
                    params = {**state.params, **moving}
                    found = self._terms(update, params, state, raw, x, pass_key, {})
                    terms = found[0]
                    total = sum(
                        (term.value.astype(jnp.float32) * term.weight for term in terms.values()), jnp.float32(0.0)
                    )
                    return total, found

                moving = {block: state.params[block] for block in moved}
                (_, found), gradients = jax.value_and_grad(objective, has_aux=True)(moving)
                terms, logged, new_aux, statistics, head_statistics, outputs = found
                aux.update(new_aux)
                params, opt_state = optimizer.update(gradients, state.optimizer, state.params, rate)
                state = state._replace(
                    params=params, optimizer=opt_state, statistics=statistics, head_statistics=head_statistics
                )
                for name, term in terms.items():
                    names.append(name)
                    values.append(term.value.astype(jnp.float32))
                    log.setdefault(f"loss/{name}", term.value.astype(jnp.float32))
                    log.setdefault(f"weight/{name}", jnp.asarray(term.weight, jnp.float32))
                norm = optax.tree.norm(gradients).astype(jnp.float32)
                names.append("gradient of " + " + ".join(terms))
                values.append(norm)
                log.setdefault("gradient_norm", norm)
                for name, value in logged.items():
                    log.setdefault(name, value)
                if number == 0 and turn == 0 and "source" in outputs:
                    right = jnp.argmax(outputs["source"].logits, axis=-1) == raw["source"].y
                    log["source/batch_accuracy"] = jnp.mean(right.astype(jnp.float32))
        self.faults = names
        bad = ~jnp.isfinite(jnp.stack(values))
        first = jnp.stack([start, jnp.argmax(bad).astype(jnp.int32)])
        state = state._replace(
            fault=jnp.where((state.fault[0] < 0) & jnp.any(bad), first, state.fault), step=start + 1
        )
        ctx = self._context(state._replace(step=start), state.params, {}, raw, x, {}, key, aux)
        return state._replace(memory=self.parts.method.after_step(ctx)), log

    def probe(self, state: State, arrays: PyTree, piece: PyTree) -> dict[str, jax.Array]:
        """Return, for each term, the norm of its (weighted) gradient with respect to the features, on one batch."""
        key = purpose_key(state.seed, "probe", state.step)
        raw, x = self._batches(arrays, piece, key)
        width = self.parts.network.sizes.features
        nudges = {name: jnp.zeros((len(batch), width), jnp.float32) for name, batch in x.items()}
        norms: dict[str, jax.Array] = {}
        for update in self.updates:

            def vector(nudges: Mapping[str, jax.Array], update: Update = update) -> dict[str, jax.Array]:
                terms = self._terms(update, state.params, state, raw, x, key, nudges)[0]
                return {
                    name: term.value.astype(jnp.float32) * term.weight
                    for name, term in terms.items()
                    if name != "penalty"
                }

            for name, gradient in jax.jacrev(vector)(nudges).items():
                norms.setdefault(f"gradient/{name}", optax.tree.norm(gradient).astype(jnp.float32))
        return norms
