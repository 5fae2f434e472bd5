"""Files of `torch.save`: the zip form (torch 1.6 and later) and the legacy form before it, read without torch.

The legacy form is five pickles (a magic number, a version, facts about the machine, the object, the keys of its
storages) and then each storage: its number of elements, int64, and its bytes. The zip form holds `NAME/data.pkl`,
`NAME/data/KEY` for each storage, and `NAME/byteorder`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tladapt.errors import DamagedDataError, UsageError
from tladapt.models.weights.archives import open_archive
from tladapt.models.weights.checkpoints import unwrap
from tladapt.models.weights.pickles import PickleBrokenError, PickleRefusedError, read_pickle
from tladapt.models.weights.torch_objects import NAMES, Storage, Tensor, persistent, view

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
_SMALL = 10_000  # opcodes of the legacy form's short pickles

_MODULES = (b"torch.nn.modules.", b"torch.nn.parallel.")
_UNREAD = re.compile(r"torch\.(_utils\._rebuild_\w+|(\w+\.)?\w+Storage|[a-z]+\d+\w*)")
_SAVE = "torch.save(model.state_dict(), 'weights.pth')"


def read_torch(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors and the metadata of a file of `torch.save`.

    Args:
      path: a file in the zip form or in the legacy form.

    Returns:
      name -> array, read-only views of the file's storages; and metadata as `checkpoints.unwrap` gives it.

    Raises:
      DamagedDataError: it is truncated or garbled, or asks for more than tensors and plain containers.
      UsageError: it is something else than tensors under names: a whole model, a TorchScript archive, a tensor.
    """
    try:
        with open(path, "rb") as file:
            return _read_zip(path) if file.read(2) == b"PK" else _read_legacy(file, path)
    except PickleBrokenError as problem:
        raise DamagedDataError(
            f"{path} is a truncated or garbled file of torch.save: {problem}. Fetch it again."
        ) from None


def _read_zip(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with open_archive(path) as (archive, entries):
        pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise DamagedDataError(
                f"{path} is a zip archive without the one NAME/data.pkl that torch.save writes; it holds"
                f" {', '.join(f'{name[:80]!a}' for name in list(entries)[:5]) or 'nothing'}. Give a file of torch.save,"
                " .safetensors, .npz or .h5."
            )
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in entries or any(name.startswith(f"{root}code/") for name in entries):
            raise UsageError(
                f"{path} is a TorchScript archive (torch.jit.save): it holds code, and weights among it. Where torch is"
                f" at hand: torch.save(torch.jit.load({path.name!r}, map_location='cpu').state_dict(), 'weights.pth'),"
                " then give that file."
            )
        compressed = [name for name, entry in entries.items() if entry.compress_type != zipfile.ZIP_STORED]
        if compressed:
            raise DamagedDataError(
                f"{path} holds {compressed[0][:80]!a} compressed, and torch.save stores without compression. Give the"
                " file as it was released, or write it again with torch.save."
            )
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
        content = _interpreted(io.BytesIO(archive.read(pickles[0])), path, persistent)

        def read(wanted: Storage) -> bytes:
            name = f"{root}data/{wanted.key}"
            if name not in entries:
                raise PickleBrokenError(f"storage {wanted.key!r} is not in the archive")
            return archive.read(name)

        return _tensors(content, read, path, big_endian=order == b"big")


def _read_legacy(file: BinaryIO, path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    file.seek(0)
    head = _interpreted(file, path, most=_SMALL)
    if type(head) is not int or head != MAGIC:
        raise UsageError(
            f"{path} is a pickle, but not one of torch.save (its first value is a {type(head).__name__} and not the"
            " magic number). Write its arrays with numpy.savez or safetensors.numpy.save_file, then give that file."
        )
    protocol = _interpreted(file, path, most=_SMALL)
    if protocol != LEGACY_PROTOCOL:
        raise PickleBrokenError(f"it should be of protocol {LEGACY_PROTOCOL}, and says otherwise")
    _interpreted(file, path, most=_SMALL)  # facts about the machine; the bytes of storages are little-endian on all
    storages = _LegacyStorages(file)
    content = _interpreted(file, path, storages.remember)
    storages.locate(_interpreted(file, path))
    return _tensors(content, storages.read, path)


class _LegacyStorages:
    """The storages behind the pickles of a legacy file."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._known: dict[str, Storage] = {}
        self._places: dict[str, int] = {}

    def remember(self, identity: Any) -> Storage:
        """Return the storage of a persistent id, and keep how long its elements are."""
        storage = persistent(identity)
        known = self._known.setdefault(storage.key, storage)
        if (known.dtype, known.whole) != (storage.dtype, storage.whole):
            raise PickleBrokenError(f"storage {storage.key!r} is said to be of two kinds or sizes")
        return storage

    def locate(self, keys: Any) -> None:
        """Find where each storage begins, given the list of keys that precedes them."""
        if not isinstance(keys, list) or set(map(str, keys)) != set(self._known) or len(keys) != len(self._known):
            raise PickleBrokenError("its list of storages and the storages of its tensors differ")
        place = self._file.tell()
        end = self._file.seek(0, io.SEEK_END)
        for key in keys:
            storage = self._known[str(key)]
            self._file.seek(place)
            count = int.from_bytes(self._file.read(8), "little")
            if count != storage.whole:
                raise PickleBrokenError(f"storage {key!r} has {count:,} elements, its tensors need {storage.whole:,}")
            self._places[storage.key] = place + 8
            place += 8 + count * storage.itemsize
            if place > end:
                raise PickleBrokenError(
                    f"storage {key!r} should end at byte {place:,}, and the file ends at byte {end:,}"
                )
        if place != end:
            raise PickleBrokenError(f"{end - place:,} bytes follow the last storage")

    def read(self, storage: Storage) -> bytes:
        """Return the bytes of a storage."""
        self._file.seek(self._places[storage.key])
        return self._file.read(storage.whole * storage.itemsize)


def _interpreted(
    stream: BinaryIO, path: Path, storages: Callable[[Any], Any] | None = None, *, most: int | None = None
) -> Any:
    """Return the value of the pickle at the stream's position.

    Raises:
      UsageError: it is a model, or has tensors of a kind that is not read.
      DamagedDataError: it asks for anything else that is no plain data.
    """
    start = stream.tell()
    try:
        return read_pickle(stream, NAMES, storages, most=most)
    except PickleRefusedError as problem:
        stream.seek(start)
        if any(module in stream.read(2**20) for module in _MODULES):
            raise UsageError(
                f"{path} is a whole pickled model (torch.save(model)): {problem}, and to load it is to run its code."
                f" Where that code is at hand, save the weights alone: {_SAVE}, then give that file."
            ) from None
        if _UNREAD.fullmatch(problem.name):
            raise UsageError(
                f"{path} has a kind of tensor that is not read: {problem} (quantised, sparse, complex and 8-bit"
                f" floating tensors are not). Save dense tensors of ordinary numbers: {_SAVE}."
            ) from None
        raise DamagedDataError(
            f"{path} is no file of plain weights: {problem}. Expected tensors, dicts, lists, numbers and text; nothing"
            " of it was executed or imported. If you know where it is from, load it there and save the weights alone:"
            f" {_SAVE}; else do not open it with torch or pickle."
        ) from None


def _tensors(
    content: Any, read: Callable[[Storage], bytes], path: Path, *, big_endian: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of the largest table of tensors; only their storages are read."""
    taken, metadata = unwrap(content, lambda value: isinstance(value, Tensor))
    if not taken:
        what = "a tensor without a name" if isinstance(content, Tensor) else f"a {type(content).__name__}"
        raise UsageError(
            f"{path} holds {what}, and no tensors under names. Expected a state dict, alone or in a checkpoint:"
            f" {_SAVE}."
        )
    contents: dict[str, bytes] = {}
    for tensor in taken.values():
        storage = tensor.storage
        if storage.key not in contents:
            found, wanted = read(storage), storage.whole * storage.itemsize
            if len(found) != wanted:
                raise PickleBrokenError(
                    f"storage {storage.key!r} has {len(found):,} bytes, its tensors need {wanted:,}"
                )
            contents[storage.key] = _swapped(found, storage.itemsize) if big_endian else found
    return {name: view(tensor, contents[tensor.storage.key]) for name, tensor in taken.items()}, metadata


def _swapped(content: bytes, itemsize: int) -> bytes:
    """Return big-endian numbers as little-endian ones."""
    return np.frombuffer(content, f">u{itemsize}").astype(f"<u{itemsize}").tobytes()
