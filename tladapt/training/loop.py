"""The run: from the first step to the last, in an order that never changes. Everything outside watches."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.data import Scenario
from tladapt.errors import DivergenceError, RunFolderError, UsageError
from tladapt.evaluation import choose, oracle
from tladapt.training.assemble import Assembly, assemble, weights_of
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.config import Config, config_json
from tladapt.training.dispatch import Dispatcher, boundaries, evaluation_steps, refreshes
from tladapt.training.folder import RunFolder, checksum, environment, jsonable
from tladapt.training.health import health
from tladapt.training.result import Result, save_model
from tladapt.training.state import State
from tladapt.training.step import Span, StageStep

PyTree = Any


class Event(NamedTuple):
    """What a callback is told; it can watch, and changes nothing.

    Attributes:
      kind: "start", "train" (a line of the log), "eval" (an evaluation), "note" (a word in `row["text"]`), "end".
      step: how many steps are done.
      steps: how many there are.
      row: the line of the log or the evaluation, as in `metrics.jsonl`.
    """

    kind: Literal["start", "train", "eval", "note", "end"]
    step: int
    steps: int
    row: Mapping[str, Any]


Callback = Callable[[Event], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C between two chunks, after the state was saved."""


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a mark that the loop looks at between chunks; the second one ends at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def mark(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, mark)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


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
      seed: what initial parameters, data order, augmentation and dropout are drawn from, >= 0.
      out: the run's folder; None: nothing is written.
      callbacks: functions of an `Event`; they watch.
      resume: go on from the newest checkpoint in `out`; the result is that of an uninterrupted run, bit for bit.

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
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"seed must be a whole number from 0 on, got {seed!r}.")
    started = time.perf_counter()
    assembly = assemble(config, scenario, seed)
    record = _record(assembly, seed)
    keeper = _Keeper(out, record, assembly, resume=resume)
    if keeper.finished is not None:
        return keeper.finished
    return _Loop(assembly, keeper, callbacks, started).go()


def _record(assembly: Assembly, seed: int) -> dict[str, Any]:
    """Return what `config.json` says: enough to know the run, and to make it again."""
    scenario = assembly.scenario
    return {
        **config_json(assembly.config),
        "seed": seed,
        "scenario": {
            "name": scenario.name,
            "classes": list(scenario.classes),
            "shape": list(scenario.target.shape),
            "oracle": scenario.is_oracle,
            "data": scenario.origin.get("name"),
            "options": dict(scenario.origin.get("options", {})),
        },
    }


def data_checksums(scenario: Scenario) -> dict[str, str]:
    """Return a checksum of what training saw of each domain, and of the test set."""
    found = {f"source {i}": checksum({"x": d.x, "y": d.y}) for i, d in enumerate(scenario.source)}
    found["target"] = checksum({"x": scenario.target.x})
    if scenario.test is not None:
        found["test"] = checksum({"x": scenario.test.x, "y": scenario.test.y})
    return found


class _Keeper:
    """The run's memory on disk and in hand: its log, checkpoints, and where it starts."""

    def __init__(self, out: str | os.PathLike[str] | None, record: dict[str, Any], assembly: Assembly, *, resume: bool):
        self.history: list[dict[str, Any]] = []
        self.record = record
        self.state = assembly.state
        self.words: list[str] = []
        self.finished: Result | None = None
        self.folder = None if out is None else RunFolder(out)
        self.checkpoints = None if self.folder is None else Checkpoints(self.folder.checkpoints)
        if self.folder is None:
            if resume:
                raise UsageError("resume=True needs out=, the folder of the run to go on with.")
            return
        there = (self.folder.path / "config.json").is_file()
        if there and not resume:
            raise UsageError(
                f"{self.folder.path} holds a run already. Go on with it (--resume), or choose another folder (--out)."
            )
        if there:
            self._resume(assembly)
            return
        if self.folder.path.is_dir() and any(p for p in self.folder.path.iterdir() if p.name != "metrics.jsonl"):
            names = sorted(p.name for p in self.folder.path.iterdir())[:3]
            raise UsageError(f"{self.folder.path} is not empty ({', '.join(names)}); choose another folder (--out).")
        facts = {
            **environment(),
            "data": data_checksums(assembly.scenario),
            "files": dict(assembly.scenario.origin.get("files", {})),
        }
        self.folder.write_json("environment.json", facts)
        self.folder.write_json("config.json", record)
        self.before = assembly.evaluator.sample(weights_of(assembly.state))
        self.folder.write_arrays("before.npz", self.before)

    def _resume(self, assembly: Assembly) -> None:
        assert self.folder is not None and self.checkpoints is not None
        old = self.folder.read_json("config.json")
        new = jsonable(self.record)
        differing = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        if differing:
            shown = "; ".join(
                f"{name}: {old.get(name)!r} in the folder, {new.get(name)!r} asked for" for name in differing
            )
            raise UsageError(f"{self.folder.path} holds another run than the one to resume. {shown}"[:1500])
        if (self.folder.path / "summary.json").is_file():
            from tladapt.training.result import open_run

            self.finished = open_run(
                self.folder.path,
                **{
                    name: getattr(assembly.config, name)
                    for name in ("method", "backbone", "validator", "penalty")
                    if getattr(assembly.config, name) is not None
                },
            )
            return
        state, words = self.checkpoints.newest(self.state)
        if state is not None:
            self.state = state
        self.words += [f"{word} Going on from step {int(self.state.step)}." for word in words]
        self.checkpoints.forget_after(int(self.state.step))
        self.history = self.folder.cut_back(int(self.state.step))
        self.before = self.folder.read_arrays("before.npz") or assembly.evaluator.sample(weights_of(assembly.state))

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        row = jsonable(row)
        self.history.append(row)
        if self.folder is not None:
            self.folder.append([row])
        return row

    def save(self, state: State, validator: str) -> None:
        if self.checkpoints is None:
            return
        protect = set()
        if any(row["kind"] == "eval" for row in self.history):
            protect.add(choose(self.history, validator).step)
        self.checkpoints.save(state, protect=protect)


class _Loop:
    """The steps of one run."""

    def __init__(self, assembly: Assembly, keeper: _Keeper, callbacks: Sequence[Callback], started: float):
        self.assembly, self.keeper, self.callbacks = assembly, keeper, tuple(callbacks)
        self.config = assembly.config
        self.validator: str = self.config.validator.name  # type: ignore[union-attr]
        self.started = started
        self.due = set(evaluation_steps(self.config.steps, self.config.evaluations, self.config.log_every))
        self.traces: dict[str, dict[int, int]] = {}

    def tell(self, kind: Any, step: int, row: Mapping[str, Any]) -> None:
        for callback in self.callbacks:
            callback(Event(kind, step, self.config.steps, row))

    def go(self) -> Result:
        """Run to the end and return the result."""
        state = self.keeper.state
        done = int(state.step)
        self.tell("start", done, {"resumed": done > 0})
        for text in (*self.assembly.notes, *self.keeper.words):
            self.tell("note", done, {"text": text})
        arrays = self.assembly.resident()
        debugging = contextlib.ExitStack() if self.config.debug else contextlib.nullcontext()
        with _interrupts() as asked, debugging as stack:
            if stack is not None:
                stack.enter_context(jax.disable_jit())
                stack.enter_context(jax.debug_nans(True))
            for span in self.assembly.spans:
                end = span.first + span.length
                if end > done:
                    state = self._stage(span, state, arrays, asked)
        for feed in self.assembly.parts.feeds.values():
            feed.close()  # type: ignore[attr-defined]
        return self._finish(state)

    def _stage(self, span: Span, state: State, arrays: PyTree, asked: threading.Event) -> State:
        step = StageStep(self.assembly.parts, span)
        dispatcher: Dispatcher | None = None
        resumed = int(state.step)
        used = {name: arrays[name] for name in arrays if getattr(span.stage, name)}
        for first, count in boundaries(span, self.config.log_every):
            if first < resumed:
                continue
            # 1. A stage begins with fresh optimiser state; a refresh looks at the whole target.
            if first == span.first and first > 0:
                state = state._replace(optimizer=self.assembly.parts.optimizer.init(state.params))
            if first in refreshes(span):
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
            if done in self.due or self._passed(first, done):
                row = {"kind": "eval", "step": done, **self.assembly.evaluator.row(weights_of(state))}
                self.tell("eval", done, self.keeper.add(row))
                # 5. Save.
                self.keeper.save(state, self.validator)
            if asked.is_set() and done < self.config.steps:
                self.keeper.save(state, self.validator)
                raise Interrupted(self._goodbye(done))
        if dispatcher is not None:
            self.traces[span.stage.name] = dict(dispatcher.traces)
        return state

    def _passed(self, first: int, done: int) -> bool:
        """Whether an evaluation was due within a chunk that a refresh or a stage's end cut off the usual grid."""
        return any(first < at < done for at in self.due)

    def _refreshed(self, state: State) -> State:
        evaluator = self.assembly.evaluator
        weights = weights_of(state)
        outputs = evaluator.predictor.outputs(weights, self.assembly.scenario.target, "target")
        memory = evaluator.predictor.refreshed(weights, outputs)
        return state._replace(memory=jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), memory))

    def _check(self, fault: np.ndarray, step: StageStep) -> None:
        if fault[0] < 0:
            return
        term = step.faults[int(fault[1])] if int(fault[1]) < len(step.faults) else "?"
        kept = "" if self.keeper.folder is None else " The last good checkpoint is in the run's folder."
        raise DivergenceError(
            f"training diverged at step {int(fault[0])}: {term!r} is not finite.{kept} A smaller learning rate"
            " (--recipe.learning_rate), a smaller weight of the term, or --recipe.clip 1 may help; --debug stops at the operation."
        )

    def _goodbye(self, done: int) -> str:
        where = self.keeper.folder
        if where is None:
            return f"interrupted after step {done} of {self.config.steps}"
        return f"interrupted after step {done} of {self.config.steps}; saved. Go on with the same command and --resume."

    def _finish(self, state: State) -> Result:
        evaluator, keeper, config = self.assembly.evaluator, self.keeper, self.config
        weights = weights_of(state)
        scenario = self.assembly.scenario
        metrics, logits = evaluator.test_metrics(weights)
        history = keeper.history
        last = [row for row in history if row["kind"] == "eval"][-1]
        chosen, best = choose(history, self.validator), oracle(history)
        summary: dict[str, Any] = {
            name: value for name, value in last.items() if name not in ("kind", "step", "collapsed", "target/accuracy")
        }
        summary |= {f"target/{name}": value for name, value in metrics.items()}
        summary |= {"chosen/step": chosen.step, "chosen/validator": self.validator, "chosen/reason": chosen.reason}
        rows = {row["step"]: row for row in history if row["kind"] == "eval"}
        summary["chosen/source/accuracy"] = rows[chosen.step]["source/accuracy"]
        if best is not None:
            summary |= {
                "chosen/target/accuracy": rows[chosen.step]["target/accuracy"],
                "oracle/step": best.step,
                "oracle/target/accuracy": best.score,
            }
        warnings = health(history, chosen=chosen)
        summary |= {
            "method": config.method.name,  # type: ignore[union-attr]
            "scenario": scenario.name,
            "seed": int(state.seed),
            "steps": config.steps,
            "recipe": config.recipe.name,  # type: ignore[union-attr]
            "classes": list(scenario.classes),
            "oracle_run": scenario.is_oracle,
            "warnings": [*self.assembly.notes, *warnings],
        }
        summary = jsonable(summary)
        result = Result(
            config=config,
            classes=scenario.classes,
            metrics=summary,
            history=history,
            weights=evaluator.weights(weights),
            predictor=evaluator.predictor,
            folder=None if keeper.folder is None else keeper.folder.path,
        )
        if keeper.folder is not None:
            try:
                self._write(keeper.folder, state, summary, logits, result)
            except OSError as error:
                if isinstance(error, RunFolderError):
                    raise
                raise RunFolderError(f"{keeper.folder.path} could not be written: {error}") from error
        self.tell("end", config.steps, summary)
        return result

    def _write(
        self, folder: RunFolder, state: State, summary: dict[str, Any], logits: np.ndarray | None, result: Result
    ) -> None:
        scenario, before = self.assembly.scenario, self.keeper.before
        after = self.assembly.evaluator.sample(weights_of(state))
        arrays = {f"before_{name}": before[name] for name in ("source", "target")}
        arrays |= {f"after_{name}": after[name] for name in ("source", "target")}
        arrays |= {"source_labels": after["source_labels"], "target_labels": after["target_labels"]}
        if logits is not None and scenario.test is not None:
            arrays |= {"test_logits": logits, "test_labels": np.asarray(scenario.test.y)}
        folder.write_arrays("outputs.npz", arrays)
        (folder.path / "before.npz").unlink(missing_ok=True)
        save_model(folder, result, self.keeper.record, self.assembly)
        facts = folder.read_json("environment.json")
        facts["seconds"] = round(facts.get("seconds", 0.0) + time.perf_counter() - self.started, 3)
        folder.write_json("environment.json", facts)
        folder.write_json("summary.json", summary)
