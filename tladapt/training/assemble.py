"""From a config and a scenario to the parts of a run: network, feeds, evaluator, first state."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Domain, Feed, Scenario, examples, feed
from tladapt.data.augment import check_inputs
from tladapt.data.doctor import examine
from tladapt.data.examination import Examination
from tladapt.data.texts import tokenized
from tladapt.errors import UsageError
from tladapt.methods.base import Method, Start
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.penalties import Penalty, SourceClassifier
from tladapt.penalties.base import SOURCE_CLASSIFIER
from tladapt.training.anchoring import handed_on, shown
from tladapt.training.config import Config, Recipe
from tladapt.training.dispatch import spans
from tladapt.training.evaluate import Evaluator, Predictor, Weights, run_validators
from tladapt.training.features import REMARK, Frozen, Watch, extract, inner_config
from tladapt.training.features import notes as words_on_features
from tladapt.training.inputs import Inputs
from tladapt.training.network import Network
from tladapt.training.optim import MODEL_BLOCKS, Optimizer
from tladapt.training.passes import Parts, Span
from tladapt.training.start import (
    is_published,
    load_backbone,
    load_blocks,
    source_classifier,
    text_preprocessing,
    with_options_of_weights,
)
from tladapt.training.state import State, no_fault

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A run that has not started.

    Attributes:
      config: resolved.
      scenario: the problem that is trained on (the oracle's twin for a target-only run).
      seen: the same as the steps see it: with features for inputs, where the backbone is frozen.
      frozen: that backbone; None where the steps run it.
      texts: how texts became the scenario's token ids; None where there were none.
      parts: what the steps are made from; seeds of one config share it.
      spans: the stages with their steps.
      feeds: batches of this seed, by domain.
      evaluator: scores states.
      state: the first state.
      notes: what the user should know about how it was put together.
      remark: what is said at the start, and is no warning.
      compiled: dispatchers by stage and layout, filled as they are compiled; seeds of one config share them.
      data: what the data doctor found.
    """

    config: Config
    scenario: Scenario
    seen: Scenario
    frozen: Frozen | None
    texts: TextPreprocessing | None
    parts: Parts
    spans: tuple[Span, ...]
    feeds: Mapping[str, Feed]
    evaluator: Evaluator
    state: State
    notes: tuple[str, ...]
    remark: str
    compiled: dict[Any, Any]
    data: Examination

    def resident(self) -> dict[str, PyTree]:
        """Return the arrays that stay on the device, by domain."""
        used = {name for span in self.spans for name in span.domains}
        return {name: self.feeds[name].arrays() for name in sorted(used)}

    def part(self, span: Span) -> int | None:
        """Return how many steps a chunk should have at most, for what the feeds bring; None: as many as one likes."""
        limits = [feed.part for feed in (self.feeds[name] for name in span.domains) if feed.part is not None]
        return min(limits, default=None)

    def chunk(self, span: Span, first: int, steps: int) -> dict[str, PyTree]:
        """Return what a chunk of steps needs from the feeds, by domain."""
        return {name: self.feeds[name].chunk(first, steps) for name in span.domains}


def shapes(tree: PyTree) -> PyTree:
    """Return the structure of a pytree with the shapes and types of its leaves; two of them can be compared."""
    leaves, structure = jax.tree_util.tree_flatten(tree)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def weights_of(state: State) -> Weights:
    """Return what predictions are made from."""
    params = {block: tree for block, tree in state.params.items() if block != SOURCE_CLASSIFIER}
    return Weights(state.inputs, params, state.statistics, state.head_statistics, state.memory)


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
    parts = [examples(domain, np.arange(len(domain))) for domain in held]
    if len({x.dtype for x in parts}) > 1:  # as the feeds do where 8-bit domains meet others
        parts = [x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x for x in parts]
    return tuple(kept), Domain(np.concatenate(parts), np.concatenate([d.y for d in held]), name="validation")


def build(
    config: Config,
    shape: tuple[int, ...],
    classes: int,
    counts: tuple[int, int, int],
    seed: int,
    source: SourceClassifier | None = None,
) -> tuple[Network, Predictor]:
    """Return network and predictor of a resolved config; training may need the source classifier, too."""
    network = Network(config, shape, classes, counts, seed, source)
    return network, Predictor(network, config.method)  # type: ignore[arg-type]


def assemble(
    config: Config, scenario: Scenario, seed: int, *, like: Assembly | None = None, watch: Watch | None = None
) -> Assembly:
    """Return the run that a config, a scenario and a seed stand for, at step 0.

    Args:
      config: method, backbone, recipe, number of steps.
      scenario: the problem.
      seed: what all randomness comes from.
      like: the same config and scenario with another seed: what is compiled for one serves both. The seed is an array
        of the state, and nothing that a compiled step holds fast depends on it.
      watch: told how far the features of a frozen backbone are.

    Raises:
      UsageError: for parts that do not go together.
    """
    asked = config.transfer
    given = config = with_options_of_weights(config.resolved())
    texts = None if like is None else like.texts
    if scenario.target.is_text:
        texts = texts or text_preprocessing(config)
        scenario = like.scenario if like is not None else tokenized(scenario, texts.tokenizer, texts.length)
    method: Method = config.method  # type: ignore[assignment]
    recipe: Recipe = config.recipe  # type: ignore[assignment]
    if "oracle" in method.needs and not scenario.is_oracle:
        scenario = scenario.oracle()
    laid_out = spans(method.stages(), config.steps, recipe.phases)
    _check_policy(method, recipe, laid_out)
    examination = examine(scenario, standardize=recipe.standardize) if like is None else like.data
    examination.raise_if_stopped()
    _check_kind(config.backbone, scenario)
    augment = method.augmentation if recipe.augment == "none" else recipe.augment
    for facts in examination.domains:
        check_inputs(augment, low=facts.minimum, high=facts.maximum)
    if recipe.standardize != "none" and (is_published(config) or config.transfer == "features"):
        raise UsageError(
            f"recipe {recipe.name!r} standardises inputs (standardize={recipe.standardize!r}), and weights that are"
            " there already read inputs as they were trained to. Use --recipe.standardize none, or --recipe thuml."
        )
    raw, frozen, notes = scenario, None, list(scenario.origin.get("notes", ()))
    if config.transfer == "features":
        if like is None:
            config, scenario, frozen = extract(config, scenario, watch)
        else:
            config, scenario, frozen = inner_config(config), like.seen, like.frozen
        augment = config.recipe.augment  # type: ignore[union-attr]
    sources, validation = held_out(scenario, seed)
    inputs = Inputs.measure(recipe.standardize, [domain.x for domain in sources], scenario.target.x)
    counts = (len(sources), sum(len(domain) for domain in sources), len(scenario.target))
    penalty: Penalty | None = config.penalty  # type: ignore[assignment]
    source = source_classifier(given) if penalty is not None and "source_classifier" in penalty.needs else None
    network, predictor = build(config, scenario.target.shape, len(scenario.classes), counts, seed, source)
    feeds = {
        "source": feed(sources, batch_size=recipe.batch_size, seed=seed, labelled=True),
        "target": feed((scenario.target,), batch_size=recipe.batch_size, seed=seed, labelled=False),
    }
    params, statistics, head_statistics = network.initial()
    compiled: dict[Any, Any] = {}
    notes += examination.texts("warn")
    if network.policy.evaluation == "target" and not jax.tree.leaves(statistics):
        notes.append("batchnorm evaluation='target' changes nothing: the network has no batch normalisation")
    if frozen is not None:
        notes += words_on_features(given, frozen, params)
    else:
        params, statistics, words = load_backbone(config, params, statistics)
        notes += words
    if config.init is not None:
        own = tuple(block for block in MODEL_BLOCKS if block != "backbone")
        params, statistics, words = load_blocks(config.init, params, statistics, blocks=own)
        notes += words
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"memory"))
    memory = method.memory(Start(params=params, statistics=statistics, sizes=network.sizes, key=key))
    kept: PyTree = {}
    if penalty is not None:
        start = shown(
            network,
            inputs,
            params=params,
            statistics=statistics,
            sources=sources,
            target=scenario.target,
            seed=seed,
            earlier=handed_on(config.init, penalty),
        )
        kept = penalty.prepare(start)
        if config.init is None and config.weights is None and jax.tree.leaves(kept):
            notes.append(f"penalty {penalty.name!r} holds the model to random parameters: there is no --init")
    optimizer = Optimizer(recipe, params, network.freezing)
    parts = Parts(network, method, optimizer, augment, feeds, penalty, recipe.mixup)
    state = State(
        step=jnp.int32(0),
        seed=jnp.int32(seed),
        inputs=inputs,
        params=params,
        statistics=statistics,
        head_statistics=head_statistics,
        memory=memory,
        penalty=kept,
        optimizer=optimizer.init(params),
        fault=no_fault(),
    )
    if like is not None and shapes(state) == shapes(like.state):
        parts, predictor, compiled = like.parts, like.evaluator.predictor, like.compiled
    else:
        predictor.check(weights_of(state))
    # No two leaves may share a buffer: the compiled step takes them over.
    state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state)
    return Assembly(
        config=given,
        scenario=raw,
        seen=scenario,
        frozen=frozen,
        texts=texts,
        parts=parts,
        spans=laid_out,
        feeds=feeds,
        evaluator=Evaluator(predictor, scenario, validation, run_validators(config.validator), sources),  # type: ignore[arg-type]
        state=state,
        notes=tuple(notes),
        remark=REMARK if given.transfer == "features" and given.transfer != asked else "",
        compiled=compiled,
        data=examination,
    )


def _check_kind(backbone: Any, scenario: Scenario) -> None:
    """Refuse a network for token ids where the inputs are numbers, and the other way round."""
    reads, called = getattr(backbone, "dtype", None), getattr(backbone, "name", "")
    if reads == "int32" and not scenario.target.holds_indices:
        raise UsageError(f"backbone {called!r} reads token ids, and {scenario.name} has none: they are int32.")
    if reads == "float32" and scenario.target.holds_indices:
        raise UsageError(
            f"backbone {called!r} reads numbers, and the inputs of {scenario.name} are int32, which stands for token"
            " ids. Name a text backbone, or give numbers as float32."
        )


def _check_policy(method: Method, recipe: Recipe, laid_out: tuple[Span, ...]) -> None:
    """Refuse statistics per domain where a stage would leave a domain's as they were drawn, or stale."""
    for span in laid_out:
        if recipe.batchnorm.statistics == "per_domain" and len(span.domains) < 2:
            raise UsageError(
                f"batchnorm statistics='per_domain' needs both domains in each stage, and stage {span.stage.name!r} of"
                f" method {method.name!r} sees the {' and '.join(span.domains)} alone. To give the target its own"
                " statistics all the same, use preset 'target'."
            )
