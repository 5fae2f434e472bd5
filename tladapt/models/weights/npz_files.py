"""Arrays of `.npz` files, without NumPy's object arrays, which are pickles."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import IO

import numpy as np

from tladapt.errors import DamagedDataError, UsageError
from tladapt.models.weights.archives import open_archive
from tladapt.models.weights.store import DTYPES

_KNOWN = frozenset(np.dtype(dtype) for dtype in DTYPES.values())
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<>|=][?biufcOSUVMm]\d*(\[\w+\])?)', 'fortran_order': (?P<order>True|False),"
    rb" 'shape': \((?P<shape>[\dL, ]{0,400})\),? *\}"
)
"""The header of a .npy file of plain arrays. NumPy evaluates it as a literal of Python; nothing is evaluated here."""
_LONGEST_HEADER = 10_000


def read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of numbers of an .npz file, and its single texts as metadata.

    Args:
      path: a file of `numpy.savez` or `numpy.savez_compressed`.

    Raises:
      DamagedDataError: it is truncated or garbled, or would unpack to far more than it is.
      UsageError: it has arrays of objects, which are pickles, or of another kind that is no number.
    """
    tensors: dict[str, np.ndarray] = {}
    metadata: dict[str, str] = {}
    problems: list[str] = []
    with open_archive(path) as (archive, entries):
        for entry_name, entry in entries.items():
            name = entry_name.removesuffix(".npy")
            if name == entry_name:
                problems.append(f"{name!a}: not an array")
                continue
            with archive.open(entry) as stream:
                array = _array(stream, entry.file_size, name, path)
            if isinstance(array, str):
                problems.append(f"{name!a}: {array}")
            elif array.dtype.kind == "U":
                metadata[name] = str(array)
            else:
                tensors[name] = array
    if problems:
        raise UsageError(
            f"{path} holds what are no arrays of numbers:\n  "
            + "\n  ".join(problems)
            + "\nNothing of it was unpickled. Write it again with numpy.savez and numbers alone."
        )
    return tensors, metadata


def _array(stream: IO[bytes], size: int, name: str, path: Path) -> np.ndarray | str:
    """Return one array, or why it cannot be one; the header is checked before anything is made from it."""
    magic, version = stream.read(6), tuple(stream.read(2))
    length = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
    text = stream.read(min(length, _LONGEST_HEADER)).rstrip()
    if text.startswith(b"{'descr': ["):
        return "records of several fields"
    header = _HEADER.fullmatch(text)
    if magic != b"\x93NUMPY" or version not in ((1, 0), (2, 0), (3, 0)) or header is None:
        raise DamagedDataError(f"{path} has an array {name!a} without the header of a .npy file. Fetch it again.")
    try:
        dtype = np.dtype(header["descr"].decode("ascii"))
    except (TypeError, ValueError, OverflowError):
        return f"dtype {header['descr']!a}"
    shape = tuple(int(size) for size in re.findall(rb"\d+", header["shape"]))
    native = dtype.newbyteorder("=")
    if dtype.hasobject:
        return "Python objects, which are pickles"
    if native not in _KNOWN and not (dtype.kind == "U" and not shape):
        hint = " (bfloat16 as NumPy writes it? write float32)" if dtype == np.dtype("V2") else ""
        return f"dtype {dtype}{hint}"
    wanted = math.prod(shape) * dtype.itemsize
    content = stream.read(min(wanted, size) + 1)
    if len(content) != wanted:
        raise DamagedDataError(
            f"{path} has an array {name!a} of shape {list(shape)} and dtype {dtype}: {wanted:,} bytes, and"
            f" {'fewer' if len(content) < wanted else 'more'} are there. Fetch it again."
        )
    array = np.frombuffer(content, dtype).astype(native, copy=False)
    return array.reshape(shape, order="F" if header["order"] == b"True" else "C")
