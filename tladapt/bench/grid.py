"""The grid of a benchmark: every problem by method by seed, each a run folder named by the hash of its config."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tladapt.bench.benchmark import Benchmark, Problem, Row, Setting
from tladapt.bench.locks import locked
from tladapt.errors import UnknownNameError, UsageError
from tladapt.methods import METHODS
from tladapt.methods.shallow import SHALLOW, ShallowMethod
from tladapt.registry import suggest
from tladapt.training.config import Config, config_json, describe, fingerprint
from tladapt.training.folder import RunFolder, jsonable

Change = Callable[[Config], Config]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a grid."""

    benchmark: str
    setting: str
    metric: str
    problem: Problem
    method: str
    """Row of the table."""
    trained: Config | ShallowMethod
    """How it is trained: a config, or a classical estimator."""
    seed: int

    @functools.cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits that stand for everything that the run's numbers depend on, but for the code."""
        how = config_json(self.trained) if isinstance(self.trained, Config) else describe(self.trained)
        data = {"data": self.problem.data, "options": describe(self.problem.options)}
        return fingerprint(jsonable({"how": how, "seed": self.seed, **data}))

    @functools.cached_property
    def name(self) -> str:
        """The name of the run's folder: readable, and unique by its hash."""
        words = [self.problem.name, self.method] + [self.setting] * (self.setting != "common")
        return "-".join([*map(_plain, words), f"seed{self.seed}", self.hash])

    @property
    def steps(self) -> int:
        """How many steps the run has; 1 for an estimator that has none."""
        return self.trained.steps if isinstance(self.trained, Config) else 1

    def record(self) -> dict[str, Any]:
        """Return what says which cell of the table a run is."""
        return {
            "benchmark": self.benchmark,
            "setting": self.setting,
            "metric": self.metric,
            "problem": self.problem.name,
            "method": self.method,
            "seed": self.seed,
            "hash": self.hash,
        }


Group = tuple[Cell, ...]
"""Cells that differ by their seed alone: one compiled step serves them."""


def _plain(text: str) -> str:
    """Return a text as part of a file's name: "B>D" as "B_D"."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_") or "x"


def grid(
    benchmark: Benchmark,
    *,
    settings: Sequence[str] = (),
    methods: Sequence[str] = (),
    problems: Sequence[str] = (),
    seeds: Sequence[int] = (),
    options: Mapping[str, Any] | None = None,
    change: Change | None = None,
) -> list[Group]:
    """Return the groups of cells of a grid, problem by problem.

    Args:
      benchmark: what is compared.
      settings: names of its settings; none: the first, which is the common one.
      methods: rows of the settings by name, or registered methods; none: all rows of each setting.
      problems: names of its problems; none: all.
      seeds: none: as many as the benchmark says, from 0 on.
      options: of the data, in the place of the problems' own.
      change: makes each row's config another one.

    Raises:
      UnknownNameError: for a name that there is not; the message lists the close ones.
      UsageError: for seeds that repeat.
    """
    chosen = [benchmark.setting(name) for name in settings] or [benchmark.settings[0]]
    known = {problem.name: problem for problem in benchmark.problems}
    for name in problems:
        if name not in known:
            raise UnknownNameError(f"Benchmark {benchmark.name!r} has no problem {name!r}.{suggest(name, known)}")
    wanted = [known[name] for name in problems] or list(benchmark.problems)
    seeds = list(seeds) or list(range(benchmark.seeds))
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"each seed can be given once, got {seeds}.")
    rows = [(setting, row) for setting in chosen for row in _rows(setting, methods, alone=len(chosen) == 1)]
    found = []
    for problem, (setting, row) in itertools.product(wanted, rows):
        given = dataclasses.replace(problem, options={**problem.options, **(options or {})})
        trained = _trained(setting, row, change)
        # A classical estimator has no randomness: one run stands for all seeds.
        own = seeds if isinstance(trained, Config) else seeds[:1]
        found.append(
            tuple(
                Cell(
                    benchmark=benchmark.name,
                    setting=setting.name,
                    metric=benchmark.metric,
                    problem=given,
                    method=row.name,
                    trained=trained,
                    seed=seed,
                )
                for seed in own
            )
        )
    return found


def _rows(setting: Setting, methods: Sequence[str], *, alone: bool) -> list[Row]:
    """Return the rows of a setting that are asked for.

    A paper's setting has rows of its own, and other methods are not trained under it unless it is the only one asked
    for.
    """
    own = {row.name: row for row in (Row(name=row) if isinstance(row, str) else row for row in setting.rows)}
    found = []
    for name in dict.fromkeys(methods or own):
        if name in own:
            found.append(own[name])
        elif name not in METHODS and name not in SHALLOW:
            known = [*own, *METHODS, *SHALLOW]
            raise UnknownNameError(f"There is no method {name!r}.{suggest(name, dict.fromkeys(known))}")
        elif setting.name == "common" or alone:
            found.append(Row(name=name))
    return found


def _trained(setting: Setting, row: Row, change: Change | None) -> Config | ShallowMethod:
    method = row.method or row.name
    if isinstance(method, str) and method in SHALLOW:
        return SHALLOW[method]()
    config = dataclasses.replace(setting.config, **{"method": method, **row.changes})
    return config if change is None else change(config)


def shard(groups: Sequence[Group], which: int, of: int) -> list[Group]:
    """Return the part of a grid that is task `which` of `of`: consecutive cells, so that groups stay together.

    Every cell is in one part, and parts differ by one cell at most; the same grid is always split in the same way,
    whatever the order in which its methods and problems are named.

    Args:
      groups: of the whole grid.
      which: from 0 to `of - 1`.
      of: how many parts.
    """
    if not 0 <= which < of:
        raise UsageError(f"a shard is i/n with i from 0 to n - 1, got {which}/{of}.")
    ordered = sorted(groups, key=lambda group: group[0].name)
    cells = [(place, cell) for place, group in enumerate(ordered) for cell in group]
    mine = cells[which * len(cells) // of : (which + 1) * len(cells) // of]
    return [tuple(cell for _, cell in part) for _, part in itertools.groupby(mine, key=lambda pair: pair[0])]


class Place:
    """The folder of a grid.

    Args:
      out: where it is; made by `begin`.
    """

    def __init__(self, out: Path):
        self.out = out

    def run(self, name: str) -> Path:
        """Return the folder of a run."""
        return self.out / "runs" / name

    def failure(self, name: str) -> Path:
        """Return where a run that failed is kept."""
        return self.out / "failed" / name

    def lock(self, name: str) -> Path:
        """Return the file that a process locks while it trains a run."""
        return self.out / "cells" / f"{name}.lock"

    def is_finished(self, name: str) -> bool:
        """Return whether a run has ended well."""
        return (self.run(name) / "summary.json").is_file()

    def has_failed(self, name: str) -> bool:
        """Return whether a run has failed, and nobody has asked for it again."""
        return (self.failure(name) / "error.txt").is_file()

    def begin(self, benchmark: Benchmark, groups: Iterable[Group], command: Sequence[str]) -> None:
        """Write down what is asked of the grid; what was asked before stays.

        Raises:
          UsageError: where the folder holds anything else, or the same cell under another config.
        """
        if self.out.is_dir():
            names = sorted(path.name for path in self.out.iterdir() if path.suffix != ".part")
            # The lock is the first thing that there is. Another task may write bench.json just now: look for it last.
            if names not in ([], ["cells"]) and not (self.out / "bench.json").is_file():
                raise UsageError(f"{self.out} is not empty ({', '.join(names[:3])}); choose another folder (--out).")
        with locked(self.out / "cells" / "bench.lock", patience=60.0):  # the tasks of a job array start together
            self._write_down(benchmark, [cell for group in groups for cell in group], command)

    def _write_down(self, benchmark: Benchmark, cells: Sequence[Cell], command: Sequence[str]) -> None:
        folder = RunFolder(self.out)
        asked: dict[str, Any] = {"benchmark": benchmark.name, "title": benchmark.title, "metric": benchmark.metric}
        before = folder.read_json("bench.json") if (self.out / "bench.json").is_file() else {}
        if before and before["benchmark"] != benchmark.name:
            raise UsageError(
                f"{self.out} holds a grid of {before['benchmark']!r}, and {benchmark.name!r} is asked for; choose"
                " another folder (--out)."
            )
        self._refuse_others(cells)
        order = {
            "settings": [setting.name for setting in benchmark.settings],
            "problems": [problem.name for problem in benchmark.problems],
            "methods": list(dict.fromkeys([row if isinstance(row, str) else row.name
                                           for setting in benchmark.settings for row in setting.rows])),
        }  # fmt: skip
        for kind, own in (("methods", [cell.method for cell in cells]), ("seeds", [cell.seed for cell in cells])):
            order[kind] = list(dict.fromkeys([*order.get(kind, []), *before.get(kind, []), *own]))
        asked |= {**order, "seeds": sorted(order["seeds"]), "command": list(command)}
        if asked != before:
            folder.write_json("bench.json", asked)
        for cell in cells:
            if not (self.out / "cells" / f"{cell.name}.json").is_file():
                folder.write_json(f"cells/{cell.name}.json", cell.record())

    def _refuse_others(self, cells: Sequence[Cell]) -> None:
        """Raise where a cell of the table is there already, trained in another way."""

        def key(name: str) -> str:
            return name.rpartition("-")[0]  # all but the hash

        there = {key(path.stem): path.stem for path in (self.out / "cells").glob("*.json")}
        for cell in cells:
            other = there.get(key(cell.name), cell.name)
            if other != cell.name:
                raise UsageError(
                    f"{self.out} holds {cell.method} on {cell.problem.name}, seed {cell.seed}, under another config"
                    f" ({other}) than the one asked for ({cell.hash}). Give the options that it was made with, or"
                    " choose another folder (--out)."
                )
