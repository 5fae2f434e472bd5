"""What a run's log gives rise to, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tladapt.evaluation import Choice
from tladapt.training.health import health


def log(**values: list[float | None]) -> list[dict[str, Any]]:
    """Return train lines with these columns; `_` stands for `/`."""
    length = len(next(iter(values.values())))
    return [
        {"kind": "train", "step": i, **{name.replace("_", "/"): column[i] for name, column in values.items()}}
        for i in range(length)
    ]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (log(gradient_mmd=[0.0] * 4, weight_mmd=[1.0] * 4), "term 'mmd' has no gradient"),
        (log(discriminator_accuracy=[0.5, 0.9, 0.99, 1.0, 0.99, 1.0]), "right all the time (at least 99%"),
        (log(discriminator_accuracy=[0.5, 0.51, 0.49, 0.5, 0.51, 0.5]), "at chance from the start"),
        ([{"kind": "eval", "step": 1, "collapsed": "one class is all"}], "the model has collapsed: one class is all"),
    ],
)
def test_trouble_is_said(history: list[dict[str, Any]], words: str) -> None:
    [found] = health(history)
    assert words in found


@pytest.mark.parametrize(
    "history",
    [
        [],
        log(gradient_mmd=[0.0, 0.0, 0.1, 0.0], weight_mmd=[1.0] * 4),
        log(gradient_mmd=[0.0] * 4, weight_mmd=[0.0] * 4),  # a schedule that is 0 throughout is meant
        log(gradient_mmd=[0.0, None, 0.2], weight_mmd=[0.0, 1.0, 1.0]),
        log(discriminator_accuracy=[0.5, 0.8, 0.7, 0.6, 0.5, 0.5]),  # at chance in the end: that is the goal
        log(discriminator_accuracy=[1.0, 1.0, 1.0, 0.9, 0.8, 0.7]),
        log(discriminator_accuracy=[None, None, None, 0.5]),  # as the log says "not finite"
        [{"kind": "eval", "step": 1, "collapsed": False}],
    ],
)
def test_health_is_not_commented(history: list[dict[str, Any]]) -> None:
    assert health(history) == []


def test_choice_that_could_not_be_made_is_said() -> None:
    assert health([], chosen=Choice(5, 0.0, "every one collapsed", passed=False)) == [
        "no checkpoint could be chosen: every one collapsed."
    ]
    assert health([], chosen=Choice(5, 0.0, "fine")) == []
