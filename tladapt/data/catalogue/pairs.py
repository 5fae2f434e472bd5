"""Benchmarks of several domains, each ordered pair of which is a problem: `"office-caltech10:amazon-webcam"`."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tladapt.data.catalogue.entry import ScenarioEntry
from tladapt.errors import UnknownNameError
from tladapt.registry import suggest


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairEntry(ScenarioEntry):
    """An entry whose `domains` are all on a par: `pair` says which is the source and which the target.

    Raises:
      UnknownNameError: for a pair that there is not; the message lists the close ones.
    """

    pair: str = ""
    """Source and target."""

    form: ClassVar[str] = "SOURCE-TARGET, two of"
    """How a pair is written, for messages; the names of the domains follow."""

    def __post_init__(self) -> None:
        if self.pair not in (known := [*self.pairs(), *self.further_pairs()]):
            raise UnknownNameError(
                f"There is no pair {self.pair!r}: it is {self.form} {', '.join(self.domains)}."
                f"{suggest(self.pair, known)}"
            )

    @classmethod
    def pairs(cls) -> list[str]:
        """Return the pairs that the benchmark's table has, by default every "source-target"."""
        return [f"{source}-{target}" for source in cls.domains for target in cls.domains if source != target]

    @classmethod
    def further_pairs(cls) -> list[str]:
        """Return the pairs that can be named and stand in no table."""
        return []

    def ends(self) -> tuple[str, str]:
        """Return the names of the source and of the target."""
        source, target = self.pair.split("-")
        return source, target
