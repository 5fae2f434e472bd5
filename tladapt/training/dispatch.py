"""How steps reach the device: many in one call by `lax.scan`, or one by one; all policy on that is here."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp

from tladapt.errors import DivergenceError, UsageError
from tladapt.methods.base import Stage
from tladapt.models.compile import foreign_convolutions, has_convolutions
from tladapt.training.layout import Layout
from tladapt.training.passes import Span
from tladapt.training.state import State
from tladapt.training.step import Log, StageStep

PyTree = Any
T = TypeVar("T")
Mode = Literal["scan", "loop", "eager"]


def spans(stages: tuple[Stage, ...], steps: int, phases: tuple[float, ...] = (1.0,)) -> tuple[Span, ...]:
    """Return the stages of a run with their steps, by their shares; each has one step at least.

    Where the run has phases, a stage that lies in several of them is cut into a span for each.

    Args:
      stages: the method's, in order.
      steps: of the run.
      phases: shares of the run's phases of unfreezing; each has one step at least, too.

    Raises:
      UsageError: for a share that is not above 0, or fewer steps than stages or phases.
    """
    for stage in stages:
        if not 0 < stage.share < math.inf:
            raise UsageError(f"the share of stage {stage.name!r} must be above 0, got {stage.share}.")
    for count, what in ((len(stages), "stages"), (len(phases), "phases of unfreezing")):
        if steps < count:
            raise UsageError(f"{count} {what} need at least as many steps, got {steps}.")
    cuts = _ends(phases, steps)
    found, first = [], 0
    for stage, end in zip(stages, _ends([stage.share for stage in stages], steps), strict=True):
        edges = [first, *(cut for cut in cuts if first < cut < end), end]
        for start, stop in itertools.pairwise(edges):
            phase = sum(cut <= start for cut in cuts)
            whole = (first, end - first) if len(edges) > 2 else None
            found.append(Span(stage, start, stop - start, phase, len(phases), whole))
        first = end
    return tuple(found)


def _ends(shares: Sequence[float], steps: int) -> list[int]:
    """Return after how many steps each part of a run ends, by shares; each has one step at least."""
    total, ends = sum(shares), [0]
    for place in range(len(shares)):
        wanted = round(steps * sum(shares[: place + 1]) / total)
        left = len(shares) - 1 - place  # parts to come, a step for each
        ends.append(min(max(wanted, ends[-1] + 1), steps - left))
    return ends[1:]


def refreshes(span: Span) -> tuple[int, ...]:
    """Return the steps of a span before which its stage's memory is refreshed."""
    first, length = span.stage_first, span.stage_length
    count = min(span.stage.refresh, length)
    steps = (first + (length * i) // count for i in range(count))
    return tuple(step for step in steps if span.first <= step < span.end)


def boundaries(span: Span, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield (first step, number of steps) of the chunks of a span.

    They are `chunk` steps long, and shorter where a refresh or the span's end comes first: a function of the config
    alone, so that a resumed run computes in the same pieces. They are counted from the last refresh on, and refreshes
    are even, so that there are at most three lengths to compile.
    """
    for first, end in itertools.pairwise(sorted({span.first, *refreshes(span), span.end})):
        for start in range(first, end, chunk):
            yield start, min(chunk, end - start)


def evaluation_steps(laid_out: Sequence[Span], evaluations: int, chunk: int) -> tuple[int, ...]:
    """Return after how many steps a run is evaluated and saved: evenly, where a chunk ends, and after the last step."""
    ends = [first + count for span in laid_out for first, count in boundaries(span, chunk)]

    def nearest(at: float) -> int:
        return min(ends, key=lambda end: abs(end - at))

    return tuple(sorted({nearest(ends[-1] * (i + 1) / evaluations) for i in range(evaluations)}))


def cut(first: int, count: int, part: int | None) -> tuple[tuple[int, int], ...]:
    """Return (first step, number of steps) of the parts of a chunk, each of at most `part` steps.

    >>> cut(40, 10, 4), cut(40, 10, None)
    (((40, 4), (44, 4), (48, 2)), ((40, 10),))
    """
    end, step = first + count, part or count
    return tuple((start, min(step, end - start)) for start in range(first, end, step))


class Ahead(Generic[T]):
    """What is made for each item of a plan, in order; `peek` makes it ahead of its use.

    Args:
      make: what is made.
      plan: arguments of `make`.
    """

    def __init__(self, make: Callable[..., T], plan: Iterable[tuple[Any, ...]]):
        self._make, self._plan = make, iter(plan)
        self._ready: list[T] = []

    def peek(self) -> T | None:
        """Return the next one, which stays; None after the last one."""
        if not self._ready:
            self._ready += [self._make(*item) for item in itertools.islice(self._plan, 1)]
        return self._ready[0] if self._ready else None

    def take(self) -> T:
        """Return the next one, which is let go."""
        self.peek()
        return self._ready.pop()


def _mean(found: list[tuple[int, Log]]) -> Log:
    """Return the means over a chunk from those over its parts."""
    if len(found) == 1:
        return found[0][1]
    total = sum(count for count, _ in found)
    return {name: sum((log[name] * (n / total) for n, log in found), jnp.float32(0.0)) for name in found[0][1]}


class Dispatcher:
    """Runs chunks of one stage's steps.

    On the CPU a `lax.scan` is fast only where every convolution is in canonical form; a step with others (a module of
    one's own with `nnx.Conv`) runs one by one instead, and `note` says so.

    Args:
      step: the step of one run.
      layout: how runs lie on the devices.
      state, arrays, axes, pieces: a first state, the resident arrays with their axes of runs, and a chunk's pieces, as
        the layout has them.
      debug: do not compile.

    Attributes:
      mode: "scan", "loop" or "eager" (debugging: not compiled).
      note: a word for the log about the mode; empty where there is nothing to say.
      traces: how often each chunk length was traced; each is 1 or something is wrong.
    """

    def __init__(
        self,
        step: StageStep,
        layout: Layout,
        state: State,
        arrays: PyTree,
        axes: PyTree,
        pieces: PyTree,
        *,
        debug: bool = False,
    ):
        self.step, self.layout = step, layout
        self.traces: collections.Counter[int] = collections.Counter()
        self.note = ""
        self.mode: Mode = "eager" if debug else "scan"
        convolutions = False
        traced: Callable[..., tuple[State, Log]] = step if debug else jax.jit(step.__call__)  # once for all below
        if not debug:
            seen, args = layout.look(traced, axes, state, arrays, self._piece(pieces, 0))
            convolutions = has_convolutions(seen, *args)
            if jax.default_backend() == "cpu" and foreign_convolutions(seen, *args):
                self.mode = "loop"
                self.note = (
                    "the network has convolutions that are slow inside lax.scan on the CPU, so steps run one by one;"
                    " tladapt.models.layers.Conv in the place of nnx.Conv makes them faster"
                )

        def chunk(state: State, arrays: PyTree, pieces: PyTree) -> tuple[State, Log]:
            self.traces[len(jax.tree.leaves(pieces)[0])] += 1
            state, logs = jax.lax.scan(lambda s, p: traced(s, arrays, p), state, pieces)
            return state, {name: jnp.mean(log) for name, log in logs.items()}

        def single(state: State, arrays: PyTree, piece: PyTree) -> tuple[State, Log]:
            self.traces[1] += 1
            return traced(state, arrays, piece)

        def ended(state: State, arrays: PyTree, piece: PyTree) -> tuple[State, Log]:
            return step.checked(state), step.probe(state, arrays, piece)

        def ready(function: Callable[..., tuple[State, Log]]) -> Callable[..., tuple[State, Log]]:
            if self.mode == "eager":
                return function
            return layout.compile(function, convolutions=convolutions, axes=axes)

        self._chunk, self._single, self._ended = ready(chunk), ready(single), ready(ended)

    def __call__(self, state: State, arrays: PyTree, parts: Iterable[PyTree]) -> tuple[State, Log]:
        """Return the state after a chunk and the means of its logs, both on the device.

        Args:
          state: as the layout has it; its memory is used anew.
          arrays: as the layout has them.
          parts: the pieces of the chunk's steps, some steps after the other; one part where nothing is streamed.
        """
        found: list[tuple[int, Log]] = []
        for pieces in parts:
            count = jax.tree.leaves(pieces)[0].shape[self.layout.axis]
            if self.mode == "scan":
                state, means = self._chunk(state, arrays, pieces)
            else:
                state, means = self._one_by_one(state, arrays, pieces, count)
            if found:
                jax.block_until_ready(found[-1][1])  # at most two parts are on the device, and a third on its way
            found.append((count, means))
        state, norms = self._ended(state, arrays, self._piece(pieces, count - 1))
        return state, _mean(found) | norms

    def _one_by_one(self, state: State, arrays: PyTree, pieces: PyTree, count: int) -> tuple[State, Log]:
        logs: list[Log] = []
        for place in range(count):
            try:
                state, log = self._single(state, arrays, self._piece(pieces, place))
            except FloatingPointError as error:  # the NaN check of eager mode; no step has been counted for it
                raise DivergenceError(
                    f"training diverged at step {int(state.step)}: {str(error).splitlines()[0]}"
                    " The traceback above this message names the operation."
                ) from error
            logs.append(log)
        return state, {name: jnp.mean(jnp.stack([log[name] for log in logs]), axis=0) for name in logs[0]}

    def _piece(self, pieces: PyTree, place: int) -> PyTree:
        """Return one step's slice of a chunk."""
        return jax.tree.map(lambda leaf: leaf[:, place] if self.layout.axis else leaf[place], pieces)
