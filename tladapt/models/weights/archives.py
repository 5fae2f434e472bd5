"""Zip archives that hold arrays: opened with their entries checked, and every fault of theirs told in one way."""

from __future__ import annotations

import contextlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tladapt.errors import DamagedDataError, TladaptError

_FAULTS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, OSError, ValueError, OverflowError),  # how zipfile reports odd fields
)
_LARGEST = 2**30
"""Bytes that may always be unpacked; beyond them ..."""
_RATIO = 20
"""... they may be at most so many times the file: floating weights hardly shrink, and a bomb shrinks a thousandfold."""

Entries = dict[str, zipfile.ZipInfo]


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, Entries]]:
    """Open a zip archive as a context manager that gives it and its entries by name.

    Raises:
      DamagedDataError: for a fault of the archive, also while it is read; for names that lead out of it or come twice;
        for entries that overlap, or that would unpack to far more than the file can honestly hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked(archive, path)
            yield archive, entries
    except TladaptError:
        raise
    except _FAULTS as fault:
        raise DamagedDataError(
            f"{path} is a truncated or garbled zip archive ({str(fault)[:200]}). Fetch it again."
        ) from None


def _checked(archive: zipfile.ZipFile, path: Path) -> Entries:
    entries: Entries = {}
    for entry in archive.infolist():
        name = entry.orig_filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name or "\0" in name:
            raise DamagedDataError(
                f"{path} holds an entry {name[:200]!a}, a name that leads out of the archive. No tool writes weights"
                " like that: do not unpack it, and fetch the file from its authors."
            )
        if name in entries:
            raise DamagedDataError(f"{path} holds {name[:200]!a} twice, so what it means is not clear. Fetch it again.")
        entries[name] = entry
    packed, size = sum(entry.compress_size for entry in entries.values()), path.stat().st_size
    if packed > size:
        raise DamagedDataError(
            f"{path} has {size:,} bytes, and its {len(entries)} entries claim {packed:,}: they overlap. Fetch it again."
        )
    check_unpacked(path, sum(entry.file_size for entry in entries.values()))
    return entries


def check_unpacked(path: Path, claimed: int) -> None:
    """Raise `DamagedDataError` where a file claims to unpack to far more bytes than it can honestly hold."""
    if claimed > max(_LARGEST, _RATIO * path.stat().st_size):
        raise DamagedDataError(
            f"{path} has {path.stat().st_size:,} bytes and claims to unpack to {claimed:,}: more than {_RATIO} times as"
            " many, which weights never do. Fetch it from its authors, or write it again without compression."
        )
