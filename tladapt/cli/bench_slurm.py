"""`tladapt bench --launcher submitit`: the grid's shards go to Slurm, and this process watches the folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

TASKS = 8
"""How many jobs the array has, unless somebody says otherwise."""
LATE = 10.0
"""Seconds in which what a job wrote last becomes visible on another machine."""
OWN_FLAGS = ("--no-wait", "--json", "--figures", "--retry-failed")
OWN_OPTIONS = ("--launcher", "--array", "--slurm", "--shard")


def check_launcher(given: Mapping[str, Any]) -> None:
    """Refuse options that do not go together."""
    from tladapt.errors import UsageError

    if given["launcher"] == "submitit":
        if given["shard"]:
            raise UsageError("--launcher submitit gives each of its jobs a --shard; leave that one out.")
    elif given["array"] or given["slurm"] or given["no_wait"]:
        raise UsageError("--array, --slurm and --no-wait are about jobs on Slurm; they go with --launcher submitit.")


def task_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the words after `tladapt bench` that say what is trained, for all shards alike.

    >>> task_arguments(["toy", "--launcher", "submitit", "--array=4", "--seeds", "2", "--no-wait"])
    ['toy', '--seeds', '2']
    """
    kept, words = [], iter(arguments)
    for word in words:
        if word in OWN_OPTIONS:
            next(words, None)
        elif word not in OWN_FLAGS and word.partition("=")[0] not in OWN_OPTIONS:
            kept.append(word)
    return kept


def send(
    place: Any,
    groups: Sequence[Any],
    left: Sequence[Any],
    progress: Any,
    given: Mapping[str, Any],
    arguments: Sequence[str],
) -> int:
    """Submit what is left of a grid, unless jobs are at it already, and wait for it.

    Args:
      place: the grid's folder.
      groups: what is asked for.
      left: what is to be trained.
      progress: shows what happens.
      given: the command's options.
      arguments: the words after `tladapt bench`.

    Returns:
      How many runs have neither finished nor failed.

    Raises:
      KeyboardInterrupt: for Ctrl-C; the jobs go on.
    """
    from tladapt.bench.slurm_queue import in_words, recorded, states, unfinished

    array = recorded(place.out)
    found = {} if array is None else states(array)
    cells = [cell for group in left for cell in group]
    if array is not None and unfinished(found):
        progress.say(f"Jobs of an earlier call are at this grid, and nothing new is sent. {in_words(array, found)}.")
    elif not cells:
        return 0
    else:
        array = _submit(place, groups, {cell.name for cell in cells}, given, arguments)
        progress.say(f"{len(cells)} runs were sent to Slurm as {array.name}; what they say is in {array.folder}.")
    how = f"'scancel {array.job}' ends them; the same command waits for them again and shows the table."
    if given["no_wait"]:
        progress.say(f"The jobs go on without this process. {how}")
        return len(cells)
    try:
        return _wait(array, place, cells, progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {array.name} goes on. {how}") from None


def _submit(place: Any, groups: Any, undone: set[str], given: Mapping[str, Any], arguments: Sequence[str]) -> Any:
    from tladapt.bench.grid import shard
    from tladapt.bench.slurm import submit

    of = min(given["array"] or TASKS, sum(map(len, groups)))
    parts = [[cell.name for group in shard(groups, i, of) for cell in group if cell.name in undone] for i in range(of)]
    return submit(["bench", *task_arguments(arguments)], place.out, parts=parts, options=given["slurm"])


def _wait(array: Any, place: Any, cells: Sequence[Any], progress: Any) -> int:
    """Show what the jobs do until they have ended, and how the logs end of those that left something undone."""
    from tladapt.bench.follow import Follower
    from tladapt.bench.slurm_queue import in_words, last_words, wait

    follower = Follower(place, cells, progress)
    words = ""

    def look(found: Mapping[int, str]) -> None:
        nonlocal words
        now = in_words(array, found)
        if now != words:
            progress.say(now)
        words = now
        follower.look()

    known = wait(array, look)
    until = time.monotonic() + LATE
    while follower.missing and time.monotonic() < until:
        time.sleep(0.5)
        follower.look()
    for task, names in enumerate(array.cells):
        if follower.missing.keys() & set(names):
            click.echo(last_words(array, task, known.get(task, "")), err=True)
    if follower.missing:
        click.echo(
            f"{len(follower.missing)} runs are unfinished, and no job is at them any more: the same command sends them"
            " again, and they go on where they stopped.",
            err=True,
        )
    return len(follower.missing)
