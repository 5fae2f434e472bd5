"""What a step's losses look at: augmented batches, the forward passes of the BatchNorm policy, the context."""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from tladapt.data import AUGMENTATIONS, Feed
from tladapt.data.augment import Mixture, mixup
from tladapt.methods.base import Context, Forward, Method, SourceOutputs, Stage, TargetOutputs
from tladapt.penalties import Penalty, PenaltyContext, Seen
from tladapt.training.inputs import Inputs
from tladapt.training.network import Network
from tladapt.training.optim import Optimizer
from tladapt.training.state import State

PyTree = Any
DomainName = Literal["source", "target"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the steps of a run are made from; fixed before the first one."""

    network: Network
    method: Method
    optimizer: Optimizer
    augment: str
    feeds: Mapping[str, Feed]
    penalty: Penalty | None
    mixup: float = 0.0


class Mixed(NamedTuple):
    """A labelled batch whose inputs reach the model as mixtures. Fields as in `Labelled`, and what is mixed in."""

    x: jax.Array
    y: jax.Array
    domain: jax.Array
    index: jax.Array  # type: ignore[assignment]  # hides tuple.index, which nobody asks a batch for
    mixture: Mixture


@dataclasses.dataclass(frozen=True)
class Span:
    """A stage, or what of it lies in one phase of unfreezing, with its place in the run.

    It is made of the steps `first` to `first + length - 1`.

    Attributes:
      stage: whose steps these are.
      first, length: of this span.
      phase: number of its phase, from 0 on.
      phases: number of phases of the run.
      whole: first step and length of the whole stage; None: it is this span.
    """

    stage: Stage
    first: int
    length: int
    phase: int = 0
    phases: int = 1
    whole: tuple[int, int] | None = None

    @property
    def end(self) -> int:
        """How many steps are done after it."""
        return self.first + self.length

    @property
    def stage_first(self) -> int:
        """The first step of its stage."""
        return self.first if self.whole is None else self.whole[0]

    @property
    def stage_length(self) -> int:
        """How many steps its stage has."""
        return self.length if self.whole is None else self.whole[1]

    @property
    def domains(self) -> tuple[DomainName, ...]:
        """Which domains its batches hold, the source first."""
        used: tuple[tuple[DomainName, bool], ...] = (("source", self.stage.source), ("target", self.stage.target))
        return tuple(name for name, wanted in used if wanted)


class Passes:
    """Batches and forward passes of one stage, as functions of arrays."""

    def __init__(self, parts: Parts, span: Span):
        self.parts, self.span = parts, span
        self._augment: Callable[[jax.Array, jax.Array], jax.Array] = AUGMENTATIONS[parts.augment]

    # ---- batches -------------------------------------------------------------------------------------------------

    def view(self, inputs: Inputs, raw: Any, domain: str, key: jax.Array) -> jax.Array:
        """Return one augmented view of a raw batch, as the model sees it."""
        return inputs(self._augment(key, Inputs.scale(raw.x)), domain)

    def batches(
        self, inputs: Inputs, arrays: PyTree, piece: PyTree, key: jax.Array
    ) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """Return raw batches and the model's inputs by domain."""
        raw: dict[str, Any] = {
            name: self.parts.feeds[name].batch(arrays[name], piece[name]) for name in self.span.domains
        }
        keys = {name: jax.random.fold_in(key, zlib.crc32(b"augment/" + name.encode())) for name in raw}
        x = {name: self.view(inputs, raw[name], name, keys[name]) for name in raw}
        if self.parts.mixup and "source" in raw:
            own = jax.random.fold_in(key, zlib.crc32(b"mixup"))
            sources = self.parts.network.sizes.sources
            batch = raw["source"]
            x["source"], mixture = mixup(own, x["source"], batch.y, alpha=self.parts.mixup, domains=sources)
            raw["source"] = Mixed(batch.x, batch.y, batch.domain, batch.index, mixture)
        return raw, x

    # ---- forward passes ------------------------------------------------------------------------------------------

    def outputs(
        self,
        params: Mapping[str, PyTree],
        statistics: Mapping[str, PyTree],
        x: Mapping[str, jax.Array],
        key: jax.Array,
        nudges: Mapping[str, jax.Array],
    ) -> tuple[dict[str, Forward], dict[str, PyTree]]:
        """Run the forward passes that the BatchNorm policy asks for; return outputs and statistics by domain."""
        network, after, phase = self.parts.network, dict(statistics), self.span.phase
        if network.policy.forward == "joint" and len(x) == 2:
            both = jnp.concatenate([x["source"], x["target"]])  # [n_s + n_t, ...]
            nudge = jnp.concatenate([nudges["source"], nudges["target"]]) if nudges else None
            options: dict[str, Any] = {"mode": "train", "key": key, "nudge": nudge, "phase": phase}
            out = network.forward(params, after["shared"], both, taps=network.taps, **options)
            after["shared"] = out.statistics
            count = len(x["source"])
            first, rest = ({name: tap[part] for name, tap in (out.taps or {}).items()} for part in _parts(count))
            return {
                "source": Forward(out.features[:count], out.logits[:count], None, first),
                "target": Forward(out.features[count:], out.logits[count:], None, rest),
            }, after
        outputs: dict[str, Forward] = {}
        for name in self.span.domains:
            kept, own = network.key_of(name), jax.random.fold_in(key, zlib.crc32(name.encode()))
            options = {"mode": "train", "key": own, "nudge": nudges.get(name), "phase": phase}
            out = network.forward(params, after[kept], x[name], taps=network.taps, **options)
            after[kept] = out.statistics
            outputs[name] = out
        return outputs, after

    def penalized(
        self,
        params: Mapping[str, PyTree],
        outputs: Mapping[str, Forward],
        raw: Mapping[str, Any],
        x: Mapping[str, jax.Array],
    ) -> PenaltyContext:
        """Return what the penalty may look at. As for a loss, labels are the source's alone."""
        network = self.parts.network

        def run_model(model: PyTree, domain: DomainName, x: jax.Array) -> Forward:
            kept = model["statistics"][network.key_of(domain)]
            return network.forward(model["params"], kept, x, mode="evaluate", taps=network.taps)

        seen = {
            name: Seen(x[name], raw[name].y if name == "source" else None, out.features, out.logits, out.taps or {})
            for name, out in outputs.items()
        }
        return PenaltyContext(
            params=params,
            seen=seen,
            run_model=run_model,
            run_source_classifier=network.source_logits,
            reads=network.reads,
        )

    def context(
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
        """Return what a loss may look at. The source's labels are in it; the target's are nowhere near."""
        network, current = self.parts.network, params
        local = state.step - self.span.stage_first
        calls = itertools.count()

        def run_forward(
            x: jax.Array, *, domain: DomainName, params: Mapping[str, PyTree] | None, statistics: PyTree
        ) -> Forward:
            kept, again = network.key_of(domain), jax.random.fold_in(key, zlib.crc32(b"again"))
            if number := next(calls):  # a second pass drops out other units than the first
                again = jax.random.fold_in(again, number)
            before = state.statistics if statistics is None else statistics
            chosen = current if params is None else params
            out = network.forward(chosen, before[kept], x, mode="train", key=again, phase=self.span.phase)
            # Statistics go in and out by domain, as a run keeps them.
            return Forward(out.features, out.logits, {**before, kept: out.statistics})

        def run_view(domain: DomainName, view_key: jax.Array) -> jax.Array:
            return self.view(state.inputs, raw[domain], domain, view_key)

        source = target = None
        if "source" in outputs:
            batch, out = raw["source"], outputs["source"]
            mixture = batch.mixture if isinstance(batch, Mixed) else None
            source = SourceOutputs(x["source"], batch.y, batch.domain, batch.index, out.features, out.logits, mixture)
        if "target" in outputs:
            batch, out = raw["target"], outputs["target"]
            target = TargetOutputs(x["target"], batch.domain, batch.index, out.features, out.logits)
        return Context(
            source=source,
            target=target,
            heads=heads,
            memory=state.memory,
            params=params,
            progress=local.astype(jnp.float32) / self.span.stage_length,
            step=local,
            aux=aux,
            random_key=key,
            run_forward=run_forward,
            run_view=run_view,
        )


def _parts(count: int) -> tuple[slice, slice]:
    return slice(None, count), slice(count, None)
