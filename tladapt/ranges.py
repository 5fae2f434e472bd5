"""Ranges that a hyper-parameter is searched over: an interval, or a few values."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from tladapt.errors import UsageError
from tladapt.fields import read, show, spell

_DIGITS = 4  # significant ones of a number drawn: what stands in a command should be readable


@dataclasses.dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`; whole ones where both ends are of type int.

    Raises:
      UsageError: for ends that are not finite or not in order, and for a logarithmic one that does not start above 0.

    >>> print(Range(0.01, 1.0, log=True), Range(1, 4))
    0.01..1.0:log 1..4
    """

    low: float
    high: float
    log: bool = False
    """Whether factors count, not differences."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"a range goes from a number to a larger one, got {self.low}..{self.high}.")
        if self.log and not self.low > 0:
            raise UsageError(f"a logarithmic range starts above 0, got {self.low}..{self.high}:log.")

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def rounded(self, value: float) -> float:
        """Return a number of the range near `value`, with few digits."""
        near = round(value) if self.whole else float(f"{value:.{_DIGITS}g}")
        return min(max(near, self.low), self.high)

    def levels(self, count: int) -> tuple[Any, ...]:
        """Return `count` values from end to end, evenly spread (in factors where `log`); equal ones once.

        >>> Range(0.01, 1.0, log=True).levels(3), Range(1, 4).levels(9)
        ((0.01, 0.1, 1.0), (1, 2, 3, 4))
        """
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        steps = [low + (high - low) * place / (count - 1) for place in range(count)]
        return tuple(dict.fromkeys(self.rounded(math.exp(step) if self.log else step) for step in steps))

    def __str__(self) -> str:
        return f"{show(self.low)}..{show(self.high)}{':log' * self.log}"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few values.

    Raises:
      UsageError: for fewer than two values, or one that is there twice.

    >>> print(Choice((1, 2, 4)), Choice(((100,), (1024, 1024))))
    1,2,4 100|1024,1024
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.options) < 2 or len(set(map(show, self.options))) < len(self.options):
            raise UsageError(f"a choice needs two different values or more, got {self}.")

    def levels(self, count: int) -> tuple[Any, ...]:
        """Return all values, whatever the `count`."""
        return self.options

    def __str__(self) -> str:
        shown = [show(option) for option in self.options]
        return ("|" if any(isinstance(option, tuple) for option in self.options) else ",").join(shown)


def read_range(text: str, hint: Any, *, option: str, called: str) -> Range | Choice:
    """Return what "0.01..1:log" (an interval), "1,2,4" or "100|64,64" (values; "|" where they have commas) stands for.

    Args:
      text: the range.
      hint: the type of the field.
      option: name of the field, for messages.
      called: whose it is, for messages.

    Raises:
      UsageError: for text that is no range of such values.

    >>> read_range("1..8:log", float, option="weight", called="method 'dann'")
    Range(low=1.0, high=8.0, log=True)
    """
    interval, colon, kind = text.strip().partition(":")
    low, dots, high = interval.partition("..")
    try:
        if dots:
            if colon and kind != "log":
                raise UsageError(f"{kind!r} is no kind of range; only 'log' is.")
            ends = [read(hint, end.strip(), option=option, called=called) for end in (low, high)]
            if any(isinstance(end, bool) or not isinstance(end, (int, float)) for end in ends):
                raise UsageError(f"it must be {spell(hint)}, which has no interval; list values.")
            return Range(ends[0], ends[1], log=bool(colon))
        parts = text.split("|" if "|" in text else ",")
        return Choice(tuple(read(hint, part.strip(), option=option, called=called) for part in parts))
    except UsageError as error:
        raise UsageError(
            f"--range {option}={text}: {error} A range is 0.01..1, 0.01..1:log, values such as 1,2,4, or, where these"
            " have commas, 100|64,64."
        ) from None
