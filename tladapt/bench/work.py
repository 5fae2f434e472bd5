"""Training groups of a grid's cells in one process: data is read once, and one compiled step serves a group."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from tladapt.bench.grid import Cell, Group, Place
from tladapt.bench.locks import locked
from tladapt.bench.shallow import run_shallow
from tladapt.data import Scenario, load
from tladapt.errors import MissingDataError, MissingPackageError, TladaptError
from tladapt.training.config import Config, describe
from tladapt.training.folder import write_whole
from tladapt.training.runs import run_each
from tladapt.training.watching import Event

Tell = Callable[[Mapping[str, Any]], None]
"""Gets what happens: {"kind": "step", "cell", "step"} or {"kind": "finished" | "failed" | "elsewhere", "cell", ...}."""

HANDOVER = 5.0
"""Seconds to wait for a process that trains the same run: one whose grid was killed a moment ago is about to end."""


class Worker:
    """Trains groups one after another.

    Args:
      place: the grid's folder.
      tell: gets what happens.
      data_dir: where data sets are.
    """

    def __init__(self, place: Place, tell: Tell, data_dir: str | None = None):
        self.place, self.tell, self.data_dir = place, tell, data_dir
        self._read: tuple[str, Scenario] | None = None

    def train(self, group: Group) -> None:
        """Train the cells of a group that are not finished; what goes wrong is kept apart, and told.

        Raises:
          MissingDataError: for data that is not there, which is no failure of the runs.
          MissingPackageError: for a package that is not there.
        """
        with contextlib.ExitStack() as held:
            mine = []
            patience = HANDOVER
            for cell in group:
                if not held.enter_context(locked(self.place.lock(cell.name), patience=patience)):
                    self.tell({"kind": "elsewhere", "cell": cell.name})
                    patience = 0.0  # whoever holds it works on this group, and has not just been killed
                elif self.place.is_finished(cell.name):
                    self._finished(cell)
                else:
                    mine.append(cell)
            if not mine:
                return
            try:
                self._train(mine)
            except (MissingDataError, MissingPackageError):
                raise
            except Exception as error:  # of the whole group: data that is not there, parts that do not go together
                for cell in mine:
                    if not self.place.is_finished(cell.name) and not self.place.has_failed(cell.name):
                        self._failed(cell, error)
        import jax

        jax.clear_caches()  # other groups have other shapes, and compiled steps fill the memory

    def _train(self, cells: list[Cell]) -> None:
        scenario = self._scenario(cells[0])
        trained = cells[0].trained
        for cell in cells:
            self.place.run(cell.name).parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(trained, Config):
            for cell in cells:
                run_shallow(trained, scenario, self.place.run(cell.name), cell.seed)
                self._finished(cell)
            return
        by_seed = {cell.seed: cell for cell in cells}
        places = {seed: self.place.run(cell.name) for seed, cell in by_seed.items()}

        def watch(event: Event) -> None:
            if event.kind in ("start", "train", "eval"):
                self.tell({"kind": "step", "cell": by_seed[event.seed].name, "step": event.step})

        for seed, ended in run_each(trained, scenario, places, [watch], resume=True):
            cell = by_seed[seed]
            if self.place.is_finished(cell.name):  # so it is where another seed of the same dispatch diverged
                self._finished(cell)
            else:
                assert isinstance(ended, Exception)
                self._failed(cell, ended)

    def _scenario(self, cell: Cell) -> Scenario:
        """Return the data of a cell; groups of one problem follow each other, so that one is kept."""
        key = json.dumps([cell.problem.data, describe(cell.problem.options)], sort_keys=True)
        if self._read is None or self._read[0] != key:
            self._read = None  # let go of the old one first: two may not fit
            self._read = (key, load(cell.problem.data, self.data_dir, **cell.problem.options))
        return self._read[1]

    def _finished(self, cell: Cell) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.place.failure(cell.name))
        self.tell({"kind": "finished", "cell": cell.name})

    def _failed(self, cell: Cell, error: Exception) -> None:
        text = str(error)
        if not isinstance(error, TladaptError):  # nobody has written a message for it
            text = "".join(traceback.format_exception(error))
        keep_apart(self.place, cell.name, text)
        self.tell({"kind": "failed", "cell": cell.name, "error": text})


def keep_apart(place: Place, name: str, text: str) -> None:
    """Move a run that failed out of the way, with the reason beside it."""
    failure = place.failure(name)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(failure)
    failure.parent.mkdir(parents=True, exist_ok=True)
    if place.run(name).is_dir():
        os.replace(place.run(name), failure)
    write_whole(failure / "error.txt", text.encode())


def try_again(place: Place, name: str) -> None:
    """Put a run that failed back, so that it goes on from its newest checkpoint."""
    failure = place.failure(name)
    (failure / "error.txt").unlink()
    if (failure / "config.json").is_file() and not place.run(name).exists():
        place.run(name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(failure, place.run(name))
    else:
        shutil.rmtree(failure)
