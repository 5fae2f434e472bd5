"""Own data by a function in a Python file: `"my_data.py:make"`, or `"my_data.py:make:a-b"` for a pair of domains."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import itertools
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tladapt.data.catalogue.entry import ScenarioEntry
from tladapt.data.catalogue.files import sha256
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import MissingDataError, UnknownNameError, UsageError
from tladapt.registry import suggest

Returned = Scenario | Mapping[str, Domain] | Sequence[Domain]
"""What a function may return."""
_OURS = ("path", "function", "pair")
_TAKEN = (*_OURS, "load", "name", "shift")  # of the entry, and of `tladapt.load`
_EXPECTED = "a tladapt.Scenario, or a dict or sequence of tladapt.Domain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnFunction(ScenarioEntry):
    """A function in a Python file that returns a `Scenario`, or `Domain`s of which each ordered pair is a problem.

    The parameters of the function are options, `--data.KEY VALUE`: text is read as the type of their annotation, or of
    their default. One called `data_dir` gets the data directory; one called `pair` gets the pair, and what the function
    then returns is the problem. Otherwise a pair names two of the domains: the first with its labels, the second,
    which is tested on too where it has labels.

    Loading runs the file, as importing it would.
    """

    path: str
    """The Python file."""
    function: str
    """The function in it."""
    pair: str | None = None
    """Source and target, "a-b", where the function returns several domains; "FILE.py:FUNCTION:a-b" says it, too."""

    summary: ClassVar[str] = "own data: a function in a Python file that returns a Scenario, or Domains (then :A-B)"

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Call the function.

        Raises:
          MissingDataError: there is no such file.
          UsageError: the file cannot be imported, has no such function, or the function returns something else.
          UnknownNameError: there is no such pair; the message lists the close ones.
        """
        function = find_function(self.path, self.function)
        wanted = inspect.signature(function).parameters
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        given = {name: value for name, value in values.items() if name not in _OURS}
        if "data_dir" in wanted:
            given["data_dir"] = data_dir
        if "pair" in wanted and self.pair is not None:
            given["pair"] = self.pair
        called = f"{Path(self.path).name}:{self.function}"
        scenario = self._scenario(function(**given), called, takes_pair="pair" in wanted)
        files = {**scenario.origin.get("files", {}), self.path: sha256(Path(self.path))}
        scenario.origin = {**scenario.origin, "files": files}
        return scenario

    def _scenario(self, returned: Any, called: str, *, takes_pair: bool) -> Scenario:
        if isinstance(returned, Scenario):
            if self.pair is not None and not takes_pair:
                raise UsageError(
                    f"{called} returns one problem, and has no parameter 'pair', so there is nothing to choose by"
                    f" {self.pair!r}."
                )
            return returned
        domains = _by_name(returned, called)
        pairs = {f"{source}-{target}": (source, target) for source, target in itertools.permutations(domains, 2)}
        if self.pair is None:
            raise UsageError(f"{called} returns {len(domains)} domains; say which pair: {called}:{next(iter(pairs))}.")
        if self.pair not in pairs:
            raise UnknownNameError(
                f"There is no pair {self.pair!r}: it is SOURCE-TARGET, two of {', '.join(domains)}."
                f"{suggest(self.pair, pairs)}"
            )
        source, target = (domains[name] for name in pairs[self.pair])
        return Scenario(source, target, name=f"{called}:{self.pair}")


def _by_name(returned: Any, called: str) -> dict[str, Domain]:
    """Return the domains by name, or raise."""
    if isinstance(returned, Mapping):
        named = {str(name): domain for name, domain in returned.items()}
    elif isinstance(returned, Sequence) and not isinstance(returned, str):
        named = {getattr(domain, "name", ""): domain for domain in returned}
    else:
        raise UsageError(f"{called} must return {_EXPECTED}; it returned {type(returned).__name__}.")
    for domain in named.values() if isinstance(returned, Mapping) else returned:
        if not isinstance(domain, Domain):
            raise UsageError(f"{called} must return {_EXPECTED}; it returned a {type(domain).__name__} among them.")
    if len(named) < len(returned) or "" in named:
        raise UsageError(
            f"{called} returns domains that no name tells apart: give each a name of its own, Domain(x, y, name=...),"
            " or return a dict."
        )
    if len(named) < 2:
        raise UsageError(f"{called} returns {len(named)} domain; a pair needs two.")
    return {name: dataclasses.replace(domain, name=name) for name, domain in named.items()}


def find_function(path: str | os.PathLike[str], name: str) -> Callable[..., Returned]:
    """Return a function of a Python file, which is run as an import would.

    Raises:
      MissingDataError: there is no such file.
      UsageError: the file cannot be imported, or has no such function.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"There is no Python file {str(path)!r}, seen from {os.getcwd()!r}.")
    stamp = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"tladapt_own_{path.stem}_{stamp}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up by name
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        del sys.modules[spec.name]
        raise UsageError(f"{path} cannot be imported ({type(problem).__name__}: {problem}).") from problem
    functions = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    }
    found = vars(module).get(name)
    if found is None:
        close = suggest(name, functions) if functions else " It has no function at all."
        raise UsageError(f"{path} has no function {name!r}.{close}")
    if not callable(found):
        raise UsageError(f"{name!r} in {path} is no function but {type(found).__name__}.")
    return typing.cast(Callable[..., Returned], found)


def entry_of(path: str | os.PathLike[str], name: str) -> type[OwnFunction]:
    """Return the entry of a function: `OwnFunction` with the function's parameters as further options.

    Raises:
      MissingDataError: there is no such file.
      UsageError: as `find_function`, and for a parameter that cannot be an option.
    """
    function = find_function(path, name)
    hints = typing.get_type_hints(function)
    made: list[tuple[str, Any, Any]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("pair", "data_dir"):
            continue
        bare = parameter.default is parameter.empty
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if parameter.name in _TAKEN or not by_name:
            raise UsageError(
                f"{name} in {path}: the parameter '{parameter}' cannot be an option; give it another name, and no"
                " * or /."
            )
        untyped = Any if bare or parameter.default is None else type(parameter.default)
        default = dataclasses.field() if bare else dataclasses.field(default_factory=_constant(parameter.default))
        made.append((parameter.name, hints.get(parameter.name, untyped), default))
    kind = dataclasses.make_dataclass(name, made, bases=(OwnFunction,), frozen=True, kw_only=True)
    kind.__doc__ = inspect.getdoc(function) or OwnFunction.__doc__
    return kind


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
