"""Trees of arrays as safetensors files: exact, flat keys "a/b/c", written whole or not at all."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tladapt.errors import DamagedDataError, MissingDataError, UsageError

PyTree = Any

DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
"""What an array in a file may be made of, by the names of the safetensors format."""


def _pure(tree: PyTree) -> PyTree:
    """Return the tree without Variable objects around its arrays."""
    if isinstance(tree, nnx.Module):
        tree = nnx.state(tree)
    return nnx.to_pure_dict(nnx.as_pure(tree)) if isinstance(tree, nnx.State) else tree


def _name(part: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def _paths(tree: PyTree) -> tuple[dict[str, Any], Any]:
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    flat: dict[str, Any] = {}
    for path, leaf in leaves:
        parts = [_name(part) for part in path]
        key = "/".join(parts)
        if not parts or any(not part or "/" in part for part in parts) or key in flat:
            raise UsageError(f"{key!r} cannot name an array in a file: names must be there, differ, and have no '/'.")
        flat[key] = leaf
    return flat, structure


def flatten(tree: PyTree) -> dict[str, Any]:
    """Return `{"a/b/c": array}` for nested dicts, lists, tuples, a `nnx.State` or a `nnx.Module`.

    Example:
      >>> flatten({"backbone": {"layers": [1.0, 2.0]}})
      {'backbone/layers/0': 1.0, 'backbone/layers/1': 2.0}
    """
    return _paths(_pure(tree))[0]


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested dicts of `{"a/b/c": array}`; the inverse of `flatten` where all that is nested are dicts.

    Raises:
      UsageError: where one key is a folder of another.

    Example:
      >>> unflatten({"a/b": 1.0, "a/c": 2.0})
      {'a': {'b': 1.0, 'c': 2.0}}
    """
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *folders, last = key.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
            if not isinstance(node, dict):
                raise UsageError(f"{key!r} stands below another array, so the keys make no tree.")
        if last in node:
            raise UsageError(f"{key!r} stands above another array, so the keys make no tree.")
        node[last] = value
    return tree


def save(path: str | os.PathLike[str], tree: PyTree, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a tree of arrays to a safetensors file: `save_arrays(path, flatten(tree))`.

    Args:
      path: the file, replaced if it is there; its folder must be there.
      tree: nested dicts of arrays, a `nnx.State` or a `nnx.Module`. Random keys are not weights: split them off.
      metadata: text to go with them.

    Raises:
      UsageError: for leaves that are not arrays of numbers.
      OSError: where the file cannot be written.
    """
    save_arrays(path, flatten(tree), metadata=metadata)


def save_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write `{"a/b/c": array}` to a safetensors file, which appears whole or not at all. Arguments as for `save`."""
    import safetensors.numpy

    known = {np.dtype(dtype) for dtype in DTYPES.values()}
    kept, problems = {}, []
    for key, leaf in arrays.items():
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            problems.append(f"{key}: a random key; save nnx.Param and nnx.BatchStat without nnx.RngState")
        elif (array := np.asarray(leaf)).dtype not in known:
            problems.append(f"{key}: {type(leaf).__name__} of dtype {array.dtype} is not an array of numbers")
        else:
            kept[key] = np.require(array, requirements="C")  # keeps a scalar an array, unlike ascontiguousarray
    if problems:
        raise UsageError(f"{path} cannot hold these:\n  " + "\n  ".join(problems))
    content = safetensors.numpy.save(kept, dict(metadata) if metadata else None)
    path = pathlib.Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not appear before the bytes are on the disk
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by flat key, in the order of the keys.

    Raises:
      MissingDataError: there is no such file.
      DamagedDataError: it is no safetensors file, or a truncated or garbled one.
    """
    import safetensors

    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"No weights at {path}. Give the path of a .safetensors file.") from None
    except IsADirectoryError:
        raise MissingDataError(f"{path} is a folder; give the .safetensors file in it.") from None
    try:
        found = dict(safetensors.deserialize(content))
    except safetensors.SafetensorError as error:
        raise DamagedDataError(f"{path} is not a whole safetensors file ({error}). Copy or write it again.") from error
    unknown = sorted({entry["dtype"] for entry in found.values()} - set(DTYPES))
    if unknown:
        raise UsageError(
            f"{path} has arrays of dtype {', '.join(unknown)}, which cannot be read; known: {', '.join(DTYPES)}."
        )
    return {
        key: np.frombuffer(found[key]["data"], dtype=DTYPES[found[key]["dtype"]]).reshape(found[key]["shape"])
        for key in sorted(found)
    }


def load(path: str | os.PathLike[str], like: PyTree) -> PyTree:
    """Read arrays into the structure of `like`, and accept nothing that differs from it.

    Args:
      path: a safetensors file with keys as `flatten(like)` gives them.
      like: a tree of arrays or `jax.ShapeDtypeStruct`s. A `nnx.State` or `nnx.Module` gives nested dicts back.

    Returns:
      The same structure with NumPy arrays, bit for bit what was saved.

    Raises:
      UsageError: arrays are missing, left over, or of another shape or dtype; all of them are listed.
      MissingDataError: there is no such file.
      DamagedDataError: it is no safetensors file, or a truncated or garbled one.
    """
    found = load_arrays(path)
    wanted, structure = _paths(_pure(like))
    problems = [f"missing: {key} {_describe(wanted[key])}" for key in wanted if key not in found]
    problems += [f"left over: {key} {_describe(found[key])}" for key in found if key not in wanted]
    problems += [
        f"different: {key} is {_describe(found[key])} in the file, {_describe(leaf)} is needed"
        for key, leaf in wanted.items()
        if key in found and _describe(found[key]) != _describe(leaf)
    ]
    if problems:
        raise UsageError(
            f"The weights in {path} do not fit: {len(problems)} of {len(wanted.keys() | found.keys())} arrays.\n  "
            + "\n  ".join(problems)
            + "\nUse a model with the same backbone, bottleneck and number of classes as the one that was saved."
        )
    return jax.tree.unflatten(structure, [found[key] for key in wanted])


def _describe(array: Any) -> str:
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"
