"""What a penalty is shown of a run before its first step and after its last, and what one run hands on to the next."""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Domain, examples
from tladapt.models.compile import has_convolutions
from tladapt.models.compile import jit as compiled
from tladapt.models.weights import load_arrays, save, unflatten
from tladapt.penalties import Penalty, PenaltyStart
from tladapt.training.inputs import Inputs
from tladapt.training.network import Network
from tladapt.training.optim import MODEL_BLOCKS

PyTree = Any
DomainName = Literal["source", "target"]
FILE = "penalty.safetensors"
BATCH = 500  # examples of a pass


def shown(
    network: Network,
    inputs: Inputs,
    *,
    params: PyTree,
    statistics: PyTree,
    sources: Sequence[Domain],
    target: Domain,
    seed: int,
    earlier: PyTree = None,
) -> PenaltyStart:
    """Return what a penalty may look at, at one moment of a run.

    Args:
      network: the run's.
      inputs: how raw inputs become what the model sees.
      params: by block, at that moment.
      statistics: the model's, by domain or "shared".
      sources: the source domains that are trained on.
      target: the target's training examples; it has no labels.
      seed: the run's.
      earlier: what the run before handed on.
    """

    def logits(domain: DomainName) -> Any:
        def call(rest: PyTree, blocks: Mapping[str, PyTree], x: jax.Array) -> jax.Array:
            params, kept, inputs = rest
            seen = inputs(Inputs.scale(x), domain)
            return network.forward({**params, **blocks}, kept, seen, mode="evaluate").logits

        # A pytree: what is compiled from it takes its arrays as arguments, and is found again for other arrays.
        return jax.tree_util.Partial(call, (params, statistics[network.key_of(domain)], inputs))

    def source(count: int) -> tuple[np.ndarray, np.ndarray]:
        drawn = [(domain, _spread(domain, max(1, count // len(sources)))) for domain in sources]
        parts = [examples(domain, index) for domain, index in drawn]
        if len({x.dtype for x in parts}) > 1:  # as the feeds do where 8-bit domains meet others
            parts = [x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x for x in parts]
        return np.concatenate(parts), np.concatenate([domain.y[index] for domain, index in drawn])

    kept = (params, statistics[network.key_of("source")], inputs)

    def before(layer: str, rest: PyTree, x: jax.Array) -> jax.Array:
        params, kept, inputs = rest
        return network.before(params, kept, inputs(Inputs.scale(x), "source"), layer)

    def after(layer: str, rest: PyTree, middle: jax.Array) -> jax.Array:
        return network.after(rest[0], rest[1], middle, layer)

    def halves(layer: str) -> tuple[Any, Any]:
        return tuple(jax.tree_util.Partial(functools.partial(half, layer), kept) for half in (before, after))  # type: ignore[return-value]

    def old(rest: PyTree, head: PyTree, x: jax.Array) -> jax.Array:
        params, kept, inputs = rest
        taps = () if network.reads == "features" else (network.reads,)
        out = network.forward(params, kept, inputs(Inputs.scale(x), "source"), mode="evaluate", taps=taps)
        return network.source_logits(head, out.taps[network.reads] if out.taps else out.features)

    head = None if network.source_classifier is None else network.source_classifier.params

    def source_logits(x: np.ndarray) -> np.ndarray:
        run = compiled(old, convolutions=has_convolutions(old, kept, head, x[:1]))
        size = min(BATCH, len(x))
        found = []
        for first in range(0, len(x), size):
            index = np.minimum(np.arange(first, first + size), len(x) - 1)  # the last batch is filled up
            found.append(np.asarray(run(kept, head, x[index])))
        return np.concatenate(found)[: len(x)]

    own = {block: params[block] for block in MODEL_BLOCKS if block in params}
    return PenaltyStart(
        params=own,
        logits={"source": logits("source"), "target": logits("target")},
        source=source,
        target=lambda count: examples(target, _spread(target, count)),
        key=jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"penalty")),
        earlier=earlier,
        model={"params": own, "statistics": statistics},
        classes=network.sizes.classes,
        layers=network.layers,
        halves=halves if network.layers else None,
        source_head=head,
        source_logits=None if head is None else source_logits,
    )


def _spread(domain: Domain, count: int) -> np.ndarray:
    """Return up to `count` positions, evenly over a domain."""
    return np.linspace(0, len(domain) - 1, min(count, len(domain))).astype(np.int64)


def handed_on(init: str | os.PathLike[str] | None, penalty: Penalty) -> PyTree:
    """Return what the penalty of the run in folder `init` handed on to one of its name; None where there is nothing."""
    if init is None or not Path(init).is_dir() or not (file := Path(init) / "model" / FILE).is_file():
        return None
    return jax.tree.map(jnp.asarray, unflatten(load_arrays(file)).get(penalty.name))


def hand_on(folder: Path, penalty: Penalty, end: PenaltyStart, memory: PyTree) -> None:
    """Write what a run's penalty hands on into the run's folder, where it has something to."""
    carried = penalty.carry(end, memory)
    if carried is not None:
        save(folder / "model" / FILE, {penalty.name: carried})
