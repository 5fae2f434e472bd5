"""The run: from the first step to the last, in an order that never changes. Everything outside watches."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Scenario
from tladapt.errors import DivergenceError, UsageError
from tladapt.training.assemble import Assembly, assemble, weights_of
from tladapt.training.config import Config
from tladapt.training.dispatch import Dispatcher, boundaries, evaluation_steps, refreshes
from tladapt.training.finish import finish
from tladapt.training.keeper import Keeper, record_of
from tladapt.training.passes import Span
from tladapt.training.result import Result
from tladapt.training.state import State
from tladapt.training.step import StageStep
from tladapt.training.watching import Callback, Event, Interrupted, Kind, interrupts

PyTree = Any


def run(
    config: Config,
    scenario: Scenario,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    resume: bool = False,
) -> Result:
    """Train, evaluate and keep: a pure function of (config, scenario, seed) that everything else watches.

    Args:
      config: method, backbone, recipe, number of steps.
      scenario: the problem. Labels of its target reach the evaluator alone.
      seed: what initial parameters, data order, augmentation and dropout are drawn from, in [0, 2^31).
      out: the run's folder; None: nothing is written.
      callbacks: functions of an `Event`; they watch.
      resume: go on from the newest checkpoint in `out`, or start where there is no run yet; the result is that of an
        uninterrupted run, bit for bit.

    Returns:
      The result: metrics, history, and the trained model of the last step.

    Raises:
      UsageError: for parts that do not go together, or a folder that holds another run.
      DivergenceError: when a term or gradient is not finite; the message names the step and the term.
      RunFolderError: when the folder cannot be written; the last good checkpoint is intact.
    """
    if not isinstance(config, Config):
        raise UsageError(f"run(config, scenario) needs a tladapt.Config first, got {type(config).__name__}.")
    if not isinstance(scenario, Scenario):
        raise UsageError(f"run(config, scenario) needs a tladapt.Scenario second, got {type(scenario).__name__}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise UsageError(f"seed must be a whole number from 0 to 2**31 - 1, got {seed!r}.")
    started = time.perf_counter()
    assembly = assemble(config, scenario, seed)
    keeper = Keeper(out, record_of(assembly, seed), assembly, resume=resume)
    if keeper.finished is not None:
        return keeper.finished
    loop = _Loop(assembly, keeper, callbacks)
    result = finish(keeper, loop.go(), started)
    loop.tell("end", config.steps, result.metrics)
    return result


class _Loop:
    """The steps of one run."""

    def __init__(self, assembly: Assembly, keeper: Keeper, callbacks: Sequence[Callback]):
        self.assembly, self.keeper, self.callbacks = assembly, keeper, tuple(callbacks)
        self.config = assembly.config
        self.due = set(evaluation_steps(assembly.spans, self.config.evaluations, self.config.log_every))

    def tell(self, kind: Kind, step: int, row: Mapping[str, Any]) -> None:
        """Tell the callbacks; each gets its own copy, so that none can change what is kept."""
        for callback in self.callbacks:
            callback(Event(kind, step, self.config.steps, copy.deepcopy(dict(row))))

    def go(self) -> State:
        """Run to the last step and return the state."""
        state = self.keeper.state
        done = int(state.step)
        self.tell("start", done, {"resumed": done > 0})
        for text in (*self.assembly.notes, *self.keeper.words):
            self.tell("note", done, {"text": text})
        arrays = self.assembly.resident()
        with contextlib.ExitStack() as stack:
            asked = stack.enter_context(interrupts())
            for feed in self.assembly.parts.feeds.values():
                stack.callback(feed.close)
            if self.config.debug:
                stack.enter_context(jax.disable_jit())
                stack.enter_context(jax.debug_nans(True))
            for span in self.assembly.spans:
                if span.end > done:
                    state = self._stage(span, state, arrays, asked)
        return state

    def _stage(self, span: Span, state: State, arrays: PyTree, asked: threading.Event) -> State:
        step = StageStep(self.assembly.parts, span)
        dispatcher: Dispatcher | None = None
        resumed, refreshed = int(state.step), refreshes(span)
        used = {name: arrays[name] for name in span.domains}
        for first, count in boundaries(span, self.config.log_every):
            if first < resumed:
                continue
            # 1. A stage begins with fresh optimiser state; a refresh looks at the whole target.
            if first == span.first and first > 0:
                state = state._replace(optimizer=self.assembly.parts.optimizer.init(state.params))
            if first in refreshed:
                state = self._refreshed(state)
            # 2. Step.
            pieces = self.assembly.chunk(span, first, count)
            if dispatcher is None:
                dispatcher = Dispatcher(step, state, used, pieces, debug=self.config.debug)
                if dispatcher.note and span is self.assembly.spans[0]:
                    self.tell("note", first, {"text": dispatcher.note})
            state, log = dispatcher(state, used, pieces)
            # 3. Log: the only transfer from the device.
            log, fault = jax.device_get((log, state.fault))
            done = first + count
            self._check(fault, step)
            row = {"kind": "train", "step": done, "stage": span.stage.name}
            row |= {name: float(value) for name, value in sorted(log.items())}
            self.tell("train", done, self.keeper.add(row))
            # 4. Evaluate.
            if done in self.due:
                row = {"kind": "eval", "step": done, **self.assembly.evaluator.row(weights_of(state))}
                self.tell("eval", done, self.keeper.add(row))
                # 5. Save.
                self.keeper.save(state)
            if asked.is_set() and done < self.config.steps:
                self.keeper.save(state)
                raise Interrupted(self._goodbye(done))
        return state

    def _refreshed(self, state: State) -> State:
        evaluator = self.assembly.evaluator
        weights = evaluator.adapted(weights_of(state))
        outputs = evaluator.predictor.outputs(weights, self.assembly.scenario.target, "target")
        memory = evaluator.predictor.refreshed(weights, outputs)
        return state._replace(memory=jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), memory))

    def _check(self, fault: np.ndarray, step: StageStep) -> None:
        if fault[0] < 0:
            return
        saved = self.keeper.folder is not None and any(row["kind"] == "eval" for row in self.keeper.history)
        kept = " The last good checkpoint is in the run's folder." if saved else ""
        raise DivergenceError(
            f"{step.fault(fault)}{kept} A smaller learning rate (--recipe.learning_rate), a smaller weight of the term,"
            " or --recipe.clip 1 may help; --debug stops at the operation."
        )

    def _goodbye(self, done: int) -> str:
        words = f"interrupted after step {done} of {self.config.steps}"
        return words if self.keeper.folder is None else f"{words}; saved. Go on with the same command and --resume."
