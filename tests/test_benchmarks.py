"""The speed measurements in `benchmarks/` go with the library as it is."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tladapt.models.backbones.mlp import MLP

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("*.py"))


def imported(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks_{script.stem}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_scripts() -> None:
    assert {script.stem for script in SCRIPTS} >= {"convolution", "input", "step", "temporal"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_can_be_imported_and_says_how_it_is_called(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = imported(script)
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"python benchmarks/{script.name} [--" in said and "--rounds ROUNDS" in said


@pytest.fixture
def step() -> ModuleType:
    return imported(next(script for script in SCRIPTS if script.stem == "step"))


def test_a_way_to_run_steps_is_timed(step: ModuleType) -> None:
    way = step.Way(MLP(widths=(2,)), "scan", 1)
    assert way.time() > 0 and way.first == 2 and int(way.state.step) == 2


@pytest.mark.slow
def test_steps_are_timed_in_every_way(
    step: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(step, "WIDTHS", (2, 2, 2))
    monkeypatch.setattr(sys, "argv", ["step.py", "--rounds", "1", "--steps", "2", "--json", str(tmp_path / "it.json")])
    step.main()
    results = json.loads((tmp_path / "it.json").read_text())["results"]
    assert list(results)[:3] == ["Flax's layers, loop", "tladapt's layers, loop", "tladapt's layers, scan"]
    assert all(one["milliseconds"][0] > 0 for one in results.values())
    assert "speed against the first" in capsys.readouterr().out
