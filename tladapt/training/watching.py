"""Who watches a run: callbacks, and a person's Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal["prepare", "start", "train", "eval", "note", "end"]


class Event(NamedTuple):
    """What a callback is told; it can watch, and changes nothing.

    Attributes:
      kind: "prepare" (features of a frozen backbone: `step` of `steps` examples of `row["text"]`), "start", "train" (a
        line of the log), "eval" (an evaluation), "note" (a word in `row["text"]`), "end".
      step: how many steps are done.
      steps: how many there are.
      row: the line of the log or the evaluation, as in `metrics.jsonl`; a copy.
      seed: whose step it is, where several seeds are trained.
    """

    kind: Kind
    step: int
    steps: int
    row: Mapping[str, Any]
    seed: int = 0


Callback = Callable[[Event], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C between two chunks, after the state was saved."""


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
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
