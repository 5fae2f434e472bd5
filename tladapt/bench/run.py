"""A benchmark from Python: its grid in this process, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tladapt.bench.benchmark import Benchmark, find_benchmark
from tladapt.bench.grid import Group, Place, grid
from tladapt.bench.outcomes import Outcome, read_outcomes
from tladapt.bench.work import Tell, Worker, try_again


def pending(place: Place, groups: Sequence[Group], *, retry_failed: bool = False) -> list[Group]:
    """Return what is still to be trained: cells that are neither finished nor, unless they are asked for, failed.

    Args:
      place: the grid's folder.
      groups: what is asked for.
      retry_failed: put runs that failed back, so that they go on.
    """
    left = []
    for group in groups:
        kept = []
        for cell in group:
            if place.is_finished(cell.name):
                continue
            if place.has_failed(cell.name):
                if not retry_failed:
                    continue
                try_again(place, cell.name)
            kept.append(cell)
        if kept:
            left.append(tuple(kept))
    return left


def bench(
    benchmark: str | Benchmark,
    out: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    methods: Sequence[str] = (),
    problems: Sequence[str] = (),
    seeds: Sequence[int] = (),
    data_dir: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    tell: Tell | None = None,
) -> list[Outcome]:
    """Train every problem by method by seed of a benchmark in this process, and return the outcomes.

    Finished runs in the folder are kept, and unfinished ones go on. `tladapt bench` does the same in a process a core.

    Args:
      benchmark: one of your own, a registered name, or FILE.py with one in it.
      out: the folder of the grid.
      settings: names of its settings; none: the common one.
      methods: rows by name, or registered methods; none: those of the setting.
      problems: names of its problems; none: all.
      seeds: none: as many as the benchmark says, from 0 on.
      data_dir: where data sets are; None: the variable TLADAPT_DATA.
      options: of the data, in the place of the problems' own.
      retry_failed: try runs again that failed in an earlier call.
      tell: gets what happens, as it happens.

    Returns:
      The outcomes of all finished runs in the folder, for `tabulate`; what failed is in `read_failures(out)`.

    Raises:
      UnknownNameError: for a benchmark, setting, method or problem that there is not.
      UsageError: for a folder that holds something else.
    """
    chosen = find_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    groups = grid(chosen, settings=settings, methods=methods, problems=problems, seeds=seeds, options=options)
    place = Place(Path(out))
    place.begin(chosen, groups, [])
    worker = Worker(place, tell or (lambda event: None), None if data_dir is None else os.fspath(data_dir))
    for group in pending(place, groups, retry_failed=retry_failed):
        worker.train(group)
    return read_outcomes(place.out)
