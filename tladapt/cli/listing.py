"""What can be named on the command line, as records: name, summary, options; for data, whether its files are there."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from tladapt import fields
from tladapt.training.config import describe
from tladapt.training.recipe import BATCHNORM_PRESETS, RECIPE_NOTES, RECIPES, Recipe

Record = dict[str, Any]


def listing(kind: str, data_dir: str | None = None) -> list[Record]:
    """Return the entries of one kind: name, summary, and options with type, default, range and help.

    Args:
      kind: "methods", "backbones", "data", "benchmarks", "shifts", "validators", "recipes", "penalties",
        "augmentations" or "scores" (of transferability).
      data_dir: where data sets are, for "data"; None: the variable TLADAPT_DATA.
    """
    if kind == "data":
        return _data(data_dir)
    if kind == "benchmarks":
        return _benchmarks()
    if kind == "recipes":
        return [
            {"name": name, "summary": RECIPE_NOTES.get(name, ""), "options": recipe_fields(RECIPES[name])}
            for name in RECIPES
        ]
    if kind == "augmentations":
        return _augmentations()
    if kind == "scores":
        from tladapt.evaluation import TRANSFERABILITY

        return [{"name": name, "summary": TRANSFERABILITY[name].summary, "options": []} for name in TRANSFERABILITY]
    if kind == "backbones":
        from tladapt.models import BACKBONES

        return _families(BACKBONES)
    if kind == "shifts":
        from tladapt.data.shifts import SHIFTS

        return sorted(_families(SHIFTS), key=lambda record: record.get("family", ""))
    registry: Any
    if kind == "methods":
        from tladapt.methods import METHODS as registry
    elif kind == "validators":
        from tladapt.evaluation import VALIDATORS as registry
    else:
        from tladapt.penalties import PENALTIES as registry
    return [
        {"name": name, "summary": _summary(registry[name]), "options": options(registry[name])} for name in registry
    ]


def _benchmarks() -> list[Record]:
    """Return the benchmarks that come along."""
    import tladapt.bench.catalogue  # noqa: F401  registers them
    from tladapt.bench import BENCHMARKS

    found = []
    for name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        found.append(
            {
                "name": name,
                "summary": benchmark.title,
                "problems": [problem.name for problem in benchmark.problems],
                "settings": {
                    setting.name: [row if isinstance(row, str) else row.name for row in setting.rows]
                    for setting in benchmark.settings
                },
                "seeds": benchmark.seeds,
                "metric": benchmark.metric,
                "protocol": benchmark.paper,
                "options": [],
            }
        )
    return found


def _families(registry: Any) -> list[Record]:
    """Return registered dataclasses; those with the same options, and perhaps other defaults, share a "family"."""
    found = []
    for name in registry:
        kind = registry[name]
        record: Record = {"name": name, "summary": _summary(kind), "options": options(kind)}
        if family := getattr(kind, "family", ""):
            record["family"] = family
        found.append(record)
    return found


def _augmentations() -> list[Record]:
    """Return the registered augmentations; a function has no options."""
    from tladapt.data import AUGMENTATIONS
    from tladapt.training.features import VIEW

    found = []
    for name in AUGMENTATIONS:
        if name == VIEW:  # what runs over cached features do, and nobody chooses
            continue
        made: Any = AUGMENTATIONS[name]
        is_choice = dataclasses.is_dataclass(made)
        summary = _summary(type(made) if is_choice else made)
        found.append({"name": name, "summary": summary, "options": options(type(made)) if is_choice else []})
    return found


def _summary(kind: Any) -> str:
    return str(getattr(kind, "summary", "") or (kind.__doc__ or "").strip().splitlines()[0])


def options(kind: type, values: Mapping[str, Any] | None = None) -> list[Record]:
    """Return the fields of a dataclass; `values` stand in for defaults.

    The "range" of a field is what `tladapt tune` searches, as its `--range` reads it; None for what it leaves alone.
    """
    hints = typing.get_type_hints(kind)
    bare = dataclasses.MISSING
    fields_of = dataclasses.fields(kind)
    needed = {field.name for field in fields_of if field.default is bare and field.default_factory is bare}
    ranges = {name: str(each) for name, each in getattr(kind, "ranges", {}).items()}
    found = []
    for info in fields.describe_fields(kind):
        value = info.default if values is None else values[info.name]
        found.append(
            {
                "name": info.name,
                "type": info.type,
                "default": describe(value),
                "shown": "VALUE" if values is None and info.name in needed else _preset(value),
                "choices": [str(choice) for choice in typing.get_args(hints[info.name])]
                if typing.get_origin(hints[info.name]) is typing.Literal
                else [],
                "range": ranges.get(info.name),
                "help": info.help,
            }
        )
    return found


def _preset(value: Any) -> str:
    """Return a value as it would be typed; a BatchNorm policy by the name of its preset."""
    for name, policy in BATCHNORM_PRESETS.items():
        if value == policy:
            return name
    return fields.show(value)


def recipe_fields(recipe: Recipe | None = None) -> list[Record]:
    """Return the fields of a recipe, or of the plain one."""
    recipe = Recipe() if recipe is None else recipe
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    return [record for record in options(Recipe, values) if record["name"] != "name"]


def batchnorm_presets() -> dict[str, str]:
    """Return what each BatchNorm preset stands for."""
    return {name: fields.show(policy) for name, policy in BATCHNORM_PRESETS.items()}


def _data(data_dir: str | None) -> list[Record]:
    """Return the registered scenarios, and the kinds of own data."""
    from tladapt.data import SCENARIOS
    from tladapt.data.catalogue.own import Npz
    from tladapt.data.catalogue.own_function import OwnFunction
    from tladapt.data.catalogue.own_images import ImageFolder, ImageLists
    from tladapt.data.catalogue.pairs import PairEntry
    from tladapt.data.catalogue.prepared import Prepared

    found = []
    for name in SCENARIOS:
        entry = SCENARIOS[name]
        found.append(
            {
                "name": name,
                "summary": entry.summary,
                "domains": list(entry.domains),
                "pairs": entry.pairs() if issubclass(entry, PairEntry) else [],
                "sizes": dict(entry.sizes),
                "classes": len(entry.classes),
                "class_names": list(entry.classes),
                "metric": entry.metric,
                "protocol": entry.protocol,
                "licence": entry.licence,
                "obtain": entry.obtain,
                **_presence(entry, data_dir),
                "options": options(entry),
            }
        )
    own: dict[str, Any] = {
        "FILE.npz": Npz,
        "FOLDER": ImageFolder,
        "LIST.txt": ImageLists,
        "FILE.py:FUNCTION": OwnFunction,
        "tfds:NAME": Prepared,
    }
    for name, kind in own.items():
        records = [record for record in options(kind) if record["name"] not in ("path", "function")]
        found.append({"name": name, "summary": kind.summary, "options": records})
    return found


def _presence(entry: Any, data_dir: str | None) -> Record:
    """Return whether the files of a scenario are in the data directory, in one word and in a sentence."""
    from tladapt.data.catalogue.files import data_directory, find

    root = data_directory(data_dir)
    where = "no data directory was named (--data-dir DIR, or TLADAPT_DATA)" if root is None else f"looked for in {root}"
    if not entry.releases:
        return {"present": True, "state": "none", "files": "none needed", "where": where}
    if root is None:
        return {"present": False, "state": "missing", "files": where, "where": where}
    found = [(release, find(release, root)) for release in entry.releases]
    absent = [
        f"{release.title} ({_some([names[0] for key, names in release.files.items() if key not in have])})"
        for release, have in found
        if len(have) < len(release.files)
    ]
    some = any(have for _, have in found)
    return {
        "present": not absent,
        "state": "present" if not absent else "in part" if some else "missing",
        "files": f"missing in {root}: {', '.join(absent)}" if absent else f"present in {root}",
        "where": where,
    }


def _some(names: list[str], most: int = 8) -> str:
    """Return names in words, the first ones of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
