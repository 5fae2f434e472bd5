"""`kill -9` and Ctrl-C from outside, at any moment, in processes of their own."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tladapt
from tests.training import problems

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, method: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.victim", str(folder), method, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], kind: str) -> str:
    """Read what a process says up to an event of some kind."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(kind):
            return line
    raise AssertionError(f"it ended first: {process.communicate()[1]}")


def whole(method: str, folder: Path) -> Path:
    tladapt.run(problems.methods()[method], problems.scenario(), out=folder)
    return folder


def finish(method: str, folder: Path) -> None:
    tladapt.run(problems.methods()[method], problems.scenario(), out=folder, resume=True)


def test_killed_in_the_middle_of_a_run(tmp_path: Path) -> None:
    with start(tmp_path / "run", "source_only", "--pause", "0.02") as process:
        wait_for(process, "eval 20")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "run" / "summary.json").exists()
    finish("source_only", tmp_path / "run")
    problems.assert_same_folder(whole("source_only", tmp_path / "whole"), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_at_random_moments(seed: int, tmp_path: Path) -> None:
    """Three kills in one run: after a random time, and before a random operation on its files."""
    chance, method = random.Random(seed), ["dann", "shot", "mean_teacher"][seed]
    with start(tmp_path / "run", method, "--pause", "0.05") as process:
        wait_for(process, "start")
        time.sleep(chance.uniform(0.0, 4.0))
        process.kill()
    for _ in range(2):
        operation = chance.randint(1, 250)
        with start(tmp_path / "run", method, "--kill-at-file-operation", str(operation)) as process:
            words = process.communicate()[1]
        assert process.returncode in (-signal.SIGKILL, 0), words
    finish(method, tmp_path / "run")
    problems.assert_same_folder(whole(method, tmp_path / "whole"), tmp_path / "run")


@pytest.mark.slow
def test_ctrl_c_from_outside(tmp_path: Path) -> None:
    with start(tmp_path / "run", "shot", "--pause", "0.3") as process:
        wait_for(process, "train 15")
        process.send_signal(signal.SIGINT)
        words = process.communicate()[1]
    assert process.returncode == 1
    assert "Interrupted: interrupted after step " in words and "--resume" in words
    finish("shot", tmp_path / "run")
    problems.assert_same_folder(whole("shot", tmp_path / "whole"), tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("largest", [300, 1500, 6000])
def test_files_that_may_not_grow(largest: int, tmp_path: Path) -> None:
    """A disk that is full, as the operating system says it: writes end with an error in the middle of a file."""
    with start(tmp_path / "run", "dann", "--largest-file", str(largest)) as process:
        said, words = process.communicate()
    assert process.returncode == 1, said
    assert "RunFolderError: " in words and "could not be written" in words and "File too large" in words, words
    assert not list((tmp_path / "run").rglob("*tmp*"))
    finish("dann", tmp_path / "run")
    problems.assert_same_folder(whole("dann", tmp_path / "whole"), tmp_path / "run")
