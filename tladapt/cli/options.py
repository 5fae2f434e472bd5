"""How options are read: `--group.field value` beside the ordinary ones, and whole numbers with a range in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from tladapt.registry import suggest

Options = dict[str, dict[str, str]]
"""The text of each `--group.field value`, by group and field."""

_KEPT = "tladapt.options"
_LARGEST = 2**31 - 1


class WithFields(click.Command):
    """A command that also takes `--group.field value` for the groups it is made with, in any place.

    They are taken out before click sees the others, whose spelling click goes on checking.
    """

    def __init__(self, *args: Any, groups: Sequence[str] = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.groups = tuple(groups)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["tladapt.arguments"] = list(args)
        rest, ctx.meta[_KEPT] = split(args, self.groups, ctx)
        return super().parse_args(ctx, rest)


def given_fields(ctx: click.Context) -> Options:
    """Return what `--group.field value` was given to the command that runs; every group is there."""
    kept: Options = ctx.meta[_KEPT]
    return kept


def split(
    arguments: Sequence[str], groups: Sequence[str], ctx: click.Context | None = None
) -> tuple[list[str], Options]:
    """Return the other arguments, and the options `--group.field value` or `--group.field=value` by group.

    Raises:
      click.UsageError: for a group that there is not, with the close ones, and for a value that is missing.

    >>> split(["--steps", "5", "--method.weight", "-0.5"], ["method"])
    (['--steps', '5'], {'method': {'weight': '-0.5'}})
    """
    found: Options = {group: {} for group in groups}
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        name, equals, value = word.partition("=")
        group, dot, field = name.removeprefix("--").partition(".")
        if not (name.startswith("--") and dot and group and field):
            rest.append(word)
            continue
        if group not in found:
            options = [f"--{known}.{field}" for known in groups]
            raise click.UsageError(f"There is no option {name!r}.{suggest(name, options)}", ctx)
        if not equals:
            if not left or left[0].startswith("--"):
                raise click.UsageError(f"{name} needs a value: {name} VALUE", ctx)
            value = left.pop(0)
        found[group][field.replace("-", "_")] = value
    return rest, found


class Whole(click.ParamType):
    """A whole number from `least` to `most`."""

    name = "N"

    def __init__(self, least: int = 1, most: int = _LARGEST):
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.least - 1
        if self.least <= number <= self.most:
            return number
        called = "It" if param is None else param.opts[0]
        wanted = f"at most {self.most}" if number > self.most else f"at least {self.least}"
        raise click.UsageError(f"{called} must be a whole number of {wanted}; got {value!r}", ctx)


class DeviceCount(Whole):
    """A whole number of at least 1, or "all"."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "all" else super().convert(value, param, ctx)


class OneOf(click.ParamType):
    """One of some words."""

    name = "word"

    def __init__(self, known: Sequence[str]):
        self.known = tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.known:
            called = "It" if param is None else param.opts[0]
            raise click.UsageError(f"{called} must be one of {', '.join(self.known)}; got {value!r}", ctx)
        return str(value)


class Kind(click.ParamType):
    """One of some words; a misspelt one lists the close ones."""

    name = "kind"

    def __init__(self, known: Sequence[str]):
        self.known = tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.known:
            raise click.UsageError(f"There is nothing to list under {value!r}.{suggest(value, self.known)}", ctx)
        return str(value)


def whole(name: str, default: int, text: str, *, least: int = 1) -> Callable[[Any], Any]:
    """Return the decorator of an option that is a whole number."""
    return click.option(name, default=default, show_default=True, type=Whole(least), metavar="N", help=text)


def shift_option() -> Callable[[Any], Any]:
    """Return the decorator of `--shift`, which becomes `--data.shift`: an option of `tladapt.load` as the others."""

    def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        data = given_fields(ctx)["data"]
        if value is not None and "shift" in data:
            raise click.UsageError(f"{param.opts[0]} and --data.shift are one option; give it once.", ctx)
        if value is not None:
            data["shift"] = value

    text = "Synthetic shift, such as rotation:angle=30; several joined by +. 'tladapt list shifts' shows them."
    return click.option("--shift", metavar="NAME[:OPTION=VALUE,...]", expose_value=False, callback=keep, help=text)


def as_json() -> Callable[[Any], Any]:
    """Return the decorator of `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
