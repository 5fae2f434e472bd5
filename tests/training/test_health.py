"""What a run's log gives rise to, in words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tladapt.evaluation import Choice
from tladapt.training.health import health


def log(**values: list[float | None]) -> list[dict[str, Any]]:
    """Return train lines with these columns; `_` stands for `/`."""
    length = len(next(iter(values.values())))
    return [
        {
            "kind": "train",
            "step": 50 * (i + 1),
            **{name.replace("_", "/"): column[i] for name, column in values.items()},
        }
        for i in range(length)
    ]


def fitted(trained: list[float | None], held_out: list[float]) -> list[dict[str, Any]]:
    """Return train lines with these batch accuracies, and evaluations with these held-out ones."""
    columns = (("train", "source/batch_accuracy", trained), ("eval", "source/accuracy", held_out))
    return [
        {"kind": kind, "step": 50 * (i + 1), name: value, "collapsed": False}
        for kind, name, values in columns
        for i, value in enumerate(values)
    ]


def ramp(steps: int, steepness: float, *, every: int = 50) -> list[dict[str, Any]]:
    """Return train lines of `2 / (1 + exp(-steepness p)) - 1`, times 0.7."""
    return [
        {"kind": "train", "step": step, "lambda": 0.7 * math.tanh(0.5 * steepness * step / steps)}
        for step in range(every, steps + 1, every)
    ]


def collapsed(reason: str | bool) -> list[dict[str, Any]]:
    return [
        {"kind": "eval", "step": 1, "collapsed": "as at the start"},
        {"kind": "eval", "step": 2, "collapsed": reason},
    ]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (log(gradient_mmd=[0.0] * 4, weight_mmd=[1.0] * 4), "term 'mmd' has no gradient"),
        (log(discriminator_accuracy=[0.5, 0.9, 0.99, 1.0, 0.99, 1.0]), "right all the time (at least 99%"),
        (log(discriminator_accuracy=[0.5, 0.51, 0.49, 0.5, 0.51, 0.5]), "at chance from the start"),
        (collapsed("two of ten classes"), "the model has collapsed: two of ten classes. Try a smaller weight"),
        (collapsed("every target example is predicted as class 3"), "or more examples in a batch"),
        (collapsed("all target examples have the same features"), "Features that carry no class"),
        (collapsed("target logits are not finite for 3 of 9 examples"), "Try a smaller learning rate"),
        (
            fitted([0.5, 0.9, 1.0, 1.0, 1.0], [0.5, 0.80, 0.78, 0.74, 0.73]),
            "over-fits the source: held-out accuracy has fallen from 80.0% at step 100 to 75.0% in the last",
        ),
        (ramp(20_000, 200.0), "lambda is at 99% of its last value by step 550 of 20,000"),
        (ramp(20_000, 60.0), "lambda is at 99% of its last value by step 1,800"),
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
        fitted([0.5, 0.9, 1.0, 1.0, 1.0], [0.5, 0.80, 0.79, 0.81, 0.80]),  # a gap, and no fall
        fitted([0.5, 0.9, 1.0, 1.0, 1.0], [0.5, 0.80, 0.785, 0.785, 0.785]),  # a gap, and hardly a fall
        fitted(
            [0.5, 0.8, 0.8, 0.8, 0.8], [0.5, 0.90, 0.88, 0.80, 0.79]
        ),  # both fall: a term that pulls at the features
        fitted([0.5, 0.9, 1.0, 1.0, 1.0], [0.5, 0.80, 0.81, 0.82, 0.72]),  # low once
        fitted([0.5, 0.9, 1.0, 1.0, 1.0], [0.5, 0.80, 0.70, 0.795, 0.70]),  # low twice, and back in between
        fitted([0.5, 0.9, 1.0, 1.0, 1.0], [0.9, 0.80, 0.80]),  # too few evaluations to tell
        fitted([0.9, 1.0, 1.0, None, None], [0.5, 0.90, 0.80, 0.75, 0.70]),  # a stage without source labels
        collapsed(False),  # what has recovered
        ramp(3000, 10.0),  # the published curve
        ramp(3000, 1.0),
        log(**{"lambda": [1.0] * 40}),  # constant, by a method of one's own
        log(**{"lambda": [0.0] * 40}),
        log(**{"lambda": [0.01 * i for i in range(40)]}),
    ],
)
def test_health_is_not_commented(history: list[dict[str, Any]]) -> None:
    assert health(history) == []


def test_a_method_that_waits_for_confident_examples_is_not_blamed_for_a_missing_gradient() -> None:
    silent = {"gradient_consistency": [0.0] * 4, "weight_consistency": [3.0] * 4}
    [found] = health(log(**silent, teacher_confident=[0.0] * 4))
    assert "no target example passes the confidence threshold" in found and "'consistency' adapts nothing" in found
    assert "stop_gradient" not in found and "--method.confidence" in found
    both = {**silent, "gradient_balance": [0.0] * 4, "weight_balance": [0.1] * 4}
    [found] = health(log(**both, teacher_confident=[0.0, 0.0, 0.005, 0.0]))
    assert "at most 0.5%" in found and "'balance' and 'consistency' adapt nothing" in found
    [found] = health(log(**silent, teacher_confident=[0.0, 0.4, 0.8, 0.9]))  # confident, and still no gradient
    assert "stop_gradient" in found
    moving = {"gradient_consistency": [0.0, 0.0, 0.1, 0.2], "weight_consistency": [3.0] * 4}
    assert health(log(**moving, teacher_confident=[0.0, 0.0, 0.3, 0.5])) == []


def test_choice_that_could_not_be_made_is_said() -> None:
    assert health([], chosen=Choice(5, 0.0, "every one collapsed", passed=False)) == [
        "no checkpoint could be chosen: every one collapsed."
    ]
    assert health([], chosen=Choice(5, 0.0, "fine")) == []
