"""Where a run starts from: the parameters of an earlier run, or of a file of its weights."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models import Linear, pretrained
from tladapt.models.backbones import Published
from tladapt.models.backbones.text import TextEncoder
from tladapt.models.pretrained_model import adjusted, backbone_arrays, locate
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights import load_arrays
from tladapt.penalties import SourceClassifier
from tladapt.penalties.base import BACKBONE
from tladapt.training.config import Config
from tladapt.training.state import flat

PyTree = Any


def load_blocks(
    place: str | os.PathLike[str], params: PyTree, statistics: PyTree, *, blocks: tuple[str, ...]
) -> tuple[PyTree, PyTree, list[str]]:
    """Return parameters and statistics with the model's blocks taken from a run's folder or a file of its weights.

    A classifier that does not fit is left as it was drawn, and a word says so.

    Args:
      place: a run's folder, or a file of its weights.
      params: parameters by block, as they were drawn.
      statistics: running statistics by domain or "shared".
      blocks: which blocks to take, where the model has them.

    Returns:
      Parameters, statistics, and words for people.

    Raises:
      UsageError: listing every array of a block that is missing, left over or of another shape.
      MissingDataError: when there is no such file.
    """
    path = Path(place)
    if path.is_dir():
        path = path / "model" / "model.safetensors"
    arrays = load_arrays(path)
    domains = {name.split("/")[1] for name in arrays if name.startswith("statistics/")}
    wanted = flat({"params": {block: params[block] for block in blocks if block in params}})
    sources = {name: name for name in wanted}  # name here -> name in the file
    for domain, tree in statistics.items():
        kept = domain if domain in domains else "shared" if "shared" in domains else "target"
        for name, leaf in flat(tree).items():
            wanted[f"statistics/{domain}/{name}"] = leaf
            sources[f"statistics/{domain}/{name}"] = f"statistics/{kept}/{name}"
    wanted = {name: leaf for name, leaf in wanted.items() if _block(name) in blocks}
    misfits: dict[str, str] = {}
    for name, leaf in wanted.items():
        came = arrays.get(sources[name])
        if came is None or came.shape != leaf.shape:
            shown = "it is missing" if came is None else f"came {list(came.shape)}"
            misfits[name] = f"{name}: expected {list(leaf.shape)}, {shown}"
    for name, came in arrays.items():
        if name.startswith("params/") and _block(name) in blocks and name not in wanted:
            misfits[name] = f"{name}: came {list(came.shape)}, the model has no such array"
    words: list[str] = []
    own = [misfits.pop(name) for name in list(misfits) if _block(name) == "classifier"]
    if own:
        words.append(f"the classifier of {path} does not fit, so a new one was drawn ({'; '.join(own)})")
    if misfits:
        listed = "\n  ".join(misfits.values())
        raise UsageError(
            f"{path} does not fit this model:\n  {listed}\nUse the backbone, its options and the bottleneck that the"
            " weights were trained with."
        )
    taken = {
        name: jnp.asarray(arrays[sources[name]], leaf.dtype)
        for name, leaf in wanted.items()
        if not (own and _block(name) == "classifier")
    }
    both = {"params": params, "statistics": statistics}
    leaves = [taken.get(name, leaf) for name, leaf in flat(both).items()]
    filled = jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(both), leaves)
    return filled["params"], filled["statistics"], words


def _is_run(path: Path) -> bool:
    """Return whether a file of weights, or a folder, is a run's of ours."""
    if path.is_dir():
        return (path / "model" / "model.safetensors").is_file()
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    import safetensors

    try:
        with safetensors.safe_open(path, "numpy") as file:
            return any(name.startswith("params/") for name in file.keys())  # noqa: SIM118  # it is no dictionary
    except safetensors.SafetensorError:
        return False  # what is wrong with it is said by those who read it


def is_published(config: Config) -> bool:
    """Return whether a config starts from weights that others have published."""
    return isinstance(config.backbone, Published) and config.weights is not None and not _is_run(Path(config.weights))


def with_options_of_weights(config: Config) -> Config:
    """Return a resolved config whose backbone has the options that its published weights ask for."""
    if not is_published(config):
        return config
    assert config.weights is not None
    return dataclasses.replace(config, backbone=adjusted(config.backbone, locate(config.weights, config.backbone.name)))


def text_preprocessing(config: Config) -> TextPreprocessing:
    """Return how texts become what the backbone of a config reads: by the tokenizer beside its weights.

    Raises:
      UsageError: for a backbone that reads no texts, or has no weights, whose tokenizer it would be.
    """
    spec = config.backbone
    if not isinstance(spec, TextEncoder):
        raise UsageError(
            f"these data are texts, and backbone {getattr(spec, 'name', spec)!r} reads none. Use one that does, with"
            " its weights: --backbone all-MiniLM-L6-v2 --weights sentence-transformers/all-MiniLM-L6-v2."
        )
    if config.weights is None:
        raise UsageError(
            f"backbone {spec.name!r} reads token ids, and the tokenizer comes with its weights. Name them (--weights),"
            " or turn texts into ids first: tladapt.data.tokenized(scenario, tokenizer, length)."
        )
    located = locate(config.weights, spec.name)
    found = spec.reads(None if located.known is None else located.known.preprocessing, located.folder)
    assert isinstance(found, TextPreprocessing)
    return found


def load_backbone(config: Config, params: PyTree, statistics: PyTree) -> tuple[PyTree, PyTree, list[str]]:
    """Return parameters and statistics with the backbone that a config starts from: of `weights`, then of `init`.

    Args:
      config: resolved.
      params: by block; other blocks than "backbone" stay.
      statistics: by domain or "shared".

    Raises:
      UsageError: listing every array that is missing, left over or of another shape.
    """
    words: list[str] = []
    if config.weights is not None and is_published(config):
        params, statistics, words = _load_published(config, params, statistics)
    elif config.weights is not None:
        params, statistics, words = load_blocks(config.weights, params, statistics, blocks=("backbone",))
    if config.init is not None:
        params, statistics, more = load_blocks(config.init, params, statistics, blocks=("backbone",))
        words += more
    return params, statistics, words


def _load_published(config: Config, params: PyTree, statistics: PyTree) -> tuple[PyTree, PyTree, list[str]]:
    some = next(iter(statistics.values())).get("backbone", {})
    wanted = {**flat({"backbone": params["backbone"]}), **flat({"backbone": some})}
    assert config.weights is not None
    filled = backbone_arrays(config.backbone, config.weights, wanted)

    def put(block: PyTree) -> PyTree:
        names = flat({"backbone": block})
        structure = jax.tree_util.tree_structure(block)
        return jax.tree_util.tree_unflatten(structure, [jnp.asarray(filled.arrays[name]) for name in names])

    params = {**params, "backbone": put(params["backbone"])}
    if some:
        statistics = {name: {**tree, "backbone": put(tree["backbone"])} for name, tree in statistics.items()}
    return params, statistics, list(filled.notes)


def weights_checksum(config: Config) -> dict[str, str]:
    """Return the checksums of the files that a config starts from: "weights" and "init", where it names them."""
    found = {}
    for field in ("weights", "init"):
        place = getattr(config, field)
        if place is None:
            continue
        path = Path(place)
        if field == "weights" and is_published(config):
            path = locate(place, config.backbone.name).path
        elif path.is_dir():
            path = path / "model" / "model.safetensors"
        files = sorted(path.rglob("*.safetensors")) + sorted(path.rglob("*.bin")) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for file in files:
            digest.update(file.read_bytes())
        found[field] = digest.hexdigest()
    return found


def source_classifier(config: Config) -> SourceClassifier | None:
    """Return the linear classifier of the run, or of the file of a run's weights, that a run starts from.

    None where there is none: in a file of other weights, a classifier that is not linear, or, where the backbone alone
    is taken (`weights`), one that stood behind a bottleneck.
    """
    if config.init is None and is_published(config):
        assert config.weights is not None
        model = pretrained(config.backbone, config.weights)
        if model.classifier is None:
            return None
        return SourceClassifier(model.classifier, reads=config.backbone.classifier_reads or BACKBONE)
    place = config.init if config.init is not None else config.weights
    if place is None:
        return None
    path = Path(place)
    if path.is_dir():
        path = path / "model" / "model.safetensors"
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    arrays = load_arrays(path)
    kernel, bias = (arrays.get(f"params/classifier/{name}") for name in ("kernel", "bias"))
    behind = any(name.startswith("params/bottleneck/") for name in arrays)
    if kernel is None or bias is None or kernel.ndim != 2 or (config.init is None and behind):
        return None
    module = Linear(*kernel.shape, rngs=nnx.Rngs(0))
    module.kernel, module.bias = nnx.Param(jnp.asarray(kernel)), nnx.Param(jnp.asarray(bias))
    return SourceClassifier(module, reads="features" if config.init is not None else BACKBONE)


def _block(name: str) -> str:
    """Return the block of a path such as "params/backbone/kernel" or "statistics/shared/backbone/norm/mean"."""
    parts = name.split("/")
    return parts[2] if parts[0] == "statistics" and len(parts) > 2 else parts[1]
