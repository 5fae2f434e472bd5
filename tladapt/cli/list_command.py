"""`tladapt list`: what there is, with its options."""

from __future__ import annotations

import os
from typing import Any

import click

from tladapt.cli.options import Kind, as_json
from tladapt.registry import suggest

KINDS = {
    "methods": "method",
    "backbones": "backbone",
    "data": "data",
    "benchmarks": "benchmark",
    "shifts": "shift",
    "validators": "validator",
    "recipes": "recipe",
    "penalties": "penalty",
    "augmentations": "augmentation",
    "scores": "scores",
}


@click.command(name="list")
@click.argument("kind", type=Kind(tuple(KINDS)), metavar="|".join(KINDS))
@click.argument("name", required=False, metavar="[NAME]")
@as_json()
@click.option("--data-dir", metavar="DIR", help="Where data sets are, for 'list data'; or set TLADAPT_DATA.")
def command(kind: str, name: str | None, as_json: bool, data_dir: str | None) -> None:
    """List what can be named on the command line, with its options and their defaults.

    Data is a table; with a NAME, one entry is shown whole. "Searched" is what 'tladapt tune' tries.
    """
    from tladapt.cli.listing import listing

    entries = listing(kind, data_dir)
    if name is not None:
        entries = [_named(name, entries, kind)]
    if as_json:
        import json

        click.echo(json.dumps(entries, indent=1))
        return
    if kind == "data" and name is None:
        lines = _table(entries)
    else:
        lines = _recipes(entries) if kind == "recipes" else _entries(entries, KINDS[kind])
    if kind == "augmentations":
        lines += ["", *_wrapped("Together:", '--recipe.augment "flip+rotation(degrees=10)" mirrors, then turns.')]
    if kind == "shifts":
        lines += ["", *_wrapped("Together:", "--shift rotation:angle=30+contrast:severity=2,of=source does both.")]
    plain = False if os.environ.get("NO_COLOR") else None
    click.echo("\n".join(line.rstrip() for line in lines), color=plain)


def _named(name: str, entries: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the entry of that name."""
    for entry in entries:
        if entry["name"] == name:
            return entry
    from tladapt.errors import UnknownNameError

    raise UnknownNameError(f"There is no {name!r} among the {kind}.{suggest(name, [e['name'] for e in entries])}")


def _table(entries: list[dict[str, Any]]) -> list[str]:
    """Return data as a table, a line an entry, and under it how own data goes."""
    rows = [("name", "pairs", "classes", "examples", "metric", "files")]
    for entry in (entry for entry in entries if "metric" in entry):
        pairs, examples = len(entry["pairs"]) or 1, sum(entry["sizes"].values())
        rows.append(
            (
                *(entry["name"], str(pairs), str(entry["classes"]), f"{examples:,}" if examples else "-"),
                *(entry["metric"], entry["state"]),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        name, *counts, metric, state = (
            text.rjust(width) if column in (1, 2, 3) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        rest = "  ".join(["", *counts, metric, state.rstrip()])
        lines.append(click.style(name, bold=True) + (rest if number else click.style(rest, bold=True)))
    (root,) = {entry["where"] for entry in entries if "where" in entry}
    lines += ["", *click.wrap_text(f"Files: {root}.", _width(), "", "  ").splitlines()]
    lines += ["", "Own data, without registration:"]
    for entry in (entry for entry in entries if "metric" not in entry):
        lines += _wrapped(entry["name"], entry["summary"], 2)
    lines += ["", *_wrapped("One whole:", "tladapt list data NAME")]
    return lines


def _width() -> int:
    import shutil

    return max(40, min(shutil.get_terminal_size().columns, 100))


def _wrapped(name: str, text: str, indent: int = 0) -> list[str]:
    """Return a bold name with a text behind it, wrapped under its first word."""
    head = " " * indent + name + "  "
    body = click.wrap_text(head + text, _width(), subsequent_indent=" " * (indent + 4)).splitlines()
    return [" " * indent + click.style(name, bold=True) + body[0][indent + len(name) :], *body[1:]] if body else []


def _options(options: list[dict[str, Any]], group: str) -> list[str]:
    formatter = click.HelpFormatter(width=_width() - 4)  # the indentation comes on top
    formatter.indent()
    formatter.indent()
    rows = []
    for option in options:
        choices = f" One of: {option['type']}." if option["choices"] else ""
        if option["range"]:
            choices += f" Searched{' where asked to' * (group == 'recipe')}: {option['range']}."
        typed = f"{option['name']}={option['shown']}" if group in ("augmentation", "shift") else None
        rows.append((typed or f"--{group}.{option['name']} {option['shown']}", f"{option['help']}{choices}"))
    if rows:
        formatter.write_dl(rows, col_max=34)
    return formatter.getvalue().splitlines()


def _entries(entries: list[dict[str, Any]], group: str) -> list[str]:
    lines: list[str] = []
    for entry in entries:
        members = [other for other in entries if entry.get("family") and other.get("family") == entry["family"]]
        heads = bool(lines and entry["options"]) and entry in (members or [entry])[:1]
        lines += [""] * heads + _wrapped(entry["name"], entry["summary"].rstrip("."))
        for key, text in _facts(entry).items():
            lines += click.wrap_text(f"{key}: {text}", _width(), "    ", "      ").splitlines()
        if not members:
            lines += _options(entry["options"], group)
        elif entry is members[-1]:
            lines += _options([_common(members, place) for place in range(len(entry["options"]))], group)
    return lines


def _some(names: list[str]) -> str:
    """Return names in a line: the first ones where there are many."""
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])} and {len(names) - 12} more"


def _facts(entry: dict[str, Any]) -> dict[str, str]:
    """Return what is said about a scenario or a benchmark, in words; nothing about an entry of another kind."""
    if "problems" in entry:
        return {
            "problems": _some(entry["problems"]),
            **{f"setting {name}": ", ".join(rows) for name, rows in entry["settings"].items()},
            "seeds": str(entry["seeds"]),
            "metric": entry["metric"],
            "protocol": entry["protocol"],
        }
    if "metric" not in entry:
        return {}
    sizes = [f"{name} {entry['sizes'][name]:,}" if name in entry["sizes"] else name for name in entry["domains"]]
    if entry["pairs"]:
        pairs = f"{', '.join(sizes)}; {len(entry['pairs'])} pairs, such as {entry['name']}:{entry['pairs'][0]}"
    else:
        pairs = " -> ".join(sizes)
    names = ", ".join(entry["class_names"][:12]) + (" ..." if len(entry["class_names"]) > 12 else "")
    facts = {
        "domains": pairs,
        "classes": f"{entry['classes']} ({names})",
        "metric": entry["metric"],
        "split": entry["protocol"],
        "licence": entry["licence"],
        "files": entry["files"],
        "obtain": "" if entry["present"] else entry["obtain"],
    }
    return {key: text for key, text in facts.items() if text}


def _common(members: list[dict[str, Any]], place: int) -> dict[str, Any]:
    """Return an option of several entries; its default where they agree on it."""
    options = [member["options"][place] for member in members]
    same = len({option["shown"] for option in options}) == 1
    return {**options[0], "shown": options[0]["shown"] if same else "(by name)"}


def _recipes(entries: list[dict[str, Any]]) -> list[str]:
    """Return each recipe with what it changes, then the fields that all have, once."""
    from tladapt.cli.listing import batchnorm_presets, recipe_fields

    common = recipe_fields()
    usual = {field["name"]: field["shown"] for field in common}
    lines = []
    for entry in entries:
        lines += _wrapped(entry["name"], entry["summary"])
        changed = [f"{o['name']}={o['shown']}" for o in entry["options"] if o["shown"] != usual[o["name"]]]
        lines += click.wrap_text(", ".join(changed) or "all fields as below", _width(), "    ", "    ").splitlines()
    lines += ["", click.style("Fields", bold=True) + ", with what they are where a recipe does not say otherwise:"]
    lines += _options(common, "recipe")
    lines += [
        "",
        click.style("BatchNorm", bold=True) + " presets (--batchnorm NAME), and fields (--batchnorm.forward separate):",
    ]
    lines += [f"    {name:<12}{text}" for name, text in batchnorm_presets().items()]
    return lines
