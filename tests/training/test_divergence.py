"""Numbers that are not finite stop a run, with the step and the term that did it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tests.training import problems
from tests.training.problems import Breaking
from tladapt.errors import DivergenceError, UsageError
from tladapt.methods import Method, Term, Update, classification
from tladapt.methods.base import Context, Terms
from tladapt.training.checkpoint import Checkpoints


def test_step_and_term_are_named_and_the_newest_checkpoint_is_good(tmp_path: Path) -> None:
    config = problems.config(Breaking(at=17))
    with pytest.raises(DivergenceError, match=r"diverged at step 17: 'trouble' is not finite.*last good checkpoint"):
        tladapt.run(config, problems.scenario(), out=tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.steps() == [10]
    assert all(np.isfinite(array).all() for array in checkpoints.read(10).values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(line["step"] for line in lines) == 15
    # Nothing about the run has changed, so it ends in the same place again.
    with pytest.raises(DivergenceError, match="diverged at step 17: 'trouble'"):
        tladapt.run(config, problems.scenario(), out=tmp_path / "run", resume=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steep(Method):
    """A term whose value is finite and whose gradient is not, in the second update of a step."""

    at: int = 12

    def updates(self, stage: object) -> tuple[Update, ...]:
        return (Update(self.loss), Update(self.steep, moves=("backbone",)))

    def loss(self, ctx: Context) -> Terms:
        return {"classification": classification(ctx)}

    def steep(self, ctx: Context) -> Terms:
        # The root's slope at 0 is infinite.
        inside = jnp.where(ctx.step == self.at, 0.0, 1.0) * jnp.mean(jnp.square(ctx.target.features))
        return {"root": Term(jnp.sqrt(inside), 0.01)}


def test_gradient_is_watched_too() -> None:
    with pytest.raises(DivergenceError, match="diverged at step 12: 'gradient of root' is not finite"):
        tladapt.run(problems.config(Steep()), problems.scenario())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leap(Method):
    """A finite gradient that takes the parameters out of float32 in the last step of a chunk."""

    at: int = 9

    def loss(self, ctx: Context) -> Terms:
        return {"far": Term(jnp.sum(ctx.params["classifier"]["bias"]), jnp.where(ctx.step == self.at, 1e18, 0.0))}


def test_update_that_no_term_has_seen_yet_is_not_saved(tmp_path: Path) -> None:
    recipe = dataclasses.replace(problems.RECIPE, learning_rate=1e22, momentum=0.0)
    with pytest.raises(DivergenceError, match="diverged at step 9: its update left parameters"):
        tladapt.run(problems.config(Leap(), recipe=recipe), problems.scenario(), out=tmp_path / "run")
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == []


def test_learning_rates_that_cannot_work() -> None:
    for rate in (float("inf"), float("nan"), -1.0):
        with pytest.raises(UsageError, match=r"recipe.learning_rate must be a finite number from 0 on"):
            dataclasses.replace(problems.RECIPE, learning_rate=rate)
    huge = dataclasses.replace(problems.RECIPE, learning_rate=1e30)
    with pytest.raises(DivergenceError, match=r"diverged at step [0-4]: .*--recipe.learning_rate.*--recipe.clip 1"):
        tladapt.run(problems.config(recipe=huge), problems.scenario())


def test_debugging_stops_at_the_operation() -> None:
    config = problems.config(Breaking(at=2), debug=True)
    with pytest.raises(DivergenceError, match=r"diverged at step 2: invalid value .nan. encountered in sqrt") as error:
        tladapt.run(config, problems.scenario())
    assert isinstance(error.value.__cause__, FloatingPointError)
    assert not jax.config.jax_disable_jit and not jax.config.jax_debug_nans


def test_debugging_computes_what_the_compiled_run_computes() -> None:
    """Without batch normalisation, which would blow the rounding up."""
    small = {"steps": 2, "log_every": 2, "evaluations": 1}
    fast = tladapt.run(problems.config("dann", **small), problems.scenario())
    slow = tladapt.run(problems.config("dann", **small, debug=True), problems.scenario())
    for name, value in problems.arrays(fast.weights.params).items():
        np.testing.assert_allclose(problems.arrays(slow.weights.params)[name], value, rtol=1e-4, atol=1e-6)
    for one, two in zip(problems.numbers(fast.history), problems.numbers(slow.history), strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {"kind", "step", "stage"}:
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6), name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector(Method):
    def loss(self, ctx: Context) -> Terms:
        return {"classification": Term(ctx.source.logits.mean(1))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nothing(Method):
    def loss(self, ctx: Context) -> Terms:
        return {}


def test_terms_that_are_no_terms() -> None:
    with pytest.raises(UsageError, match=r"method 'vector': term 'classification' must be a scalar, got shape \(6,\)"):
        tladapt.run(problems.config(Vector()), problems.scenario())
    with pytest.raises(UsageError, match="method 'nothing': the loss returned no term"):
        tladapt.run(problems.config(Nothing()), problems.scenario())
