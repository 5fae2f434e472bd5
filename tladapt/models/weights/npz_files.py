"""Arrays of `.npz` files, without NumPy's object arrays, which are pickles."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from tladapt.errors import DamagedDataError, UsageError
from tladapt.models.weights.store import DTYPES
from tladapt.models.weights.torch_files import checked_entries

_KNOWN = frozenset(np.dtype(dtype) for dtype in DTYPES.values())
_LARGEST = 2**30
"""Bytes that may always be unpacked; beyond them ..."""
_RATIO = 20
"""... they may be at most so many times the file: floating weights hardly shrink, and a bomb shrinks a thousandfold."""


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of numbers of an .npz file, and its single texts as metadata.

    Args:
      path: a file of `numpy.savez` or `numpy.savez_compressed`.

    Raises:
      DamagedDataError: it is truncated or garbled, or would unpack to far more than it is.
      UsageError: it has arrays of objects, which are pickles, or of another kind that is no number.
    """
    tensors, metadata, problems = {}, {}, []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = checked_entries(archive, path)
            check_unpacked(path, sum(entry.file_size for entry in entries.values()))
            for entry_name, entry in entries.items():
                name = entry_name.removesuffix(".npy")
                if name == entry_name:
                    problems.append(f"{name!r}: not an array")
                    continue
                with archive.open(entry) as stream:
                    array = _array(stream, entry.file_size, name, path)
                if isinstance(array, str):
                    problems.append(f"{name!r}: {array}")
                elif array.dtype.kind == "U":
                    metadata[name] = str(array)
                else:
                    tensors[name] = array
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as problem:
        raise DamagedDataError(f"{path} is a truncated or garbled .npz file ({problem}). Fetch it again.") from None
    if problems:
        raise UsageError(
            f"{path} holds what are no arrays of numbers:\n  "
            + "\n  ".join(problems)
            + "\nNothing of it was unpickled. Write it again with numpy.savez and numbers alone."
        )
    return tensors, metadata


def check_unpacked(path: Path, claimed: int) -> None:
    """Raise `DamagedDataError` where a file claims to unpack to far more than it can honestly hold."""
    if claimed > max(_LARGEST, _RATIO * path.stat().st_size):
        raise DamagedDataError(
            f"{path} has {path.stat().st_size:,} bytes and claims to unpack to {claimed:,}: more than {_RATIO} times as"
            " much, which weights never do. Fetch it from its authors, or write it again without compression."
        )


def _array(stream: IO[bytes], size: int, name: str, path: Path) -> np.ndarray | str:
    """Return one array, or why it cannot be one; the header is checked before anything is made from it."""
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            return f".npy version {'.'.join(map(str, version))}, known are 1.0 and 2.0"
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, RecursionError, MemoryError) as problem:
        raise DamagedDataError(f"{path} has an array {name!r} without a header ({problem}). Fetch it again.") from None
    native = dtype.newbyteorder("=")
    if dtype.hasobject:
        return "Python objects, which are pickles"
    if native not in _KNOWN and not (dtype.kind == "U" and not shape):
        hint = " (bfloat16 as NumPy writes it? write float32)" if dtype == np.dtype("V2") else ""
        return f"dtype {dtype}{hint}"
    wanted = math.prod(shape) * dtype.itemsize
    content = stream.read(max(0, min(wanted, size)) + 1)
    if min(shape, default=0) < 0 or len(content) != wanted:
        raise DamagedDataError(
            f"{path} has an array {name!r} of shape {list(shape)} and dtype {dtype}: {wanted:,} bytes, and"
            f" {'fewer' if len(content) < wanted else 'more'} are there. Fetch it again."
        )
    array = np.frombuffer(content, dtype).astype(native, copy=False)
    return array.reshape(shape, order="F" if fortran else "C")
