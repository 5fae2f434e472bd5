"""Weight files of torch, timm, torchvision, Hugging Face, Keras and NumPy: one function that reads them all.

No file is run: pickles go through an interpreter of plain data (`pickles`), and torch is not needed.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from tladapt.errors import DamagedDataError, MissingDataError, UsageError
from tladapt.models.weights.checkpoints import without_common_prefix
from tladapt.models.weights.impostors import file_format
from tladapt.models.weights.keras_files import read_keras
from tladapt.models.weights.npz_files import read_npz
from tladapt.models.weights.store import load_arrays
from tladapt.models.weights.torch_files import read_torch

Format = Literal["safetensors", "torch", "npz", "keras"]

INDEX = ".index.json"
ENDINGS = (".safetensors", ".pth", ".pt", ".th", ".bin", ".npz", ".h5", ".hdf5")
FOLDER_FILES = ("model.safetensors", "model.safetensors" + INDEX, "pytorch_model.bin", "pytorch_model.bin" + INDEX)
"""How the hub's repositories call their weights; the first that is there is read."""
_LARGEST_INDEX = 2**26


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """What a weight file holds."""

    tensors: dict[str, np.ndarray]
    """Name -> array, read-only, in the file's order. Keras: "layer/variable" ("conv1/kernel")."""
    metadata: dict[str, str]
    """What the file says beside its tensors: the scalars of a checkpoint, which of its dicts was taken, ..."""
    format: Format
    """What was read."""
    paths: tuple[Path, ...]
    """The files that were read: one, or the shards."""


def read_weights_file(path: str | os.PathLike[str]) -> WeightsFile:
    """Return the tensors of a weight file, bit for bit, with their names; nothing in the file is executed.

    What a file is, its content says, not its name: safetensors, a file of `torch.save` (zip form or legacy pickle),
    .npz, or HDF5 of Keras. A checkpoint such as `{"state_dict": {...}, "epoch": 3}` is unwrapped to the dict with the
    most tensors, and "module." before all names (torch's DataParallel) is cut; `metadata` says both.

    Args:
      path: a file; the `.index.json` of a sharded one; or a folder with model.safetensors or pytorch_model.bin, whole
        or sharded, or with one weight file of any name.

    Returns:
      Arrays of float64, float32, float16, bfloat16, integers or bool. Arrays that share a storage in the file share
      their memory.

    Raises:
      MissingDataError: there is no such file, or a shard of it is missing.
      DamagedDataError: it is truncated or garbled, no weight file at all, or asks for code to be run.
      UsageError: it is sound, and not tensors under names: a whole pickled model, a TorchScript archive, ...

    Example:
      >>> import numpy, tempfile, pathlib
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.npz"
      >>> numpy.savez(path, kernel=numpy.zeros((3, 2), "float32"))
      >>> file = read_weights_file(path)
      >>> file.format, {name: tensor.shape for name, tensor in file.tensors.items()}
      ('npz', {'kernel': (3, 2)})
    """
    place = Path(path).expanduser()
    if place.is_dir():
        place = _in_folder(place)
    if not place.exists():
        raise MissingDataError(
            f"No weights at {place}. Give the path of a {', '.join(ENDINGS)} file, or of its folder."
        )
    file = _read_sharded(place) if place.name.endswith(INDEX) else _read_one(place)
    if not file.tensors:
        raise UsageError(f"{place} is a sound {file.format} file with no tensors in it. Give the file of the weights.")
    tensors, prefix = without_common_prefix(file.tensors)
    unprintable = [name for name in tensors if not (name and name.isprintable())]
    if unprintable:
        raise DamagedDataError(
            f"{place} has {len(unprintable)} tensors whose names cannot be printed, {ascii(unprintable[0])[:80]} among"
            " them. Fetch it again."
        )
    return dataclasses.replace(
        file, tensors=tensors, metadata=file.metadata | ({"prefix_removed": prefix} if prefix else {})
    )


def _read_one(path: Path) -> WeightsFile:
    found: Format = file_format(path)
    readers: dict[Format, Callable[[Path], tuple[dict[str, np.ndarray], dict[str, str]]]] = {
        "safetensors": _read_safetensors,
        "torch": read_torch,
        "npz": read_npz,
        "keras": read_keras,
    }
    tensors, metadata = readers[found](path)
    return WeightsFile(tensors=tensors, metadata=metadata, format=found, paths=(path,))


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    from safetensors import safe_open

    arrays = load_arrays(path)
    with safe_open(path, framework="numpy") as file:
        return arrays, dict(file.metadata() or {})


def _in_folder(folder: Path) -> Path:
    """Return the weight file of a folder: one of the usual names, else the only one there is."""
    for name in FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.name.endswith((*ENDINGS, INDEX)))
    indices = [entry for entry in found if entry.name.endswith(INDEX)]
    if len(indices or found) == 1:
        return (indices or found)[0]
    if not found:
        raise MissingDataError(
            f"{folder} has no weight file: expected {' or '.join(FOLDER_FILES[::2])}, or one {', '.join(ENDINGS)} file."
        )
    shown = ", ".join(entry.name for entry in found[:10])
    raise UsageError(f"{folder} has {len(found)} weight files ({shown}). Name one of them: {found[0]}")


def _read_sharded(path: Path) -> WeightsFile:
    """Return the tensors of all shards; each has to be in the shard that the index names."""
    shards = weight_map(path)
    missing = sorted(shard for shard in set(shards.values()) if not (path.parent / shard).is_file())
    if missing:
        raise MissingDataError(
            f"{path} names {len(set(shards.values()))} shards, and {len(missing)} are not beside it:"
            f" {', '.join(missing)}. Put them into {path.parent}."
        )
    tensors: dict[str, np.ndarray] = {}
    metadata: dict[str, str] = {}
    problems: list[str] = []
    formats: set[Format] = set()
    for shard in sorted(set(shards.values())):
        part = _read_one(path.parent / shard)
        formats.add(part.format)
        named = {name for name, place in shards.items() if place == shard}
        problems += [f"{name!r} is not in {shard}" for name in sorted(named - set(part.tensors))]
        problems += [f"{name!r} in {shard} is not in the index" for name in part.tensors if name not in named]
        tensors |= part.tensors
        metadata |= part.metadata
    if problems or len(formats) != 1:
        more = [f"... and {len(problems) - 20} more"] if len(problems) > 20 else []
        words = [*problems[:20], *more] or [f"its shards are of several formats: {', '.join(sorted(formats))}"]
        raise DamagedDataError(f"{path} and its shards differ:\n  " + "\n  ".join(words) + "\nFetch all of them again.")
    paths = tuple(path.parent / shard for shard in sorted(set(shards.values())))
    return WeightsFile(tensors=tensors, metadata=metadata, format=formats.pop(), paths=paths)


def weight_map(path: Path) -> dict[str, str]:
    """Return tensor name -> file name of the index of a sharded file.

    Raises:
      DamagedDataError: it is no index, or names files outside of its folder.
    """
    wanted = 'expected {"weight_map": {"tensor name": "file name", ...}}'
    if path.stat().st_size > _LARGEST_INDEX:
        raise DamagedDataError(f"{path} has {path.stat().st_size:,} bytes, too many for an index; {wanted}.")
    try:
        content = json.loads(path.read_text("utf-8"))
        shards = content["weight_map"]
        sound = shards and all(isinstance(shard, str) for shard in shards.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise DamagedDataError(
            f"{path} is no index of shards ({type(problem).__name__}: {problem}); {wanted}. Fetch it again."
        ) from None
    if not sound:
        raise DamagedDataError(f"{path} is no index of shards; {wanted}. Fetch it again.")
    outside = sorted(
        {shard for shard in shards.values() if shard != Path(shard).name or "\\" in shard or shard == ".."}
    )
    if outside:
        raise DamagedDataError(
            f"{path} names a shard outside of its folder: {outside[0]!a}. Shards lie beside their index; fetch it"
            " from its authors."
        )
    return dict(shards)
