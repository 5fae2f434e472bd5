"""What a benchmark is: problems, methods, one common recipe, and the numbers that were published."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tladapt.errors import UnknownNameError, UsageError
from tladapt.methods import Method
from tladapt.registry import Registry, suggest
from tladapt.training.config import Config

Metric = Literal["accuracy", "mean_class_accuracy", "macro_f1"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A column of the table."""

    name: str
    """How the table calls it: "B>D"."""
    data: str
    """What `tladapt.load` takes: "amazon-reviews:books-dvd"."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Options of the data, "shift" included."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table: a method, and what is different from the setting's config for it alone."""

    name: str
    """How the table calls it."""
    method: str | Method = ""
    """What adapts; empty: the method of that name."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of `Config` that this row has otherwise, such as a BatchNorm policy that its paper prescribes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One table: all of its rows are trained under one config, source-only included."""

    name: str
    """"common", or the name of the recipe of a paper."""
    config: Config
    """What all rows have in common; its method is not looked at."""
    rows: tuple[str | Row, ...]
    """Names of methods, or rows; "source_only" has to be among them for gains to be known."""
    note: str = ""
    """Where the recipe is from, in a sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """A number from the literature."""

    method: str
    """The row that it stands beside."""
    problem: str
    """The column, or "mean"."""
    value: float
    """In percent."""
    kind: Literal["last", "oracle", "unknown"]
    """How its step or hyper-parameters were chosen: not at all, with labels of the target, or nobody says."""
    source: str
    """Where it stands."""
    setting: str = "common"
    """The table that it belongs to."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Scenarios and methods to be compared; the first setting is the common one.

    Raises:
      UsageError: for no problem or setting, or names that are not each once.
    """

    name: str
    title: str
    """One line for lists and the heads of tables."""
    problems: tuple[Problem, ...]
    settings: tuple[Setting, ...]
    seeds: int = 3
    """How many seeds, from 0 on, unless somebody says otherwise."""
    metric: Metric = "accuracy"
    """The official one."""
    published: tuple[Published, ...] = ()
    paper: str = ""
    """Whose protocol it is."""
    expected: str = ""
    """What to expect, with its range, in a sentence; minutes and machine."""

    def __post_init__(self) -> None:
        for what, names in (("problem", [p.name for p in self.problems]), ("setting", [s.name for s in self.settings])):
            if not names:
                raise UsageError(f"benchmark {self.name!r} has no {what}: give {what}s=(...,).")
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise UsageError(f"benchmark {self.name!r} has more than one {what} {twice[0]!r}.")

    def setting(self, name: str) -> Setting:
        """Return the setting of that name; the message for another lists the close ones."""
        for setting in self.settings:
            if setting.name == name:
                return setting
        known = [setting.name for setting in self.settings]
        raise UnknownNameError(f"Benchmark {self.name!r} has no setting {name!r}.{suggest(name, known)}")


BENCHMARKS: Registry[Benchmark] = Registry("benchmark")


def find_benchmark(name: str) -> Benchmark:
    """Return a benchmark: a registered name, or FILE.py with one in it, or FILE.py:NAME with several.

    Raises:
      UnknownNameError: for another name; the message lists the close ones.
      UsageError: for a file that cannot be run or holds no benchmark.
    """
    path, _, wanted = name.partition(".py:") if ".py:" in name else (name, "", "")
    if not (name.endswith(".py") or wanted):
        import tladapt.bench.catalogue  # noqa: F401  registers them

        return BENCHMARKS[name]
    file = Path(path if path.endswith(".py") else f"{path}.py")
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r} with a benchmark in it.")
    found = {thing.name: thing for thing in vars(_module(file)).values() if isinstance(thing, Benchmark)}
    if wanted and wanted in found:
        return found[wanted]
    if not wanted and len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise UsageError(f"{file} holds no benchmark: write NAME = tladapt.bench.Benchmark(...) into it.")
    if wanted:
        raise UnknownNameError(f"{file} has no benchmark {wanted!r}.{suggest(wanted, found)}")
    raise UsageError(f"{file} holds several benchmarks; name one: {', '.join(f'{file}:{each}' for each in found)}.")


def _module(file: Path) -> Any:
    """Return what a Python file makes."""
    spec = importlib.util.spec_from_file_location(f"tladapt_own_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        raise UsageError(f"{file} cannot be run: {type(problem).__name__}: {problem}") from problem
    return module
