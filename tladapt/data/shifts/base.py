"""What a shift is: a scenario in, another scenario out; and the random numbers that shifts draw."""

from __future__ import annotations

import dataclasses
import typing
import zlib
from typing import Any, ClassVar, Literal

import numpy as np

from tladapt import fields
from tladapt.data.domain import Domain, Scenario
from tladapt.errors import UsageError
from tladapt.fields import Chosen
from tladapt.registry import Registry

Side = Literal["target", "source"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift(Chosen):
    """A change of a problem; a subclass adds its options as fields, each with a docstring, and defines `shifted`.

    Register a subclass with `@SHIFTS.register("name")`, and it has a name for `tladapt.load(..., shift="name")` and
    `--shift name`; one that is not registered works as an object.
    """

    family: ClassVar[str] = ""
    """Shifts of one family have the same options, which `tladapt list shifts` shows once."""
    uses_target_labels: ClassVar[bool] = False
    """Whether the labels of the target decide what the shifted problem is."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = fields.read(hints[field.name], getattr(self, field.name), option=field.name, called=self.called)
            object.__setattr__(self, field.name, value)
        seed = getattr(self, "seed", 0)
        if not 0 <= seed < 2**63:
            raise self.wrong("seed", "a whole number from 0 on")
        self.check()

    @property
    def name(self) -> str:
        """The registered name; that of the class where it is not registered."""
        return next((name for name in SHIFTS if SHIFTS[name] is type(self)), type(self).__name__)

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"shift {self.name!r}"

    def check(self) -> None:
        """Raise for options that make no sense; their types are right."""

    def wrong(self, option: str, wanted: str) -> UsageError:
        """Return the error of an option that must be `wanted`."""
        return UsageError(f"option {option!r} of {self.called} must be {wanted}, got {getattr(self, option)!r}.")

    def facts(self, before: Scenario, after: Scenario) -> dict[str, Any]:
        """Return what is known of the shifted problem because it was made: JSON-able, for tests of estimators."""
        del before, after
        return {}

    def shifted(self, scenario: Scenario) -> Scenario:
        """Return the shifted problem, and leave name and origin as they are."""
        raise NotImplementedError(f"{type(self).__name__} must define shifted(self, scenario).")

    def apply(self, scenario: Scenario) -> Scenario:
        """Return the shifted problem, whose name and origin say so.

        `origin["shifts"]` gets a record: "name" (as it would be typed) and "facts". `origin["options"]["shift"]` is
        what loads the problem again.

        Raises:
          UsageError: for a problem that cannot be shifted so.
        """
        if scenario.is_oracle:
            raise UsageError(f"{self.called}: shift the problem first, and make its oracle twin then.")
        after = self.shifted(scenario)
        after.name = f"{scenario.name}+{self}"
        origin = dict(scenario.origin)
        whole, known = spelled(self), dict(origin.get("options", {}))
        earlier = known.get("shift")
        known["shift"] = whole if not earlier else f"{earlier}+{whole}"
        record = {"name": str(self), "facts": self.facts(scenario, after)}
        after.origin = {**origin, "options": known, "shifts": [*origin.get("shifts", ()), record]}
        if not can_be_read(self):
            after.origin["name"] = None  # only Python can make it again
        if self.uses_target_labels and getattr(self, "of", "target") == "target":
            word = f"The shift {self} was made with labels of the target: they decide what the problem is."
            after.origin["notes"] = [*origin.get("notes", ()), word]
        return after

    def __str__(self) -> str:
        return spelled(self, whole=False)


SHIFTS: Registry[type[Shift]] = Registry("shift")


def can_be_read(shift: Shift) -> bool:
    """Return whether the text of a shift leads to it again: it is registered, and no option is a function."""
    return shift.name in SHIFTS and not any(callable(getattr(shift, field.name)) for field in dataclasses.fields(shift))


def spelled(shift: Shift, *, whole: bool = True) -> str:
    """Return a shift as it would be typed: "rotation:angle=30".

    Args:
      shift: the shift.
      whole: with all its options, so that it stays what it is when a default changes; else those that differ.
    """
    shown = [
        f"{field.name}={_shown(getattr(shift, field.name))}"
        for field in dataclasses.fields(shift)
        if whole or field.default != getattr(shift, field.name)
    ]
    return shift.name + (f":{','.join(shown)}" if shown else "")


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)) and value:
        return ",".join(map(_shown, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else fields.show(value)


def generator(name: str, stream: str, seed: int, position: int = 0) -> np.random.RandomState:
    """Return random numbers that are a function of all four: NumPy keeps this generator as it is for good.

    Args:
      name: of the shift: two shifts with one seed draw different numbers.
      stream: the role of the domain: target and test draw different numbers.
      seed: >= 0.
      position: of the example in its domain, >= 0.

    >>> bool(generator("a", "target", 0, 7).uniform() == generator("a", "target", 0, 7).uniform())
    True
    """
    key = np.array([zlib.crc32(f"{name}/{stream}".encode()), seed], np.uint64)
    counter = np.array([0, 0, 0, position], np.uint64)
    return np.random.RandomState(np.random.Philox(key=key, counter=counter))


def on_side(role: str, side: Side) -> bool:
    """Return whether a role is on the side that is shifted: the target and its test set, or sources and validation.

    >>> on_side("test", "target"), on_side("source/1", "target"), on_side("validation", "source")
    (True, False, True)
    """
    return (role in ("target", "test")) == (side == "target")


def side_of(scenario: Scenario, side: Side) -> list[Domain]:
    """Return the domains of a side that training sees: the sources, or the target."""
    return [scenario.target] if side == "target" else list(scenario.source)
