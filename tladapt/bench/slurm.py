"""A grid on Slurm: an array of jobs, handed over by submitit, in which each task trains one shard of the grid."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tladapt.bench.slurm_queue import Array, record
from tladapt.errors import MissingPackageError, UsageError

MINUTES = 60
"""Time limit of a task unless somebody sets another: what it does not finish it goes on with after a requeue."""
RESTARTS = 100
"""How often a task that ran into its time limit goes back into the queue; each time it starts where it stopped."""
# What the array itself decides, so that a shard is trained by one process on one node.
OURS = ("array", "nodes", "ntasks", "ntasks_per_node", "requeue", "signal", "output", "error", "open_mode", "parsable")


class Shard:
    """What one job does: call `tladapt` on its shard of the grid, in a process of its own.

    submitit pickles it and calls it on the node. Shortly before the time limit Slurm sends SIGUSR2; submitit then asks
    for `checkpoint`, and puts the job back into the queue with what that returns. There is nothing to hand on: the
    grid's folder knows which runs are finished, and checkpoints tell how far the others came.

    Args:
      command: arguments of `tladapt`, without the shard.
      index, count: which of how many shards.
    """

    def __init__(self, command: Sequence[str], index: int, count: int):
        self.command = (*command, "--shard", f"{index}/{count}")

    def __call__(self) -> None:
        """Train the shard.

        Raises:
          SystemExit: with the command's status, when it did not end well; its words are in the log.
        """
        # Slurm signals all processes of a job. The default action for SIGUSR2 is to end, and a worker that ended so
        # would look like a run that failed; a blocked signal stays blocked in every process that the command starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        try:
            process = subprocess.Popen([sys.executable, "-m", "tladapt", *self.command])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        try:
            status = process.wait()
        except BaseException:  # submitit leaves by SystemExit once the job is in the queue again
            process.terminate()
            process.wait()
            raise
        if status:
            sys.exit(status)

    def checkpoint(self) -> Any:
        """Return what runs when the job comes out of the queue again: the same shard."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self)


def minutes(text: str) -> int:
    """Return a time limit as Slurm writes it in whole minutes, rounded up.

    >>> [minutes(text) for text in ("90", "01:30:00", "2-12", "1-00:00", "10:30")]
    [90, 90, 3600, 1440, 11]

    Raises:
      UsageError: for another form.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise UsageError(
            f"--slurm time={text} is no time limit: give minutes, hours:minutes:seconds, days-hours or"
            " days-hours:minutes:seconds."
        )
    days, *rest = match.groups()
    numbers = [int(number) for number in rest if number is not None]
    if days is None:  # minutes, minutes:seconds, hours:minutes:seconds
        seconds = {1: [60], 2: [60, 1], 3: [3600, 60, 1]}[len(numbers)]
    else:
        seconds = [3600, 60, 1][: len(numbers)]
    total = int(days or 0) * 86400 + sum(number * unit for number, unit in zip(numbers, seconds, strict=True))
    if not total:
        raise UsageError(f"--slurm time={text} leaves no time at all.")
    return math.ceil(total / 60)


def parameters(options: Iterable[str]) -> dict[str, Any]:
    """Return what submitit's executor is told, from `KEY=VALUE` as `sbatch` knows them.

    Three keys are submitit's own: `setup`, a line of shell before the job (any number of them), `array_parallelism`,
    how many tasks may run at once, and `signal_delay_s`, the seconds between the warning and the time limit. The
    others go to `sbatch` as they are, and what it does not know, it refuses; a key without a value is a flag.

    Raises:
      UsageError: for what the array decides itself, or a value of the wrong kind.
    """
    told: dict[str, Any] = {"time": MINUTES, "job_name": "tladapt", "setup": [], "stderr_to_stdout": True}
    more: dict[str, Any] = {"requeue": True}
    for option in options:
        name, given, value = option.partition("=")
        key = name.strip().lstrip("-").replace("-", "_")
        if not key or (given and not value):
            raise UsageError(f"--slurm takes KEY=VALUE, such as partition=gpu, not {option!r}.")
        if key in OURS:
            raise UsageError(
                f"--slurm {key} is set by the launcher: each task of the array trains one shard, on one node, and goes"
                " back into the queue when it is interrupted. --array says how many tasks there are."
            )
        if key == "time":
            told["time"] = minutes(value)
        elif key == "setup":
            told["setup"].append(value)
        elif key in ("array_parallelism", "signal_delay_s"):
            if not value.isdecimal() or not int(value):
                raise UsageError(f"--slurm {key}={value}: a whole number above 0 was expected.")
            told[key] = int(value)
        elif key == "job_name":
            told["job_name"] = value
        else:
            more[key] = value if given else True
    if "cpus_per_task" in more:  # `srun` does not take it over from `sbatch` any more since Slurm 22.05
        told["srun_args"] = [f"--cpus-per-task={more['cpus_per_task']}"]
    return told | {"additional_parameters": more}


def submit(command: Sequence[str], out: Path, *, parts: Sequence[Sequence[str]], options: Iterable[str] = ()) -> Array:
    """Hand a grid over to Slurm as an array of jobs.

    Args:
      command: arguments of `tladapt` that train the grid on this machine; each task adds its shard.
      out: the grid's folder, on a file system that the nodes share.
      parts: for each shard of the grid the names of the runs that are still to be trained; a shard without any gets no
        job.
      options: `KEY=VALUE` for `sbatch`.

    Raises:
      MissingPackageError: without submitit.
      UsageError: where no jobs can be submitted, or Slurm refuses these.
    """
    told, of = parameters(options), len(parts)
    try:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError
    except ImportError as error:
        raise MissingPackageError(
            "--launcher submitit needs the package submitit. Install it: pip install 'tladapt[slurm]'. Or without it:"
            f" sbatch --array=0-{of - 1} with a script that calls the command with --shard $SLURM_ARRAY_TASK_ID/{of}."
        ) from error
    if absent := [program for program in ("sbatch", "srun", "squeue") if shutil.which(program) is None]:
        raise UsageError(
            f"--launcher submitit talks to Slurm, whose {' and '.join(absent)} cannot be found on PATH. Call it on a"
            " machine that submits jobs (a login node), or leave --launcher out to train here."
        )
    folder = (out / "slurm" / "logs").absolute()
    executor = submitit.SlurmExecutor(folder, max_num_timeout=RESTARTS)
    executor.update_parameters(**told)
    try:
        with _outside_of_jobs(), contextlib.redirect_stderr(io.StringIO()):  # submitit prints what the error says again
            jobs = executor.submit_array([Shard(command, index, of) for index, part in enumerate(parts) if part])
    except (FailedJobError, FailedSubmissionError) as error:
        words = [line for line in str(error).splitlines() if line.startswith("sbatch: ")] or [str(error)]
        raise UsageError(f"Slurm did not take the jobs: {'; '.join(words)}.") from error
    job = jobs[0].job_id.partition("_")[0]
    return record(out, Array(job=job, cells=tuple(tuple(part) for part in parts if part), folder=str(folder)))


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide what this process knows of a job that it runs in: new jobs would take its cores and memory for theirs."""
    if "SLURM_JOB_ID" not in os.environ:
        yield
        return
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("SLURM_", "SRUN_"))}
    if "SLURM_CONF" in hidden:  # which Slurm it is, in a job or not
        os.environ["SLURM_CONF"] = hidden["SLURM_CONF"]
    try:
        yield
    finally:
        os.environ.update(hidden)
