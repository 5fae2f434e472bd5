"""The catalogue: `load(name)` for the registered scenarios, and for own data that nobody registered."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tladapt.data.catalogue import (
    activity,
    amazon_reviews,
    amazon_text,
    cifar10,
    digits,
    digits_photo,
    digits_street,
    domainnet,
    heart,
    imagenet_shifts,
    office31,
    office_caltech10,
    office_caltech10_decaf,
    office_caltech10_surf,
    office_home,
    pacs,
    spoken_digits,
    terra_incognita,
    visda2017,
    vlcs,
)
from tladapt.data.catalogue.entry import SCENARIOS, ScenarioEntry, build
from tladapt.data.catalogue.files import data_directory
from tladapt.data.catalogue.own import Npz
from tladapt.data.catalogue.own_function import entry_of
from tladapt.data.catalogue.own_images import ImageFolder, ImageLists
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.catalogue.prepared import Prepared
from tladapt.data.domain import Scenario
from tladapt.data.shifts import Shifts, read_shifts, shift_scenario
from tladapt.errors import MissingDataError, UnknownNameError, UsageError

__all__ = [
    "SCENARIOS",
    "ScenarioEntry",
    "activity",
    "amazon_reviews",
    "amazon_text",
    "cifar10",
    "digits",
    "digits_photo",
    "digits_street",
    "domainnet",
    "entry_type",
    "heart",
    "imagenet_shifts",
    "load",
    "office31",
    "office_caltech10",
    "office_caltech10_decaf",
    "office_caltech10_surf",
    "office_home",
    "pacs",
    "spoken_digits",
    "terra_incognita",
    "visda2017",
    "vlcs",
]

_OWN = (
    "Own data goes by its path: FILE.npz, FOLDER (domain/class/image), LIST.txt ('path label' a line),"
    " FILE.py:FUNCTION, or tfds:NAME."
)
_PREFIXES: dict[str, type[ScenarioEntry]] = {"npz": Npz, "folder": ImageFolder, "list": ImageLists, "tfds": Prepared}

_FUNCTION = re.compile(r"(?P<path>.+\.py):(?P<function>\w+)(?::(?P<pair>[^?]+))?")


def _existing(text: str, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """Return the path where there is such a file or folder: as given, or inside the data directory."""
    path = Path(text).expanduser()
    if path.exists():
        return path
    root = None if path.is_absolute() else data_directory(data_dir)
    return root / path if root is not None and (root / path).exists() else None


def _resolve(name: str, data_dir: str | os.PathLike[str] | None) -> tuple[type[ScenarioEntry], dict[str, Any]]:
    """Return the kind of entry that a name means, and the options that the name itself gives."""
    stem, _, asked = name.partition("?")
    registered, colon, pair = stem.partition(":")
    if registered in SCENARIOS:
        entry = SCENARIOS[registered]
        query = dict(parse_qsl(asked, keep_blank_values=True))
        if not colon:
            return entry, query
        if issubclass(entry, PairEntry):
            return entry, {"pair": pair, **query}
        raise UsageError(f"{registered!r} is one problem, so there is nothing to choose by {':' + pair!r}.")
    if (function := _FUNCTION.fullmatch(stem)) is not None:
        file = _existing(function["path"], data_dir) or Path(function["path"])
        own = {key: text for key, text in function.groupdict().items() if text is not None}
        query = dict(parse_qsl(asked, keep_blank_values=True))
        return entry_of(file, function["function"]), {**own, "path": str(file), **query}
    if stem.endswith(".py"):
        raise UsageError(f"{stem!r} is a Python file; say which function in it makes the data: {stem}:FUNCTION.")
    prefix, _, rest = name.partition(":")
    kind = _PREFIXES.get(prefix)
    text = rest if kind is not None else name
    query = {}
    if _existing(text, data_dir) is None and "?" in text:
        text, _, asked = text.rpartition("?")
        query = dict(parse_qsl(asked, keep_blank_values=True))
    if kind is Prepared:
        return Prepared, {"path": text, **query}
    path = _existing(text, data_dir)
    if path is None:
        looks_like_path = kind is not None or os.sep in text or Path(text).suffix in (".npz", ".txt", ".csv", ".lst")
        if looks_like_path:
            raise MissingDataError(f"There is no file or folder {text!r}, seen from {os.getcwd()!r}. {_OWN}")
        close = difflib.get_close_matches(registered.lower(), list(SCENARIOS), n=3, cutoff=0.5)
        known = f" Did you mean {' or '.join(map(repr, close))}?" if close else f" Known: {', '.join(SCENARIOS)}."
        raise UnknownNameError(f"Unknown scenario {name!r}.{known} {_OWN}")
    if kind is None:
        kind = ImageFolder if path.is_dir() else Npz if path.suffix == ".npz" else ImageLists
    return kind, {"path": str(path), **query}


def entry_type(name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None) -> type[ScenarioEntry]:
    """Return the entry that `load(name)` makes: its fields are the options, each with a docstring.

    >>> entry_type("digits-photo").__name__
    'DigitsPhoto'
    """
    return _resolve(os.fspath(name), data_dir)[0]


def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    shift: Shifts = None,
    **options: Any,
) -> Scenario:
    """Return an adaptation problem by name, or from own files.

    Registered: the names in `SCENARIOS`; one with several domains takes a pair of them behind a colon, as in
    `load("office-caltech10:amazon-webcam")`. Own data, without any registration:

    * `load("data.npz")`: arrays source_x, source_y, target_x and more (`Npz`);
    * `load("pictures", source="amazon", target="webcam", size=64)`: a folder domain/class/image (`ImageFolder`);
    * `load("source.txt", target="target.txt")`: list files, "path label" a line (`ImageLists`);
    * `load("my_data.py:make:a-b", seed=3)`: a function that returns a scenario or domains (`OwnFunction`);
    * `load("tfds:first", target="tfds:second")`: prepared TFDS sets, read without TensorFlow (`Prepared`).

    Options may stand in the name too: `"pictures?source=amazon&target=webcam"`, `"digits-photo?shift=inverse"`.

    Args:
      name: a registered name, a path, or tfds:NAME; a registered name goes before a path of that name.
      data_dir: where released files are; None: the variable TLADAPT_DATA. Relative paths of own data that are not found
        from the current folder are looked for in it.
      shift: synthetic shifts of the problem, from `tladapt.shifts`: text such as "rotation:angle=30", several joined by
        a plus sign, or objects. The name of the scenario says it.
      **options: the fields of the entry.

    Returns:
      The scenario; its `origin` holds "name", "options", and "files" (path -> sha256) and "notes" where there are any.

    Raises:
      UnknownNameError: for a name that is neither registered nor a path; the message lists the close ones.
      UsageError: for an option that the entry has not, a value that it cannot take, two pairs at once, or a shift that
        does not go with the problem.
      MissingDataError, DamagedDataError: for files.

    >>> load("digits-photo", seed=3)
    Scenario('digits-photo': scans[800] -> photo[2000], 10 classes)
    >>> load("digits-photo", shift="missing_classes:classes=8,9")
    Scenario('digits-photo+missing_classes:classes=8,9': scans[800] -> photo[1600], 10 classes)
    """
    called = os.fspath(name)
    kind, given = _resolve(called, data_dir)
    if "pair" in given and options.get("pair", given["pair"]) != given["pair"]:
        raise UsageError(f"{called!r} names a pair, and the option pair={options['pair']!r} names another. Give one.")
    in_name = given.pop("shift", "").replace(" ", "+")  # what stands behind a question mark has a space for a plus
    shifts = read_shifts(in_name if shift is None else shift)
    entry = build(kind, {**given, **options}, called=called)
    scenario = entry.load(data_dir)
    scenario.origin = {"name": called, "options": dataclasses.asdict(entry), **scenario.origin}
    return shift_scenario(scenario, shifts)
