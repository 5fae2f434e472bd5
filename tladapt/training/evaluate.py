"""What a run is told about itself: outputs in evaluation mode, validators, and the one place that holds test labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Domain, Scenario, examples
from tladapt.evaluation import VALIDATORS, ValidationOutputs, Validator, classification_metrics, collapse
from tladapt.methods.base import Context, Forward, Method
from tladapt.models import Outputs
from tladapt.models.compile import has_convolutions
from tladapt.models.compile import jit as compiled
from tladapt.training.network import Inputs, Network

PyTree = Any
DomainName = Literal["source", "target"]
BATCH = 500


class Weights(NamedTuple):
    """What predictions are made from: a state without its optimiser."""

    params: PyTree
    statistics: PyTree
    head_statistics: PyTree
    memory: PyTree


class Predictor:
    """Predictions of a method in evaluation mode, in batches of one shape."""

    def __init__(self, network: Network, method: Method, inputs: Inputs):
        self.network, self.method, self.inputs = network, method, inputs
        self._compiled: dict[Any, Any] = {}

    def _context(self, weights: Weights, progress: float = 1.0) -> Context:
        network = self.network

        def run_forward(
            x: jax.Array, *, domain: DomainName, params: Mapping[str, PyTree] | None, statistics: PyTree
        ) -> Forward:
            kept = weights.statistics if statistics is None else statistics
            chosen = weights.params if params is None else params
            return network.forward(chosen, kept[network.key_of(domain)], x, training=False)

        def run_view(domain: DomainName, key: jax.Array) -> jax.Array:
            raise ValueError("there are no augmented views in evaluation")

        heads = {
            name: head.merge(weights.params[name], weights.head_statistics[name], training=False, key=None)
            for name, head in network.heads.items()
        }
        return Context(
            source=None,
            target=None,
            heads=heads,
            memory=weights.memory,
            params=weights.params,
            progress=jnp.float32(progress),
            step=jnp.int32(0),
            aux={},
            random_key=jax.random.key(0),
            run_forward=run_forward,
            run_view=run_view,
        )

    def _call(self, weights: Weights, x: jax.Array, domain: DomainName) -> Outputs:
        x = self.inputs.standardize(Inputs.scale(x), domain)
        return self.method.predict(self._context(weights), x, domain)

    def _batched(self, weights: Weights, x: np.ndarray, domain: DomainName) -> Outputs:
        signature = (domain, x.shape, str(x.dtype))
        if signature not in self._compiled:

            def call(weights: Weights, x: jax.Array) -> Outputs:
                return self._call(weights, x, domain)

            convolutions = has_convolutions(call, weights, x)
            self._compiled[signature] = compiled(call, convolutions=convolutions)
        return self._compiled[signature](weights, x)  # type: ignore[no-any-return]

    def outputs(self, weights: Weights, domain: Domain, role: DomainName) -> Outputs:
        """Return features `[n, d]` and logits `[n, C]` of all examples of a domain, in order, as NumPy arrays."""
        count = len(domain)
        size = min(BATCH, count)
        features, logits = [], []
        for first in range(0, count, size):
            index = np.minimum(np.arange(first, first + size), count - 1)  # the last batch is filled up
            out = self._batched(weights, examples(domain, index), role)
            features.append(out.features)
            logits.append(out.logits)
        return Outputs(
            np.concatenate([np.asarray(part) for part in features])[:count],
            np.concatenate([np.asarray(part) for part in logits])[:count],
        )

    def refreshed(self, weights: Weights, outputs: Outputs) -> PyTree:
        """Return the method's memory after it has seen the whole target."""
        if "refresh" not in self._compiled:
            self._compiled["refresh"] = jax.jit(lambda w, out: self.method.refresh(self._context(w), out))
        return self._compiled["refresh"](weights, Outputs(*map(jnp.asarray, outputs)))

    def target_statistics(self, weights: Weights, target: Domain) -> PyTree:
        """Return running statistics measured over the whole target with batch statistics (AdaBN).

        Each batch passes in training mode; a layer's mean is the mean of the batches' means, its variance their mean variance
        plus the variance of their means. The momentum of a layer is read off its response, so that any
        BatchNorm that blends `m * old + (1 - m) * batch` is served; other variables stay as they are.

        Source: Li, Wang, Shi, Hou, Liu: Adaptive batch normalization for practical domain adaptation. Pattern
        Recognition 2018. arXiv 1603.04779.
        """
        network = self.network
        kept = network.key_of("target")
        old = weights.statistics[kept]
        if not jax.tree.leaves(old):
            return weights.statistics

        def passes(params: PyTree, x: jax.Array) -> tuple[PyTree, PyTree]:
            x = self.inputs.standardize(Inputs.scale(x), "target")
            key = jax.random.key(0)
            zeros = jax.tree.map(jnp.zeros_like, old)
            ones = jax.tree.map(jnp.ones_like, old)
            low = network.forward(params, zeros, x, training=True, key=key).statistics
            high = network.forward(params, ones, x, training=True, key=key).statistics
            return low, high

        compiled = self._compiled.setdefault("statistics", jax.jit(passes))
        count, size = len(target), min(BATCH, len(target))
        batches = []
        for first in range(0, count - size + 1, size):
            low, high = compiled(weights.params, examples(target, np.arange(first, first + size)))
            # new = m * old + (1 - m) * batch, at old = 0 and at old = 1
            batches.append(jax.tree.map(lambda a, b: (np.asarray(a), np.asarray(b - a)), low, high))
        leaves = [jax.tree.leaves(batch, is_leaf=lambda leaf: isinstance(leaf, tuple)) for batch in batches]
        paths, structure = jax.tree_util.tree_flatten_with_path(old)
        found: dict[tuple[Any, ...], np.ndarray] = {}
        spread: dict[tuple[Any, ...], np.ndarray] = {}
        for place, (path, leaf) in enumerate(paths):
            values = []
            for batch in leaves:
                low, momentum = batch[place]
                responds = np.all((momentum >= 0.0) & (momentum < 1.0))
                values.append(low / (1.0 - momentum) if responds else np.asarray(leaf))
            found[path] = np.mean(values, axis=0)
            spread[path] = np.var(values, axis=0)
        new = []
        for path, leaf in paths:
            value = found[path]
            name = str(getattr(path[-1], "key", path[-1]))
            mean_path = (*path[:-1], jax.tree_util.DictKey("mean"))
            if name == "var" and mean_path in spread:
                value = value + spread[mean_path]
            new.append(jnp.asarray(value, jnp.asarray(leaf).dtype))
        return {**weights.statistics, kept: jax.tree_util.tree_unflatten(structure, new)}


class Evaluator:
    """Scores a state: the source's validation examples, the target's unlabelled ones, and the labelled test set.

    Nothing that training computes depends on what this class returns.
    """

    def __init__(self, predictor: Predictor, scenario: Scenario, validation: Domain, validator: Validator, limit: int = 500):
        self.predictor, self.scenario, self.validation = predictor, scenario, validation
        self.validators: list[Validator] = [
            VALIDATORS[name]() for name in VALIDATORS if VALIDATORS[name] is not type(validator)
        ] + [validator]
        self._limit = limit

    def weights(self, weights: Weights) -> Weights:
        """Return what predictions use: with statistics of the target where the BatchNorm policy says so."""
        if self.predictor.network.policy.evaluation == "target":
            return weights._replace(
                statistics=self.predictor.target_statistics(weights, self.scenario.target)
            )
        return weights

    def row(self, weights: Weights) -> dict[str, Any]:
        """Return one evaluation: source accuracy, validators, the guard's word, the target's test accuracy."""
        weights = self.weights(weights)
        source = self.predictor.outputs(weights, self.validation, "source")
        target = self.predictor.outputs(weights, self.scenario.target, "target")
        seen = ValidationOutputs(source.features, source.logits, self.validation.y, target.features, target.logits)
        row: dict[str, Any] = {"source/accuracy": float(np.mean(np.argmax(source.logits, 1) == self.validation.y))}
        for validator in self.validators:
            row[f"validator/{validator.name}"] = float(validator.score(seen))
        row["collapsed"] = collapse(seen) or False
        if self.scenario.test is not None:
            test = self.predictor.outputs(weights, self.scenario.test, "target")
            row["target/accuracy"] = float(np.mean(np.argmax(test.logits, 1) == self.scenario.test.y))
        return row

    def test_metrics(self, weights: Weights) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return the metrics on the test set, flat, and its logits; both empty where there is no test set."""
        test = self.scenario.test
        if test is None:
            return {}, None
        logits = self.predictor.outputs(self.weights(weights), test, "target").logits
        return classification_metrics(logits, test.y, self.scenario.classes, groups=test.groups), np.asarray(logits)

    def sample(self, weights: Weights) -> dict[str, np.ndarray]:
        """Return features and labels of at most 500 validation and test examples, for the picture of the embedding."""
        weights = self.weights(weights)
        target = self.scenario.test if self.scenario.test is not None else self.scenario.target

        def some(domain: Domain) -> Domain:
            count = min(self._limit, len(domain))
            return domain.take(np.linspace(0, len(domain) - 1, count).astype(np.int64))

        source, target = some(self.validation), some(target)
        labels = np.full(len(target), -1, np.int32) if target.y is None else target.y
        return {
            "source": np.asarray(self.predictor.outputs(weights, source, "source").features),
            "target": np.asarray(self.predictor.outputs(weights, target, "target").features),
            "source_labels": np.asarray(source.y),
            "target_labels": labels,
        }
