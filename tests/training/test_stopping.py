"""Early stopping: a function of the log, a run that ends there, and one that is killed and resumed to the same bits."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tests.training.problems import Stopped, Watcher, stop
from tladapt.errors import UsageError
from tladapt.evaluation import ValidationOutputs, Validator
from tladapt.methods import Stage
from tladapt.training.dispatch import spans
from tladapt.training.stopping import stopped

ONE = spans((Stage("adapt"),), 100)


def rows(*scores: float | None, collapsed: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Return evaluations with these scores, every 10 steps, a line of the log before each."""
    found = []
    for i, score in enumerate(scores, start=1):
        found.append({"kind": "train", "step": 10 * i})
        found.append({"kind": "eval", "step": 10 * i, "validator/im": score, "collapsed": i in collapsed and "flat"})
    return found


def config(patience: int | None) -> tladapt.Config:
    return problems.config(steps=100, evaluations=10, patience=patience).resolved()


@pytest.mark.parametrize(
    ("history", "patience", "step"),
    [
        (rows(1, 2, 1, 3, 2, 1, 9), 2, 60),
        (rows(1, 2, 1, 3, 2, 1, 9), 3, None),
        (rows(1, 1), 1, 20),  # the same again raises nothing
        (rows(1, 2, 3, 4), 1, None),
        (rows(1, 5, 2, collapsed=(2,)), 1, 20),  # the guard refuses the highest
        (rows(1, None, math.nan, 2), 2, 30),
        (rows(None, None), 2, 20),
        (rows(1, math.inf), 1, 20),
        (rows(*[9, 1] + [1] * 8), 9, None),  # the last step is no early stop
        (rows(9, 1, 1, 1), None, None),
        ([], 1, None),
    ],
)
def test_where_a_log_says_that_the_run_stops(history: list[dict[str, Any]], patience: int | None, step: int) -> None:
    found = stopped(history, config(patience), ONE)
    assert (None if found is None else found.step) == step
    for length in range(len(history)):  # it is the first such step: what comes later changes nothing
        early = stopped(history[:length], config(patience), ONE)
        assert early is None or early == found
    if found is not None:
        assert f"stopped after step {step} of 100: {patience} evaluation" in found.reason


def test_what_the_last_stage_does_counts_alone() -> None:
    two = spans((Stage("source"), Stage("adapt", source=False, target=True)), 100)
    assert stopped(rows(5, 4, 3, 2, 1, 3, 2, 1), config(2), two) == (
        80,
        "stopped after step 80 of 100: 2 evaluations in a row did not raise the highest im (3)",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Same(Validator):
    """A score that never rises."""

    name: ClassVar[str] = "same"
    summary: ClassVar[str] = "always the same"

    def score(self, outputs: ValidationOutputs) -> float:
        return 0.5


PATIENT = problems.config("dann", validator=Same(), patience=2)  # evaluated after 10, 20, 30, 40 steps


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[tladapt.Result, Path]:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return tladapt.run(PATIENT, problems.scenario(), seed=1, out=folder), folder


def test_a_run_ends_there_and_says_so(whole: tuple[tladapt.Result, Path]) -> None:
    result, folder = whole
    assert result.history[-1]["step"] == 30 and result.metrics["steps"] == 30
    assert result.metrics["stopped/step"] == 30
    reason = "stopped after step 30 of 40: 2 evaluations in a row did not raise the highest same (0.5)"
    assert result.metrics["stopped/reason"] == reason
    assert json.loads((folder / "summary.json").read_text())["stopped/reason"] == reason
    assert result.metrics["chosen/step"] == 30  # of equals, the latest
    again = tladapt.open_run(folder, validator=Same())
    x = problems.scenario().test.x
    np.testing.assert_array_equal(again.logits(x), result.logits(x))


def test_until_then_it_is_the_run_without_patience(whole: tuple[tladapt.Result, Path]) -> None:
    watcher = Watcher()
    plain = dataclasses.replace(PATIENT, patience=None)
    full = tladapt.run(plain, problems.scenario(), seed=1, callbacks=(watcher,))
    assert [row for row in full.history if row["step"] <= 30] == whole[0].history
    assert full.metrics["steps"] == 40 and "stopped/step" not in full.metrics


@pytest.mark.parametrize("event", [("train", 15), ("eval", 30), ("end", 30)])
def test_killed_and_resumed_it_stops_at_the_same_bits(
    event: tuple[Any, int], whole: tuple[tladapt.Result, Path], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        tladapt.run(PATIENT, problems.scenario(), seed=1, out=tmp_path / "parts", callbacks=(stop(*event),))
    (tmp_path / "parts" / "summary.json").unlink(missing_ok=True)
    parts = tladapt.run(PATIENT, problems.scenario(), seed=1, out=tmp_path / "parts", resume=True)
    problems.assert_same_result(whole[0], parts)


def test_seeds_that_may_stop_apart_are_trained_one_by_one() -> None:
    with pytest.raises(UsageError, match=r"does not go with replicate='vmap'; use 'loop'"):
        tladapt.run_seeds(PATIENT, problems.scenario(), range(2), replicate="vmap")


@pytest.mark.parametrize("patience", [0, -1, 1.5])
def test_mistakes(patience: Any) -> None:
    with pytest.raises(UsageError, match="patience must be a whole number of at least 1"):
        problems.config(patience=patience)
