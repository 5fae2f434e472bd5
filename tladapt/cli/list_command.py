"""`tladapt list`: what there is, with its options."""

from __future__ import annotations

import os
from typing import Any

import click

from tladapt.cli.options import Kind, as_json

KINDS = {
    "methods": "method",
    "backbones": "backbone",
    "data": "data",
    "shifts": "shift",
    "validators": "validator",
    "recipes": "recipe",
    "penalties": "penalty",
    "augmentations": "augmentation",
    "scores": "scores",
}


@click.command(name="list")
@click.argument("kind", type=Kind(tuple(KINDS)), metavar="|".join(KINDS))
@as_json()
@click.option("--data-dir", metavar="DIR", help="Where data sets are, for 'list data'; or set TLADAPT_DATA.")
def command(kind: str, as_json: bool, data_dir: str | None) -> None:
    """List what can be named on the command line, with its options and their defaults."""
    from tladapt.cli.listing import listing

    entries = listing(kind, data_dir)
    if as_json:
        import json

        click.echo(json.dumps(entries, indent=1))
        return
    lines = _recipes(entries) if kind == "recipes" else _entries(entries, KINDS[kind])
    if kind == "augmentations":
        lines += ["", *_wrapped("Together:", '--recipe.augment "flip+rotation(degrees=10)" mirrors, then turns.')]
    if kind == "shifts":
        lines += ["", *_wrapped("Together:", "--shift rotation:angle=30+contrast:severity=2,of=source does both.")]
    plain = False if os.environ.get("NO_COLOR") else None
    click.echo("\n".join(line.rstrip() for line in lines), color=plain)


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
        for key in ("domains", "classes", "licence", "files", "obtain"):
            if entry.get(key) and not (key == "obtain" and entry["present"]):
                lines += click.wrap_text(f"{key}: {entry[key]}", _width(), "    ", "      ").splitlines()
        if not members:
            lines += _options(entry["options"], group)
        elif entry is members[-1]:
            lines += _options([_common(members, place) for place in range(len(entry["options"]))], group)
    return lines


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
