"""Searching hyper-parameters without a label of the target: Optuna draws, a named validator scores."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from tladapt.bench.locks import locked
from tladapt.bench.search.result import SearchResult, collect, write_result
from tladapt.bench.search.space import searchable, space_of
from tladapt.bench.search.study import SAMPLERS, Sampler, optuna
from tladapt.bench.search.trial import ORACLE, Search, work
from tladapt.data import Scenario
from tladapt.errors import TladaptError, UsageError
from tladapt.evaluation import VALIDATORS, Validator
from tladapt.ranges import Choice, Range
from tladapt.registry import suggest
from tladapt.training import Callback
from tladapt.training.config import Config, config_json, describe
from tladapt.training.folder import RunFolder, jsonable
from tladapt.training.keeper import data_checksums, differences

Watcher = Callable[[int, int, str], None]
"""Told how many trials have ended, of how many, and what came of the last one."""


def tune(
    config: Config,
    scenario: Scenario,
    *,
    out: str | os.PathLike[str],
    validator: str | Validator = "im",
    trials: int = 20,
    seeds: int = 1,
    ranges: Mapping[str, Range | Choice | str | None] | None = None,
    fixed: Collection[str] = (),
    sampler: Sampler = "tpe",
    seed: int = 0,
    jobs: int = 1,
    watcher: Watcher | None = None,
    callbacks: Sequence[Callback] = (),
) -> SearchResult:
    """Search the declared ranges of a config's method and penalty for what a validator scores highest.

    Each trial is a run a seed, `out/runs/<problem>-<method>-seed<k>-<hash of the config>`. Its score is that of the
    checkpoint that the validator chooses behind the collapse guard, a mean over seeds; a trial with a run that diverges
    or collapses throughout has none, and counts as worse than all others.

    A search that was stopped goes on when it is called again: ended trials are kept, a half-done one goes on from its
    run's checkpoint, and all numbers are those of a search that was never stopped. `trials` may be raised later.
    Several processes may work on one folder, on a file system that has locks; sampler "tpe" then draws by what has
    ended so far, and is reproducible with one process only. "random" and "grid" always are.

    Args:
      config: what is searched around.
      scenario: the problem; labels of its target are not looked at, but for `validator="oracle"`.
      out: the search's folder.
      validator: a validator by name or as an object; "oracle": the target's test labels, for an upper bound that is
        called so in every name.
      trials: how many.
      seeds: how many runs a trial has; they have the seeds from 0 on.
      ranges: other ranges, or ranges of other fields: {"recipe.learning_rate": Range(1e-3, 0.1, log=True)}, text such
        as "0.001..0.1:log", or None for the declared one.
      fixed: fields that are not searched.
      sampler: "tpe" (a tree-structured Parzen estimator after ten random trials), "random" or "grid".
      seed: what values are drawn from.
      jobs: how many processes work on it here, each on its share of the cores; how many cores share a sum may change
        the last bits of a run's numbers.
      watcher: called after each trial.
      callbacks: watchers of the runs, where `jobs` is 1.

    Returns:
      The trials and the best of them.

    Raises:
      UsageError: for nothing to search, a range that the method refuses, or a folder of another search.
      MissingPackageError: where optuna is not installed.

    Source: Bergstra, Bardenet, Bengio, Kegl: Algorithms for hyper-parameter optimization. NeurIPS 2011. Akiba, Sano,
    Yanase, Ohta, Koyama: Optuna. KDD 2019. arXiv 1907.10902.
    """
    optuna()  # said first where it is missing
    for name, value in (("trials", trials), ("seeds", seeds), ("jobs", jobs)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} must be a whole number of at least 1, got {value!r}.")
    if sampler not in get_args(Sampler):
        raise UsageError(f"Unknown sampler {sampler!r}.{suggest(str(sampler), SAMPLERS)}")
    by_labels = isinstance(validator, str) and validator == ORACLE
    base = searchable(config)
    if not by_labels:
        base = dataclasses.replace(base, validator=VALIDATORS[validator]() if isinstance(validator, str) else validator)
    _check_labels(base, scenario, by_labels, Path(out))
    search = Search(
        config=base,
        scenario=scenario,
        out=Path(out),
        space=space_of(base, ranges, fixed),
        oracle=by_labels,
        trials=trials,
        seeds=seeds,
        sampler=sampler,
        seed=seed,
    )
    _claim(search)
    if jobs > 1:
        _together(search, jobs, watcher)
    else:
        with _Reporter(search, watcher) as reporter:
            work(search, (*callbacks, reporter))
    with locked(search.out / "study" / "result.lock"):  # other processes write these files, too
        found = collect(search)
        write_result(found)
    return found


def _check_labels(config: Config, scenario: Scenario, by_labels: bool, out: Path) -> None:
    """Refuse searches that would look at labels of the target without saying so."""
    method: Any = config.method
    if by_labels:
        if scenario.test is None:
            raise UsageError(f"{scenario.name} has no labelled test set, so there is no oracle to search by.")
        if ORACLE not in out.name:
            raise UsageError(
                f"a search by the oracle says so in the name of its folder, and {out.name!r} does not: call it"
                f" {out.with_name(f'{out.name}-oracle')}."
            )
    elif ORACLE in method.needs or scenario.is_oracle:
        raise UsageError(
            f"method {method.name!r} trains on labels of the target, so there is no search without them; say"
            " --validator oracle."
        )


def _claim(search: Search) -> None:
    """Write down what is asked, or see that it is what was asked before."""
    place = RunFolder(search.out)
    if search.out.is_dir() and not (search.out / "tune.json").is_file():
        strange = sorted(path.name for path in search.out.iterdir() if path.name != "study" and path.suffix != ".part")
        if strange:
            raise UsageError(f"{search.out} is not empty ({', '.join(strange[:3])}); choose another folder (--out).")
    data = {name: value for name, value in data_checksums(search.scenario).items() if name != "test"}
    asked = jsonable(
        {
            "scenario": search.scenario.name,
            "config": config_json(search.config),
            "space": {name: str(each) for name, each in search.space.items()},
            "validator": ORACLE if search.oracle else describe(search.config.validator),
            "seeds": search.seeds,
            "sampler": search.sampler,
            "seed": search.seed,
            # The points of a grid depend on how many there may be; of other samplers more can be asked later.
            "grid": search.trials if search.sampler == "grid" else None,
            "data": data,
        }
    )
    with locked(search.out / "study" / "ask.lock"):
        if not (search.out / "tune.json").is_file():
            place.write_json("tune.json", asked)
            return
        other = differences(place.read_json("tune.json"), asked)
    if other:
        shown = "; ".join(other[:10]) + (f"; and {len(other) - 10} more" if len(other) > 10 else "")
        raise UsageError(f"{search.out} holds another search: {shown}. Ask for the same, or choose another folder.")


class _Reporter:
    """Tells a watcher what came of each trial, seen from the study's file; a callback of runs and a context manager."""

    def __init__(self, search: Search, watcher: Watcher | None):
        self._search, self._watcher, self._told = search, watcher, -1

    def __enter__(self) -> _Reporter:
        self._study = self._search.study()
        self.look()
        return self

    def __exit__(self, *_: Any) -> None:
        self.look()

    def __call__(self, event: Any) -> None:
        if event.kind == "start":
            self.look()

    def look(self) -> None:
        """Tell what is new."""
        if self._watcher is None:
            return
        ended = [record for record in self._study.records() if record.state.is_finished()]
        if len(ended) != self._told:
            self._told = len(ended)
            last = max(ended, key=lambda record: record.datetime_complete, default=None)
            self._watcher(len(ended), self._study.trials, "" if last is None else _word(last, self._search.validator))


def _word(record: Any, validator: str) -> str:
    """Return what came of a trial in a few words."""
    came = record.user_attrs.get("reason", "").partition(",")[0]
    return f"trial {record.number}: {came if record.value is None else f'{validator} {record.value:.4g}'}"


def _together(search: Search, jobs: int, watcher: Watcher | None) -> None:
    """Work in several processes, each on cores of its own where there are enough."""
    context = multiprocessing.get_context("spawn")  # a fork would share JAX's threads and locks
    faults: Any = context.SimpleQueue()
    members = [
        context.Process(target=_member, args=(search, place, jobs, os.getpid(), faults), daemon=True)
        for place in range(jobs)
    ]
    try:
        for member in members:
            member.start()
        with _Reporter(search, watcher) as reporter:
            while any(member.is_alive() for member in members):
                time.sleep(0.2)
                reporter.look()
    finally:
        for member in members:
            if member.is_alive():
                member.terminate()  # its trial is gone on with next time
        for member in members:
            if member.pid is not None:
                member.join()
    if not faults.empty():
        raise UsageError(faults.get())
    if codes := [member.exitcode for member in members if member.exitcode]:
        raise TladaptError(
            f"{len(codes)} of {jobs} processes ended with status {codes[0]}; what they said stands above. The same"
            " command goes on with the search."
        )


def _member(search: Search, place: int, jobs: int, parent: int, faults: Any) -> None:
    """Be one of several processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) >= jobs:
            os.sched_setaffinity(0, cores[place::jobs])
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / jobs:.2f}")  # an accelerator is shared
    try:
        work(search, parent=parent)
    except TladaptError as error:
        faults.put(str(error))
