"""Ranges: what they hold, how they are written and read, and that every declared one is accepted by its owner."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from tladapt.errors import UsageError
from tladapt.methods import METHODS, combine
from tladapt.penalties import PENALTIES
from tladapt.ranges import Choice, Range, read_range
from tladapt.training import Recipe

OWNERS = [*(METHODS[name] for name in METHODS), *(PENALTIES[name] for name in PENALTIES), Recipe]


@pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__)
def test_declared_ranges_are_of_fields_hold_the_default_and_are_accepted(owner: type) -> None:
    hints = typing.get_type_hints(owner)
    fields = {field.name: field.default for field in dataclasses.fields(owner)}
    for name, each in owner.ranges.items():
        for value in each.levels(5):
            assert getattr(owner(**{name: value}), name) == value
        default = fields[name]
        if isinstance(each, Choice):
            assert default in each.options
        elif not (owner is Recipe and name == "weight_decay"):  # 0 is on no logarithmic scale
            assert each.low <= default <= each.high
        assert read_range(str(each), hints[name], option=name, called=owner.__name__) == each


def test_only_methods_with_something_to_tune_declare_ranges() -> None:
    assert [name for name in METHODS if not METHODS[name].ranges] == ["source_only", "target_only", "adabn"]
    assert all(PENALTIES[name].ranges for name in PENALTIES)


def test_combined_methods_are_searched_by_their_names() -> None:
    both = combine(METHODS["dann"](), METHODS["mcc"]())
    assert set(both.ranges) == {"dann.weight", "dann.hidden", "mcc.weight", "mcc.temperature"}
    assert both.improves == {"im", "entropy"}


def test_text() -> None:
    def read(text: str, hint: typing.Any = float) -> Range | Choice:
        return read_range(text, hint, option="x", called="it")

    assert read("1..8", int) == Range(1, 8) and Range(1, 8).whole and not Range(1.0, 8.0).whole
    assert read("true,false", bool) == Choice((True, False))
    assert read("100|64,64", tuple[int, ...]) == Choice(((100,), (64, 64)))
    for text, words in (
        ("1", "two different values"),
        ("2,2", "two different values"),
        ("2..1", "to a larger one"),
        ("0..1:log", "starts above 0"),
        ("a..1", "must be a number"),
    ):
        with pytest.raises(UsageError, match=rf"--range x={text}: .*{words}"):
            read(text)


def test_levels_are_even_in_factors_and_numbers_have_few_digits() -> None:
    assert Range(0.01, 1.0, log=True).levels(5) == (0.01, 0.03162, 0.1, 0.3162, 1.0)
    assert Range(1, 10, log=True).levels(3) == (1, 3, 10)
    assert Range(0.1234567, 1.0).rounded(0.1) == 0.1234567  # never outside
