"""HDF5 weight files of Keras: `save_weights` and whole models of Keras 1 and 2, and `.weights.h5` of Keras 3.

Keras 1 and 2 write a group a layer, the names of the groups in the attribute `layer_names` and those of the variables
in each group's `weight_names`; a whole model has all that in its group `model_weights`. Keras 3 writes
`layers/KIND/vars/0, 1, ...`, with the layer's name as an attribute of `vars` and no names of variables.
"""

from __future__ import annotations

import collections
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.errors import DamagedDataError, UsageError
from tladapt.models.weights.archives import check_unpacked
from tladapt.models.weights.store import DTYPES

_KNOWN = frozenset(np.dtype(dtype) for dtype in DTYPES.values())
_TEXTS = ("backend", "keras_version")

# The order in which Keras 3 builds the variables of its layers (in `build`), by the kind of layer that a group names.
_VARIABLES = {
    **dict.fromkeys(("dense", "conv1d", "conv2d", "conv3d", "conv2d_transpose"), ("kernel", "bias")),
    "depthwise_conv2d": ("depthwise_kernel", "bias"),  # "kernel" in Keras 3; the name of the earlier files is kept
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "layer_normalization": ("gamma", "beta"),
    "embedding": ("embeddings",),
}
_WHOLE = ("batch_normalization", "layer_normalization")
"""Layers that may leave out a variable other than the last one: named only where all are there."""


def read_keras(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the variables of a Keras HDF5 file under "layer/variable" ("conv1/kernel"), in the file's order.

    Of a name in the file, "conv1_1/kernel:0", the variable is the last part without ":0" and the layer the part before
    it; Keras numbers that part when a name is taken, so where it is the group's name and a number, the group's name
    stands. Names that would come twice (a model in a model) keep all their parts, the group's name first.

    Args:
      path: an HDF5 file.

    Raises:
      DamagedDataError: it is truncated or garbled, or refers to other files.
      UsageError: it is sound HDF5 and nothing that Keras writes.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = _member(file, "model_weights") if "model_weights" in file else file
            metadata = {
                name: _text(source.attrs[name]) for source in (file, root) for name in _TEXTS if name in source.attrs
            }
            if "layer_names" in root.attrs or "layer_names0" in root.attrs:
                found = _layers(root)
            else:
                found = _numbered(file)
            if not found:
                raise UsageError(
                    f"{path} is an HDF5 file without weights of Keras: expected the attribute 'layer_names' or groups"
                    f" 'layers/.../vars', found {', '.join(map(repr, list(file)[:5])) or 'nothing'}. Give a file of"
                    " model.save_weights."
                )
            _check(path, [dataset for _, _, dataset in found])
            names = _names([(layer, name) for layer, name, _ in found])
            return {name: np.asarray(found[i][2]) for i, name in enumerate(names)}, metadata
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as problem:
        if isinstance(problem, DamagedDataError | UsageError):
            raise
        raise DamagedDataError(
            f"{path} is a truncated or garbled HDF5 file ({str(problem)[:200]}). Fetch it again."
        ) from None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _attribute(group: Any, name: str) -> list[str]:
    """Return a list of names; Keras splits one that is longer than HDF5's 64 KiB into name0, name1, ..."""
    if name in group.attrs:
        return [_text(value) for value in group.attrs[name]]
    parts: list[str] = []
    for count in itertools.count():
        if f"{name}{count}" not in group.attrs:
            return parts
        parts += [_text(value) for value in group.attrs[f"{name}{count}"]]
    return parts


def _layers(root: Any) -> list[tuple[str, str, Any]]:
    """Return (layer, name in the file, dataset) of a file of Keras 1 or 2."""
    layers = _attribute(root, "layer_names")
    layers += ["top_level_model_weights"] * ("top_level_model_weights" in root)
    return [
        (layer, name.removesuffix(":0"), _member(_member(root, layer), name))
        for layer in layers
        for name in _attribute(_member(root, layer), "weight_names")
    ]


def _member(group: Any, name: str) -> Any:
    """Return a member of a group, and follow no link into another file.

    Raises:
      DamagedDataError: it is not there, or lies in another file.
    """
    import h5py

    node = group
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            raise DamagedDataError(
                f"{group.file.filename} refers to another file, {ascii(link.filename)[:100]}, which Keras never writes."
                " Nothing of it was read; fetch the file from its authors."
            )
        if link is None or part in ("", ".", ".."):
            raise DamagedDataError(
                f"{group.file.filename} names {group.name}/{name} and does not hold it. Fetch it again."
            )
        node = node[part]
    return node


def _numbered(file: Any) -> list[tuple[str, str, Any]]:
    """Return (layer, name, dataset) of a `.weights.h5` of Keras 3; a layer's kind names its variables."""
    import h5py

    found: list[tuple[str, str, Any]] = []

    def walk(group: Any, depth: int) -> None:
        for name in group:
            node = _member(group, name)
            if not isinstance(node, h5py.Group) or depth > 50 or name.startswith("optimizer"):
                continue
            if name != "vars":
                walk(node, depth + 1)
                continue
            kind = re.sub(r"_\d+$", "", group.name.rpartition("/")[2])
            layer = _text(node.attrs.get("name", group.name.rpartition("/")[2]))
            numbers = sorted((key for key in node if key.isdigit()), key=int)
            variables = _VARIABLES.get(kind, ())
            if len(numbers) > len(variables) or (kind in _WHOLE and len(numbers) != len(variables)):
                variables = tuple(numbers)
            for number, variable in zip(numbers, variables, strict=False):
                found.append((group.name.strip("/"), f"{layer}/{variable}", _member(node, number)))

    walk(file, 0)
    return found


def _check(path: Path, datasets: list[Any]) -> None:
    """Raise unless all are arrays of numbers that lie in this file and unpack to what it can hold."""
    import h5py

    problems = []
    for dataset in datasets:
        if not isinstance(dataset, h5py.Dataset):
            problems.append(f"{dataset.name} is a group and no array")
        elif dataset.external or dataset.is_virtual:
            raise DamagedDataError(
                f"{path} keeps the values of {dataset.name} in another file, which Keras never does. Nothing of it was"
                " read; fetch the file from its authors."
            )
        elif dataset.shape is None or dataset.dtype.newbyteorder("=") not in _KNOWN:
            problems.append(f"{dataset.name} is of dtype {dataset.dtype}, which is no number")
    if problems:
        raise DamagedDataError(f"{path} holds no weights where it should:\n  " + "\n  ".join(problems[:20]))
    check_unpacked(path, sum(dataset.nbytes for dataset in datasets))
    short = next((d for d in datasets if d.chunks is None and d.id.get_storage_size() < d.nbytes), None)
    if short is not None:
        raise DamagedDataError(
            f"{path} has {short.id.get_storage_size():,} bytes of {short.name}, whose shape {list(short.shape)} needs"
            f" {short.nbytes:,}. Fetch it again."
        )


def _names(found: list[tuple[str, str]]) -> list[str]:
    """Return "layer/variable" for each (group, name in the file); all parts where two would be the same.

    >>> _names([("conv1", "conv1_1/kernel"), ("inner", "inner/d1/kernel"), ("block", "block_W_1")])
    ['conv1/kernel', 'd1/kernel', 'block/block_W_1']
    >>> _names([("one", "dense/kernel"), ("two", "dense/kernel")])
    ['one/dense/kernel', 'two/dense/kernel']
    """
    names = []
    for layer, name in found:
        *owners, variable = name.split("/")
        owner = owners[-1] if owners else layer
        names.append(f"{layer if re.fullmatch(re.escape(layer) + r'_[0-9]+', owner) else owner}/{variable}")
    counts = collections.Counter(names)
    return [
        name if counts[name] == 1 else f"{layer}/{whole}" for name, (layer, whole) in zip(names, found, strict=True)
    ]
