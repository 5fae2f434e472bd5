"""Locks on files, which the operating system lets go of when a process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tladapt.errors import RunFolderError


@contextlib.contextmanager
def locked(path: Path, *, patience: float = 0.0) -> Iterator[bool]:
    """Hold a lock.

    Network file systems pass locks on from machine to machine. Where one has none (Lustre mounted without flock, say)
    everybody gets the lock: shards of a grid do not meet, but nobody may then call the same shard twice at a time.

    Args:
      path: of the file that is locked; its folder is made.
      patience: how many seconds to wait for another process that holds it.

    Yields:
      Whether it is held; False where another process holds it still.

    Raises:
      RunFolderError: when the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunFolderError(
            f"{path} could not be written: {error.strerror or error}. Make the folder writable, or choose another one"
            " with --out."
        ) from error
    try:
        yield _acquired(file, time.monotonic() + patience)
    finally:
        os.close(file)


def _acquired(file: int, until: float) -> bool:
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
