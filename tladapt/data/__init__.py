"""Domains, scenarios, batches, augmentations and the catalogue of data; what needs JAX is loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tladapt.data.domain import Domain, Labelled, RandomAccess, Scenario, Unlabelled
from tladapt.data.texts import Texts, Tokenizer, tokenized

if TYPE_CHECKING:
    from tladapt.data import shifts
    from tladapt.data.augment import AUGMENTATIONS
    from tladapt.data.catalogue import SCENARIOS, ScenarioEntry, entry_type, load
    from tladapt.data.feeds import Feed, feed
    from tladapt.data.sampling import examples, permutation, positions
    from tladapt.data.streaming import in_order, in_turn

__all__ = [
    "AUGMENTATIONS",
    "SCENARIOS",
    "Domain",
    "Feed",
    "Labelled",
    "RandomAccess",
    "Scenario",
    "ScenarioEntry",
    "Texts",
    "Tokenizer",
    "Unlabelled",
    "entry_type",
    "examples",
    "feed",
    "in_order",
    "in_turn",
    "load",
    "permutation",
    "positions",
    "shifts",
    "tokenized",
]

_LATER = {
    "AUGMENTATIONS": "augment",
    **dict.fromkeys(("SCENARIOS", "ScenarioEntry", "entry_type", "load"), "catalogue"),
    **dict.fromkeys(("Feed", "feed"), "feeds"),
    **dict.fromkeys(("examples", "permutation", "positions"), "sampling"),
    **dict.fromkeys(("in_order", "in_turn"), "streaming"),
}


def __getattr__(name: str) -> Any:
    if name == "shifts":
        return importlib.import_module("tladapt.data.shifts")
    if name in _LATER:
        return getattr(importlib.import_module(f"tladapt.data.{_LATER[name]}"), name)
    raise AttributeError(f"module 'tladapt.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
