"""How a grid is watched on the terminal: one bar over all of its steps, or a line a finished run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any


class BenchProgress:
    """A bar over the whole grid with an ETA, on stderr; a context manager, and told what happens by the workers.

    Args:
      title: the benchmark.
      place: the grid's folder.
      groups: what is asked for.
      left: what is to be trained.
      quiet: show nothing.
    """

    def __init__(self, title: str, place: Any, groups: Sequence[Any], left: Sequence[Any], *, quiet: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._cells = {cell.name: cell for group in left for cell in group}
        self._done = {name: 0 for name in self._cells}
        self._total = sum(cell.steps for cell in self._cells.values())
        self._runs = sum(map(len, groups))
        self._finished = sum(place.is_finished(cell.name) for group in groups for cell in group)
        self._before = sum(place.has_failed(cell.name) for group in groups for cell in group)
        self._failed = self._elsewhere = 0
        self._first: dict[str, int] = {}  # the step that a run went on from: what was done before costs nothing now
        self._started = time.monotonic()
        self._console = Console(stderr=True, highlight=False)
        self._lines = not quiet and not self._console.is_terminal
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[word]}", markup=False),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=self._total or None, word=self._word())

    def __enter__(self) -> BenchProgress:
        self._bar.__enter__()
        if not self._quiet:
            kept = f", {self._finished} of them finished before" if self._finished else ""
            failed = f"; {self._before} failed before (--retry-failed tries them again)" if self._before else ""
            runs = f"{self._runs} run{'s' * (self._runs != 1)}"
            self._console.print(f"{runs}{kept}{failed}", markup=False, soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        if self._elsewhere and not self._quiet:
            self._console.print(f"{self._elsewhere} runs are being trained by another process.", markup=False)

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    def eta(self) -> float:
        """Return how many seconds are left, by the steps done so far; NaN before the first."""
        steps = sum(self._done[name] - self._first.get(name, 0) for name in self._done)
        elapsed = time.monotonic() - self._started
        return (self._total - sum(self._done.values())) * elapsed / steps if steps else float("nan")

    def _word(self) -> str:
        left = self.eta()
        words = [f"{self._finished} of {self._runs} run{'s' * (self._runs != 1)}"]
        words += [f"{self._failed} failed"] * bool(self._failed)
        return ", ".join([*words, f"ETA {_duration(left)}"] if left == left else words)

    def __call__(self, event: Mapping[str, Any]) -> None:
        kind, name = event["kind"], event["cell"]
        cell = self._cells[name]
        if kind == "step":
            self._first.setdefault(name, event["step"])
            self._done[name] = event["step"]
        else:
            self._done[name] = cell.steps
            self._finished += kind == "finished"
            self._failed += kind == "failed"
            self._elsewhere += kind == "elsewhere"
            if kind == "failed" and not self._quiet:
                from tladapt.bench.outcomes import reason

                text = f"failed: {cell.method} on {cell.problem.name}, seed {cell.seed}: {reason(event['error'])}"
                self._console.print(text, markup=False, soft_wrap=True)
            elif kind == "finished" and self._lines:
                text = f"{cell.method} on {cell.problem.name}, seed {cell.seed}: finished; {self._word()}"
                self._console.print(text, markup=False, soft_wrap=True)
        self._bar.update(self._task, completed=sum(self._done.values()), word=self._word())


def _duration(seconds: float) -> str:
    """Return a duration in the two largest units: "2 h 05 min", "3 min 20 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
