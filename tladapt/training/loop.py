"""The loop: from the first step to the last, in an order that never changes. Everything outside watches."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.errors import DivergenceError
from tladapt.training.assemble import Assembly, weights_of
from tladapt.training.dispatch import Ahead, Dispatcher, boundaries, cut, evaluation_steps, refreshes
from tladapt.training.keeper import Keeper
from tladapt.training.layout import Layout
from tladapt.training.passes import Span
from tladapt.training.state import State
from tladapt.training.step import StageStep
from tladapt.training.stopping import stopped
from tladapt.training.watching import Callback, Event, Interrupted, Kind, interrupts

PyTree = Any


@dataclasses.dataclass
class Member:
    """One run of a group of seeds that are trained together; a run by itself is a group of one.

    Attributes:
      assembly: what is trained.
      keeper: its log and checkpoints.
      fault: what ended it before its time, in words.
    """

    assembly: Assembly
    keeper: Keeper
    fault: str = ""

    @property
    def seed(self) -> int:
        return int(self.keeper.record["seed"])


class Loop:
    """The steps of runs that differ by their seed alone, and stand at the same step.

    Args:
      members: the runs.
      layout: how they lie on the devices.
      callbacks: are told what happens, and change nothing.
    """

    def __init__(self, members: Sequence[Member], layout: Layout, callbacks: Sequence[Callback]):
        self.members, self.layout, self.callbacks = tuple(members), layout, tuple(callbacks)
        self.first = self.members[0].assembly
        self.config = self.first.config
        self.due = set(evaluation_steps(self.first.spans, self.config.evaluations, self.config.log_every))

    def tell(self, member: Member, kind: Kind, step: int, row: Mapping[str, Any]) -> None:
        """Tell the callbacks; each gets its own copy, so that none can change what is kept."""
        for callback in self.callbacks:
            callback(Event(kind, step, self.config.steps, copy.deepcopy(dict(row)), member.seed))

    def go(self) -> list[State]:
        """Run to the last step and return the states.

        Raises:
          DivergenceError: when no run is left whose terms are finite; `Member.fault` tells of those that are not.
        """
        done = int(self.members[0].keeper.state.step)
        for member in self.members:
            self.tell(member, "start", done, {"resumed": done > 0})
            for text in filter(None, (member.assembly.remark, *member.assembly.notes, *member.keeper.words)):
                self.tell(member, "note", done, {"text": text})
        state = self.layout.join([member.keeper.state for member in self.members])
        arrays, axes = self.layout.resident([member.assembly.resident() for member in self.members])
        with contextlib.ExitStack() as stack:
            asked = stack.enter_context(interrupts())
            for member in self.members:
                for feed in member.assembly.feeds.values():
                    stack.callback(feed.close)
            if self.config.debug:
                stack.enter_context(jax.disable_jit())
                stack.enter_context(jax.debug_nans(True))
            for span in self.first.spans:
                if span.end > done and not self._stopped():
                    state = self._stage(span, state, (arrays, axes), max(done, span.first), asked)
        return self.layout.split(state)

    def _stage(
        self, span: Span, state: State, resident: tuple[PyTree, PyTree], resumed: int, asked: threading.Event
    ) -> State:
        refreshed = refreshes(span)
        arrays, axes = ({name: tree[name] for name in span.domains} for tree in resident)
        dispatcher: Dispatcher | None = self.first.compiled.get((span, self.layout))
        chunks = [(first, count) for first, count in boundaries(span, self.config.log_every) if first >= resumed]
        parts = {first: cut(first, count, self.first.part(span)) for first, count in chunks}
        ahead = Ahead(functools.partial(self._pieces, span), itertools.chain.from_iterable(parts.values()))
        for first, count in chunks:
            # 1. A stage begins with fresh optimiser state; a refresh looks at the whole target.
            if first == span.stage_first and first > 0:
                state = self._each(state, self._restarted)
            if first == span.first and span.phases > 1:
                for member in self.members:
                    self.tell(member, "note", first, {"text": self._phase(span)})
            if first in refreshed:
                state = self._each(state, lambda member, state, at=first: self._refreshed(member, state, span, at))
            # 2. Step. While the device computes, what the next steps need is read and sent there.
            if dispatcher is None:
                step = StageStep(self.first.parts, span)
                dispatcher = Dispatcher(step, self.layout, state, arrays, axes, ahead.peek(), debug=self.config.debug)
                self.first.compiled[span, self.layout] = dispatcher
                if dispatcher.note and span is self.first.spans[0]:
                    self.tell(self.members[0], "note", first, {"text": dispatcher.note})
            state, log = dispatcher(state, arrays, (ahead.take() for _ in parts[first]))
            ahead.peek()
            # 3. Log: the only transfer from the device.
            done = first + count
            fetched = jax.device_get({"log": log, "fault": state.fault})
            for place, member in enumerate(self.members):
                own = jax.tree.map(lambda leaf, at=place: leaf[at], fetched) if self.layout.axis else fetched
                self._log(member, span, done, own, dispatcher.step)
            if all(member.fault for member in self.members):
                raise DivergenceError(" ".join(member.fault for member in self.members))
            # 4. Evaluate, 5. save.
            stop = asked.is_set() and done < self.config.steps
            if done in self.due or stop:
                for member, own in zip(self.members, self.layout.split(state), strict=True):
                    if not member.fault:
                        self._keep(member, done, own)
            if stop:
                raise Interrupted(self._goodbye(done))
            if done in self.due and (reason := self._stopped()):
                self.tell(self.members[0], "note", done, {"text": reason})
                break
        return state

    def _pieces(self, span: Span, first: int, count: int) -> PyTree:
        """Return what some steps need, for all runs."""
        pieces = self.layout.pieces([member.assembly.chunk(span, first, count) for member in self.members])
        return pieces if self.first.part(span) is None else self.layout.sent(pieces)

    def _log(self, member: Member, span: Span, done: int, fetched: Mapping[str, Any], step: StageStep) -> None:
        if member.fault:
            return
        if fetched["fault"][0] >= 0:
            member.fault = self._fault(member, fetched["fault"], step)
            return
        row = {"kind": "train", "step": done, "stage": span.stage.name}
        row |= {"phase": span.phase + 1} if span.phases > 1 else {}
        row |= {name: float(value) for name, value in sorted(fetched["log"].items())}
        self.tell(member, "train", done, member.keeper.add(row))

    def _keep(self, member: Member, done: int, state: State) -> None:
        if done in self.due:
            row = {"kind": "eval", "step": done, **member.assembly.evaluator.row(weights_of(state))}
            self.tell(member, "eval", done, member.keeper.add(row))
        member.keeper.save(state)

    def _stopped(self) -> str:
        """Return why the run ends before its last step, or nothing; runs that may do so are trained one by one."""
        found = stopped(self.members[0].keeper.history, self.config, self.first.spans)
        return "" if found is None else found.reason

    def _each(self, state: State, change: Any) -> State:
        """Return the state with a change, a function of a member and its state, made to each run."""
        return self.layout.join(
            [change(member, own) for member, own in zip(self.members, self.layout.split(state), strict=True)]
        )

    def _restarted(self, member: Member, state: State) -> State:
        return state._replace(optimizer=self.first.parts.optimizer.init(state.params))

    def _refreshed(self, member: Member, state: State, span: Span, step: int) -> State:
        evaluator, weights = member.assembly.evaluator, weights_of(state)
        adapted = evaluator.adapted(weights)
        outputs = evaluator.predictor.outputs(adapted, member.assembly.seen.target, "target")
        local = step - span.stage_first
        at = (jnp.float32(local / span.stage_length), jnp.int32(local))
        memory = evaluator.predictor.refreshed(adapted, outputs, at)
        return state._replace(memory=jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), memory))

    def _phase(self, span: Span) -> str:
        words = self.first.parts.network.freezing.words(span.phase)
        return f"{words}, until step {span.end}"

    def _fault(self, member: Member, fault: np.ndarray, step: StageStep) -> str:
        whose = f"seed {member.seed}: " if self.layout.axis else ""
        saved = member.keeper.folder is not None and any(row["kind"] == "eval" for row in member.keeper.history)
        kept = " The last good checkpoint is in the run's folder." if saved else ""
        return (
            f"{whose}{step.fault(fault)}{kept} A smaller learning rate (--recipe.learning_rate), a smaller weight of"
            " the term, or --recipe.clip 1 may help; --debug stops at the operation."
        )

    def _goodbye(self, done: int) -> str:
        words = f"interrupted after step {done} of {self.config.steps}"
        if self.members[0].keeper.folder is None:
            return words
        return f"{words}; saved. Go on with the same command and --resume."
