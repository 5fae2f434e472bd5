"""Benchmarks of several domains, each ordered pair of which is a problem: `"office-caltech10:amazon-webcam"`."""

from __future__ import annotations

import dataclasses

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

    def __post_init__(self) -> None:
        if self.pair not in (known := self.pairs()):
            raise UnknownNameError(
                f"There is no pair {self.pair!r}: it is SOURCE-TARGET, two of {', '.join(self.domains)}."
                f"{suggest(self.pair, known)}"
            )

    @classmethod
    def pairs(cls) -> list[str]:
        """Return every pair, "source-target"."""
        return [f"{source}-{target}" for source in cls.domains for target in cls.domains if source != target]

    def ends(self) -> tuple[str, str]:
        """Return the names of the source and of the target."""
        source, target = self.pair.split("-")
        return source, target
