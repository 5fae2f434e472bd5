"""Checkpoints: a state on disk through orbax, with a digest, so that a damaged one is known as such."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.errors import RunFolderError
from tladapt.training.state import State, flat, unflat

KEEP = 10


class _Unraisable:
    """Hears of errors in threads that nobody waits for.

    It is made once and never goes: a thread may have picked it up when `sys` has another one already, and Python does
    not keep it alive for that thread.
    """

    other: Any = sys.__unraisablehook__

    def __call__(self, found: Any) -> None:
        # Where one array could not be written, the threads of the others find nobody left to tell.
        if str(found.exc_value) != "Event loop is closed":
            self.other(found)


_UNRAISABLE = _Unraisable()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep orbax's remarks and the tracebacks of its threads off the screen."""
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # its errors are raised as well, and told in our words
    _UNRAISABLE.other = hook
    sys.unraisablehook = _UNRAISABLE
    try:
        yield
    finally:
        logger.setLevel(before)
        sys.unraisablehook = hook


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays with their names, shapes and types."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def spread(steps: Iterable[int], keep: int) -> set[int]:
    """Return `keep` of `steps`, as evenly spread as they allow."""
    found = sorted(steps)
    if len(found) <= keep:
        return set(found)
    wanted = np.linspace(found[0], found[-1], keep)
    return {min(found, key=lambda step: (abs(step - at), step)) for at in wanted}


def _cause(error: Exception) -> str:
    """Return what the operating system said, out of an error of the writing library."""
    found = re.search(r"([^:]+?) \[os_error_code", str(error))
    if found:
        return found[1].strip()
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (isinstance(error, OSError) and error.strerror) or first[:200]


class Checkpoints:
    """The checkpoints of a run in one folder; the newest, those asked for, and a spread of at most ten are kept.

    Args:
      folder: where they are; made on the first save.
    """

    def __init__(self, folder: Path):
        self.folder = folder.absolute()

    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False, create=True)
        return ocp.CheckpointManager(self.folder, options=options)

    def steps(self) -> list[int]:
        """Return the steps of all finished checkpoints, in order."""
        if not self.folder.is_dir():
            return []
        with _quiet(), self._manager() as manager:
            return sorted(manager.all_steps())

    def save(self, state: State, *, protect: Iterable[int] = ()) -> None:
        """Save a state under its step, then delete what need not be kept.

        Args:
          state: what to save.
          protect: steps that stay (the chosen one).

        Raises:
          RunFolderError: when the disk is full or the folder cannot be written; earlier checkpoints are as they were.
        """
        import orbax.checkpoint as ocp

        step = int(state.step)
        arrays = {name: np.asarray(leaf) for name, leaf in flat(state).items()}
        described = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
        # A full disk can fail anywhere in the writing library, with any type of error.
        try:
            self._sweep()
            self._refuse_full_disk(sum(array.nbytes for array in arrays.values()))
            with _quiet(), self._manager() as manager:
                if step in manager.all_steps():
                    return
                manager.save(
                    step,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardSave(arrays),
                        meta=ocp.args.JsonSave({"digest": digest(arrays), "arrays": described}),
                    ),
                    force=True,
                )
                manager.wait_until_finished()
                if step not in manager.all_steps():
                    raise OSError("orbax did not finish the checkpoint")
                steps = manager.all_steps()
                for old in set(steps) - spread(steps, KEEP) - {max(steps), *protect}:
                    manager.delete(old)
        except Exception as error:
            self._sweep()
            left = ", ".join(map(str, self._present())) or "none"
            raise RunFolderError(
                f"checkpoint of step {step} could not be written to {self.folder}: {_cause(error)}. Free some space or"
                f" make the folder writable, then go on with --resume. Checkpoints that are there: {left}."
            ) from error

    def _refuse_full_disk(self, needed: int) -> None:
        """Raise before anything is written where there is no room for `needed` bytes and what goes with them."""
        place = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if free < 1.2 * needed + (1 << 20):
            raise OSError(
                errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({needed / 1e6:.1f} MB needed, {free / 1e6:.1f} free)"
            )

    def _sweep(self) -> None:
        """Delete what unfinished saves have left."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)

    def _present(self) -> list[int]:
        with contextlib.suppress(OSError):
            return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())
        return []

    def read(self, step: int) -> dict[str, np.ndarray]:
        """Return the arrays of a step's state by path.

        Raises:
          RunFolderError: for a checkpoint that cannot be read, or whose digest is not the one it was written with.
        """
        import orbax.checkpoint as ocp

        # A garbled file can fail anywhere in the reading library, with any type of error.
        try:
            with _quiet(), self._manager() as manager:
                meta = manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
                # Told what to fill, orbax restores to the host, whatever devices wrote the arrays.
                like = {name: np.zeros(shape, dtype) for name, (dtype, shape) in meta["arrays"].items()}
                found = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like)))["state"]
            arrays = {name: np.asarray(leaf) for name, leaf in found.items()}
        except Exception as error:
            raise RunFolderError(
                f"checkpoint of step {step} in {self.folder} cannot be read: {_cause(error)}."
            ) from error
        if digest(arrays) != meta["digest"]:
            raise RunFolderError(f"checkpoint of step {step} in {self.folder} is damaged: its digest is another one.")
        return arrays

    def newest(self, like: State, *, until: int) -> tuple[State | None, list[str]]:
        """Return the newest state up to a step that can be read, and a word about each newer one that cannot be used.

        Raises:
          RunFolderError: for a state that can be read and does not fit `like`; nothing is damaged there.
        """
        words: list[str] = []
        for step in reversed(self.steps()):
            if step > until:
                words.append(f"checkpoint of step {step} is passed over: the log has lost a line before it.")
                continue
            try:
                arrays = self.read(step)
            except RunFolderError as error:
                words.append(str(error))
                continue
            return unflat(arrays, like), words
        return None, words

    def forget_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, which a resumed run writes anew, and unfinished ones."""
        self._sweep()
        for later in self._present():
            if later > step:
                try:
                    shutil.rmtree(self.folder / str(later))
                except OSError as error:
                    raise RunFolderError(
                        f"{self.folder / str(later)} could not be deleted: {error.strerror}."
                    ) from error
