"""Progress of things that are done one after another: a bar with an ETA, or lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class Counter:
    """A bar on stderr, and a line for each group of things where there is no terminal; a context manager.

    Args:
      title: what is being done.
      quiet: show nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False)
        self._title, self._group = title, ""
        self._lines = not quiet and not self._console.is_terminal
        self._bar: Any = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[group]}", markup=False),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )

    def __enter__(self) -> Counter:
        self._bar.__enter__()
        self._task = self._bar.add_task(self._title, total=None, group="preparing")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def __call__(self, done: int, total: int, group: str) -> None:
        """Show that `done` of `total` are done, the last one in `group`."""
        self._bar.update(self._task, total=total, completed=done, group=group)
        if self._lines and group != self._group:
            self._console.print(f"{self._title}: {done} of {total}, {group}", markup=False, soft_wrap=True)
        self._group = group
