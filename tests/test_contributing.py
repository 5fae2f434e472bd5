"""What CONTRIBUTING.md shows is done here: its Python is written to the file that it names, its commands are run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.toy import call
from tladapt.data import load

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text()
NAMED = re.compile(r"^```python\n# (?P<name>\w+\.py)\n(?P<code>.*?)^```", flags=re.DOTALL | re.MULTILINE)


def commands(word: str) -> list[list[str]]:
    lines = re.findall(r"^tladapt (.*)$", TEXT, flags=re.MULTILINE)
    return [shlex.split(line) for line in lines if line.startswith(f"{word} ") and "my_data.py" in line]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the text shows."""
    for found in NAMED.finditer(TEXT):
        (tmp_path / found["name"]).write_text(found["code"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_is_a_data_set(here: Path) -> None:
    scenario = load("my_data.py:make:lab-sea", offset=0.5)
    assert scenario.source[0].name == "lab" and len(scenario.target) == 200
    assert (scenario.test.x.mean() - scenario.source[0].x.mean()) == pytest.approx(1.0, abs=0.2)


@pytest.mark.slow
def test_its_commands_run(here: Path) -> None:
    assert len(commands("doctor")) == len(commands("train")) == 1
    for command in (*commands("doctor"), *commands("train")):
        said = call(*command)
        assert said.status == 0, said.err
    assert (here / "runs/sea/summary.json").is_file()
