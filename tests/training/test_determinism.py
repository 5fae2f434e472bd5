"""A run is a function of (config, scenario, seed): what watches it changes no number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.training import Event


@pytest.fixture(scope="module")
def first() -> tladapt.Result:
    return tladapt.run(problems.config("dann", backbone=problems.DROPPING), problems.scenario(), seed=3)


def test_two_runs_are_equal_and_a_folder_and_callbacks_change_nothing(first: tladapt.Result, tmp_path: Path) -> None:
    def meddle(event: Event) -> None:
        """A callback that writes over what it is told."""
        row: Any = event.row
        for name in list(row):
            row[name] = 0.5
        np.random.seed(0)
        np.random.rand(7)

    config = problems.config("dann", backbone=problems.DROPPING)
    second = tladapt.run(config, problems.scenario(), seed=3, out=tmp_path / "run", callbacks=(meddle,))
    problems.assert_same_result(first, second)
    assert first.folder is None and second.folder == tmp_path / "run"


def test_other_seeds_differ_in_initial_parameters_and_data_order(first: tladapt.Result) -> None:
    other = tladapt.run(problems.config("dann", backbone=problems.DROPPING), problems.scenario(), seed=4)
    names = problems.differing(first.weights.params, other.weights.params)
    assert names == sorted(problems.arrays(first.weights.params))  # every single array
    assert problems.numbers(first.history)[0] != problems.numbers(other.history)[0]


def test_evaluation_frequency_changes_no_number(first: tladapt.Result) -> None:
    config = problems.config("dann", backbone=problems.DROPPING, evaluations=1)
    rare = tladapt.run(config, problems.scenario(), seed=3)
    assert not problems.differing(first.weights._asdict(), rare.weights._asdict())
    assert problems.numbers(first.history) == problems.numbers(rare.history)
    assert len(problems.numbers(rare.history, "eval")) == 1 < len(problems.numbers(first.history, "eval"))
    assert rare.metrics["target/accuracy"] == first.metrics["target/accuracy"]


def test_length_of_a_chunk_cuts_the_log_elsewhere_and_changes_numbers_by_rounding_only(first: tladapt.Result) -> None:
    config = problems.config("dann", backbone=problems.DROPPING, log_every=2 * problems.CHUNK)
    longer = tladapt.run(config, problems.scenario(), seed=3)
    for name, value in problems.arrays(first.weights.params).items():
        np.testing.assert_allclose(problems.arrays(longer.weights.params)[name], value, rtol=1e-4, atol=1e-5)
    short, long = problems.numbers(first.history), problems.numbers(longer.history)
    assert len(short) == 2 * len(long)
    for at, row in enumerate(long):  # the mean over a long chunk is the mean of the means of its halves
        halves = short[2 * at : 2 * at + 2]
        assert row["step"] == halves[1]["step"]
        for name in ("loss/classification", "loss/domain", "learning_rate"):
            assert row[name] == pytest.approx(np.mean([half[name] for half in halves]), rel=1e-4)
