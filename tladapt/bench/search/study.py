"""The study of a search: which values are tried next, kept in a file that several processes may write to.

The file is a journal of Optuna's. Values are a function of (seed, number of the trial, trials that have ended), so a
search that goes on after a kill draws what it would have drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal

from tladapt.bench.locks import FileLock, locked
from tladapt.bench.search.space import Space
from tladapt.errors import MissingPackageError, UsageError
from tladapt.fields import show
from tladapt.ranges import Range

Sampler = Literal["tpe", "random", "grid"]
SAMPLERS = ("tpe", "random", "grid")
JOURNAL = "journal.log"


def optuna() -> Any:
    """Return the module optuna, which says warnings alone from now on.

    Raises:
      MissingPackageError: where it is not installed.
    """
    try:
        import optuna as module
    except ImportError as error:
        raise MissingPackageError(
            f"a search needs optuna, which cannot be imported ({error}). Install it: pip install 'tladapt[search]'."
        ) from error
    module.logging.set_verbosity(module.logging.WARNING)
    return module


def grid_of(space: Space, trials: int) -> list[dict[str, Any]]:
    """Return the points of a grid of at most `trials`: all values of a choice, as many of a range as there is room for.

    Raises:
      UsageError: where there is no room for two values of each range.

    >>> from tladapt.ranges import Choice
    >>> grid_of({"a": Choice((1, 2)), "b": Range(0.1, 10.0, log=True)}, 7)[:2]
    [{'a': 1, 'b': 0.1}, {'a': 1, 'b': 1.0}]
    """

    def points(count: int) -> list[dict[str, Any]]:
        levels = [each.levels(count) for each in space.values()]
        return [dict(zip(space, values, strict=True)) for values in product(*levels)]

    count = 2
    if len(points(count)) > trials:
        raise UsageError(
            f"the smallest grid over {', '.join(space)} has {len(points(count))} points, and there are {trials} trials:"
            " give more --trials, --fix some fields, or take --sampler random."
        )
    while count < trials and len(points(count)) < len(points(count + 1)) <= trials:
        count += 1
    return points(count)


class Study:
    """Trials, kept in a folder.

    Args:
      folder: where the journal and the locks are; made where there is none.
      space: what is searched.
      sampler: "tpe", "random" or "grid".
      seed: what values are drawn from.
      trials: how many there are to be; a grid may have fewer points.

    Attributes:
      trials: how many there are to be.
    """

    def __init__(self, folder: Path, space: Space, *, sampler: Sampler, seed: int, trials: int):
        self.folder, self.space, self._optuna = folder, space, optuna()
        self._grid = grid_of(space, trials) if sampler == "grid" else []
        self.trials = len(self._grid) or trials
        journal = folder / JOURNAL
        storages = self._optuna.storages
        lock = FileLock(folder / f"{JOURNAL}.lock")
        with locked(folder / "ask.lock"):
            lock.acquire()  # another process may be in the middle of a line
            _cut_half_line(journal)
            lock.release()
            storage = storages.JournalStorage(storages.journal.JournalFileBackend(str(journal), lock_obj=lock))
            common = {"storage": storage, "sampler": _seeded(self._optuna, space, sampler, seed, self._grid)}
            if self._optuna.get_all_study_names(storage):
                self._study = self._optuna.load_study(study_name="tune", **common)
            else:
                self._study = self._optuna.create_study(study_name="tune", direction="maximize", **common)

    def records(self) -> list[Any]:
        """Return all trials so far, as Optuna has them."""
        found: list[Any] = self._study.get_trials(deepcopy=False)
        return found

    def ended(self) -> int:
        """Return how many trials have ended."""
        return sum(record.state.is_finished() for record in self.records())

    def take(self) -> tuple[Any, FileLock] | None:
        """Return the next trial and the lock that says that somebody works on it; None where there is none left.

        A trial whose process is gone comes first.
        """
        with locked(self.folder / "ask.lock"):
            running = self._optuna.trial.TrialState.RUNNING
            for record in self.records():
                lock = FileLock(self.folder / f"trial-{record.number}.lock")
                if record.state == running and lock.acquire(patience=0):
                    trial = self._optuna.trial.Trial(self._study, record._trial_id)
                    break
            else:
                if len(self.records()) >= self.trials:
                    return None
                trial = self._study.ask()
                lock = FileLock(self.folder / f"trial-{trial.number}.lock")
                lock.acquire()
            try:
                self._draw(trial)  # what was drawn before a kill is not drawn again
            except BaseException:
                lock.release()
                raise
            return trial, lock

    def _draw(self, trial: Any) -> None:
        for name, each in self.space.items():
            if not isinstance(each, Range):
                trial.suggest_categorical(name, [show(option) for option in each.options])
            elif each.whole:
                trial.suggest_int(name, int(each.low), int(each.high), log=each.log)
            else:
                trial.suggest_float(name, each.low, each.high, log=each.log)

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a trial's parameters, as Optuna keeps them, stand for."""
        found = {}
        for name, each in self.space.items():
            if name in params:
                options = {} if isinstance(each, Range) else {show(option): option for option in each.options}
                found[name] = options.get(params[name], params[name])
        return found

    def tell(self, trial: Any, score: float | None, facts: Mapping[str, Any]) -> None:
        """Keep what came of a trial; without a score it counts as worse than all others."""
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        if score is None:
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial.number, score)


def _cut_half_line(journal: Path) -> None:
    """Drop what a killed process may have left at the end of a journal: a line without its end."""
    if not journal.is_file():
        return
    content = journal.read_bytes()
    if content and not content.endswith(b"\n"):
        with open(journal, "r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _seeded(module: Any, space: Space, kind: Sampler, seed: int, grid: list[dict[str, Any]]) -> Any:
    """Return a sampler without memory: what it draws is a function of the seed, the trial's number and the others."""

    class Seeded(module.samplers.BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            each = space[param_name]
            if kind == "grid":
                value = grid[trial.number % len(grid)][param_name]
                return value if isinstance(each, Range) else show(value)
            own = zlib.crc32(f"{seed}/{trial.number}/{param_name}".encode())
            samplers = module.samplers
            inner = samplers.TPESampler(seed=own) if kind == "tpe" else samplers.RandomSampler(seed=own)
            value = inner.sample_independent(study, trial, param_name, param_distribution)
            return each.rounded(value) if isinstance(each, Range) else value

    return Seeded()
