"""Rows of published tables, as numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tladapt.bench.benchmark import Published

TLL = "transfer-learning library of thuml, README of image_classification, best epoch on the target"
SHOT = "Liang et al. (SHOT), official results.md, last epoch, mean of 3 seeds"


def published_rows(
    problems: Sequence[str],
    rows: Mapping[str, str],
    *,
    kind: Literal["last", "oracle", "unknown"],
    source: str,
) -> tuple[Published, ...]:
    """Return the numbers of a published table.

    Args:
      problems: names of the columns, in the order of the published table.
      rows: by our name of the method, its numbers in percent, separated by blanks.
      kind: how they were chosen.
      source: where they stand.
    """
    return tuple(
        Published(method=method, problem=problem, value=float(value), kind=kind, source=source)
        for method, values in rows.items()
        for problem, value in zip(problems, values.split(), strict=True)
    )
