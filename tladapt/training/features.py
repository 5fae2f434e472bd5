"""Feature extraction: a backbone that stays as its weights are is run once, and what is trained stands on its output.

A run over cached features is a run like any other whose inputs are features: the network of its steps has the identity
in the place of the backbone. What it leaves, `Result` and `model/`, has the backbone in it again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import tladapt
from tladapt.data import AUGMENTATIONS, Domain, Scenario, in_order, in_turn
from tladapt.data.catalogue.files import cached_arrays
from tladapt.errors import UsageError
from tladapt.methods.base import Sizes
from tladapt.models import Model, build_model
from tladapt.models.backbones import Identity
from tladapt.models.backbones.text import TextNetwork
from tladapt.models.compile import jit as compiled
from tladapt.models.text_features import by_length
from tladapt.training.config import Config, Recipe, describe
from tladapt.training.evaluate import Predictor, Weights
from tladapt.training.folder import checksum
from tladapt.training.inputs import Inputs
from tladapt.training.network import Functional, Network
from tladapt.training.start import load_backbone, weights_checksum

PyTree = Any
Watch = Callable[[str, int, int], None]
"""Called with what is done, how many examples are done, and how many there are."""

BATCH = 32  # large images fit in memory, and a core's cache holds a layer of them
VIEW = "cached_view"


@AUGMENTATIONS.register(VIEW)
def cached_view(key: jax.Array, x: jax.Array) -> jax.Array:
    """Return one of the views of each example that were cached: `[n, 1 + views, d] -> [n, 1, d]`."""
    place = jax.random.randint(key, (len(x), 1, 1), 1, x.shape[1])
    return jnp.take_along_axis(x, place, axis=1)


class Frozen:
    """A backbone that a run does not train.

    Attributes:
      model: the network with it, in evaluation mode.
      params, statistics: its arrays, as a run keeps those of block "backbone".
      words: what happened to its weights, for people.
    """

    def __init__(self, model: Model, params: PyTree, statistics: PyTree, words: Sequence[str]):
        self.model, self.params, self.statistics, self.words = model, params, statistics, tuple(words)
        self._predictor: Predictor | None = None

    def predictor(self, config: Config, scenario: Scenario, sizes: Sizes) -> Predictor:
        """Return what predicts from inputs as they are; made once, for seeds share it.

        Args:
          config: the run's own.
          scenario: as it was given.
          sizes: of the network over features.
        """
        if self._predictor is None:
            counts = (sizes.sources, sizes.source_examples, sizes.target_examples)
            network = Network(config, scenario.target.shape, sizes.classes, counts, 0)
            self._predictor = Predictor(network, config.method)  # type: ignore[arg-type]
        return self._predictor


class Extracted(NamedTuple):
    """What feature extraction makes of a run.

    Attributes:
      config: the config of the steps: the identity for a backbone.
      scenario: the same problem, its inputs features.
      frozen: the backbone.
    """

    config: Config
    scenario: Scenario
    frozen: Frozen


def inner_config(config: Config) -> Config:
    """Return the config of the steps of a run over cached features."""
    recipe: Recipe = config.recipe  # type: ignore[assignment]
    augment = VIEW if config.views else "none"
    return dataclasses.replace(
        config,
        backbone=Identity(),
        weights=None,
        transfer="finetune",
        views=0,
        recipe=dataclasses.replace(recipe, augment=augment, precision="float32"),
    )


def check(config: Config) -> None:
    """Raise `UsageError` for what cached features cannot give a run."""
    method, recipe, penalty = config.method, config.recipe, config.penalty
    if penalty is not None and penalty.tunes:  # type: ignore[union-attr]
        raise UsageError(
            f"penalty {penalty.name!r} is on how the backbone is trained, and transfer='features' keeps it as it is."  # type: ignore[union-attr]
            " Use --transfer finetune."
        )
    if recipe.unfreeze is not None or isinstance(recipe.freeze, int):  # type: ignore[union-attr]
        raise UsageError(
            "recipe.freeze and recipe.unfreeze say which blocks of the backbone are trained when, and"
            " transfer='features' trains none. Use --transfer finetune, or leave them out."
        )
    if config.weights is None and config.init is None:
        raise UsageError(
            "transfer='features' keeps the backbone as its weights are, and no weights are named: its features would be"
            " those of random parameters. Name some (--weights FILE, --init RUN), or use --transfer finetune."
        )
    wanted = [need for need in ("views", "inputs") if need in method.needs]  # type: ignore[union-attr]
    augment = recipe.augment if recipe.augment != "none" else method.augmentation  # type: ignore[union-attr]
    if "inputs" in wanted:
        raise UsageError(
            f"method {method.name!r} looks at the inputs themselves, which cached features do not have. Use"  # type: ignore[union-attr]
            " --transfer finetune; --recipe.backbone_rate 0 keeps the backbone as it is there, too."
        )
    if not config.views and (wanted or augment != "none"):
        whose = f"method {method.name!r} needs" if wanted else f"augmentation {augment!r} makes"  # type: ignore[union-attr]
        raise UsageError(
            f"{whose} other views of each input, and cached features have one. --views 4 caches four augmented ones"
            " beside it; --transfer finetune computes the backbone at each step."
        )
    if config.views and augment == "none":
        raise UsageError(
            f"views={config.views} caches augmented views, and nothing augments the inputs. Name something: --recipe"
            ".augment flip+crop, say."
        )


def extract(config: Config, scenario: Scenario, watch: Watch | None = None) -> Extracted:
    """Return the run over features that a run with a frozen backbone comes to; features are cached on disk.

    Args:
      config: resolved, `transfer="features"`.
      scenario: the problem, with inputs as the backbone reads them.
      watch: told how far it is.

    Raises:
      UsageError: for a method or recipe that features do not serve, or weights that do not fit.
    """
    check(config)
    frozen = frozen_backbone(config, scenario.target.shape)
    seen = scenario.with_inputs(lambda x, called: features_of(config, frozen, x, called, watch))
    return Extracted(inner_config(config), seen, frozen)


def frozen_backbone(config: Config, shape: tuple[int, ...]) -> Frozen:
    """Return the backbone of a config with the weights that the run starts from, in evaluation mode."""
    recipe: Recipe = config.recipe  # type: ignore[assignment]
    model = build_model(config.backbone, shape, 2, rngs=nnx.Rngs(0), precision=recipe.precision, draw=False)
    parts = Functional(model)
    params, statistics = {"backbone": parts.params.get("backbone", {})}, {"shared": parts.statistics}
    params, statistics, words = load_backbone(config, params, statistics)
    module = parts.merge({**parts.params, **params}, statistics["shared"], mode="evaluate", key=None)
    return Frozen(module, params["backbone"], statistics["shared"].get("backbone", {}), words)


def joined(weights: Weights, params: PyTree, statistics: PyTree) -> Weights:
    """Return the weights of a run over features with the backbone's in their place."""
    return weights._replace(
        params={"backbone": params, **weights.params},
        statistics={
            name: {"backbone": statistics, **tree} if jax.tree.leaves(statistics) else tree
            for name, tree in weights.statistics.items()
        },
    )


# ---- features of one domain, from the cache or computed ----------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _code() -> str:
    """Return a checksum of the code that features depend on: all networks and layers."""
    found = hashlib.sha256()
    for path in sorted((Path(tladapt.__file__).parent / "models").rglob("*.py")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def _stem(config: Config, x: Any, view: int, augment: str) -> str | None:
    """Return under which name the features of some inputs are cached; None for inputs that have no checksum."""
    if not isinstance(x, np.ndarray):
        return None
    recipe: Recipe = config.recipe  # type: ignore[assignment]
    key = {
        "weights": weights_checksum(config),
        "backbone": describe(config.backbone),
        "precision": recipe.precision,
        "inputs": checksum({"x": x}),
        "view": [view, augment] if view else [],
        "code": _code(),
    }
    return "features-" + hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:40]


def features_of(config: Config, frozen: Frozen, x: Any, called: str, watch: Watch | None = None) -> np.ndarray:
    """Return the features of inputs, `[n, d]`, or `[n, 1 + views, d]` where views are asked for; cached on disk."""
    recipe: Recipe = config.recipe  # type: ignore[assignment]
    augment = recipe.augment if recipe.augment != "none" else config.method.augmentation  # type: ignore[union-attr]
    views = [_one_view(config, frozen, x, view, augment, called, watch) for view in range(1 + config.views)]
    return views[0] if not config.views else np.stack(views, axis=1)


def _one_view(
    config: Config, frozen: Frozen, x: Any, view: int, augment: str, called: str, watch: Watch | None
) -> np.ndarray:
    name = f"features of {called}" + (f", view {view}" if view else "")
    stem = _stem(config, x, view, augment)

    def compute() -> dict[str, np.ndarray]:
        return {"features": _computed(frozen.model, x, view, augment, name, watch)}

    return (compute() if stem is None else cached_arrays(stem, ["features"], compute))["features"]


def _computed(model: Model, x: Any, view: int, augment: str, name: str, watch: Watch | None) -> np.ndarray:
    """Return the features `[n, d]` of one view of each example, float32."""
    change = AUGMENTATIONS[augment]

    def run(model: Model, x: jax.Array, key: jax.Array) -> jax.Array:
        x = Inputs.scale(x)
        x = change(key, x) if view else x
        return model.body(model.read(x))

    step, count, done = compiled(run, convolutions=True), len(x), 0
    key = jax.random.fold_in(jax.random.key(0), view)  # of the cache, not of a run: seeds share views
    found: np.ndarray | None = None
    for rows, batch in _batches(model, x):
        features = np.asarray(step(model, batch, jax.random.fold_in(key, int(rows[0]))))[: len(rows)]
        found = np.zeros((count, features.shape[1]), np.float32) if found is None else found
        found[rows] = features
        done += len(rows)
        if watch is not None:
            watch(name, done, count)
    assert found is not None
    return found


def _batches(model: Model, x: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield positions and inputs, the last batch filled up; texts go by length, without most of their padding."""
    if isinstance(model.backbone, TextNetwork):
        yield from by_length(np.asarray(x), model.backbone.pad_id, batch_size=BATCH)
        return
    batches = in_order(len(x), BATCH)
    for place, found in enumerate(in_turn(Domain(x), batches)):
        yield np.arange(place * len(found), min((place + 1) * len(found), len(x))), found


def notes(config: Config, frozen: Frozen, params: Mapping[str, PyTree]) -> list[str]:
    """Return what the user of cached features should know."""
    found = list(frozen.words)
    if "bottleneck" not in params and config.method.name not in ("source_only", "target_only"):  # type: ignore[union-attr]
        found.append(
            "features are fixed and there is no bottleneck, so that the classifier alone can adapt:"
            " --recipe.bottleneck 256 gives the method something to align"
        )
    return found


REMARK = "the backbone stays as its weights are, and its features are computed once; --transfer finetune trains it too"
