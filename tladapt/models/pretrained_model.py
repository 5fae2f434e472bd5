"""Networks with published weights: by a registered name, a hub's id, or a file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES
from tladapt.models.backbones.published import Chain, Published
from tladapt.models.model import Outputs
from tladapt.models.model import filled as as_drawn
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights.catalogue import WEIGHTS, PublishedWeights, by_checksum
from tladapt.models.weights.hub import fetch_beside, obtain
from tladapt.models.weights.packages import find_in_package
from tladapt.models.weights.store import flatten
from tladapt.models.weights.table import Filled, fill
from tladapt.registry import suggest

PyTree = Any


class PretrainedModel(nnx.Module):
    """A network with its published classifier.

    Attributes:
      backbone: inputs `[n, ...]` -> features `[n, d]`, by named stages.
      classifier: -> logits `[n, C]`; None where there is none.
      spec: the backbone's options.
      preprocessing: how pictures or texts become inputs.
      notes: what happened to the weights, for people.
    """

    def __init__(
        self,
        spec: Published,
        backbone: Chain,
        classifier: nnx.Module | None,
        preprocessing: Preprocessing | TextPreprocessing,
        notes: tuple[str, ...] = (),
    ):
        self.spec, self.backbone = spec, backbone
        self.classifier: Any = classifier if classifier is not None else nnx.data(None)
        self.preprocessing, self.notes = preprocessing, notes

    def preprocess(self, raw: Any) -> jax.Array:
        """Return inputs of paths, pictures or arrays of images, or of texts: `Preprocessing`, `TextPreprocessing`."""
        return self.preprocessing(raw)

    def features(self, x: jax.Array) -> jax.Array:
        """Return features `[n, d]` of inputs `[n, ...]`, as the weights were trained to read them."""
        return self.backbone(x)

    def taps(self, x: jax.Array, *names: str) -> dict[str, jax.Array]:
        """Return the outputs of named stages; `model.backbone.stage_names()` lists them."""
        return self.backbone.taps(x, names)

    def logits(self, x: jax.Array) -> jax.Array:
        """Return logits `[n, C]` of inputs `[n, ...]`.

        Raises:
          UsageError: for weights without a classifier.
        """
        return self(x).logits

    def __call__(self, x: jax.Array) -> Outputs:
        """Return features and logits in one pass."""
        if self.classifier is None:
            raise UsageError(
                "these weights have no classifier, only features. pretrained(..., classes=C) draws a new one."
            )
        reads, last = self.spec.classifier_reads, self.backbone.stage_names()[-1]
        found = self.backbone.taps(x, [name for name in (reads, last) if name])
        return Outputs(found[last], self.classifier(found[reads or last]))


class Located(NamedTuple):
    """A file of weights, and what is known about it.

    Attributes:
      path: the file or folder.
      sha256: its checksum; empty for a folder.
      known: the registered weights that it is; None for any other file.
    """

    path: Path
    sha256: str
    known: PublishedWeights | None

    @property
    def folder(self) -> Path:
        """The folder of the weights, where a config.json and a tokenizer may lie beside them."""
        return self.path if self.path.is_dir() else self.path.parent


def locate(weights: str | os.PathLike[str], backbone: str = "") -> Located:
    """Return the file that a name, a path, an installed package or a hub's id stands for; what is not here is fetched.

    Args:
      weights: as for `pretrained`.
      backbone: whose they are: "torchvision/IMAGENET1K_V1" is "torchvision/resnet50.IMAGENET1K_V1" for a resnet50.

    Raises:
      UnknownNameError, MissingDataError: for what is nowhere, with what to bring and where to put it.
    """
    path = Path(weights)
    name = str(weights)
    library, _, tag = name.rpartition("/")
    if f"{library}/{backbone}.{tag}" in WEIGHTS and not path.exists():
        name = f"{library}/{backbone}.{tag}"
    known = WEIGHTS[name] if name in WEIGHTS else None  # noqa: SIM401  # a registry has no get()
    if known is not None and backbone and backbone != known.backbone:
        raise UsageError(
            f"the weights {known.name} are of {known.backbone!r}, and the backbone is {backbone!r}. Use --backbone"
            f" {known.backbone}, or other weights."
        )
    if known is None and not path.exists() and (carried := find_in_package(name)) is not None:
        path = carried
    elif known is not None or not path.exists():
        path = obtain(name, known)
    if path.is_dir():
        return Located(path, "", known)
    digest = _sha256(path)
    return Located(path, digest, known or by_checksum(digest))


def _sha256(path: Path) -> str:
    about = path.stat()
    return _digest(path.resolve(), about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _digest(path: Path, size: int, modified: int) -> str:
    """Return the checksum of a file, once for each state of it: a run asks several times."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def adjusted(spec: Published, located: Located) -> Published:
    """Return a backbone with the fields that its weights ask for; a field that is not at its default stays.

    The weights ask by what is registered of them, and by the files beside them (a config.json).
    """
    if located.known is not None:
        _check_backbone(spec, located.known)
        usual, wanted = type(spec)(), located.known.fields()
        asked = {name: value for name, value in wanted.items() if getattr(spec, name) == getattr(usual, name)}
        spec = dataclasses.replace(spec, **asked)
    fetch_beside(located.path, spec.companions)
    return spec.configured(located.folder)


def _check_backbone(spec: Published, known: PublishedWeights) -> None:
    if known.backbone in BACKBONES and BACKBONES[known.backbone] is not type(spec):
        raise UsageError(
            f"the weights {known.name} are of {known.backbone!r}, and the backbone is {spec.name!r}. Use"
            f" --backbone {known.backbone}, or other weights."
        )


def leaves(model: nnx.Module) -> dict[str, jax.Array]:
    """Return the parameters and statistics of a module by path; its random state is left out."""
    return flatten(nnx.state(model, nnx.Not(nnx.RngState)))


def put(model: nnx.Module, arrays: dict[str, np.ndarray]) -> None:
    """Put arrays into a module in place, by path; shapes have been checked."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    for path, variable in nnx.to_flat_state(state):
        name = "/".join(map(str, path))
        if name in arrays:
            variable.set_value(jnp.asarray(arrays[name]))
    nnx.update(model, state)


def pretrained(
    backbone: str | Published,
    weights: str | os.PathLike[str] | None = None,
    *,
    classes: int | None = None,
    shape: Sequence[int] | None = None,
    rngs: nnx.Rngs | None = None,
    **options: Any,
) -> PretrainedModel:
    """Return a network with published weights, in evaluation mode until `model.train()`.

    Args:
      backbone: its name ("resnet50", "mobilenetv2_100" ...) or the object with its options.
      weights: a registered name ("torchvision/resnet50.IMAGENET1K_V1", or "torchvision/IMAGENET1K_V1"), a hub's id, a
        file, a folder, or an installed package that carries the files; None: random parameters.
      classes: of the classifier. None: as many as the weights have. A classifier of another size is drawn anew, and
        `model.notes` says so.
      shape: of one input; None: the size that it was published with.
      rngs: draws what no weights fill; None: `nnx.Rngs(0)`.
      **options: fields of the backbone, such as `remat=True`; those that the weights ask for are set by themselves.

    Returns:
      A `PretrainedModel`: `model.features(x)`, `model.logits(x)`, `model.taps(x, "layer3")`, `model.preprocess(...)`.

    Raises:
      UsageError: for weights that do not fit, listing all that does not.
      UnknownNameError, MissingDataError, DamagedDataError: for weights that are nowhere, or cannot be read.

    Example:
      >>> model = pretrained("cifar_resnet20", classes=5)
      >>> model.logits(jnp.zeros((1, 32, 32, 3))).shape
      (1, 5)
    """
    spec = BACKBONES[backbone](**options) if isinstance(backbone, str) else backbone
    if not isinstance(spec, Published):
        known = [name for name in BACKBONES if issubclass(BACKBONES[name], Published)]
        raise UsageError(f"backbone {spec.name!r} has no published weights.{suggest(spec.name, known)}")
    located = None if weights is None else locate(weights, spec.name)
    spec = spec if located is None else adjusted(spec, located)
    known_weights = None if located is None else located.known
    preprocessing = spec.reads(
        None if known_weights is None else known_weights.preprocessing, None if located is None else located.folder
    )
    rngs = nnx.Rngs(0) if rngs is None else rngs
    shape = tuple(shape) if shape is not None else preprocessing.shape

    def parts(count: int, rngs: nnx.Rngs) -> PretrainedModel:
        network = spec.build(shape, rngs=rngs)
        head = spec.classifier(network.out_features, count, rngs=rngs) if count else None
        return PretrainedModel(spec, network, head, preprocessing)

    if located is None:
        model = parts(classes or spec.published_classes, rngs)
    else:
        tensors = read(located)
        count = classes or classes_in(tensors, spec)
        model = nnx.eval_shape(lambda: parts(count, nnx.Rngs(0)))  # nothing is drawn that a file fills
        blocks = ("backbone", "classifier") if count else ("backbone",)
        filled = fill(tensors, leaves(model), spec.tables(), called=str(weights), blocks=blocks)
        if filled.notes:
            model.classifier = spec.classifier(model.backbone.out_features, count, rngs=rngs)
        model = as_drawn(model, rngs)  # type: ignore[assignment]
        put(model, filled.arrays)
        model.notes = tuple(filled.notes)
    model.eval()
    return model


def read(located: Located) -> dict[str, np.ndarray]:
    """Return the tensors of a file of weights by name."""
    from tladapt.models.weights.files import read_weights_file

    return dict(read_weights_file(located.path).tensors)


def classes_in(tensors: dict[str, np.ndarray], spec: Published) -> int:
    """Return how many classes the classifier in a file has; 0 where it has none."""
    places = [
        (found[0], tensor.size)
        for table in spec.tables()
        for name, tensor in tensors.items()
        if (found := table.place(name)) is not None
    ]
    biases = [(path, size) for path, size in places if path.startswith("classifier/") and path.endswith("bias")]
    last = min(biases, key=lambda found: found[0].count("/"), default=("", 0))  # hidden layers are further down
    return int(last[1])


def backbone_arrays(spec: Published, weights: str | os.PathLike[str], wanted: dict[str, Any]) -> Filled:
    """Return the arrays of the backbone alone, by path ("backbone/..."), from the weights of a name or file."""
    located = locate(weights, spec.name)
    if located.known is not None:
        _check_backbone(spec, located.known)
    return fill(read(located), wanted, spec.tables(), called=str(weights), blocks=("backbone",))
