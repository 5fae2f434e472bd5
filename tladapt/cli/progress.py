"""A progress bar with an ETA, as a callback that watches."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class Progress:
    """Shows a bar on a terminal, and one line an evaluation elsewhere; use it as a context manager and a callback.

    Args:
      title: what is running.
      quiet: show nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._title = title
        self._bar: Any = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[word]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task: Any = None

    def __enter__(self) -> Progress:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._quiet:
            self._console.print(text, markup=False)

    def __call__(self, event: Any) -> None:
        if event.kind == "start":
            self._task = self._bar.add_task(self._title, total=event.steps, completed=event.step, word="compiling")
            if event.step:
                self.say(f"{self._title}: going on from step {event.step} of {event.steps}")
        elif event.kind == "note":
            self.say(f"{self._title}: {event.row['text']}")
        elif event.kind == "train":
            word = f"loss {event.row.get('loss/classification', next(iter(_losses(event.row)), 0.0)):.3f}"
            self._bar.update(self._task, completed=event.step, word=word)
        elif event.kind == "eval" and not self._console.is_terminal:
            row = event.row
            scores = [f"source accuracy {row['source/accuracy']:.1%}"]
            scores += [f"{k.removeprefix('validator/')} {v:.3f}" for k, v in row.items() if k == "validator/im" and v is not None]
            self.say(f"{self._title}: step {event.step} of {event.steps}, " + ", ".join(scores))
        elif event.kind == "end":
            self._bar.update(self._task, completed=event.steps, word="done")


def _losses(row: Any) -> list[float]:
    return [value for name, value in row.items() if name.startswith("loss/")]
