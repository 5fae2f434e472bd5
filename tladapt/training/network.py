"""Model and heads as pure arrays: parameters by block, statistics, and forward passes as functions of them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.methods.base import Forward, Method, Sizes
from tladapt.models import Backbone, Model, build_model
from tladapt.models.backbones.published import Chain
from tladapt.penalties import Penalty, SourceClassifier
from tladapt.penalties.base import BACKBONE, SOURCE_CLASSIFIER
from tladapt.registry import suggest
from tladapt.training.config import BatchNorm, Config, Recipe
from tladapt.training.freezing import Freezing, blocks_of, paths
from tladapt.training.optim import MODEL_BLOCKS

PyTree = Any


def _pure(state: Any) -> Any:
    return nnx.to_pure_dict(nnx.as_pure(state))


Mode = Literal["train", "evaluate", "measure"]
"""Dropout and batch statistics; neither of them; batch statistics without dropout."""


def set_mode(module: nnx.Module, mode: Mode, *, frozen_statistics: bool = False) -> None:
    """Switch dropout and batch statistics of a module, in place."""
    if mode == "train":
        module.train()
    else:
        module.eval()
    for _, part in nnx.iter_graph(module):
        if isinstance(part, nnx.Module) and hasattr(part, "use_running_average"):
            part.use_running_average = mode == "evaluate" or (mode == "train" and frozen_statistics)


def set_still(module: nnx.Module, still: Callable[[str], bool], block: str = "") -> None:
    """Switch the parts of a module whose parameters and statistics all stand still to evaluation, in place.

    Args:
      module: in training mode.
      still: whether a path stands still.
      block: what the paths of the module's leaves begin with.
    """
    names = jax.tree.leaves(paths(_pure(nnx.state(module, nnx.Not(nnx.RngState))), block))
    stands = {name: still(name) for name in names}
    if not any(stands.values()):
        return
    for place, part in nnx.iter_modules(module):
        prefix = "/".join(str(key) for key in ((block,) if block else ()) + place)
        own = [stands[name] for name in names if name.startswith(prefix + "/" if prefix else "")]
        if own and all(own):
            part.eval()


class Functional:
    """A module as functions of pure arrays; its structure is static.

    What is a `nnx.Param` is trained; random streams are keyed anew at each call; every other variable is a statistic,
    handed in and out. What stands still in a phase is in evaluation mode while the rest trains: it normalises by its
    running statistics, leaves them alone and drops nothing.

    Args:
      module: the module.
      frozen_statistics: whether running statistics are used, and left alone, in all phases.
      freezing: what stands still in which phase.
      block: what the paths of the module's leaves begin with.
    """

    def __init__(
        self,
        module: nnx.Module,
        *,
        frozen_statistics: bool = False,
        freezing: Freezing | None = None,
        block: str = "",
    ):
        self._graphs: dict[tuple[Mode, int], Any] = {}
        self._still: list[PyTree] = []
        for mode in get_args(Mode):
            for phase in range(freezing.phases if freezing is not None and mode == "train" else 1):
                set_mode(module, mode, frozen_statistics=frozen_statistics)
                if freezing is not None and mode == "train":
                    set_still(module, functools.partial(freezing.still, phase=phase), block)
                self._graphs[mode, phase], *states = nnx.split(module, nnx.Param, nnx.RngState, ...)
        params, random, statistics = states
        self._random = nnx.as_pure(random)
        self.params: PyTree = _pure(params)
        self.statistics: PyTree = _pure(statistics)
        if freezing is not None:
            names = paths(self.statistics, block)
            self._still = [
                jax.tree.map(functools.partial(freezing.still, phase=phase), names) for phase in range(freezing.phases)
            ]

    def merge(self, params: PyTree, statistics: PyTree, *, mode: Mode, key: jax.Array | None, phase: int = 0) -> Any:
        """Return the module with these arrays; in training its random streams are keyed by `key`."""
        graph = self._graphs[mode, phase if mode == "train" else 0]
        module = nnx.merge(graph, nnx.State(params), self._random, nnx.State(statistics), copy=True)
        if mode == "train" and key is not None:
            tags = {part.key.tag for _, part in nnx.iter_graph(module) if isinstance(part, nnx.RngStream)}
            if tags:
                keys: dict[str, Any] = {tag: jax.random.fold_in(key, zlib.crc32(tag.encode())) for tag in sorted(tags)}
                nnx.reseed(module, **keys)
        return module

    def statistics_of(self, module: Any) -> PyTree:
        """Return the statistics of a merged module after it ran."""
        _, *states = nnx.split(module, nnx.Param, nnx.RngState, ...)
        return _pure(states[-1])

    def kept(self, before: PyTree, after: PyTree, phase: int) -> PyTree:
        """Return the statistics after a pass in training, with those before it where they stand still."""
        if not self._still or not any(jax.tree.leaves(self._still[phase])):
            return after
        return jax.tree.map(lambda still, old, new: old if still else new, self._still[phase], before, after)


class Network:
    """The trained modules of a run: the model and the method's heads, as functions of pure arrays.

    Args:
      config: a resolved config.
      shape: shape of one input.
      classes: number of classes.
      counts: numbers of source domains, source examples and target examples.
      seed: what the initial parameters are drawn from.
      source_classifier: the one that the starting weights came with, where the penalty asks for it.

    Attributes:
      dtype: what the backbone reads, "float32" or "int32" (token ids).
      freezing: what stands still when.
      backbone_features: width of what the backbone gives.
      layers: names of the backbone's stages that have parameters, in order; () where it does not name them.
      taps: the layers whose outputs the penalty looks at.
    """

    def __init__(
        self,
        config: Config,
        shape: tuple[int, ...],
        classes: int,
        counts: tuple[int, int, int],
        seed: int,
        source_classifier: SourceClassifier | None = None,
    ):
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
            precision=recipe.precision,
            draw=not (isinstance(config.backbone, Backbone) and config.weights is not None),
        )
        self.shape, self.policy = shape, _policy(method, recipe, model)
        self.dtype: str = getattr(config.backbone, "dtype", "float32")
        frozen = self.policy.statistics == "frozen"
        width, self.backbone_features = model.out_features, model.backbone_features
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
        # A module of one's own is copied into the model, and its children lose the order of their definition there.
        made = config.backbone if isinstance(config.backbone, nnx.Module) else model.backbone
        found = blocks_of(made, _pure(nnx.state(model.backbone, nnx.Param)))
        self.freezing = Freezing(recipe, found, getattr(made, "fixed_paths", ()))
        self.model = Functional(model, frozen_statistics=frozen, freezing=self.freezing)
        self.heads = {name: Functional(head, freezing=self.freezing, block=name) for name, head in heads.items()}
        penalty: Penalty | None = config.penalty  # type: ignore[assignment]
        self.reads = "" if source_classifier is None else source_classifier.reads
        self.source_classifier = None if source_classifier is None else Functional(source_classifier.module)
        self._trains_source = penalty is not None and penalty.trains_source_classifier
        chain = model.backbone if isinstance(model.backbone, Chain) else None
        self.layers = () if chain is None else tuple(dict.fromkeys(name for name, _ in chain.stage_paths()))
        self.taps = () if penalty is None else self._taps(penalty, chain)

    def _taps(self, penalty: Penalty, chain: Chain | None) -> tuple[str, ...]:
        """Return the layers that a penalty looks at, after a look at whether the backbone names them."""
        wanted = [*penalty.taps(self.layers), *([self.reads] if self.reads not in ("", "features") else [])]
        inner = [name for name in wanted if name != BACKBONE]
        if chain is None and (inner or "taps" in penalty.needs):
            raise UsageError(
                f"penalty {penalty.name!r} looks at inner layers by name, and this backbone does not name its layers."
                " Derive it from tladapt.models.backbones.Chain, or use another penalty."
            )
        for name in inner:
            if chain is not None and name not in (known := chain.stage_names()):
                raise UsageError(f"penalty {penalty.name!r}: the backbone has no layer {name!r}.{suggest(name, known)}")
        return tuple(dict.fromkeys(wanted))

    def initial(self) -> tuple[dict[str, PyTree], dict[str, PyTree], dict[str, PyTree]]:
        """Return parameters by block, the model's statistics by domain (or "shared"), and the heads' statistics."""
        params = dict(self.model.params) | {name: head.params for name, head in self.heads.items()}
        if self._trains_source and self.source_classifier is not None:
            params[SOURCE_CLASSIFIER] = self.source_classifier.params
        kept = ("source", "target") if self.policy.statistics == "per_domain" else ("shared",)
        statistics = {name: jax.tree.map(lambda leaf: leaf, self.model.statistics) for name in kept}
        return params, statistics, {name: head.statistics for name, head in self.heads.items()}

    def key_of(self, domain: Literal["source", "target"]) -> str:
        """Return under which name the statistics of a domain are kept."""
        return domain if self.policy.statistics == "per_domain" else "shared"

    def forward(
        self,
        params: Mapping[str, PyTree],
        statistics: PyTree,
        x: jax.Array,
        *,
        mode: Mode,
        key: jax.Array | None = None,
        nudge: jax.Array | None = None,
        phase: int = 0,
        taps: tuple[str, ...] = (),
    ) -> Forward:
        """Run the model; `nudge` is added to the features (its gradient is the features' gradient)."""
        own = {block: params[block] for block in self.model.params}
        model = self.model.merge(own, statistics, mode=mode, key=key, phase=phase)
        found: dict[str, jax.Array] = {}
        if taps:
            inputs = model.read(x)
            inner = [name for name in taps if name != BACKBONE]
            if inner:
                last = model.backbone.stage_names()[-1]
                found = dict(model.backbone.taps(inputs, (*inner, last)))
                found[BACKBONE] = model.raised(found[last])
            else:
                found[BACKBONE] = model.body(inputs)
            features = found[BACKBONE] if model.bottleneck is None else model.bottleneck(found[BACKBONE])
        else:
            features = model.features(x)
        if nudge is not None:
            features = features + nudge
        logits = model.classify(features)
        after = self.model.statistics_of(model)
        if mode == "train":
            after = self.model.kept(statistics, after, phase)
        return Forward(features, logits, after, found)

    def before(self, params: Mapping[str, PyTree], statistics: PyTree, x: jax.Array, layer: str) -> jax.Array:
        """Return the output of a layer in evaluation mode."""
        model = self._evaluating(params, statistics)
        found: dict[str, jax.Array] = model.backbone.taps(model.read(x), (layer,))
        return found[layer]

    def after(self, params: Mapping[str, PyTree], statistics: PyTree, middle: jax.Array, layer: str) -> jax.Array:
        """Return the features in evaluation mode, from the output of a layer on."""
        model = self._evaluating(params, statistics)
        names = model.backbone.stage_names()
        for _, stage in itertools.islice(model.backbone.stages(), names.index(layer) + 1, None):
            middle = stage(middle)
        features = model.raised(middle)
        return features if model.bottleneck is None else model.bottleneck(features)

    def _evaluating(self, params: Mapping[str, PyTree], statistics: PyTree) -> Any:
        own = {block: params[block] for block in self.model.params}
        return self.model.merge(own, statistics, mode="evaluate", key=None)

    def source_logits(self, head: PyTree, x: jax.Array) -> jax.Array:
        """Return the logits of the source classifier, with parameters `head`, on what it reads."""
        assert self.source_classifier is not None
        part = self.source_classifier
        logits: jax.Array = part.merge(head, part.statistics, mode="evaluate", key=None)(x)
        return logits


def _policy(method: Method, recipe: Recipe, model: nnx.Module) -> BatchNorm:
    """Return the recipe's BatchNorm policy, with the target's statistics in evaluation where the method asks for them.

    Raises:
      UsageError: where the method asks for them and the network has no BatchNorm layer, or frozen statistics.
    """
    if not method.target_statistics:
        return recipe.batchnorm
    does = f"method {method.name!r} replaces the running statistics of BatchNorm layers by the target's"
    if not any(hasattr(part, "use_running_average") for _, part in nnx.iter_graph(model)):
        raise UsageError(
            f"{does}, and this network has no such layer, so that nothing would be adapted. Use a backbone with"
            " BatchNorm (digits_cnn, or mlp with --backbone.batch_norm true), or another method."
        )
    if recipe.batchnorm.statistics == "frozen":
        raise UsageError(
            f"{does}, and batchnorm statistics='frozen' keeps those that the run starts with; use another BatchNorm"
            " policy (preset 'joint'), or another method."
        )
    return dataclasses.replace(recipe.batchnorm, evaluation="target")
