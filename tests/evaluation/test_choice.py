import math

import pytest

from tladapt.errors import UsageError
from tladapt.evaluation.validators import choose, oracle


def row(step, im, collapsed=False, **more):
    scores = {"validator/im": im, "validator/entropy": -1e-3 * step}
    return {"kind": "eval", "step": step, "collapsed": collapsed, **scores, **more}


def test_the_highest_score_wins_among_those_that_pass():
    history = [row(100, 1.0), row(200, 1.8), row(300, 2.2, "one class"), row(400, 1.5)]
    choice = choose(history)
    assert (choice.step, choice.score, choice.passed) == (200, 1.8, True)
    assert "3 evaluations" in choice.reason and "refused 1" in choice.reason
    assert choose(history, "entropy").step == 100


def test_equals_are_decided_for_the_latest_whatever_the_order():
    history = [row(100, 1.0), row(300, 2.0), row(200, 2.0)]
    assert choose(history).step == choose(history[::-1]).step == 300


def test_training_rows_are_passed_over():
    assert choose([{"kind": "train", "step": 999, "validator/im": 9.0}, row(100, 1.0)]).step == 100


@pytest.mark.parametrize("score", [math.nan, math.inf, None])
def test_a_score_that_is_not_finite_is_not_chosen(score):
    assert choose([row(100, 1.0), row(200, score)]).step == 100


def test_where_nothing_passes_the_last_step_stands_in_and_says_so():
    choice = choose([row(200, 1.0, "flat features"), row(100, 2.0, "one class")])
    assert (choice.step, choice.score, choice.passed) == (200, 1.0, False)
    assert "no evaluation passed" in choice.reason and "flat features" in choice.reason
    assert math.isnan(choose([row(100, math.nan)]).score)


def test_errors_name_what_is_known():
    with pytest.raises(UsageError, match="no evaluation to choose from"):
        choose([{"kind": "train", "step": 1}])
    with pytest.raises(UsageError, match=r"'imm'.* Did you mean 'im'"):
        choose([row(100, 1.0)], "imm")


def test_the_oracle_takes_the_best_test_accuracy_and_says_its_name():
    history = [row(100, 1.0, **{"target/accuracy": 0.5}), row(200, 2.0, **{"target/accuracy": 0.5})]
    choice = oracle([*history, row(300, 3.0, **{"target/accuracy": 0.4})])
    assert (choice.step, choice.score) == (100, 0.5)
    assert choice.reason.startswith("oracle")
    assert oracle([row(100, 1.0)]) is None


def test_permuting_target_accuracies_changes_no_choice():
    first = [row(step, step % 7, **{"target/accuracy": step / 1000}) for step in range(100, 900, 100)]
    second = [row(step, step % 7, **{"target/accuracy": 1 - step / 1000}) for step in range(100, 900, 100)]
    assert choose(first) == choose(second)
    assert oracle(first) != oracle(second)
