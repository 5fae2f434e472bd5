"""From a config and a scenario to the parts of a run: network, feeds, evaluator, first state."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Domain, Scenario, examples, feed
from tladapt.errors import UsageError
from tladapt.methods.base import Method, Start
from tladapt.models.weights import load_arrays
from tladapt.penalties import Penalty, PenaltyStart
from tladapt.training.config import Config, Recipe
from tladapt.training.dispatch import spans
from tladapt.training.evaluate import Evaluator, Predictor, Weights
from tladapt.training.network import Inputs, Network
from tladapt.training.optim import MODEL_BLOCKS, Optimizer
from tladapt.training.state import State, flat, no_fault
from tladapt.training.step import Parts, Span

PyTree = Any
PENALTY_EXAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A run that has not started.

    Attributes:
      config: resolved.
      scenario: the problem that is trained on (the oracle's twin for a target-only run).
      parts: what the steps are made from.
      spans: the stages with their steps.
      evaluator: scores states.
      state: the first state.
      notes: what the user should know about how it was put together.
    """

    config: Config
    scenario: Scenario
    parts: Parts
    spans: tuple[Span, ...]
    evaluator: Evaluator
    state: State
    notes: tuple[str, ...]

    def resident(self) -> dict[str, PyTree]:
        """Return the arrays that stay on the device, by domain."""
        used = {name for span in self.spans for name in _domains(span)}
        return {name: self.parts.feeds[name].arrays() for name in sorted(used)}

    def chunk(self, span: Span, first: int, steps: int) -> dict[str, PyTree]:
        """Return what a chunk of steps needs from the feeds, by domain."""
        return {name: self.parts.feeds[name].chunk(first, steps) for name in _domains(span)}


def _domains(span: Span) -> tuple[str, ...]:
    return tuple(name for name, used in (("source", span.stage.source), ("target", span.stage.target)) if used)


def weights_of(state: State) -> Weights:
    """Return what predictions are made from."""
    return Weights(state.params, state.statistics, state.head_statistics, state.memory)


def held_out(scenario: Scenario, seed: int) -> tuple[tuple[Domain, ...], Domain]:
    """Return the source domains to train on, and the source's validation examples.

    Where the scenario brings none, a tenth of each source domain, drawn with the run's seed, is not trained on.
    """
    if scenario.validation is not None:
        return scenario.source, scenario.validation
    kept, held = [], []
    for place, domain in enumerate(scenario.source):
        order = np.random.default_rng([seed, zlib.crc32(b"validation"), place]).permutation(len(domain))
        count = max(1, len(domain) // 10)
        if len(domain) - count < 2:
            raise UsageError(
                f"source domain {domain.name!r} has {len(domain)} examples: too few to hold a tenth out for validation."
                " Give Scenario(..., validation=...)."
            )
        kept.append(domain.take(np.sort(order[count:])))
        held.append(domain.take(np.sort(order[:count])))
    if len(held) == 1:
        return tuple(kept), held[0]
    x = np.concatenate([examples(domain, np.arange(len(domain))) for domain in held])
    return tuple(kept), Domain(x, np.concatenate([domain.y for domain in held]), name="validation")


def build(
    config: Config, shape: tuple[int, ...], classes: int, counts: tuple[int, int, int], inputs: Inputs, seed: int
) -> tuple[Network, Predictor]:
    """Return network and predictor of a resolved config."""
    network = Network(config, shape, classes, counts, seed)
    return network, Predictor(network, config.method, inputs)  # type: ignore[arg-type]


def assemble(config: Config, scenario: Scenario, seed: int) -> Assembly:
    """Return the run that a config, a scenario and a seed stand for, at step 0.

    Raises:
      UsageError: for parts that do not go together.
    """
    config = config.resolved()
    method: Method = config.method  # type: ignore[assignment]
    recipe: Recipe = config.recipe  # type: ignore[assignment]
    if "oracle" in method.needs and not scenario.is_oracle:
        scenario = scenario.oracle()
    stages = method.stages()
    if config.steps < len(stages):
        raise UsageError(
            f"method {method.name!r} has {len(stages)} stages and needs at least as many steps, got {config.steps}."
        )
    sources, validation = held_out(scenario, seed)
    inputs = Inputs.measure(recipe.standardize, [domain.x for domain in sources], scenario.target.x)
    counts = (len(sources), sum(len(domain) for domain in sources), len(scenario.target))
    network, predictor = build(config, scenario.target.shape, len(scenario.classes), counts, inputs, seed)
    feeds = {
        "source": feed(sources, batch_size=recipe.batch_size, seed=seed, labelled=True),
        "target": feed((scenario.target,), batch_size=recipe.batch_size, seed=seed, labelled=False),
    }
    params, statistics, head_statistics = network.initial()
    notes: list[str] = list(scenario.origin.get("notes", ()))
    if config.weights is not None:
        params, statistics, words = load_blocks(config.weights, params, statistics, blocks=("backbone",))
        notes += words
    if config.init is not None:
        params, statistics, words = load_blocks(config.init, params, statistics, blocks=MODEL_BLOCKS)
        notes += words
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"memory"))
    memory = method.memory(Start(params=params, statistics=statistics, sizes=network.sizes, key=key))
    penalty: Penalty | None = config.penalty  # type: ignore[assignment]
    kept: PyTree = {}
    if penalty is not None:
        kept = _prepared(penalty, network, inputs, params, statistics, sources[0], seed)
    optimizer = Optimizer(recipe, params)
    augment = method.augmentation if recipe.augment == "none" else recipe.augment
    state = State(
        step=jnp.int32(0),
        seed=jnp.int32(seed),
        params=params,
        statistics=statistics,
        head_statistics=head_statistics,
        memory=memory,
        penalty=kept,
        optimizer=optimizer.init(params),
        fault=no_fault(),
    )
    # No two leaves may share a buffer: the compiled step takes them over.
    state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state)
    return Assembly(
        config=config,
        scenario=scenario,
        parts=Parts(network, method, optimizer, inputs, augment, feeds, penalty),
        spans=spans(stages, config.steps),
        evaluator=Evaluator(predictor, scenario, validation, config.validator),  # type: ignore[arg-type]
        state=state,
        notes=tuple(notes),
    )


def _prepared(
    penalty: Penalty,
    network: Network,
    inputs: Inputs,
    params: PyTree,
    statistics: PyTree,
    source: Domain,
    seed: int,
) -> PyTree:
    count = min(PENALTY_EXAMPLES, len(source))
    index = np.linspace(0, len(source) - 1, count).astype(np.int64)
    x = inputs.standardize(Inputs.scale(jnp.asarray(examples(source, index))), "source")

    def logits(blocks: PyTree, x: jax.Array) -> jax.Array:
        return network.forward({**params, **blocks}, statistics[network.key_of("source")], x, mode="evaluate").logits

    start = PenaltyStart(
        params={block: params[block] for block in MODEL_BLOCKS if block in params},
        logits=logits,
        source=(x, jnp.asarray(source.y[index])),
        key=jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"penalty")),
    )
    return penalty.prepare(start)


def load_blocks(
    place: str, params: PyTree, statistics: PyTree, *, blocks: tuple[str, ...]
) -> tuple[PyTree, PyTree, list[str]]:
    """Return parameters and statistics with the model's blocks taken from a run's folder or a file of its weights.

    A classifier for another number of classes is left as it was drawn, and a word says so.

    Raises:
      UsageError: listing every array of a block that is missing or has another shape.
      MissingDataError: when there is no such file.
    """
    path = Path(place)
    if path.is_dir():
        path = path / "model" / "model.safetensors"
    arrays = load_arrays(path)
    names = {name.split("/")[1] for name in arrays if name.startswith("statistics/")}
    words: list[str] = []
    params, problems = dict(params), []
    for block in blocks:
        if block not in params:
            continue
        wanted = flat({"params": {block: params[block]}})
        found = {name: arrays[name] for name in wanted if name in arrays}
        misfits = [
            f"{name}: expected {list(leaf.shape)}, "
            + (f"came {list(found[name].shape)}" if name in found else "it is missing")
            for name, leaf in wanted.items()
            if name not in found or found[name].shape != leaf.shape
        ]
        if misfits and block == "classifier":
            words.append(f"{path} has no classifier that fits these classes; a new one was drawn")
            continue
        problems += misfits
        if not misfits:
            leaves = [jnp.asarray(found[name], leaf.dtype) for name, leaf in wanted.items()]
            structure = jax.tree_util.tree_structure({"params": {block: params[block]}})
            params[block] = jax.tree_util.tree_unflatten(structure, leaves)["params"][block]
    if problems:
        shown = "; ".join(problems[:6]) + (f"; and {len(problems) - 6} more" if len(problems) > 6 else "")
        raise UsageError(
            f"{path} does not fit this model: {shown}. Use the backbone (and its options) that the weights were trained with."
        )
    statistics = dict(statistics)
    for domain, tree in statistics.items():
        kept = domain if domain in names else ("shared" if "shared" in names else "target")
        prefix = f"statistics/{kept}/"
        chosen = {}
        for name, leaf in flat(tree).items():
            block = name.split("/")[0]
            came = arrays.get(prefix + name)
            chosen[name] = (
                leaf
                if block not in blocks or came is None or came.shape != leaf.shape
                else jnp.asarray(came, leaf.dtype)
            )
        leaves = [chosen[name] for name in flat(tree)]
        statistics[domain] = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(tree), leaves)
    return params, statistics, words
