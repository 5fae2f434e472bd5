"""The data doctor: what stops a run, what to be warned of, and what to know about a scenario's data before step 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tladapt.data.domain import Domain, Scenario
from tladapt.data.duplicates import Role, roles, shared_examples
from tladapt.data.examination import DomainFacts, Examination, Finding, Severity, graver_first
from tladapt.data.sampling import examples
from tladapt.data.texts import Texts

QUICK, THOROUGH = 4_000_000, 100_000_000  # values of a domain that its numbers are taken from
READ = {False: 32, True: 500}  # examples of a random-access source, which have to be decoded one by one
FACTOR = 20.0  # ranges this far apart are no shift but another unit


def examine(scenario: Scenario, *, standardize: str = "none", thorough: bool = False) -> Examination:
    """Look at a scenario's data, as is done before each run.

    Labels of the target are looked at in one respect: which classes the test set has, by name.

    Args:
      scenario: the problem.
      standardize: the recipe's field. Where it is "domain", each domain is standardised by its own numbers, so that
        unequal ranges stop nothing.
      thorough: take numbers from more examples, and search for equal examples however large the data are.

    Returns:
      What was found.

    Example:
      >>> import numpy as np
      >>> from tladapt.data import Domain, Scenario
      >>> x = np.random.default_rng(0).uniform(size=(60, 8, 8, 1))
      >>> found = examine(Scenario(Domain(x, np.arange(60) % 2), Domain(255 * x[:40] + 1)))
      >>> found.findings[0].severity, found.findings[0].about
      ('stop', 'range')
    """
    domains = [_facts(role, domain, thorough) for role, domain in roles(scenario)]
    classes = {name: 0 for name in scenario.classes}
    for domain in scenario.source:
        for index, count in enumerate(np.bincount(domain.y, minlength=len(scenario.classes))):
            classes[scenario.classes[index]] += int(count)
    test = None if scenario.test is None else tuple(scenario.classes[index] for index in np.unique(scenario.test.y))
    duplicates = shared_examples(scenario, thorough=thorough)
    findings = [
        *_values(domains),
        *_constant(scenario, thorough),
        *_ranges(domains, standardize),
        *_classes(classes, test),
        *_duplicates(scenario, duplicates or {}),
        *_sizes(domains),
    ]
    return Examination(scenario.name, tuple(domains), classes, test, duplicates, {}, graver_first(findings))


def spread_out(domain: Domain, *, thorough: bool, limit: int | None = None) -> np.ndarray:
    """Return positions of the examples that a look at a domain takes in, evenly spaced."""
    values = max(1, int(np.prod(domain.shape)))
    in_memory = isinstance(domain.x, (np.ndarray, Texts))
    count = max(2, (THOROUGH if thorough else QUICK) // values) if in_memory else READ[thorough]
    count = min(len(domain), count, limit or count)
    return np.linspace(0, len(domain) - 1, count).astype(np.int64)


def _facts(role: Role, domain: Domain, thorough: bool) -> DomainFacts:
    index = spread_out(domain, thorough=thorough)
    if domain.is_text:
        lengths = np.array([len(domain.x[int(i)].strip()) for i in index], np.float64)
        span = (float(lengths.min()), float(lengths.max()), float(lengths.mean()), float(lengths.std()))
        return DomainFacts(role, domain.name, len(domain), (), "text", *span, len(index), 0)
    x = examples(domain, index) if len(index) < len(domain) or not isinstance(domain.x, np.ndarray) else domain.x
    dtype = str(np.asarray(domain.x[0]).dtype)
    unfit = 0
    if x.dtype.kind == "f" and not np.isfinite(x.sum(dtype=np.float64)):
        fine = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        unfit, x = int((~fine).sum()), x[fine]
    scale = 255.0 if dtype == "uint8" else 1.0
    if x.size == 0:
        minimum = maximum = mean = deviation = float("nan")
    else:
        minimum, maximum = float(x.min()) / scale, float(x.max()) / scale
        mean, deviation = float(x.mean(dtype=np.float64)) / scale, float(x.std(dtype=np.float64)) / scale
    shape = (role, domain.name, len(domain), domain.shape, dtype)
    return DomainFacts(*shape, minimum, maximum, mean, deviation, len(index), unfit)


def _values(domains: list[DomainFacts]) -> Iterator[Finding]:
    for facts in domains:
        if facts.dtype == "text":
            if facts.minimum == 0:
                yield Finding("warn", "values", f"{facts.called()} has empty texts. Leave these examples out.")
        elif facts.not_finite:
            yield Finding(
                "stop",
                "values",
                f"{facts.called()} holds values that are not finite (NaN or infinity) in {facts.not_finite} of"
                f" {facts.looked_at} examples looked at. Leave these examples out, or fill the values in.",
            )
        elif facts.deviation == 0:
            yield Finding(
                "warn", "values", f"all inputs of {facts.called()} are {facts.minimum:.4g}: there is nothing to learn."
            )


def _constant(scenario: Scenario, thorough: bool) -> Iterator[Finding]:
    """Find inputs of vectors that never vary in the source, and do in the target."""
    if len(scenario.target.shape) != 1 or scenario.target.holds_indices:
        return
    source = np.concatenate([examples(one, spread_out(one, thorough=thorough)) for one in scenario.source])
    target = examples(scenario.target, spread_out(scenario.target, thorough=thorough))
    fixed = np.flatnonzero((np.ptp(source, axis=0) == 0) & (np.ptp(target, axis=0) > 0))
    if len(fixed):
        yield Finding(
            "warn",
            "values",
            f"{len(fixed)} of {source.shape[1]} inputs are constant in the source and vary in the target (counted from"
            f" 0: {some([str(index) for index in fixed])}): what the model does with them is left to chance. Leave them"
            " out of both domains.",
        )


def _ranges(domains: list[DomainFacts], standardize: str) -> Iterator[Finding]:
    """Compare each source with the target, and what is held out with the domain that it is from."""
    [target] = [facts for facts in domains if facts.role == "target"]
    if target.dtype in ("text", "int32"):
        return
    for facts in domains:
        other = domains[0] if facts.role == "validation" else target
        if facts is target or not np.isfinite([facts.deviation, other.deviation]).all():
            continue
        small, large = sorted((facts, other), key=_extent)
        apart = f"{facts.called()} goes from {facts.range()}, {other.called()} from {other.range()}"
        if _extent(large) >= FACTOR * _extent(small) > 0:
            # Vectors may come in any unit; two that look like pixels of 0 to 1 and 0 to 255 are a mistake in any case.
            pixels = small.minimum >= -1.01 and small.maximum <= 1.01 and large.minimum >= 0 and large.maximum <= 256
            grave: Severity = "stop" if len(target.shape) > 1 or pixels else "warn"
            if standardize == "domain" and facts.role == "source":  # what is held out is standardised by its domain
                grave = "note"
            divisor = " (divide by 255, or give 8-bit images as uint8)" if pixels else ""
            yield Finding(
                grave,
                "range",
                f"The domains are in different ranges: {apart}. Bring both to one range before they are loaded"
                f"{divisor}; where the difference is meant, the recipe's standardize='domain'"
                " (--recipe.standardize domain) standardises each domain by itself.",
            )
        elif len(target.shape) > 1 and min(small.minimum, large.minimum) < -0.3 <= max(small.minimum, large.minimum):
            yield Finding(
                "warn" if standardize != "domain" else "note",
                "range",
                f"One domain has negative values and the other has none: {apart}. They look normalised in different"
                " ways; do the same to both.",
            )


def _extent(facts: DomainFacts) -> float:
    return max(abs(facts.minimum), abs(facts.maximum))


def some(names: list[str], most: int = 5) -> str:
    """Return names for a sentence, the first few of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _classes(classes: Mapping[str, int], test: tuple[str, ...] | None) -> Iterator[Finding]:
    there = {name: count for name, count in classes.items() if count}
    missing = [name for name in classes if name not in there]
    if missing:
        yield Finding(
            "warn",
            "classes",
            f"The source has no example of {len(missing)} of the {len(classes)} classes: {some(missing)}. No method"
            " can learn what a class looks like without one.",
        )
    if len(there) == 1 and len(classes) > 1:
        yield Finding("warn", "classes", f"All source examples are of one class, {next(iter(there))}.")
    rare = [name for name, count in there.items() if count < 5]
    if rare:
        yield Finding("warn", "classes", f"The source has fewer than 5 examples of: {some(rare)}.")
    elif there and max(there.values()) >= 10 * min(there.values()):
        most, least = max(there, key=there.__getitem__), min(there, key=there.__getitem__)
        yield Finding(
            "note",
            "classes",
            f"The source is uneven: {there[most]:,} examples of {most}, {there[least]:,} of {least}. Read the mean over"
            " classes and macro-F1 beside the accuracy.",
        )
    if test is None:
        return
    strange = [name for name in test if name not in there]
    if strange:
        yield Finding(
            "warn",
            "labels",
            f"Label sets differ: the test set has {some(strange)}, of which the source has no example; these will be"
            " predicted wrong. Leave the class out, or add it to the source.",
        )
    absent = [name for name in there if name not in test]
    if absent:
        yield Finding(
            "warn" if 3 * len(absent) >= len(there) else "note",
            "labels",
            f"Label sets differ: the test set has no example of {len(absent)} of the source's {len(there)} classes"
            f" ({some(absent)}). If the target has none either, this is partial adaptation, where matching whole"
            " distributions (DANN, MMD, CORAL) draws target examples towards classes that are not there.",
        )


def _sizes(domains: list[DomainFacts]) -> Iterator[Finding]:
    for facts in domains:
        if facts.role in ("source", "target") and facts.examples < 50:
            yield Finding(
                "note",
                "size",
                f"{facts.called()} has {facts.examples} examples: expect results to vary.",
            )


_LEAKS = {
    "source/target": "the same inputs in both domains. If this is not meant, take them out of one.",
    "source/test": "test inputs were trained on with labels, so accuracy on them is too good. Take them out.",
    "source/validation": "accuracy on held-out source is too good. Take them out of one.",
    "target/test": "test inputs are trained on, without labels. Say so beside the number, or take them out.",
}


def _duplicates(scenario: Scenario, counts: Mapping[str, int]) -> Iterator[Finding]:
    few = len(scenario.target.shape) == 1 and not scenario.target.holds_indices  # numbers may be equal by chance
    severity: Severity = "note" if few else "warn"
    totals = {"target": len(scenario.target), "test": len(scenario.test or ())}
    totals["validation"] = len(scenario.validation or ())
    for pair, count in counts.items():
        first, second = pair.split("/")
        if count and pair == "target/test" and count == totals["test"] == totals["target"]:
            yield Finding("note", "duplicates", "The test set is the target itself (transductive protocol).")
        elif count:
            yield Finding(
                severity,
                "duplicates",
                f"{count:,} of the {totals[second]:,} {second} examples are in the {first} set too: {_LEAKS[pair]}",
            )
