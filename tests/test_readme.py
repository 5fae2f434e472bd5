"""The README is code: its Python runs, its commands parse, its tables are those of the CSV."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tladapt.cli import bench_command, tune_command
from tladapt.cli.options import given_fields
from tladapt.cli.train_command import command, config_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands(word: str = "train") -> list[str]:
    whole = [block.replace("\\\n", " ") for block in blocks("bash")]  # a line goes on after a backslash
    lines = [line.split("#")[0].split(";")[0].strip() for block in whole for line in block.splitlines()]
    return [line for line in lines if line.startswith(f"tladapt {word} ")]


def test_python_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks("python"))
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "runs/first/summary.json").is_file()
    result = names["result"]
    assert result.metrics["source/accuracy"] > 0.9  # type: ignore[attr-defined]
    assert result.predict(names["target"].x).shape == (600,)  # type: ignore[attr-defined]


def test_there_are_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_commands_parse(line: str) -> None:
    context = command.make_context("train", shlex.split(line)[2:])
    config_of(context.params, given_fields(context))


@pytest.mark.parametrize("line", sorted(set(commands("bench"))))
def test_grids_are_what_they_say(line: str) -> None:
    context = bench_command.command.make_context("bench", shlex.split(line)[2:])
    if context.params["name"] != "my_benchmark.py":  # which tests/test_contributing.py has
        assert bench_command._grid(context.params, given_fields(context))[2]


@pytest.mark.parametrize("line", commands("tune"))
def test_searches_parse(line: str) -> None:
    context = tune_command.command.make_context("tune", shlex.split(line)[2:])
    config_of({**context.params, "debug": False}, given_fields(context))


def test_tables_are_those_of_the_results() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "tables.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
