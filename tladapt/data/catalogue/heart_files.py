"""Reader of the UCI heart disease files, and how a table with missing values becomes numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tladapt.data.catalogue.files import Release, damaged

DOMAINS = ("cleveland", "hungarian", "switzerland", "va")
COMMON = ("age", "sex", "cp", "trestbps", "fbs", "restecg", "thalach", "exang", "oldpeak")
"""The attributes that all four hospitals have; the others are all but absent somewhere."""
ATTRIBUTES = (
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg"),
    *("thalach", "exang", "oldpeak", "slope", "ca", "thal"),
)
"""All 13, in the order of the files."""
CODES: Mapping[str, tuple[int, ...]] = {
    "sex": (0, 1),
    "cp": (1, 2, 3, 4),
    "fbs": (0, 1),
    "restecg": (0, 1, 2),
    "exang": (0, 1),
    "slope": (1, 2, 3),
    "thal": (3, 6, 7),
}
"""The codes of the attributes that name a category."""
POSITIVE = ("age", "trestbps", "chol", "thalach")
"""Nobody alive has a 0 here (years, mm Hg, mg/dl, beats a minute): a 0 stands for a value that was not taken."""
SIZES = {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}
HEART = Release(
    title="UCI heart disease",
    files={name: (f"processed.{name}.data",) for name in DOMAINS},
    folders=("heart", "heart_disease", "heart-disease", "heart+disease", "."),
    obtain="https://archive.ics.uci.edu/dataset/45/heart+disease (processed.*.data in heart+disease.zip)",
)
HEART_SHA256 = {
    "cleveland": "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
    "hungarian": "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
    "switzerland": "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
    "va": "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
}


def _number(path: Path, line: int, name: str, text: str) -> float:
    if text.strip() == "?":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise damaged(path, f"has {text!r} for {name} in line {line}; expected a number or '?'") from None
    known = tuple(range(5)) if name == "num" else CODES.get(name)
    if not math.isfinite(value) or (known and value not in known):
        expected = f"one of {', '.join(map(str, known))}" if known else "a finite number"
        raise damaged(path, f"has {text.strip()} for {name} in line {line}; expected {expected} or '?'")
    return value


def read_hospital(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of one hospital, float64 `[n, 13]` in the order of `ATTRIBUTES`, and diagnoses int64 `[n]`.

    A "?" becomes NaN; zeros stay what they are. The diagnosis is 0 (no artery narrowed by half or more) to 4.

    Source: Detrano, Janosi, Steinbrunn, Pfisterer, Schmid, Sandhu, Guppy, Lee, Froelicher, "International application
      of a new probability algorithm for the diagnosis of coronary artery disease", American Journal of Cardiology 1989.

    Args:
      path: processed.*.data: a patient a line, 14 numbers or "?" between commas.

    Raises:
      DamagedDataError: for a line that is something else; it says which.
    """
    names = (*ATTRIBUTES, "num")
    rows = []
    for line, text in enumerate(path.read_text("ascii", "replace").splitlines(), start=1):
        if not text.strip():
            continue
        parts = text.split(",")
        if len(parts) != len(names):
            raise damaged(path, f"has {len(parts)} values in line {line} ({text[:60]!r}); expected {len(names)}")
        rows.append([_number(path, line, name, part) for name, part in zip(names, parts, strict=True)])
        if math.isnan(rows[-1][-1]):
            raise damaged(path, f"has no diagnosis in line {line}")
    if not rows:
        raise damaged(path, "has no patient in it")
    table = np.array(rows)
    return table[:, :-1], table[:, -1].astype(np.int64)


class _Column(NamedTuple):
    """One input: an attribute as a number, one of its categories, or whether it was not taken."""

    attribute: str
    code: int | None = None
    missing: bool = False

    def __str__(self) -> str:
        if self.missing:
            return f"{self.attribute} missing"
        return self.attribute if self.code is None else f"{self.attribute}={self.code}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Treatment:
    """How a table with missing values becomes numbers, fitted on the source alone: no label, no target is looked at.

    1. A 0 of an attribute that cannot be 0 is missing, like a "?".
    2. What is missing becomes the median of the source's values, of a category the most frequent (the lowest of
       equals).
    3. cp, restecg, slope and thal become an input a category; sex, fbs and exang are 0 or 1 as they are.
    4. Quantities are standardised by the mean and deviation of the source's filled-in values, where that is asked for.
    5. Inputs that are the same for all patients of the source are left out, since nothing can be learnt from them:
       attributes that it never took, categories that it never saw.

    Args:
      attributes: those to read, of `ATTRIBUTES`.
      standardize: whether quantities are standardised; categories never are.
      indicators: whether an input says of each attribute if it was missing, 0 or 1.
    """

    attributes: Sequence[str]
    standardize: bool
    indicators: bool

    def fit(self, source: np.ndarray) -> FittedTreatment:
        """Return the treatment with the numbers of a source `[n, 13]`."""
        known = _without_impossible(source)
        fill, centre, scale = {}, {}, {}
        for name in self.attributes:
            values = known[:, ATTRIBUTES.index(name)]
            taken = values[~np.isnan(values)]
            if len(taken) == 0:
                fill[name], centre[name], scale[name] = 0.0, 0.0, 1.0  # the input is constant, and left out
                continue
            if name in CODES:
                codes, counts = np.unique(taken, return_counts=True)
                fill[name] = float(codes[counts.argmax()])
                continue
            fill[name] = float(np.median(taken))
            filled = np.where(np.isnan(values), fill[name], values)
            centre[name] = float(filled.mean()) if self.standardize else 0.0
            scale[name] = float(filled.std() or 1.0) if self.standardize else 1.0
        columns: list[_Column] = []
        for name in self.attributes:
            known_codes = CODES.get(name, ())
            columns += [_Column(name, code) for code in known_codes] if len(known_codes) > 2 else [_Column(name)]
        if self.indicators:
            columns += [_Column(name, missing=True) for name in self.attributes]
        fitted = FittedTreatment(fill=fill, centre=centre, scale=scale, columns=tuple(columns))
        varied = np.ptp(fitted.apply(source), axis=0) > 0
        kept = tuple(column for column, varies in zip(columns, varied, strict=True) if varies)
        left = tuple(column for column, varies in zip(columns, varied, strict=True) if not varies)
        return dataclasses.replace(fitted, columns=kept, left_out=left)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FittedTreatment:
    """A `Treatment` with the numbers of a source; `columns` are its inputs in order."""

    fill: Mapping[str, float]
    centre: Mapping[str, float]
    scale: Mapping[str, float]
    columns: tuple[_Column, ...]
    left_out: tuple[_Column, ...] = ()

    def apply(self, table: np.ndarray) -> np.ndarray:
        """Return a hospital's values `[n, 13]` as inputs, float32 `[n, columns]`."""
        known = _without_impossible(table)
        out = []
        for column in self.columns:
            name = column.attribute
            values = known[:, ATTRIBUTES.index(name)]
            filled = np.where(np.isnan(values), self.fill[name], values)
            if column.missing:
                out.append(np.isnan(values).astype(np.float64))
            elif name in CODES:
                out.append(filled if column.code is None else (filled == column.code).astype(np.float64))
            else:
                out.append((filled - self.centre[name]) / self.scale[name])
        return np.stack(out, axis=1).astype(np.float32)


def _without_impossible(table: np.ndarray) -> np.ndarray:
    """Return the values `[n, 13]` with NaN for the zeros that cannot be."""
    known = table.copy()
    for name in POSITIVE:
        column = known[:, ATTRIBUTES.index(name)]
        column[column == 0] = np.nan
    return known
