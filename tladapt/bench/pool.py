"""Local processes for a grid: one a core, pinned, each fed one group at a time by the process that people started."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from tladapt.bench.grid import Group, Place
from tladapt.bench.work import Tell, Worker, keep_apart
from tladapt.errors import MissingDataError, MissingPackageError

GRACE = 60.0
"""Seconds that processes get to save their state after Ctrl-C."""
TOLD_TO_END = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, 130)
"""How a process ends that somebody has asked to: no fault of the run that it was at."""


def available_cores() -> list[int]:
    """Return the cores that this process may use; where the system does not say, those that there are.

    A job of Slurm has as many as it was granted. A Slurm that does not bind its jobs to cores leaves open which ones:
    jobs with consecutive numbers, as those of an array have, then take consecutive ones.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    granted = int(os.environ.get("SLURM_CPUS_ON_NODE", len(cores)))
    if granted < len(cores):
        first = int(os.environ.get("SLURM_JOB_ID", 0)) * granted
        cores = [cores[(first + place) % len(cores)] for place in range(granted)]
    return cores


def pin(core: int) -> None:
    """Bind this process to one core, before JAX counts them; where the system cannot, leave it.

    A run's numbers depend on how many threads share a sum, in the last bits: pinned to one core they are the same
    however many processes there are.
    """
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})


class _Process:
    """A process that trains groups, and what it is at."""

    def __init__(self, command: Sequence[str], number: int, log: Path, events: queue.SimpleQueue[Any]):
        self.number, self.log = number, log
        self.group: Group = ()
        self.ended: set[str] = set()
        self.current = ""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as errors:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the one that people started, which passes it on once
            )
        self._start = log.stat().st_size
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    def _listen(self, events: queue.SimpleQueue[Any]) -> None:
        assert self.popen.stdout is not None and self.popen.stdin is not None
        with self.popen.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):
                    events.put((self, json.loads(line)))
        self.popen.wait()
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        events.put((self, {"kind": "gone"}))

    def give(self, group: Group) -> None:
        """Hand over a group."""
        self.group, self.ended, self.current = group, set(), group[0].name
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and says so
            self.popen.stdin.write(json.dumps([cell.name for cell in group]) + "\n")
            self.popen.stdin.flush()

    def last_words(self) -> str:
        """Return the end of what the process wrote to its log."""
        text = self.log.read_bytes()[self._start :].decode(errors="replace")
        return "\n".join(text.splitlines()[-20:])


def train_in_processes(
    place: Place, groups: Sequence[Group], command: Sequence[str], jobs: int, tell: Tell, *, pinned: bool = True
) -> None:
    """Train groups in `jobs` processes, and return when all have ended.

    A process that ends before its time takes nothing along: the run that it was at is kept apart with its last words,
    and another process goes on with the rest.

    Args:
      place: the grid's folder.
      groups: what is to be trained.
      command: starts a process that calls `serve`; "--core N" is added to it, with -1 for any.
      jobs: how many.
      tell: gets what happens, as from `Worker`.
      pinned: bind each process to a core. With an accelerator that would only slow compiling and reading.

    Raises:
      KeyboardInterrupt: for Ctrl-C or SIGTERM, after the processes have saved their states.
      MissingDataError: for data that is not there; so for packages.
    """
    with _terminated_as_interrupted():
        _train_in_processes(place, groups, command, jobs, tell, pinned)


def _train_in_processes(
    place: Place, groups: Sequence[Group], command: Sequence[str], jobs: int, tell: Tell, pinned: bool
) -> None:
    waiting = deque(groups)
    cores = available_cores()
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    running: dict[int, _Process] = {}

    def start(number: int) -> None:
        core = str(cores[number % len(cores)] if pinned else -1)
        log = place.out / "logs" / f"worker{number}-{os.getpid()}.log"
        running[number] = _Process([*command, "--core", core], number, log, events)
        running[number].give(waiting.popleft())

    try:
        for number in range(min(jobs, len(waiting))):
            start(number)
        while running:
            process, event = events.get()
            kind = event["kind"]
            if kind == "ready":
                process.group = ()
                if waiting:
                    process.give(waiting.popleft())
                else:
                    process.popen.stdin.close()
            elif kind == "missing":
                raise (MissingDataError if event["data"] else MissingPackageError)(event["error"])
            elif kind == "gone":
                del running[process.number]
                left = _after_end(place, process, tell)
                if not process.log.stat().st_size:
                    process.log.unlink()
                if left:
                    waiting.appendleft(left)
                if waiting:
                    start(process.number)
            else:
                process.current = event["cell"]
                if kind != "step":
                    process.ended.add(event["cell"])
                tell(event)
    except BaseException:
        _stop(list(running.values()))
        raise


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, with which schedulers announce the end, do what Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # some say it twice, which must not cut the saving short
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _after_end(place: Place, process: _Process, tell: Tell) -> Group:
    """Return what is left of a group whose process has ended before its time.

    The run that it was at has failed, unless somebody has asked the process to end.
    """
    left = tuple(cell for cell in process.group if cell.name not in process.ended)
    code = process.popen.returncode
    if not left or code in TOLD_TO_END:
        return left
    at = process.current if any(cell.name == process.current for cell in left) else left[0].name
    how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with status {code}"
    hint = (
        " The system ends processes that way when memory runs out; try fewer --jobs." if code == -signal.SIGKILL else ""
    )
    text = f"the process that trained it ended {how}.{hint}\n{process.last_words()}"
    keep_apart(place, at, text)
    tell({"kind": "failed", "cell": at, "error": text})
    return tuple(cell for cell in left if cell.name != at)


def take_orders() -> None:
    """Set this process up as one that ends when whoever gave it its work says so, by Ctrl-C's signal."""
    # A scheduler's SIGTERM reaches all processes of a job, and a second word to end would leave no time to save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(processes: Sequence[_Process]) -> None:
    """Ask processes to save their state and end, and end those that do not."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.popen.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.popen.wait(GRACE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.popen.kill()


def serve(place: Place, groups: Sequence[Group], data_dir: str | None, lines: TextIO, answers: TextIO) -> None:
    """Train the groups that are named line by line, until there are no more lines.

    Args:
      place: the grid's folder.
      groups: of the whole grid.
      data_dir: where data sets are.
      lines: each the JSON list of the names of some cells of one group.
      answers: gets events as lines of JSON; {"kind": "ready"} after each group.
    """
    cells = {cell.name: cell for group in groups for cell in group}
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    given = done = 0

    def listen() -> None:
        nonlocal given
        for line in lines:
            given += 1
            orders.put(line)
        if given > done:  # whoever gave the orders is gone: what is saved is saved, and another one goes on from there
            os._exit(3)
        orders.put(None)

    def tell(event: Any) -> None:
        answers.write(json.dumps(event) + "\n")
        answers.flush()

    threading.Thread(target=listen, daemon=True).start()
    worker = Worker(place, tell, data_dir)
    while (line := orders.get()) is not None:
        try:
            worker.train(tuple(cells[name] for name in json.loads(line)))
        except (MissingDataError, MissingPackageError) as error:  # every other group would miss it, too
            tell({"kind": "missing", "error": str(error), "data": isinstance(error, MissingDataError)})
            return
        done += 1
        tell({"kind": "ready"})


def worker_command(arguments: Sequence[str]) -> list[str]:
    """Return the command of a process that serves the grid of `tladapt bench` with some arguments."""
    return [sys.executable, "-m", "tladapt", "bench", *arguments]
