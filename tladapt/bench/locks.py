"""Locks on files, which the operating system lets go of when a process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tladapt.errors import RunFolderError


class FileLock:
    """An exclusive lock on a file; two locks on one file exclude each other within a process, too.

    Network file systems pass locks on from machine to machine. Where one has none (Lustre mounted without flock, say)
    everybody gets the lock: shards of a grid do not meet, but nobody may then call the same shard twice at a time.

    Args:
      path: the file, which is made and stays; nothing is in it.
    """

    def __init__(self, path: Path):
        self._path, self._file = path, -1

    def acquire(self, patience: float = math.inf) -> bool:
        """Take the lock; return False where another process holds it for longer than `patience` seconds.

        Raises:
          RunFolderError: when the file cannot be made.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RunFolderError(
                f"{self._path} could not be written: {error.strerror or error}. Make the folder writable, or choose"
                " another one with --out."
            ) from error
        try:
            held = _taken(file, time.monotonic() + patience)
        except BaseException:
            os.close(file)
            raise
        if held:
            self._file = file
        else:
            os.close(file)
        return held

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._file)
        self._file = -1


def _taken(file: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        except OSError:  # no locks on this file system
            return True
        else:
            return True


@contextlib.contextmanager
def locked(path: Path, *, patience: float = math.inf) -> Iterator[bool]:
    """Hold the lock on a file within a block.

    Args:
      path: of the file.
      patience: how many seconds to wait for another process that holds it.

    Yields:
      Whether it is held; False where another process holds it still.

    Raises:
      RunFolderError: when the file cannot be made.
    """
    lock = FileLock(path)
    held = lock.acquire(patience)
    try:
        yield held
    finally:
        if held:
            lock.release()
