"""Which evaluation of a run to report: by a validator behind the collapse guard, or, as an oracle, by test labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tladapt.errors import UsageError
from tladapt.registry import suggest


class Choice(NamedTuple):
    """A step and why it was taken.

    Attributes:
      step: of the chosen evaluation.
      score: of that evaluation; NaN where it has none.
      reason: one sentence for the log and the page.
      passed: False where no evaluation passed the guard and the last step stands in.
    """

    step: int
    score: float
    reason: str
    passed: bool = True


def choose(history: Sequence[Mapping[str, Any]], validator: str = "im") -> Choice:
    """Choose the evaluation with the highest finite score among those that the guard lets pass; of equals, the latest.

    Args:
      history: rows with `step`, `validator/<name>` and `collapsed` (False, or the guard's reason). Rows whose `kind` is
        not "eval" are passed over, so that a whole log may be given.
      validator: whose score decides.

    Returns:
      The choice. Where no row passes, the last step, and the reason says so.

    Raises:
      UsageError: for no evaluation at all, or none with a score of that validator.

    Example:
      >>> history = [
      ...     {"step": 100, "validator/im": 1.2, "collapsed": False},
      ...     {"step": 200, "validator/im": 1.9, "collapsed": "every target example is predicted as class 3"},
      ...     {"step": 300, "validator/im": 1.5, "collapsed": False},
      ... ]
      >>> choose(history)
      Choice(step=300, score=1.5, reason='highest im (1.5) of 2 evaluations; the collapse guard refused 1', passed=True)
    """
    rows = _evaluations(history)
    key = f"validator/{validator}"
    if not any(key in row for row in rows):
        known = {name.removeprefix("validator/") for row in rows for name in row if name.startswith("validator/")}
        raise UsageError(f"no evaluation has a score of validator {validator!r}.{suggest(validator, known)}")
    fit = [row for row in rows if not row.get("collapsed") and math.isfinite(_number(row.get(key)))]
    if not fit:
        last = rows[-1]
        why = last.get("collapsed") or f"its {validator} is {_number(last.get(key))}"
        reason = f"no evaluation passed the collapse guard, so the last step stands in ({why})"
        return Choice(int(last["step"]), _number(last.get(key)), reason, passed=False)
    best = max(fit, key=lambda row: (_number(row[key]), row["step"]))
    score = _number(best[key])
    refused = len(rows) - len(fit)
    reason = f"highest {validator} ({score:.4g}) of {len(fit)} evaluation{'s' * (len(fit) != 1)}"
    return Choice(int(best["step"]), score, reason + (f"; the collapse guard refused {refused}" if refused else ""))


def oracle(history: Sequence[Mapping[str, Any]]) -> Choice | None:
    """Choose the evaluation with the best accuracy on the target's *test labels*; of equals, the earliest.

    For comparison only: whatever is reported of it carries the word "oracle".

    Args:
      history: as in `choose`, with `target/accuracy`.

    Returns:
      The choice, its score the accuracy; None where no row knows the target's accuracy.

    Example:
      >>> oracle([{"step": 1, "target/accuracy": 0.5}, {"step": 2, "target/accuracy": 0.4}]).step
      1
    """
    rows = [row for row in _evaluations(history) if math.isfinite(_number(row.get("target/accuracy")))]
    if not rows:
        return None
    best = max(rows, key=lambda row: (row["target/accuracy"], -row["step"]))
    score = float(best["target/accuracy"])
    return Choice(int(best["step"]), score, f"oracle: best test accuracy ({score:.4g}) of {len(rows)} evaluations")


def _evaluations(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    rows = [row for row in history if row.get("kind", "eval") == "eval"]
    if not rows:
        raise UsageError("there is no evaluation to choose from: the history has no row of kind 'eval'.")
    return sorted(rows, key=lambda row: row["step"])


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
