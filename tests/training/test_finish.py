"""What a run leaves for its page, and what stops it before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.errors import UsageError
from tladapt.models.backbones.mlp import MLP
from tladapt.training.finish import mistakes

SHORT = problems.config(backbone=MLP(widths=(4,)), steps=4, log_every=2, evaluations=1)


def test_a_run_leaves_what_its_page_shows(tmp_path: Path) -> None:
    scenario = problems.images()
    result = tladapt.run(SHORT, scenario, out=tmp_path / "run")
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert [domain["role"] for domain in data["domains"]] == ["source", "target", "test"]
    assert data["classes"] == {"0": 14, "1": 13, "2": 13}
    apart = data["features"]["after"]
    assert 0 <= apart["distance"] <= 2 and 0 <= apart["error"] <= 1 and apart["examples"] > 0
    with np.load(tmp_path / "run" / "outputs.npz") as outputs:
        source, labels = outputs["pictures_source"], outputs["pictures_source_labels"]
        assert source.shape == (20, 8, 8, 1) and source.dtype == np.uint8
        assert labels[:3].tolist() == [0, 1, 2]
        assert (scenario.source[0].x == source[0]).all(axis=(1, 2, 3)).any()
        assert outputs["pictures_target"].shape[0] == 20 and "pictures_target_labels" not in outputs.files
        wrong = np.flatnonzero(outputs["test_logits"].argmax(1) != scenario.test.y)
        assert set(outputs["mistakes"]) == set(wrong[:24]) or len(wrong) > 24
        np.testing.assert_array_equal(outputs["mistakes_pictures"], scenario.test.x[outputs["mistakes"]])
    assert result.metrics["warnings"] == []


def test_mistakes_are_those_that_the_model_is_most_certain_of_one_for_each_unit() -> None:
    logits = np.array([[9, 0, 0], [0, 2, 0], [5, 0, 0], [0, 0, 3], [7, 0, 0], [np.nan, 0, 0]], np.float32)
    y = np.array([1, 1, 2, 0, 1, 0])  # wrong: 0, 2, 3, 4 and 5
    test = Domain(np.zeros((6, 3)), y)
    assert mistakes(test, logits)["mistakes"].tolist() == [0, 4, 2, 3, 5]
    assert "mistakes_pictures" not in mistakes(test, logits)
    grouped = Domain(np.zeros((6, 3)), y, groups=[7, 1, 2, 2, 7, 3])
    assert mistakes(grouped, logits)["mistakes"].tolist() == [0, 2, 5]
    perfect = Domain(np.zeros((2, 8, 8, 1)), [0, 0])
    assert mistakes(perfect, logits[[0, 2]])["mistakes"].tolist() == []


def bad(scale: float, **more: Domain) -> Scenario:
    scenario = problems.images()
    x = scenario.source[0].x.astype(np.float32) / 255
    target = scenario.target.x.astype(np.float32) / 255 * scale
    return Scenario(Domain(x, scenario.source[0].y, name="lab"), Domain(target, name="field"), **more)


def test_unequal_ranges_stop_a_run_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in different ranges: source 'lab' goes from 0 to"):
        tladapt.run(SHORT, bad(255.0), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_doctor_warns_of_is_said_at_the_start_and_in_the_summary() -> None:
    scenario, watcher = bad(1.0), problems.Watcher()
    few = Scenario(scenario.source[0], scenario.target, classes=["a", "b", "c", "of which there is none"])
    result = tladapt.run(SHORT, few, callbacks=(watcher,))
    words = "The source has no example of 1 of the 4 classes: of which there is none."
    assert any(note.startswith(words) for note in watcher.notes)
    assert any(text.startswith(words) for text in result.metrics["warnings"])
