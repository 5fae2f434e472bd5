"""Locks between processes that the operating system lets go of when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class FileLock:
    """An exclusive lock on a file: `flock`, which ends with its process, so a killed one leaves nothing to clean up.

    Two locks on one file exclude each other within a process, too.

    Args:
      path: the file, which is made and stays; nothing is in it.
    """

    def __init__(self, path: Path):
        self._path, self._file = path, -1

    def acquire(self) -> bool:
        """Wait for the lock and take it."""
        return self._take(fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock where nobody has it; return whether."""
        return self._take(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _take(self, how: int) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            os.close(file)
            return False
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._file)
        self._file = -1


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file within a block, after waiting for it."""
    lock = FileLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
