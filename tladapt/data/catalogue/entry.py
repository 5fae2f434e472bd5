"""What an entry of the catalogue is: a frozen dataclass whose fields are its options."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from tladapt import fields
from tladapt.data.catalogue.files import Release
from tladapt.data.domain import Scenario
from tladapt.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScenarioEntry:
    """One adaptation problem by name; a subclass adds its options as fields, each with a docstring under it.

    Register a subclass with `@SCENARIOS.register("name")`; `tladapt.load("name", option=...)` then makes one and calls
    `load`.
    """

    summary: ClassVar[str] = ""
    """One line for `tladapt list data`, protocol included."""
    domains: ClassVar[tuple[str, ...]] = ()
    """Names of the source domain(s) and, last, of the target."""
    classes: ClassVar[tuple[str, ...]] = ()
    """Class names in the order of the indices; empty where the data says them."""
    licence: ClassVar[str] = ""
    """What is known of the terms of use."""
    obtain: ClassVar[str] = ""
    """Where the files are to be had; empty where none are needed."""
    releases: ClassVar[tuple[Release, ...]] = ()
    """The released files that it reads."""
    metric: ClassVar[str] = "accuracy"
    """The official metric, as `tladapt.evaluation.metrics` calls it."""
    protocol: ClassVar[str] = ""
    """The official split, in a sentence."""
    sizes: ClassVar[Mapping[str, int]] = {}
    """Examples of each domain as released; empty where unknown."""

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the data.

        Args:
          data_dir: where the files are; None: the variable TLADAPT_DATA.

        Raises:
          MissingDataError: a file is not there.
          DamagedDataError: a file is there and cannot be trusted.
        """
        raise NotImplementedError


SCENARIOS: Registry[type[ScenarioEntry]] = Registry("scenario")


def build(kind: type[ScenarioEntry], options: Mapping[str, Any], *, called: str) -> ScenarioEntry:
    """Return an entry with the given options; text is read as the type of its field.

    Raises:
      UsageError: for an option that there is not (the entry's options are listed), or a value of another type.
    """
    return fields.make(kind, options, called=called)
