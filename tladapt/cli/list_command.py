"""`tladapt list`: what there is, with its options."""

from __future__ import annotations

from typing import Any

import click

KINDS = ("methods", "backbones", "data", "validators", "recipes", "penalties")


class Kind(click.ParamType):
    """One of the kinds; a misspelt one lists the close ones."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in KINDS:
            return str(value)
        from tladapt.registry import suggest

        self.fail(f"There is nothing to list under {value!r}.{suggest(value, KINDS)}", param, ctx)


@click.command(name="list", short_help="List methods, backbones, data, validators, recipes or penalties.")
@click.argument("kind", type=Kind(), metavar="methods|backbones|data|validators|recipes|penalties")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--data-dir", default=None, metavar="DIR", help="Where data sets are, for 'list data'; or set TLADAPT_DATA.")
def command(kind: str, as_json: bool, data_dir: str | None) -> None:
    """List what can be named on the command line, with its options and their defaults."""
    entries = listing(kind, data_dir)
    if as_json:
        import json

        click.echo(json.dumps(entries, indent=1))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for entry in entries:
        console.print(Text(entry["name"], style="bold"), Text("  " + entry["summary"]), sep="", soft_wrap=False)
        for key in ("domains", "classes", "licence", "files"):
            if entry.get(key):
                console.print(Padding(Text(f"{key}: {entry[key]}", style="dim"), (0, 0, 0, 4)))
        singular = {"data": "data", "recipes": "recipe", "penalties": "penalty"}.get(kind, kind[:-1])
        for option in entry["options"]:
            line = Text(f"--{singular}.{option['name']} ", style="cyan") + Text(f"[{option['default']}] ", style="dim")
            console.print(Padding(line + Text(option["help"]), (0, 0, 0, 4)))


def listing(kind: str, data_dir: str | None = None) -> list[dict[str, Any]]:
    """Return the entries of one kind: name, summary, options with type, default and help."""
    from tladapt import fields
    from tladapt.training.config import describe

    def options(cls: type) -> list[dict[str, Any]]:
        return [
            {"name": info.name, "type": info.type, "default": describe(info.default), "help": info.help}
            for info in fields.describe_fields(cls)
        ]

    def summary(cls: type) -> str:
        return str(getattr(cls, "summary", "") or (cls.__doc__ or "").strip().splitlines()[0])

    if kind == "recipes":
        from tladapt.training.config import RECIPE_NOTES, RECIPES, Recipe

        infos = {info.name: info for info in fields.describe_fields(Recipe) if info.name != "name"}
        return [
            {
                "name": name,
                "summary": RECIPE_NOTES.get(name, ""),
                "options": [
                    {"name": key, "type": info.type, "default": describe(getattr(RECIPES[name], key)), "help": info.help}
                    for key, info in infos.items()
                ],
            }
            for name in RECIPES
        ]
    if kind == "data":
        return _data(options, data_dir)
    registry: Any
    if kind == "methods":
        from tladapt.methods import METHODS as registry
    elif kind == "backbones":
        from tladapt.models import BACKBONES as registry
    elif kind == "validators":
        from tladapt.evaluation import VALIDATORS as registry
    else:
        from tladapt.penalties import PENALTIES as registry
    return [{"name": name, "summary": summary(registry[name]), "options": options(registry[name])} for name in registry]


def _data(options: Any, data_dir: str | None) -> list[dict[str, Any]]:
    from tladapt.data import SCENARIOS

    found = []
    for name in SCENARIOS:
        entry = SCENARIOS[name]
        found.append(
            {
                "name": name,
                "summary": entry.summary,
                "domains": " -> ".join(entry.domains),
                "classes": len(entry.classes),
                "licence": entry.licence,
                "files": entry.obtain,
                "options": options(entry),
            }
        )
    return found
