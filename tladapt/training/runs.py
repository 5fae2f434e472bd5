"""A run, and the same run for several seeds: what people call."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np

from tladapt.data import Scenario
from tladapt.errors import DivergenceError, UsageError
from tladapt.training.assemble import Assembly, assemble
from tladapt.training.config import Config
from tladapt.training.features import Watch
from tladapt.training.finish import finish
from tladapt.training.keeper import Keeper, record_of, refuse_taken
from tladapt.training.layout import Layout, Single, Stacked, available
from tladapt.training.loop import Loop, Member
from tladapt.training.result import Result
from tladapt.training.watching import Callback, Event

Devices = int | Literal["all"]
Replicate = Literal["auto", "loop", "vmap", "pmap"]
Folder = str | os.PathLike[str]

SMALL = 2_000_000
"""Parameters up to which a network is small: seeds of it fill one accelerator better together than in turn."""


def run(
    config: Config,
    scenario: Scenario,
    seed: int = 0,
    out: Folder | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    devices: Devices = 1,
    resume: bool = False,
) -> Result:
    """Train, evaluate and keep: a pure function of (config, scenario, seed) that everything else watches.

    Args:
      config: method, backbone, recipe, number of steps.
      scenario: the problem. Labels of its target reach the evaluator alone.
      seed: what initial parameters, data order, augmentation and dropout are drawn from, in [0, 2^31).
      out: the run's folder; None: nothing is written.
      callbacks: functions of an `Event`; they watch.
      devices: over how many devices each batch is split, or "all"; the numbers are those of one device to rounding.
      resume: go on from the newest checkpoint in `out`, or start where there is no run yet; the result is that of an
        uninterrupted run, bit for bit.

    Returns:
      The result: metrics, history, and the trained model of the last step.

    Raises:
      UsageError: for parts that do not go together, or a folder that holds another run.
      DivergenceError: when a term or gradient is not finite; the message names the step and the term.
      RunFolderError: when the folder cannot be written; the last good checkpoint is intact.
    """
    _check("run", config, scenario, [seed])
    layout = Single(available(devices, config.resolved().recipe.batch_size))  # type: ignore[union-attr]
    started = time.perf_counter()
    member = _member(assemble(config, scenario, seed, watch=_watch(callbacks, seed)), seed, out, resume)
    return _trained([member], layout, callbacks, started)[0]


def run_seeds(
    config: Config,
    scenario: Scenario,
    seeds: Sequence[int],
    out: Folder | None = None,
    callbacks: Sequence[Callback] = (),
    *,
    replicate: Replicate = "auto",
    resume: bool = False,
) -> list[Result]:
    """Train one run for each seed; each is what `run` would give with that seed, to rounding.

    One compiled step serves all seeds, and each ends as a run folder of its own, `out/seed0` and so on.

    Args:
      config: as for `run`.
      scenario: as for `run`.
      seeds: which seeds, such as `range(3)`.
      out: the folder of the run folders; None: nothing is written.
      callbacks: functions of an `Event`, whose `seed` says whose event it is.
      replicate: "loop": one after another; "vmap": together on one device; "pmap": one on each device. "auto": on a
        CPU the loop, since convolutions of several seeds at once are slower there; with several accelerators "pmap";
        on one accelerator "vmap" for networks of up to 2 million parameters, and the loop for larger ones.
      resume: go on from the newest checkpoints in `out`, and keep the runs that have ended.

    Returns:
      The results, in the order of `seeds`.

    Raises:
      UsageError: as for `run`, for seeds that repeat, or a way that does not go with the config or the machine.
      DivergenceError: after the other seeds have ended, for those whose terms were not finite.
      RunFolderError: as for `run`.
    """
    if isinstance(seeds, int) or not len(seeds):
        raise UsageError(f"seeds must be a list such as range(3) or [1, 2, 3], got {seeds!r}.")
    if replicate not in get_args(Replicate):
        raise UsageError(f"replicate must be one of {', '.join(get_args(Replicate))}; got {replicate!r}.")
    _check("run_seeds", config, scenario, seeds)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"each seed can be given once, got {list(seeds)}.")
    if config.debug and replicate in ("vmap", "pmap"):
        raise UsageError(f"debug runs step by step, which does not go with replicate={replicate!r}; use 'loop'.")
    if config.patience is not None and replicate in ("vmap", "pmap"):
        raise UsageError(
            f"with patience each seed stops at a step of its own, which does not go with replicate={replicate!r}; use"
            " 'loop'."
        )
    places = {seed: None if out is None else Path(out) / f"seed{seed}" for seed in seeds}
    for folder in places.values():
        if folder is not None and not resume:
            refuse_taken(folder)
    results: list[Result] = []
    faults: list[str] = []
    for seed, ended in run_each(config, scenario, places, callbacks, replicate=replicate, resume=resume):
        if isinstance(ended, DivergenceError):  # of seeds that were trained together, the message names those
            faults.append(str(ended) if str(ended).startswith("seed ") else f"seed {seed}: {ended}")
        elif isinstance(ended, Exception):
            raise ended
        else:
            results.append(ended)
    if faults:
        raise DivergenceError("\n".join(dict.fromkeys(faults)))
    return results


def run_each(
    config: Config,
    scenario: Scenario,
    places: Mapping[int, Folder | None],
    callbacks: Sequence[Callback] = (),
    *,
    replicate: Replicate = "auto",
    resume: bool = False,
) -> Iterator[tuple[int, Result | Exception]]:
    """Train one run for each seed, and yield each as it ends: its result, or what went wrong with it.

    Args:
      config: as for `run`.
      scenario: as for `run`.
      places: the run's folder of each seed, or None.
      callbacks: as for `run_seeds`.
      replicate: as for `run_seeds`.
      resume: as for `run_seeds`.

    Raises:
      UsageError: for parts that do not go together, before any seed is trained.
    """
    seeds = list(places)
    first = assemble(config, scenario, seeds[0], watch=_watch(callbacks, seeds[0]))
    how = _way(replicate, first) if len(seeds) > 1 else "loop"
    size = {"loop": 1, "vmap": len(seeds), "pmap": len(jax.devices())}[how]
    for start in range(0, len(seeds), size):
        started = time.perf_counter()
        among = seeds[start : start + size]
        try:
            group = [
                _member(
                    first if seed == seeds[0] else assemble(config, scenario, seed, like=first),
                    seed,
                    places[seed],
                    resume,
                )
                for seed in among
            ]
            ended: list[Result | Exception] = list(_trained(group, _layout(how, group), callbacks, started))
        except Exception as error:
            ended = [error] * len(among)
        yield from zip(among, ended, strict=True)


def _check(name: str, config: Any, scenario: Any, seeds: Sequence[Any]) -> None:
    if not isinstance(config, Config):
        raise UsageError(f"{name}(config, scenario) needs a tladapt.Config first, got {type(config).__name__}.")
    if not isinstance(scenario, Scenario):
        raise UsageError(f"{name}(config, scenario) needs a tladapt.Scenario second, got {type(scenario).__name__}.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise UsageError(f"seed must be a whole number from 0 to 2**31 - 1, got {seed!r}.")


def _way(replicate: Replicate, first: Assembly) -> Literal["loop", "vmap", "pmap"]:
    """Return how seeds are trained; "auto" decides."""
    if replicate != "auto":
        return replicate
    if jax.default_backend() == "cpu" or first.config.debug or first.config.patience is not None:
        return "loop"
    if len(jax.devices()) > 1:
        return "pmap"
    return "vmap" if sum(np.size(leaf) for leaf in jax.tree.leaves(first.state.params)) <= SMALL else "loop"


def _layout(how: Literal["loop", "vmap", "pmap"], group: Sequence[Member]) -> Layout:
    running = sum(member.keeper.finished is None for member in group)
    return Single() if how == "loop" else Stacked(how, running)


def _watch(callbacks: Sequence[Callback], seed: int) -> Watch:
    """Return what tells callbacks how far the features of a frozen backbone are."""

    def watch(text: str, done: int, total: int) -> None:
        for callback in callbacks:
            callback(Event("prepare", done, total, {"text": text}, seed))

    return watch


def _member(assembly: Assembly, seed: int, out: Folder | None, resume: bool) -> Member:
    return Member(assembly, Keeper(out, record_of(assembly, seed), assembly, resume=resume))


def _trained(group: Sequence[Member], layout: Layout, callbacks: Sequence[Callback], started: float) -> list[Result]:
    """Return the results of runs that are trained together."""
    running = [member for member in group if member.keeper.finished is None]
    while len(steps := {int(member.keeper.state.step) for member in running}) > 1:
        for member in running:  # where a stop has caught them apart, they go on from where all have been
            member.keeper.go_back(min(steps))
    if running:
        loop = Loop(running, layout, callbacks)
        for member, state in zip(running, loop.go(), strict=True):
            if not member.fault:
                member.keeper.finished = finish(member.keeper, state, layout, started)
                loop.tell(member, "end", int(state.step), member.keeper.finished.metrics)
    faults = [member.fault for member in group if member.fault]
    if faults:
        raise DivergenceError(" ".join(faults))
    return [member.keeper.finished for member in group if member.keeper.finished is not None]
