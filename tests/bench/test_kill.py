"""A grid that is killed at any moment, in any way, and called again: no finished run is lost, no number changes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import pytest

from tests.bench.small import write_benchmark
from tests.training.problems import assert_same_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc"),
]
ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
PATIENCE = 600.0  # seconds for processes to end, on a machine that does other things


class Grid:
    """A call of `tladapt bench`; all processes that come from it carry a mark in their environment."""

    started: ClassVar[list[Grid]] = []

    def __init__(self, benchmark: Path, out: Path, *options: str):
        self.out, self.mark = out, f"TLADAPT_TEST_MARK={os.getpid()}-{len(Grid.started)}"
        name, value = self.mark.split("=")
        cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tladapt", "bench", str(benchmark), "--out", str(out), "--jobs", "2", *options],
            cwd=ROOT,
            env={**os.environ, **cache, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        Grid.started.append(self)

    def all(self) -> list[int]:
        """Return the ids of all of its processes that run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def workers(self) -> list[int]:
        return [pid for pid in self.all() if pid != self.process.pid]

    def end(self) -> tuple[int, str]:
        """Wait for its end, and return its status and what it said."""
        said, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said

    def gone(self) -> None:
        """Wait until none of its processes is left."""
        until = time.monotonic() + PATIENCE
        while left := self.all():
            assert time.monotonic() < until, f"processes {left} are left behind"
            time.sleep(0.1)


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """End what a test that failed has left."""
    yield
    for grid in Grid.started:
        send(grid.all(), signal.SIGKILL)


WAYS: dict[str, Callable[[Grid], None]] = {
    "the machine goes off": lambda grid: send(grid.all(), signal.SIGKILL),
    "kill -9": lambda grid: send([grid.process.pid], signal.SIGKILL),
    "kill": lambda grid: send([grid.process.pid], signal.SIGTERM),
    "Ctrl-C": lambda grid: os.killpg(grid.process.pid, signal.SIGINT),
    "a scheduler ends the job": lambda grid: send(grid.all()[::-1], signal.SIGTERM),  # children first
}


class Whole(NamedTuple):
    """A grid that nobody disturbed."""

    benchmark: Path
    out: Path
    seconds: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    benchmark = write_benchmark(folder / "benchmark")
    started = time.monotonic()
    grid = Grid(benchmark, folder / "out")
    status, said = grid.end()
    assert status == 0, said
    yield Whole(benchmark, folder / "out", time.monotonic() - started)


def finished(out: Path) -> dict[str, int]:
    """Return when each finished run was written, in nanoseconds."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("runs/*/summary.json")}


def assert_sound(out: Path) -> None:
    """No file that people or programs read is half written, and no run is said to have failed."""
    for path in out.rglob("*.json"):
        json.loads(path.read_text())
    assert not list(out.glob("failed/*/error.txt")), [path.read_text() for path in out.glob("failed/*/error.txt")]


def assert_same_numbers(whole: Path, out: Path) -> None:
    names = sorted(path.name for path in (whole / "runs").iterdir())
    assert sorted(path.name for path in (out / "runs").iterdir()) == names
    for name in names:
        assert_same_folder(whole / "runs" / name, out / "runs" / name)
    assert not list(out.rglob("*.part"))


def test_killed_twenty_times(whole: Whole, tmp_path: Path) -> None:
    chance = random.Random(0)
    ways = [*WAYS] * (KILLS // len(WAYS))
    chance.shuffle(ways)
    before: list[Grid] = []
    rounds, kept = 0, dict[str, int]()
    while ways:
        out = tmp_path / str(rounds)
        grid = Grid(whole.benchmark, out)
        try:
            grid.process.wait(chance.uniform(0.0, 0.8 * whole.seconds))
        except subprocess.TimeoutExpired:
            WAYS[ways[-1]](grid)
        status, said = grid.end()
        before.append(grid)
        if out.is_dir():
            assert_sound(out)
        now = finished(out)
        assert kept.items() <= now.items(), f"finished runs are lost or trained again after {ways[-1]}: {said}"
        kept = now
        if status == 0:  # it was faster than its killer
            assert_same_numbers(whole.out, out)
            rounds, kept = rounds + 1, {}
        else:
            ways.pop()
            if chance.random() < 0.5:  # otherwise it is called again while processes of the killed one may still end
                grid.gone()
    for grid in before:
        grid.gone()
    status, said = Grid(whole.benchmark, tmp_path / str(rounds)).end()
    assert status == 0, said
    assert kept.items() <= finished(tmp_path / str(rounds)).items()
    assert_same_numbers(whole.out, tmp_path / str(rounds))


def wait_for_steps(grid: Grid) -> None:
    """Wait until a run has begun to train."""
    until = time.monotonic() + PATIENCE
    while not any(grid.out.glob("runs/*/metrics.jsonl")):
        assert time.monotonic() < until and grid.process.poll() is None, grid.end()
        time.sleep(0.02)


def test_a_worker_that_is_killed_takes_one_run_along(whole: Whole, tmp_path: Path) -> None:
    """As when memory runs out: the run is kept apart with a reason, and --retry-failed finishes it."""
    grid = Grid(whole.benchmark, tmp_path / "out")
    wait_for_steps(grid)
    send(grid.workers()[:1], signal.SIGKILL)
    status, said = grid.end()
    failures = list((tmp_path / "out").glob("failed/*/error.txt"))
    assert status == 1 and len(failures) == 1, said
    assert "SIGKILL" in failures[0].read_text() and "--retry-failed" in said
    kept = finished(tmp_path / "out")
    assert len(kept) == 7
    status, said = Grid(whole.benchmark, tmp_path / "out", "--retry-failed").end()
    assert status == 0, said
    assert kept.items() <= finished(tmp_path / "out").items()
    assert_same_numbers(whole.out, tmp_path / "out")


def test_workers_that_others_ask_to_end(whole: Whole, tmp_path: Path) -> None:
    """Nothing is wrong with the runs that they were at: they go on, in other processes where need be."""
    grid = Grid(whole.benchmark, tmp_path / "out")
    wait_for_steps(grid)
    first, second = grid.workers()[:2]
    send([first], signal.SIGTERM)
    send([second], signal.SIGINT)
    status, said = grid.end()
    assert status == 0, said
    assert_sound(tmp_path / "out")
    assert_same_numbers(whole.out, tmp_path / "out")
