"""A grid in parts, for the tasks of a job array; and what tasks share."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.bench.small import write_benchmark
from tests.cli.toy import call
from tladapt.bench import Benchmark, find_benchmark
from tladapt.bench.follow import Follower
from tladapt.bench.grid import Cell, Group, Place, grid, shard
from tladapt.bench.locks import locked
from tladapt.bench.pool import available_cores
from tladapt.bench.run import pending
from tladapt.errors import RunFolderError, UsageError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmark(tmp_path_factory.mktemp("benchmark"), problems="BCD")


@pytest.fixture(scope="module")
def benchmark(file: Path) -> Benchmark:
    return find_benchmark(str(file))


def names(groups: list[Group]) -> list[str]:
    return [cell.name for group in groups for cell in group]


@pytest.mark.parametrize("of", [1, 2, 5, 12, 20])
def test_shards_are_a_partition(benchmark: Benchmark, of: int) -> None:
    groups = grid(benchmark)
    parts = [names(shard(groups, which, of)) for which in range(of)]
    assert sorted(itertools.chain(*parts)) == sorted(names(groups))  # twelve cells, each in one part
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_keeps_seeds_together(benchmark: Benchmark) -> None:
    assert [len(group) for group in shard(grid(benchmark), 1, 3)] == [2, 2]


def test_shards_do_not_depend_on_the_order_of_names(benchmark: Benchmark) -> None:
    one = grid(benchmark, methods=["dann", "source_only"], problems=["A>B", "A>C"], seeds=[0, 1, 2])
    other = grid(benchmark, methods=["source_only", "dann"], problems=["A>C", "A>B"], seeds=[0, 1, 2])
    for which in range(5):
        assert names(shard(one, which, 5)) == names(shard(other, which, 5))


@pytest.mark.parametrize("which", [-1, 4])
def test_a_shard_that_there_is_not(benchmark: Benchmark, which: int) -> None:
    with pytest.raises(UsageError, match="from 0 to n - 1"):
        shard(grid(benchmark), which, 4)


def test_a_shard_leaves_out_what_is_finished(benchmark: Benchmark, tmp_path: Path) -> None:
    place, part = Place(tmp_path / "out"), shard(grid(benchmark), 2, 4)
    done, *rest = names(part)
    place.run(done).mkdir(parents=True)
    (place.run(done) / "summary.json").write_text("{}")
    assert names(pending(place, part)) == rest


def test_the_command_splits_its_grid(file: Path, tmp_path: Path) -> None:
    def planned(*options: str) -> list[str]:
        said = call("bench", str(file), "--out", str(tmp_path / "out"), "--dry-run", *options)
        assert said.status == 0, said.err
        return [line.strip() for line in said.out.splitlines()[1:]]

    parts = [planned("--shard", f"{which}/3") for which in range(3)]
    assert len(planned()) == 12 and sorted(itertools.chain(*parts)) == sorted(planned())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--array", "4"], "go with --launcher submitit"),
        (["--slurm", "time=10"], "go with --launcher submitit"),
        (["--no-wait"], "go with --launcher submitit"),
        (["--launcher", "submitit", "--shard", "0/2"], "leave that one out"),
        (["--shard", "2/2"], "from 0 to N - 1"),
        (["--launcher", "slurm"], "submitit"),
    ],
)
def test_options_that_do_not_go_together(file: Path, tmp_path: Path, options: list[str], words: str) -> None:
    said = call("bench", str(file), "--out", str(tmp_path / "out"), *options)
    assert said.status == 2 and words in said.err, said
    assert not (tmp_path / "out").exists()


# ---- what tasks share ------------------------------------------------------------------------------------------------


def test_tasks_that_begin_at_once(benchmark: Benchmark, tmp_path: Path) -> None:
    groups, errors = grid(benchmark), list[Exception]()

    def begin() -> None:
        try:
            Place(tmp_path / "out").begin(benchmark, groups, ["tladapt", "bench"])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["benchmark"] == "small"
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 12
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_folder_of_something_else(benchmark: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(UsageError, match=r"not empty \(thesis.txt\)"):
        Place(tmp_path).begin(benchmark, grid(benchmark), [])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "some" / "lock"
    with locked(path) as mine, locked(path, patience=0.1) as other:
        assert mine and not other
    with locked(path) as again:
        assert again


def test_the_lock_of_a_process_that_was_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    program = f"import fcntl; file = open({path!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        with locked(tmp_path / "lock", patience=0.0) as held:
            assert not held
        process.kill()
    with locked(tmp_path / "lock", patience=5.0) as held:
        assert held


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path / "lock") as held:
        assert held


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose another one with --out"), locked(tmp_path / "file" / "lock"):
        pass


@pytest.mark.parametrize(("job", "cores"), [("7", [2, 3]), ("8", [0, 1])])
def test_jobs_on_one_node_take_other_cores(monkeypatch: pytest.MonkeyPatch, job: str, cores: list[int]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 1, 0, 2}, raising=False)
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    assert available_cores() == [0, 1, 2, 3]
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "2")
    monkeypatch.setenv("SLURM_JOB_ID", job)
    assert available_cores() == cores
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert available_cores() == [0, 1, 2, 3]


def test_a_grid_is_followed_from_outside(benchmark: Benchmark, tmp_path: Path) -> None:
    place, cells = Place(tmp_path), [cell for group in grid(benchmark) for cell in group][:3]
    told: list[tuple[object, ...]] = []
    follower = Follower(place, cells, lambda event: told.append(tuple(event.values())))

    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def of(cell: Cell) -> Path:
        return place.run(cell.name)

    follower.look()
    assert not told
    write(of(cells[0]) / "metrics.jsonl", '{"kind": "train", "step": 5}\n{"kind": "train", "step": 10}\n{"ki')
    follower.look()
    assert told == [("step", cells[0].name, 10)]
    write(of(cells[0]) / "summary.json", "{}")
    write(place.failure(cells[1].name) / "error.txt", "no memory")
    told.clear()
    follower.look()
    assert told == [("finished", cells[0].name), ("failed", "no memory", cells[1].name)]
    assert list(follower.missing) == [cells[2].name]
