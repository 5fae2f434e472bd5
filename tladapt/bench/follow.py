"""What happens in a grid's folder while other processes train it, seen by reading it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from tladapt.bench.grid import Cell, Place
from tladapt.bench.work import Tell
from tladapt.training.folder import RunFolder


class Follower:
    """Tells of runs that others train, as those who train them would.

    Args:
      place: the grid's folder.
      cells: the runs to look at, none of them finished yet.
      tell: gets what happened since the last look.
    """

    def __init__(self, place: Place, cells: Iterable[Cell], tell: Tell):
        self.place, self.tell = place, tell
        self.missing = {cell.name: cell for cell in cells}
        """Runs that have neither finished nor failed."""

    def look(self) -> None:
        """Look at the folder once."""
        for name in list(self.missing):
            with contextlib.suppress(FileNotFoundError):  # a run that fails moves to another folder
                self._look_at(name)

    def _look_at(self, name: str) -> None:
        if self.place.is_finished(name):
            event = {"kind": "finished"}
        elif self.place.has_failed(name):
            event = {"kind": "failed", "error": (self.place.failure(name) / "error.txt").read_text()}
        else:
            if rows := RunFolder(self.place.run(name)).rows():
                self.tell({"kind": "step", "cell": name, "step": rows[-1]["step"]})
            return
        del self.missing[name]
        self.tell({**event, "cell": name})
