"""Examples that two domains share, byte for byte: one picture in both, or a test example that is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from tladapt.data.domain import Domain, Scenario
from tladapt.data.sampling import examples
from tladapt.data.texts import Texts

Role = Literal["source", "target", "test", "validation"]

HASHED = 1 << 26  # bytes up to which a quick look searches: a tenth of a second
_VALUES = 1 << 24  # read at a time
_PAIRS: tuple[tuple[Role, Role], ...] = (
    ("source", "target"),
    ("source", "test"),
    ("source", "validation"),
    ("target", "test"),
)


def roles(scenario: Scenario) -> Iterator[tuple[Role, Domain]]:
    """Yield each domain of a scenario with its role, sources first."""
    for domain in scenario.source:
        yield "source", domain
    if scenario.validation is not None:
        yield "validation", scenario.validation
    yield "target", scenario.target
    if scenario.test is not None:
        yield "test", scenario.test


def shared_examples(scenario: Scenario, *, thorough: bool) -> dict[str, int] | None:
    """Count the examples of a role that another role has too, as the model reads them.

    Examples whose values are all equal (a black picture, an empty text) are left out: they say nothing. So are the
    source and the target of an oracle, which are one.

    Args:
      scenario: the problem.
      thorough: search however large the data are; else only up to 64 MiB in memory.

    Returns:
      {"source/test": how many test examples are in the source, ...}; None where the data are too large for a quick
      look.
    """
    domains = list(roles(scenario))
    arrays = [domain.x for _, domain in domains]
    large = sum(map(_bytes, arrays)) > HASHED
    if large and not thorough:
        return None
    mixed = len({np.asarray(x[0]).dtype == np.uint8 for x in arrays}) > 1
    listed: dict[Role, list[int]] = {"source": [], "validation": [], "target": [], "test": []}
    for role, domain in domains:
        listed[role] += _hashes(domain, as_floats=mixed)
    known = {role: {one for one in found if one} for role, found in listed.items()}
    return {
        f"{first}/{second}": sum(one in known[first] for one in listed[second])
        for first, second in _PAIRS
        if listed[second] and not (scenario.is_oracle and first == "source")
    }


def _bytes(x: Any) -> int:
    if isinstance(x, Texts):
        return sum(map(len, x))
    return x.nbytes if isinstance(x, np.ndarray) else HASHED + 1


def _hashes(domain: Domain, *, as_floats: bool) -> list[int]:
    """Return a 64-bit hash of each example; 0 for one whose values are all equal."""
    if domain.is_text:
        return [hash(domain.x[i]) if domain.x[i].strip() else 0 for i in range(len(domain))]
    found = []
    step = max(1, _VALUES // max(1, int(np.prod(domain.shape))))
    for first in range(0, len(domain), step):
        x = examples(domain, np.arange(first, min(first + step, len(domain))))
        if as_floats and x.dtype == np.uint8:
            x = x.astype(np.float32) / np.float32(255)
        rows = np.ascontiguousarray(x.reshape(len(x), -1))
        flat = (rows == rows[:, :1]).all(axis=1)
        found += [0 if empty else hash(row.tobytes()) for row, empty in zip(rows, flat, strict=True)]
    return found
