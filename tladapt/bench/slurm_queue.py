"""An array of jobs that trains a grid, as Slurm's queue and the grid's folder show it."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tladapt.errors import RunFolderError, UsageError
from tladapt.training.folder import RunFolder

RECORD = "slurm/array.json"
# Words of Slurm for a job that will not run any more. With the others it waits, runs, or is about to.
OVER = frozenset(("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"))
OVER |= {"PREEMPTED", "REVOKED", "TIMEOUT"}
FIRST_LOOK, LATER_LOOKS = 0.5, 15.0
"""Seconds between looks at the queue, at first and in the long run: a controller serves many people."""
TAIL = 15
"""How many lines of a log are shown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Array:
    """A submitted array of jobs."""

    job: str
    """Slurm's id of the whole array."""
    cells: tuple[tuple[str, ...], ...]
    """For each job, from number 0 on, the names of the runs that it is to train."""
    folder: str
    """Where the logs are."""

    @property
    def name(self) -> str:
        """The jobs as Slurm's own commands write them."""
        return f"{self.job}_[0-{len(self.cells) - 1}]" if len(self.cells) > 1 else self.job

    def id(self, task: int) -> str:
        """Return Slurm's id of one job of the array."""
        return f"{self.job}_{task}" if len(self.cells) > 1 else self.job

    def log(self, task: int) -> Path:
        """Return where a job writes what it says."""
        return Path(self.folder) / f"{self.id(task)}_0_log.out"


def record(out: Path, array: Array) -> Array:
    """Note in a grid's folder which array trains it."""
    RunFolder(out).write_json(RECORD, dataclasses.asdict(array))
    return array


def recorded(out: Path) -> Array | None:
    """Return the array that was last submitted for a grid's folder.

    Raises:
      RunFolderError: for a note that cannot be read.
    """
    if not (out / RECORD).is_file():
        return None
    noted: dict[str, Any] = RunFolder(out).read_json(RECORD)
    try:
        return Array(**{**noted, "cells": tuple(map(tuple, noted["cells"]))})
    except (KeyError, TypeError) as error:
        raise RunFolderError(f"{out / RECORD} is not what the launcher wrote: {error}. Delete it to go on.") from error


def states(array: Array) -> dict[int, str]:
    """Return Slurm's word for the state of each job; of those that ended some minutes ago it knows nothing any more.

    Raises:
      UsageError: where the queue cannot be read.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={array.job}", "--format=%K|%T"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"Slurm's queue cannot be read: {error}") from error
    if said.returncode and "Invalid job id" not in said.stderr:
        raise UsageError(f"Slurm's queue cannot be read: {said.stderr.strip()}")
    found = {}
    for line in said.stdout.splitlines():
        index, _, state = line.strip().partition("|")
        found[int(index) if index.isdecimal() else 0] = state
    return found


def unfinished(found: Mapping[int, str]) -> dict[int, str]:
    """Return the states of those jobs that wait or run."""
    return {task: state for task, state in found.items() if state not in OVER}


def in_words(array: Array, found: Mapping[int, str]) -> str:
    """Return how many jobs are in which state, in words.

    >>> array = Array(job="12", cells=(("a",), ("b",), ("c",), ("d",)), folder="")
    >>> in_words(array, {0: "RUNNING", 1: "RUNNING", 2: "PENDING"})
    'Slurm 12_[0-3]: 2 running, 1 pending, 1 ended'
    """
    words = [found.get(task, "ended") for task in range(len(array.cells))]
    words = ["ended" if word in OVER else word.lower() for word in words]
    counts = {word: words.count(word) for word in ("running", "pending", *sorted(words), "ended")}
    return f"Slurm {array.name}: {', '.join(f'{count} {word}' for word, count in counts.items() if count)}"


def wait(array: Array, tell: Callable[[Mapping[int, str]], None]) -> dict[int, str]:
    """Wait until no job of an array waits or runs.

    Args:
      array: the jobs.
      tell: called with their states after each look at the queue.

    Returns:
      The last state that Slurm told of each job.
    """
    known: dict[int, str] = {}
    pause, misses = FIRST_LOOK, 0
    while True:
        try:
            found = states(array)
        except UsageError:  # a controller that restarts is back within minutes, and the jobs do not need it
            misses += 1
            if misses > 20:
                raise
        else:
            misses = 0
            known |= found
            tell(found)
            if not unfinished(found):
                return known
        time.sleep(pause)
        pause = min(1.5 * pause, LATER_LOOKS)


def last_words(array: Array, task: int, state: str = "") -> str:
    """Return what Slurm says of a job that left something undone, if it does, and how its log ends."""
    log = array.log(task)
    lines = log.read_text(errors="replace").splitlines()[-TAIL:] if log.is_file() else ["(there is no log)"]
    return "\n".join([f"job {array.id(task)} ended{f' as {state}' if state else ''}; {log} ends with:", *lines])
