"""Where a run starts from: the parameters of an earlier run, or of a file of its weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models import Linear
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


def source_classifier(config: Config) -> SourceClassifier | None:
    """Return the linear classifier of the run, or of the file of a run's weights, that a run starts from.

    None where there is none: in a file of other weights, a classifier that is not linear, or, where the backbone alone
    is taken (`weights`), one that stood behind a bottleneck.
    """
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
