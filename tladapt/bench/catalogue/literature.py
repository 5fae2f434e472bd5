"""Rows of published tables, as numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tladapt.bench.benchmark import Published

TLL = "transfer-learning library of thuml, README of image_classification, best epoch on the target"
SHOT = "Liang et al. (SHOT), official results.md, last epoch, mean of 3 seeds"


def published_row(
    method: str,
    problems: Sequence[str],
    values: str,
    *,
    kind: Literal["last", "oracle", "unknown"],
    source: str,
    setting: str = "common",
) -> list[Published]:
    """Return the numbers of one row, in the order of the problems; one more number than problems is the mean.

    Args:
      method: the row.
      problems: names of the columns, in the order of the published table.
      values: numbers in percent, separated by blanks.
      kind: how they were chosen.
      source: where they stand.
      setting: the table of ours that they stand beside.
    """
    numbers = [float(word) for word in values.split()]
    columns = [*problems, "mean"] if len(numbers) == len(problems) + 1 else list(problems)
    return [
        Published(method=method, problem=problem, value=value, kind=kind, source=source, setting=setting)
        for problem, value in zip(columns, numbers, strict=True)
    ]
