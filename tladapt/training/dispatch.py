"""How steps reach the device: many in one call by `lax.scan`, or one by one; all policy on that is here."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.models.compile import foreign_convolutions, has_convolutions
from tladapt.models.compile import jit as compiled
from tladapt.training.state import State
from tladapt.training.step import Span, StageStep

PyTree = Any
Mode = Literal["scan", "loop", "eager"]


def spans(stages: tuple[Any, ...], steps: int) -> tuple[Span, ...]:
    """Return the stages of a run with their steps, by their shares; each has one step at least."""
    total = sum(stage.share for stage in stages)
    ends = [round(steps * sum(s.share for s in stages[: i + 1]) / total) for i in range(len(stages))]
    found, first = [], 0
    for stage, end in zip(stages, ends, strict=True):
        end = max(end, first + 1)
        found.append(Span(stage, first, end - first))
        first = end
    return tuple(found)


def refreshes(span: Span) -> tuple[int, ...]:
    """Return the steps before which a stage's memory is refreshed."""
    count = min(span.stage.refresh, span.length)
    return tuple(span.first + (span.length * i) // count for i in range(count))


def evaluation_steps(steps: int, evaluations: int, chunk: int) -> tuple[int, ...]:
    """Return after how many steps a run is evaluated and saved: evenly spaced, on multiples of the chunk, and at the end."""
    found = {steps}
    for i in range(1, evaluations):
        at = round(steps * i / evaluations / chunk) * chunk
        if 0 < at < steps:
            found.add(at)
    return tuple(sorted(found))


def boundaries(span: Span, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield (first step, number of steps) of the chunks of a stage.

    They end at multiples of `chunk`, at refreshes and at the stage's end: a function of the config alone, so that a resumed run
    computes in the same pieces.
    """
    end = span.first + span.length
    cuts = {at for at in range(span.first - span.first % chunk + chunk, end, chunk)} | {*refreshes(span)[1:], end}
    first = span.first
    for cut in sorted(cuts):
        yield first, cut - first
        first = cut


class Dispatcher:
    """Runs chunks of one stage's steps.

    On the CPU a `lax.scan` is fast only where every convolution is in canonical form; a step with others (a module of one's own
    with `nnx.Conv`) runs one by one instead, and `note` says so.

    Attributes:
      mode: "scan", "loop" or "eager" (debugging: not compiled).
      note: a word for the log about the mode; empty where there is nothing to say.
      traces: how often each chunk length was traced; each is 1 or something is wrong.
    """

    def __init__(self, step: StageStep, state: State, arrays: PyTree, piece: PyTree, *, debug: bool = False):
        self.step = step
        self.traces: collections.Counter[int] = collections.Counter()
        self.note = ""
        one = jax.tree.map(lambda leaf: leaf[0], piece)
        self.mode: Mode = "eager" if debug else "scan"
        convolutions = False
        if not debug:
            traced = jax.jit(step.__call__)  # looked at twice, traced once
            convolutions = has_convolutions(traced, state, arrays, one)
            if foreign_convolutions(traced, state, arrays, one) and jax.default_backend() == "cpu":
                self.mode = "loop"
                self.note = (
                    "the network has convolutions that are slow inside lax.scan on the CPU, so steps run one by one;"
                    " tladapt.models.layers.Conv in the place of nnx.Conv makes them faster"
                )

        def chunk(state: State, arrays: PyTree, pieces: PyTree) -> tuple[State, dict[str, jax.Array]]:
            self.traces[len(jax.tree.leaves(pieces)[0])] += 1
            state, logs = jax.lax.scan(lambda s, p: step(s, arrays, p), state, pieces)
            last = jax.tree.map(lambda leaf: leaf[-1], pieces)
            return state, {name: jnp.mean(log) for name, log in logs.items()} | step.probe(state, arrays, last)

        def single(state: State, arrays: PyTree, piece: PyTree) -> tuple[State, dict[str, jax.Array]]:
            self.traces[1] += 1
            return step(state, arrays, piece)

        self._chunk = compiled(chunk, convolutions=convolutions, donate_argnums=(0,))
        self._single = compiled(single, convolutions=convolutions, donate_argnums=(0,))
        self._probe: Callable[..., dict[str, jax.Array]] = compiled(step.probe, convolutions=convolutions)

    def __call__(self, state: State, arrays: PyTree, pieces: PyTree) -> tuple[State, dict[str, jax.Array]]:
        """Return the state after a chunk and the means of its logs, both on the device."""
        if self.mode == "scan":
            return self._chunk(state, arrays, pieces)  # type: ignore[no-any-return]
        count = len(jax.tree.leaves(pieces)[0])
        logs: list[dict[str, jax.Array]] = []
        piece: PyTree = None
        for i in range(count):
            piece = jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), pieces)
            if self.mode == "eager":
                state, log = self.step(state, arrays, piece)
            else:
                state, log = self._single(state, arrays, piece)
            logs.append(log)
        means = {name: jnp.mean(jnp.stack([log[name] for log in logs])) for name in logs[0]}
        probe = self.step.probe if self.mode == "eager" else self._probe
        return state, means | probe(state, arrays, piece)
