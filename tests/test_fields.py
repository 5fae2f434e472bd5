"""Text to fields and back, with messages for what cannot be read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import pytest

from tladapt import fields
from tladapt.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 1
    """How deep."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Base:
    weight: float = 1.0
    """How strong,
    in words of two lines."""
    widths: tuple[int, ...] = (64, 32)
    """How wide."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing(Base):
    weight: float = 2.0
    kind: Literal["linear", "biased"] = "linear"
    """Which."""
    count: int = 3
    on: bool = False
    clip: float | None = None
    path: str | None = None
    pair: tuple[int, float] = (1, 0.5)
    many: str | tuple[str, ...] = ""
    inner: Inner = Inner()
    anything: Any = None
    derived: int = dataclasses.field(default=0, init=False)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("weight", "0.5", 0.5),
        ("weight", "-1e-3", -1e-3),
        ("weight", 2, 2.0),
        ("count", " 7 ", 7),
        ("count", 7.0, 7),
        ("on", "yes", True),
        ("on", "False", False),
        ("on", "0", False),
        ("on", True, True),
        ("kind", "biased", "biased"),
        ("clip", "none", None),
        ("clip", None, None),
        ("clip", "5", 5.0),
        ("path", "none", None),
        ("path", "here", "here"),
        ("path", Path("a/b"), "a/b"),
        ("widths", "64", (64,)),
        ("widths", "64, 32,", (64, 32)),
        ("widths", "(64,32)", (64, 32)),
        ("widths", "none", ()),
        ("widths", [1, 2], (1, 2)),
        ("pair", "2,0.25", (2, 0.25)),
        ("many", "a,b", "a,b"),
        ("many", ["a", "b"], ("a", "b")),
        ("anything", "x", "x"),
        ("inner", Inner(depth=2), Inner(depth=2)),
    ],
)
def test_values_are_read_as_their_type(name, given, expected):
    made = getattr(fields.make(Thing, {name: given}, called="thing"), name)
    assert made == expected and type(made) is type(expected)
    assert getattr(fields.replace(Thing(count=9), {name: given}, called="thing"), name) == expected


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("weight", "much", "option 'weight' of thing must be a number, got 'much'."),
        ("weight", "nan", "must be a number"),
        ("weight", "inf", "must be a number"),
        ("weight", True, "must be a number"),
        ("weight", None, "must be a number"),
        ("count", "1.5", "must be a whole number"),
        ("count", 1.5, "must be a whole number"),
        ("on", "maybe", "must be true or false"),
        ("kind", "liner", "must be linear or biased, got 'liner'. Did you mean 'linear'?"),
        ("kind", "zzz", "must be linear or biased, got 'zzz'."),
        ("clip", "x", "must be a number or none"),
        ("widths", "64,,32", "must be whole numbers separated by commas"),
        ("widths", "64,x", "must be whole numbers separated by commas"),
        ("widths", 64, "must be whole numbers separated by commas"),
        ("pair", "1,2,3", "must be 2 whole numbers separated by commas"),
        ("path", 3, "must be text or none"),
        ("inner", "deep", "must be Inner"),
    ],
)
def test_values_of_another_type_are_refused(name, given, words):
    with pytest.raises(UsageError) as caught:
        fields.make(Thing, {name: given}, called="thing")
    assert words in str(caught.value)


def test_unknown_options_list_the_known_ones():
    with pytest.raises(
        UsageError, match=r"thing has no option 'wieght'\. Did you mean 'weight' or 'widths'\? Options: weight, widths"
    ):
        fields.make(Thing, {"wieght": "1"}, called="thing")
    with pytest.raises(UsageError, match="no option 'derived'"):
        fields.replace(Thing(), {"derived": "1"}, called="thing")

    @dataclasses.dataclass
    class Bare:
        pass

    with pytest.raises(UsageError, match=r"bare has no option 'x'\. It has none\."):
        fields.make(Bare, {"x": 1}, called="bare")


def test_a_missing_field_is_named():
    @dataclasses.dataclass
    class Needs:
        path: str

    with pytest.raises(UsageError, match="needs option 'path': text"):
        fields.make(Needs, {}, called="it")


def test_replace_keeps_the_other_fields():
    assert fields.replace(Thing(count=9, on=True), {"weight": "3"}, called="thing") == Thing(
        count=9, on=True, weight=3.0
    )


def test_fields_are_described_by_the_text_below_them():
    found = {info.name: info for info in fields.describe_fields(Thing)}
    assert found["weight"] == ("weight", "a number", 2.0, "How strong, in words of two lines.")  # the base's words
    assert found["widths"] == ("widths", "whole numbers separated by commas", (64, 32), "How wide.")
    assert found["kind"].type == "linear or biased"
    assert found["clip"].type == "a number or none"
    assert found["on"].help == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [((64, 32), "64,32"), ((), "none"), (None, "none"), (True, "true"), (0.5, "0.5"), ("a", "a"), (Inner(), "depth=1")],
)
def test_values_are_shown_as_they_are_typed(value, shown):
    assert fields.show(value) == shown


def test_what_is_shown_can_be_read_again():
    for name in ("weight", "widths", "kind", "count", "on", "clip"):
        default = getattr(Thing(), name)
        assert getattr(fields.make(Thing, {name: fields.show(default)}, called="thing"), name) == default
