"""Grids on a real Slurm of one node, which the tests start for themselves: see slurm.py beside this file."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from tests.bench import slurm
from tests.bench.small import write_benchmark
from tests.training.problems import assert_same_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(slurm.missing()),
        reason=f"there is no Slurm: {', '.join(slurm.missing())} cannot be found; apt install slurm-wlm munge",
    ),
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed"),
]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600.0  # seconds for a grid to end, on a machine that does other things
RUNS = 4


class Cluster:
    """A Slurm, and ways to call programs in its surroundings."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment | {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def call(self, *command: str) -> tuple[int, str]:
        with self.start(*command) as process:
            said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def jobs(self) -> list[str]:
        return self.call("squeue", "--noheader", "--array", "--format=%F_%K")[1].split()


def bench(benchmark: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tladapt", "bench", str(benchmark), "--out", str(out), *options]


SEND = ("--launcher", "submitit", "--array", "2", "--slurm", "partition=tests", "--slurm", "time=10:00")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm.cluster() as environment:
        yield Cluster(environment)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmark(tmp_path_factory.mktemp("benchmark"), problems="B", steps=300)


@pytest.fixture(scope="module")
def local(benchmark: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same grid, trained without Slurm."""
    out = tmp_path_factory.mktemp("local") / "out"
    status, said = cluster.call(*bench(benchmark, out))
    assert status == 0, said
    return out


def assert_same_numbers(local: Path, out: Path) -> None:
    names = sorted(path.name for path in (local / "runs").iterdir())
    assert sorted(path.name for path in (out / "runs").iterdir()) == names and len(names) == RUNS
    for name in names:
        assert_same_folder(local / "runs" / name, out / "runs" / name)
    assert not list(out.glob("failed/*"))


def wait_for(what: Path, pattern: str) -> None:
    until = time.monotonic() + PATIENCE
    while not any(what.glob(pattern)):
        assert time.monotonic() < until, f"there is no {pattern} in {what}"
        time.sleep(0.05)


def test_an_array_of_jobs(cluster: Cluster, benchmark: Path, local: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, said = cluster.call(*bench(benchmark, out, *SEND))
    assert status == 0, said
    assert (
        f"{RUNS} runs were sent to Slurm as " in said and "2 ended" in said and "dann on A>B, seed 1: finished" in said
    )
    assert_same_numbers(local, out)
    logs = list((out / "slurm" / "logs").glob("*_log.out"))
    assert len(logs) == 2 and all("2 runs" in log.read_text() for log in logs)
    status, said = cluster.call(*bench(benchmark, out, *SEND))
    assert status == 0 and "sent to Slurm" not in said  # all is there


def test_an_array_without_submitit(cluster: Cluster, benchmark: Path, local: Path, tmp_path: Path) -> None:
    """As the help says; the call without a shard collects."""
    out = tmp_path / "out"
    shard = " ".join(bench(benchmark, out, "--shard", "$SLURM_ARRAY_TASK_ID/3"))
    logs = f"--output={tmp_path}/%a.log"
    status, said = cluster.call("sbatch", "--wait", "--array=0-2", logs, "--wrap", shard)
    assert status == 0, said + "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert_same_numbers(local, out)
    assert not (out / "outcomes.csv").exists()
    status, said = cluster.call(*bench(benchmark, out))
    assert status == 0 and f"{RUNS} of them finished before" in said, said
    assert (out / "outcomes.csv").exists()


@pytest.mark.parametrize("how", ["requeue", "time limit"])
def test_jobs_that_go_back_into_the_queue(
    cluster: Cluster, benchmark: Path, local: Path, tmp_path: Path, how: str
) -> None:
    """An administrator or a preemption takes the node away; or the warning before the time limit comes."""
    out = tmp_path / "out"
    status, said = cluster.call(*bench(benchmark, out, *SEND, "--no-wait"))
    assert status == 0 and "The jobs go on without this process." in said, said
    for method in ("source_only", "dann"):  # each is what one job begins with
        wait_for(out, f"runs/*{method}*/metrics.jsonl")
    for job in cluster.jobs():
        command = ["scontrol", "requeue"] if how == "requeue" else ["scancel", "--signal=USR2"]
        status, said = cluster.call(*command, job)
        assert status == 0, said
    status, said = cluster.call(*bench(benchmark, out, *SEND))
    assert status == 0 and "Jobs of an earlier call are at this grid" in said, said
    assert_same_numbers(local, out)
    logs = [log.read_text() for log in (out / "slurm" / "logs").glob("*_log.out")]
    assert [log.count("submitit INFO") > 0 and log.count("Starting with JobEnvironment") for log in logs] == [2, 2]


def test_ctrl_c_leaves_the_jobs(cluster: Cluster, benchmark: Path, local: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with cluster.start(*bench(benchmark, out, *SEND)) as process:
        wait_for(out, "runs/*/metrics.jsonl")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    job = cluster.call("squeue", "--noheader", "--format=%F")[1].split()[0]
    assert f"interrupted; {job}_[0-1] goes on. 'scancel {job}' ends them" in said, said
    assert cluster.call("scancel", job) == (0, "")
    until = time.monotonic() + PATIENCE
    while cluster.jobs():
        assert time.monotonic() < until, "cancelled jobs stay in the queue"
        time.sleep(0.2)
    status, said = cluster.call(*bench(benchmark, out, *SEND))
    assert status == 0 and "sent to Slurm as" in said, said
    assert_same_numbers(local, out)


def test_jobs_that_fail(cluster: Cluster, benchmark: Path, tmp_path: Path) -> None:
    out, broken = tmp_path / "out", "setup=echo there is no module cuda/99; exit 3"
    status, said = cluster.call(*bench(benchmark, out, *SEND, "--slurm", broken))
    assert status == 1
    assert "_1 ended as FAILED" in said and "there is no module cuda/99" in said
    assert f"{RUNS} runs are unfinished" in said, said


def test_slurm_refuses(cluster: Cluster, benchmark: Path, tmp_path: Path) -> None:
    status, said = cluster.call(*bench(benchmark, tmp_path / "out", *SEND, "--slurm", "partition=nowhere"))
    assert status == 2
    assert "Slurm did not take the jobs: sbatch: error: invalid partition specified: nowhere" in said, said


def test_the_cluster_leaves_nothing(tmp_path: Path) -> None:
    """A job that has not ended ends with its cluster, and so do the daemons."""
    with slurm.cluster() as environment:
        mark = f"{os.getpid()}.25"
        command = ["sbatch", f"--output={tmp_path / 'log'}", "--wrap", f"echo here; sleep {mark}"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        wait_for(tmp_path, "log")
        folder = Path(environment["SLURM_CONF"]).parent
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if mark.encode() in command or str(folder).encode() in command]
    assert not folder.exists()
