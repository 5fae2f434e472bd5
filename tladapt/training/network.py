"""Model and heads as pure arrays: parameters by block, statistics, and forward passes as functions of them."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

from tladapt.errors import UsageError
from tladapt.methods.base import Forward, Method, Sizes
from tladapt.models import Model, build_model
from tladapt.training.config import Config, Recipe
from tladapt.training.optim import MODEL_BLOCKS

PyTree = Any


def _pure(state: Any) -> Any:
    return nnx.to_pure_dict(state)


def set_mode(module: nnx.Module, *, training: bool, frozen_statistics: bool = False) -> nnx.Module:
    """Return `module` in training mode (batch statistics, dropout) or evaluation mode, in place."""
    if training:
        module.train()
        if frozen_statistics:
            for _, part in nnx.iter_graph(module):
                if isinstance(part, nnx.Module) and hasattr(part, "use_running_average"):
                    part.use_running_average = True
    else:
        module.eval()
    return module


class Functional:
    """A module as functions of pure arrays; its structure is static.

    What is a `nnx.Param` is trained; random streams are keyed anew at each call; every other variable is a statistic,
    handed in and out.
    """

    def __init__(self, module: nnx.Module, *, frozen_statistics: bool = False):
        self._graphs: dict[bool, Any] = {}
        for training in (True, False):
            set_mode(module, training=training, frozen_statistics=frozen_statistics)
            graph, params, random, statistics = nnx.split(module, nnx.Param, nnx.RngState, ...)
            self._graphs[training] = graph
        self._random = nnx.as_pure(random)
        self.params: PyTree = _pure(nnx.as_pure(params))
        self.statistics: PyTree = _pure(nnx.as_pure(statistics))
        self._params_state, self._statistics_state = params, statistics

    def merge(self, params: PyTree, statistics: PyTree, *, training: bool, key: jax.Array | None) -> Any:
        """Return the module with these arrays, its random streams keyed by `key`."""
        random = jax.tree.map(lambda leaf: leaf, self._random)
        module = nnx.merge(self._graphs[training], nnx.State(params), random, nnx.State(statistics), copy=True)
        if training and key is not None:
            tags = {
                part.key.tag for _, part in nnx.iter_graph(module) if isinstance(part, nnx.RngStream)
            }
            if tags:
                nnx.reseed(module, **{tag: jax.random.fold_in(key, zlib.crc32(tag.encode())) for tag in sorted(tags)})
        return module

    def statistics_of(self, module: Any) -> PyTree:
        """Return the statistics of a merged module after it ran."""
        _, _, _, statistics = nnx.split(module, nnx.Param, nnx.RngState, ...)
        return _pure(nnx.as_pure(statistics))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How raw inputs become what the model sees: integers to [0, 1], then (x - mean) / deviation of each domain.

    Attributes:
      mean, deviation: by domain, arrays over the last axis, or empty where inputs stay as they are.
    """

    mean: Mapping[str, np.ndarray]
    deviation: Mapping[str, np.ndarray]

    @staticmethod
    def scale(x: jax.Array) -> jax.Array:
        """Return integer inputs in [0, 1] as float32, and floats as they are."""
        if not jax.numpy.issubdtype(x.dtype, jax.numpy.floating):
            return x.astype(jax.numpy.float32) / 255.0
        return x

    def standardize(self, x: jax.Array, domain: str) -> jax.Array:
        """Return `(x - mean) / deviation` of a domain."""
        if domain not in self.mean:
            return x
        shape = (1,) * (x.ndim - 1) + (-1,)
        mean = self.mean[domain].astype(x.dtype).reshape(shape)
        return (x - mean) / self.deviation[domain].astype(x.dtype).reshape(shape)

    def record(self) -> dict[str, Any]:
        """Return the constants as JSON."""
        return {
            name: {domain: values.tolist() for domain, values in getattr(self, name).items()}
            for name in ("mean", "deviation")
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Inputs:
        """Return what `record` wrote."""
        return cls(
            **{
                name: {domain: np.asarray(values, np.float32) for domain, values in record[name].items()}
                for name in ("mean", "deviation")
            }
        )

    @classmethod
    def measure(cls, how: str, source: list[Any], target: Any, limit: int = 20_000) -> Inputs:
        """Return the constants that a recipe's `standardize` asks for, from at most `limit` examples of each domain."""

        def moments(arrays: list[Any]) -> tuple[np.ndarray, np.ndarray]:
            parts = [np.stack([np.asarray(x[int(i)]) for i in np.linspace(0, len(x) - 1, min(len(x), limit)).astype(int)])
                     for x in arrays]
            x = np.concatenate(parts)
            x = x.astype(np.float64) / 255.0 if x.dtype.kind != "f" else x.astype(np.float64)
            axes = tuple(range(x.ndim - 1))
            deviation = x.std(axes)
            return x.mean(axes).astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)

        if how == "none":
            return cls({}, {})
        mean, deviation = moments(source)
        if how == "source":
            return cls({"source": mean, "target": mean}, {"source": deviation, "target": deviation})
        target_mean, target_deviation = moments([target])
        return cls({"source": mean, "target": target_mean}, {"source": deviation, "target": target_deviation})


class Network:
    """The trained modules of a run: the model and the method's heads, as functions of pure arrays.

    Args:
      config: a resolved config.
      shape: shape of one input.
      classes: number of classes.
      counts: numbers of source domains, source examples and target examples.
      seed: what the initial parameters are drawn from.
    """

    def __init__(self, config: Config, shape: tuple[int, ...], classes: int, counts: tuple[int, int, int], seed: int):
        method: Method = config.method  # type: ignore[assignment]
        recipe: Recipe = config.recipe  # type: ignore[assignment]
        rngs = nnx.Rngs(jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"initialise")))

        def bottleneck(features: int, *, rngs: nnx.Rngs) -> nnx.Module | None:
            return method.bottleneck(features, rngs)

        def classifier(features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
            own = method.classifier(features, classes, rngs)
            return nnx.Linear(features, classes, rngs=rngs) if own is None else own

        prescribes = type(method).bottleneck is not Method.bottleneck
        model: Model = build_model(
            config.backbone,
            shape,
            classes,
            rngs=rngs,
            bottleneck=bottleneck if prescribes else (recipe.bottleneck or None),
            classifier=classifier,
        )
        frozen = recipe.batchnorm.statistics == "frozen"
        width = model.out_features
        self.sizes = Sizes(
            features=width,
            classes=classes,
            sources=counts[0],
            source_examples=counts[1],
            target_examples=counts[2],
            classifier=lambda *, rngs: classifier(width, classes, rngs=rngs),
        )
        heads = dict(method.heads(self.sizes, rngs))
        for name in heads:
            if name in MODEL_BLOCKS:
                raise UsageError(f"method {method.name!r}: a head cannot be called {name!r}, the model has that block.")
        self.policy = recipe.batchnorm
        self.model = Functional(model, frozen_statistics=frozen)
        self.heads = {name: Functional(head) for name, head in heads.items()}

    def initial(self) -> tuple[dict[str, PyTree], dict[str, PyTree], dict[str, PyTree]]:
        """Return parameters by block, the model's statistics by domain (or "shared"), and the heads' statistics."""
        params = dict(self.model.params) | {name: head.params for name, head in self.heads.items()}
        kept = ("source", "target") if self.policy.statistics == "per_domain" else ("shared",)
        statistics = {name: jax.tree.map(lambda leaf: leaf, self.model.statistics) for name in kept}
        return params, statistics, {name: head.statistics for name, head in self.heads.items()}

    def key_of(self, domain: Literal["source", "target"]) -> str:
        """Return under which name the statistics of a domain are kept."""
        return domain if self.policy.statistics == "per_domain" else "shared"

    def module(
        self, params: Mapping[str, PyTree], statistics: PyTree, *, training: bool, key: jax.Array | None
    ) -> Any:
        """Return the model with these parameters (its blocks among them) and statistics."""
        own = {block: params[block] for block in self.model.params}
        return self.model.merge(own, statistics, training=training, key=key)

    def forward(
        self,
        params: Mapping[str, PyTree],
        statistics: PyTree,
        x: jax.Array,
        *,
        training: bool,
        key: jax.Array | None = None,
        nudge: jax.Array | None = None,
    ) -> Forward:
        """Run the model; `nudge` is added to the features (its gradient is the features' gradient)."""
        model = self.module(params, statistics, training=training, key=key)
        features = model.features(x)
        if nudge is not None:
            features = features + nudge
        logits = model.classify(features)
        return Forward(features, logits, self.model.statistics_of(model))
