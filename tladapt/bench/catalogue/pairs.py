"""Columns of benchmarks whose problems are the ordered pairs of some domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tladapt.bench.benchmark import Problem


def pair_problems(
    data: str, pairs: Sequence[str], letters: Mapping[str, str], options: Mapping[str, Any] | None = None
) -> tuple[Problem, ...]:
    """Return a problem for each pair "source-target", named by the letters of its domains: "B>D"."""
    found = []
    for pair in pairs:
        source, target = pair.split("-")
        name = f"{letters[source]}>{letters[target]}"
        found.append(Problem(name=name, data=f"{data}:{pair}", options=options or {}))
    return tuple(found)
