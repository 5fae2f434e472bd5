"""Weights that others have published: what they are of, where they are, and what their network needs to be told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tladapt.models.preprocessing import Preprocessing
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.registry import Registry


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """One file of weights."""

    name: str
    """How people call it: the hub's or the library's own name."""
    backbone: str
    """The backbone that it is of, by its registered name."""
    file: str
    """The name of the file."""
    hub: str = ""
    """The hub's id of the repository that holds the file; empty: it is on no hub."""
    url: str = ""
    """The address of the file; empty: it is on a hub, or has to be brought."""
    package: str = ""
    """The Python package that carries the file where it is installed; empty: none does."""
    sha256: str = ""
    """Checksum of the file, whole or its first digits; empty: not known."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the backbone that differ from its defaults."""
    classes: int = 0
    """Number of classes of its classifier; 0: it has none."""
    preprocessing: Preprocessing | TextPreprocessing = dataclasses.field(default_factory=Preprocessing)
    """What it was trained to read; the `normalize` of images is among the backbone's fields, too."""
    licence: str = ""
    """What its publishers state."""
    source: str = ""
    """Where it is from, and what is known of it."""

    def fields(self) -> dict[str, Any]:
        """Return the backbone's fields that these weights ask for."""
        return {**self.preprocessing.fields(), **self.options}


WEIGHTS: Registry[PublishedWeights] = Registry("weights")


def register(*weights: PublishedWeights) -> None:
    """File weights under their names."""
    for each in weights:
        WEIGHTS.register(each.name)(each)


def by_checksum(sha256: str) -> PublishedWeights | None:
    """Return the weights whose file has this checksum; None for a file that nobody has registered."""
    for name in WEIGHTS:
        known = WEIGHTS[name].sha256
        if known and sha256.startswith(known):
            return WEIGHTS[name]
    return None


def of_backbone(backbone: str) -> list[PublishedWeights]:
    """Return the registered weights of a backbone."""
    return [WEIGHTS[name] for name in WEIGHTS if WEIGHTS[name].backbone == backbone]
