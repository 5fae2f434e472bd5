"""What the data doctor hands over: domains in numbers, and what was found, by severity."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tladapt.data.duplicates import Role
from tladapt.errors import UsageError

Severity = Literal["stop", "warn", "note"]


class Finding(NamedTuple):
    """One thing that the doctor has to say.

    Attributes:
      severity: "stop": a run on this data would mean nothing; "warn": its numbers may mislead; "note": good to know.
      about: "range", "values", "classes", "labels", "duplicates", "size" or "shift".
      text: one or two sentences, with what to do.
    """

    severity: Severity
    about: str
    text: str


class DomainFacts(NamedTuple):
    """A domain in numbers, as the model reads it (8-bit inputs in [0, 1]).

    Attributes:
      role: "source", "target", "test" or "validation".
      name: of the domain.
      examples: how many there are.
      shape, dtype: of one input.
      minimum, maximum, mean, deviation: of all finite values that were looked at; of texts, their lengths in
        characters.
      looked_at: how many examples the numbers are from.
      not_finite: how many of these hold a NaN or an infinity.
    """

    role: Role
    name: str
    examples: int
    shape: tuple[int, ...]
    dtype: str
    minimum: float
    maximum: float
    mean: float
    deviation: float
    looked_at: int
    not_finite: int

    def called(self) -> str:
        """Return "source 'scans'"."""
        return f"{self.role} {self.name!r}" if self.name and self.name != self.role else f"the {self.role}"

    def range(self) -> str:
        """Return the range in words, as the model reads it."""
        kind = {"uint8": "8-bit, read as 0 to 1", "int32": "int32, read as indices"}.get(self.dtype, self.dtype)
        return f"{self.span()} ({kind})"

    def span(self) -> str:
        """Return "0 to 1": the range, a rounding error beside the other end as 0; of texts "9 to 312 characters"."""
        if self.dtype in ("text", "int32"):
            return f"{self.minimum:.0f} to {self.maximum:.0f}{' characters' if self.dtype == 'text' else ''}"
        extent = max(abs(self.minimum), abs(self.maximum))
        return " to ".join(f"{0 if abs(end) < 5e-4 * extent else end:.4g}" for end in (self.minimum, self.maximum))


@dataclasses.dataclass(frozen=True)
class Examination:
    """What the doctor found. `str(examination)` says it in words.

    Attributes:
      scenario: its name.
      domains: each domain in numbers.
      classes: examples of each class in the source, by name.
      test_classes: names of the classes in the labelled test set; None where there is none.
      duplicates: how many examples of the second role are in the first, as {"source/test": 3}; None where they were
        not looked for, because the data are large.
      shift: how far the domains are apart, without a label; empty after a quick look.
      findings: what there is to say, the gravest first.
    """

    scenario: str
    domains: tuple[DomainFacts, ...]
    classes: Mapping[str, int]
    test_classes: tuple[str, ...] | None
    duplicates: Mapping[str, int] | None
    shift: Mapping[str, Any]
    findings: tuple[Finding, ...]

    def texts(self, *severities: Severity) -> list[str]:
        """Return what was found of these severities."""
        return [finding.text for finding in self.findings if finding.severity in severities]

    def raise_if_stopped(self) -> None:
        """Raise where a run on this data would mean nothing.

        Raises:
          UsageError: with everything that stops it.
        """
        if found := self.texts("stop"):
            raise UsageError(f"the data of {self.scenario} cannot be trained on: {' '.join(found)}")

    def record(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "scenario": self.scenario,
            "domains": [{**facts._asdict(), "shape": list(facts.shape)} for facts in self.domains],
            "classes": dict(self.classes),
            "test_classes": None if self.test_classes is None else list(self.test_classes),
            "duplicates": None if self.duplicates is None else dict(self.duplicates),
            "shift": dict(self.shift),
            "findings": [finding._asdict() for finding in self.findings],
        }

    def with_more(self, findings: list[Finding], **fields: Any) -> Examination:
        """Return the examination with more findings and other fields."""
        return dataclasses.replace(self, findings=graver_first([*self.findings, *findings]), **fields)

    def __str__(self) -> str:
        lines = [f"{self.scenario}: {len(self.classes)} classes"]
        for facts in self.domains:
            if facts.dtype == "text":
                what = f"texts of {facts.span()}"
            else:
                what = f"examples of shape {list(facts.shape)}, values {facts.range()}"
            moments = "" if facts.dtype == "int32" else f", mean {facts.mean:.4g}, deviation {facts.deviation:.4g}"
            lines.append(f"  {facts.called()}: {facts.examples:,} {what}{moments}")
        return "\n".join([*lines, *(f"  {finding.severity}: {finding.text}" for finding in self.findings)])


def graver_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order of their severity."""
    return tuple(sorted(findings, key=lambda finding: ("stop", "warn", "note").index(finding.severity)))
