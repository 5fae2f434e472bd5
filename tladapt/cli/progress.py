"""How a run is watched on the terminal: a bar with an ETA, or lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class Progress:
    """A bar a seed on a terminal and one line an evaluation elsewhere, on stderr; a context manager and a callback.

    Args:
      title: what is running, without its seed.
      quiet: show nothing but what has to be said.
    """

    def __init__(self, title: str, *, quiet: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True, highlight=False)
        self._lines = not quiet and not self._console.is_terminal
        self._title = title
        self._bar: Any = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[word]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._tasks: dict[int, Any] = {}

    def __enter__(self) -> Progress:
        self._bar.__enter__()
        self._tasks[-1] = self._bar.add_task(self._title, total=None, word="preparing")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def say(self, text: str, seed: int) -> None:
        """Print a line about a seed, above the bar where there is one."""
        self._console.print(f"{self._title}, seed {seed}: {text}", markup=False, soft_wrap=True)

    def _update(self, seed: int, **changes: Any) -> None:
        if seed not in self._tasks:
            if -1 in self._tasks:  # the bar that stood there before any seed did
                self._bar.remove_task(self._tasks.pop(-1))
            self._tasks[seed] = self._bar.add_task(f"{self._title}, seed {seed}", total=None, word="")
        self._bar.update(self._tasks[seed], **changes)

    def _prepare(self, text: str, done: int, total: int) -> None:
        """Show how far something is that comes before the first step."""
        if -1 in self._tasks:
            self._bar.update(self._tasks[-1], total=total, completed=done, word=text)
        if self._lines and done == total:
            self._console.print(f"{self._title}: {text}, {total} examples", markup=False, soft_wrap=True)

    def busy(self, text: str) -> Any:
        """Return a context manager that shows what goes on after the bar has ended."""
        import contextlib

        return contextlib.nullcontext() if self._bar.disable else self._console.status(text)

    def __call__(self, event: Any) -> None:
        row = event.row
        if event.kind == "prepare":
            self._prepare(row["text"], event.step, event.steps)
        elif event.kind == "start":
            self._update(event.seed, total=event.steps, completed=event.step, word="compiling")
            if event.step:
                self.say(f"going on from step {event.step} of {event.steps}", event.seed)
            elif self._lines:
                self.say(f"{event.steps} steps", event.seed)
        elif event.kind == "note":
            self.say(row["text"], event.seed)
        elif event.kind == "train":
            losses = {name: value for name, value in row.items() if name.startswith("loss/") and value is not None}
            loss = losses.get("loss/classification", next(iter(losses.values()), None))
            self._update(event.seed, completed=event.step, word="" if loss is None else f"loss {loss:.3f}")
        elif event.kind == "eval" and self._lines:
            words = [f"source accuracy {row['source/accuracy']:.1%}"]
            for name, score in sorted(row.items()):
                if name.startswith("validator/") and name != "validator/source_accuracy" and score is not None:
                    words.append(f"{name.removeprefix('validator/')} {score:.3f}")
            self.say(f"step {event.step} of {event.steps}, {', '.join(words)}", event.seed)
        elif event.kind == "end":
            self._update(event.seed, completed=event.steps, word="done")
