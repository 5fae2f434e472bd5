"""What a run is told about itself: outputs in evaluation mode, validators, and the one place that holds test labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Domain, Scenario, examples, in_order, in_turn
from tladapt.errors import UsageError
from tladapt.evaluation import (
    VALIDATORS,
    ValidationOutputs,
    Validator,
    accuracy,
    classification_metrics,
    collapse,
    macro_f1,
    mean_class_accuracy,
)
from tladapt.methods.base import Context, Forward, Method
from tladapt.models import Outputs
from tladapt.models.compile import has_convolutions
from tladapt.models.compile import jit as compiled
from tladapt.training.inputs import Inputs
from tladapt.training.network import Network
from tladapt.training.target_statistics import measured

PyTree = Any
DomainName = Literal["source", "target"]
BATCH = 500
TRAINING_EXAMPLES = 5000  # of the source, for validators that compare with what was trained on


class Weights(NamedTuple):
    """What predictions are made from: a state without its optimiser."""

    inputs: Inputs
    params: PyTree
    statistics: PyTree
    head_statistics: PyTree
    memory: PyTree


class Predictor:
    """Predictions of a method in evaluation mode, in batches of one shape."""

    def __init__(self, network: Network, method: Method):
        self.network, self.method = network, method
        self._compiled: dict[str, Any] = {}
        self._convolutions: bool | None = None

    def _context(self, weights: Weights, at: tuple[jax.Array, jax.Array] | None = None) -> Context:
        network = self.network
        progress, step = at if at is not None else (jnp.float32(1.0), jnp.int32(0))

        def run_forward(
            x: jax.Array, *, domain: DomainName, params: Mapping[str, PyTree] | None, statistics: PyTree
        ) -> Forward:
            if statistics is not None and network.policy.evaluation == "target":
                raise UsageError(
                    f"method {self.method.name!r} predicts with running statistics of its own (a teacher's), so those"
                    " of batchnorm evaluation='target' would go unused; use evaluation='running'."
                )
            key = network.key_of(domain)
            kept = weights.statistics if statistics is None else statistics
            # A teacher's copies lack a backbone that is not trained.
            chosen = {**weights.params, **(params or {})}
            return network.forward(chosen, {**weights.statistics[key], **kept[key]}, x, mode="evaluate")

        def run_view(domain: DomainName, key: jax.Array) -> jax.Array:
            raise ValueError("there are no augmented views in evaluation")

        heads = {
            name: head.merge(weights.params[name], weights.head_statistics[name], mode="evaluate", key=None)
            for name, head in network.heads.items()
        }
        return Context(
            source=None,
            target=None,
            heads=heads,
            memory=weights.memory,
            params=weights.params,
            progress=progress,
            step=step,
            aux={},
            random_key=jax.random.key(0),
            run_forward=run_forward,
            run_view=run_view,
        )

    def call(self, weights: Weights, x: jax.Array, domain: DomainName) -> Outputs:
        """Return features and logits of raw inputs `[n, ...]` of a domain; to be traced."""
        x = weights.inputs(Inputs.scale(x), domain)
        return self.method.predict(self._context(weights), x, domain)

    def _run(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of arrays, compiled at its first use under that name."""
        if name not in self._compiled:
            traced = jax.jit(function)  # looked at and compiled, traced once
            if self._convolutions is None:
                self._convolutions = has_convolutions(traced, *args)
            self._compiled[name] = compiled(traced, convolutions=self._convolutions)
        return self._compiled[name](*args)

    def outputs(self, weights: Weights, domain: Domain, role: DomainName) -> Outputs:
        """Return features `[n, d]` and logits `[n, C]` of all examples of a domain, in order, as NumPy arrays."""
        count = len(domain)
        features, logits = [], []
        for x in in_turn(domain, in_order(count, BATCH)):
            out = self._run(role, lambda w, x: self.call(w, x, role), weights, x)
            features.append(out.features)
            logits.append(out.logits)
        return Outputs(
            np.concatenate([np.asarray(part) for part in features])[:count],
            np.concatenate([np.asarray(part) for part in logits])[:count],
        )

    def refreshed(self, weights: Weights, outputs: Outputs, at: tuple[jax.Array, jax.Array]) -> PyTree:
        """Return the method's memory after it has seen the whole target, at a stage's (progress, step)."""
        return self._run(
            "refresh", lambda w, out, at: self.method.refresh(self._context(w, at), out), weights, outputs, at
        )

    def check(self, weights: Weights) -> None:
        """Look, without computing, at whether the method's prediction goes with the BatchNorm policy."""
        x = jax.ShapeDtypeStruct((2, *self.network.shape), self.network.dtype)
        jax.eval_shape(lambda weights, x: self.call(weights, x, "target"), weights, x)

    def adapted(self, weights: Weights, target: Domain) -> Weights:
        """Return what predictions on the target use: its own statistics where the BatchNorm policy says so."""
        kept = self.network.key_of("target")
        old = weights.statistics[kept]
        if self.network.policy.evaluation != "target" or not jax.tree.leaves(old):
            return weights

        def call(weights: Weights, statistics: PyTree, x: jax.Array) -> PyTree:
            x = weights.inputs(Inputs.scale(x), "target")
            return self.network.forward(weights.params, statistics, x, mode="measure").statistics

        def passes(statistics: PyTree, index: np.ndarray) -> PyTree:
            return self._run("statistics", call, weights, statistics, examples(target, index))

        new = measured(passes, old, len(target), BATCH)
        return weights._replace(statistics={**weights.statistics, kept: new})


def run_validators(chosen: Validator) -> list[Validator]:
    """Return the validators of a run: the one that chooses, and those that cost next to nothing."""
    kinds = [VALIDATORS[name] for name in VALIDATORS]
    return [*(kind() for kind in kinds if not kind.costly and kind is not type(chosen)), chosen]


def _thinned(domain: Domain, limit: int) -> Domain:
    """Return at most `limit` examples, evenly spread."""
    return domain.take(np.linspace(0, len(domain) - 1, min(limit, len(domain))).astype(np.int64))


class Evaluator:
    """Scores a state: the source's validation examples, the target's unlabelled ones, and the labelled test set.

    Nothing that training computes depends on what this class returns.

    Args:
      predictor: the compiled model.
      scenario: the problem.
      validation: source examples that are not trained on.
      validators: what scores a state, without labels of the target.
      training: the source examples that are trained on.
      limit: how many examples of each domain the picture of the embedding has at most.
    """

    def __init__(
        self,
        predictor: Predictor,
        scenario: Scenario,
        validation: Domain,
        validators: Sequence[Validator],
        training: Sequence[Domain],
        limit: int = 500,
    ):
        self.predictor, self.scenario, self.validation = predictor, scenario, validation
        self.validators = list(validators)
        self._training, self._limit = tuple(training), limit

    def adapted(self, weights: Weights) -> Weights:
        """Return what predictions on the target use: its own statistics where the BatchNorm policy says so."""
        return self.predictor.adapted(weights, self.scenario.target)

    def seen(self, weights: Weights, adapted: Weights) -> ValidationOutputs:
        """Return what validators may look at; there is no label of the target in it."""
        source = self.predictor.outputs(weights, self.validation, "source")
        target = self.predictor.outputs(adapted, self.scenario.target, "target")
        trained = None
        if any("source_training_features" in validator.needs for validator in self.validators):
            some = [_thinned(domain, TRAINING_EXAMPLES // len(self._training)) for domain in self._training]
            trained = np.concatenate([self.predictor.outputs(weights, domain, "source").features for domain in some])
        return ValidationOutputs(
            source.features, source.logits, self.validation.y, target.features, target.logits, trained
        )

    def scores(self, seen: ValidationOutputs) -> dict[str, Any]:
        """Return source accuracy, every validator's score and details, and the guard's word."""
        row: dict[str, Any] = {"source/accuracy": accuracy(seen.source_logits, seen.source_labels)}
        for validator in self.validators:
            found = validator.assess(seen)
            row[f"validator/{validator.name}"] = found.score
            row |= {f"{validator.name}/{name}": value for name, value in found.details.items()}
            if found.doubt:
                row[f"{validator.name}/doubt"] = found.doubt
        row["collapsed"] = collapse(seen) or False
        return row

    def row(self, weights: Weights) -> dict[str, Any]:
        """Return one evaluation: source accuracy, validators, the guard's word, metrics on the target's test set."""
        adapted = self.adapted(weights)
        row = self.scores(self.seen(weights, adapted))
        if self.scenario.test is not None:
            test = self.predictor.outputs(adapted, self.scenario.test, "target")
            row["target/accuracy"] = float(np.mean(np.argmax(test.logits, 1) == self.scenario.test.y))
            row["target/mean_class_accuracy"] = mean_class_accuracy(test.logits, self.scenario.test.y)
            row["target/macro_f1"] = macro_f1(test.logits, self.scenario.test.y)
        return row

    def test_metrics(self, weights: Weights) -> tuple[dict[str, Any], np.ndarray | None]:
        """Return the metrics on the test set, flat, and its logits; both empty where there is no test set."""
        test = self.scenario.test
        if test is None:
            return {}, None
        logits = self.predictor.outputs(self.adapted(weights), test, "target").logits
        return classification_metrics(logits, test.y, self.scenario.classes, groups=test.groups), np.asarray(logits)

    def sample(self, weights: Weights) -> dict[str, np.ndarray]:
        """Return features and labels of at most 500 validation and test examples, for the picture of the embedding."""
        adapted = self.adapted(weights)
        target = self.scenario.test if self.scenario.test is not None else self.scenario.target

        source, target = _thinned(self.validation, self._limit), _thinned(target, self._limit)
        labels = np.full(len(target), -1, np.int32) if target.y is None else target.y
        return {
            "source": np.asarray(self.predictor.outputs(weights, source, "source").features),
            "target": np.asarray(self.predictor.outputs(adapted, target, "target").features),
            "source_labels": np.asarray(source.y),
            "target_labels": labels,
        }
