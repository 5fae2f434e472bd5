"""From text to shifts: "rotation:angle=30+gaussian_noise:severity=3"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tladapt import fields
from tladapt.data.domain import Scenario
from tladapt.data.shifts.base import SHIFTS, Shift
from tladapt.errors import UsageError

Shifts = str | Shift | Sequence[str | Shift] | None

# A plus sign joins two shifts where a name follows it, up to its colon, the next plus sign or the end.
_JOIN = re.compile(r"\+(?=\s*[A-Za-z_][\w-]*\s*(?:[:+]|$))")


def read_shifts(given: Shifts) -> tuple[Shift, ...]:
    """Return the shifts that a text, an object or a sequence of both stands for, in the order in which they are made.

    Args:
      given: NAME or NAME:option=value,option=value, several joined by a plus sign; a part without an equals sign goes
        on with the value before it, as in "label_shift:prior=0.1,0.9,seed=3". None and "none": no shift.

    Raises:
      UnknownNameError: for a name that there is not; the message lists the close ones.
      UsageError: for an option that there is not, or a value that it cannot take.

    >>> read_shifts("label_shift:prior=0.25,0.75,seed=3+rotation:angle=30")
    (LabelShift(of='target', seed=3, prior=(0.25, 0.75), alpha=None, size=None), Rotation(of='target', angle=30.0))
    """
    if given is None:
        return ()
    if isinstance(given, Shift):
        return (given,)
    if not isinstance(given, str):
        if not isinstance(given, Sequence):
            raise UsageError(f"shift must be text such as 'rotation:angle=30', or a shift object, got {given!r}.")
        return tuple(shift for one in given for shift in read_shifts(one))
    if given.strip().lower() in ("", "none"):
        return ()
    return tuple(_one(part) for part in _JOIN.split(given))


def _one(text: str) -> Shift:
    name, _, inside = text.strip().partition(":")
    name = name.strip().replace("-", "_")
    kind = SHIFTS[name]
    options: dict[str, str] = {}
    last = ""
    for part in inside.split(",") if inside.strip() else ():
        option, equals, value = part.partition("=")
        if equals:
            last = option.strip().replace("-", "_")
            options[last] = value.strip()
        elif last:
            options[last] += f",{part.strip()}"
        else:
            raise UsageError(f"shift {name!r}: options are {name}:option=value,option=value; got {part.strip()!r}.")
    return fields.make(kind, options, called=f"shift {name!r}")


def shift_scenario(scenario: Scenario, shift: Shifts) -> Scenario:
    """Return a problem with shifts made one after another; see `read_shifts` for how they may be given."""
    for one in read_shifts(shift):
        scenario = one.apply(scenario)
    return scenario
