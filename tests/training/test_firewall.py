"""Labels of the target reach the evaluator alone."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import tladapt
from tests.training import problems
from tladapt.data import Domain, Scenario
from tladapt.data.shifts import shift_scenario
from tladapt.training.assemble import Assembly, assemble
from tladapt.training.passes import Parts

LABELS = 35  # of the toy target and of its test set: a length that no other array has


def permuted(scenario: Scenario) -> Scenario:
    """The same problem with the labels of target and test in another order."""
    order = np.random.default_rng(1).permutation(LABELS)
    target = dataclasses.replace(scenario.target, y=scenario._oracle_labels[order])
    test = dataclasses.replace(scenario.test, y=scenario.test.y[order])
    return Scenario(scenario.source, target, test, name=scenario.name, classes=scenario.classes)


@pytest.mark.parametrize("name", ["source_only", "dann", "shot", "mean_teacher", "mcd", "combined"])
def test_permuting_the_labels_of_the_target_changes_no_training_number(name: str) -> None:
    config = dataclasses.replace(problems.methods()[name], penalty="l2sp")
    true, other = problems.scenario(), permuted(problems.scenario())
    assert (true.test.y != other.test.y).any() and (true._oracle_labels != other._oracle_labels).any()
    first, second = tladapt.run(config, true), tladapt.run(config, other)
    assert not problems.differing(first.weights._asdict(), second.weights._asdict())
    assert problems.numbers(first.history) == problems.numbers(second.history)
    for one, two in zip(problems.numbers(first.history, "eval"), problems.numbers(second.history, "eval"), strict=True):
        kept = [key for key in one if not key.startswith("target/")]  # validators and the guard among them
        assert {key: one[key] for key in kept} == {key: two[key] for key in kept}
        assert "validator/im" in kept and "collapsed" in kept
    for key in ("chosen/step", "chosen/reason"):
        assert first.metrics[key] == second.metrics[key]
    # The test is worth something only where the labels do change what the evaluator sees.
    assert first.metrics["target/accuracy"] != second.metrics["target/accuracy"]


@pytest.mark.parametrize("shift", ["subspace_shift:angle=50+covariate_shift", "concept_shift:first=a,second=b"])
def test_a_shift_opens_no_way_to_the_labels(shift: str) -> None:
    """Inputs are shifted without a look at labels; changed labels of the target change no training number."""
    config = problems.config("dann", steps=10, evaluations=1)
    made = [shift_scenario(each, shift) for each in (problems.scenario(), permuted(problems.scenario()))]
    np.testing.assert_array_equal(made[0].target.x, made[1].target.x)
    assert (made[0].test.y != made[1].test.y).any()
    first, second = (tladapt.run(config, each) for each in made)
    assert not problems.differing(first.weights._asdict(), second.weights._asdict())
    if shift.startswith("concept"):
        plain = tladapt.run(config, problems.scenario())
        assert not problems.differing(first.weights._asdict(), plain.weights._asdict())
        assert first.metrics["target/accuracy"] != plain.metrics["target/accuracy"]


def reachable(thing: Any, seen: set[int]) -> Iterator[np.ndarray]:
    """Yield every array that can be reached from an object: attributes, containers, closures, bound methods."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type, types.ModuleType, type(None))):
        return
    seen.add(id(thing))
    if isinstance(thing, (np.ndarray, jax.Array)):
        if not jax.dtypes.issubdtype(thing.dtype, jax.dtypes.prng_key):
            yield np.asarray(thing)
        return
    inner: list[Any] = []
    if isinstance(thing, dict):
        inner += [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inner += list(thing)
    elif isinstance(thing, functools.partial):
        inner += [thing.func, thing.args, thing.keywords]
    elif isinstance(thing, types.MethodType):
        inner += [thing.__self__, thing.__func__]
    elif isinstance(thing, types.FunctionType):
        inner += [cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell)]
        inner += [thing.__defaults__, thing.__kwdefaults__]
    inner.append(getattr(thing, "__dict__", None) if not isinstance(thing, types.FunctionType) else None)
    inner += [getattr(thing, name, None) for name in getattr(type(thing), "__slots__", ())]
    for part in inner:
        yield from reachable(part, seen)


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def received(assembly: Assembly) -> list[Any]:
    """Everything that the compiled steps are made from or given."""
    pieces = [assembly.chunk(span, span.first, 7) for span in assembly.spans]
    return [assembly.parts, assembly.spans, assembly.state, assembly.resident(), pieces]


def leaks(things: list[Any], scenario: Scenario) -> list[np.ndarray]:
    """The arrays in reach that hold the labels of target or test, in any shape or type."""
    secrets = [scenario._oracle_labels, scenario.test.y]
    found = [array for array in reachable(things, set()) if array.size == LABELS and array.dtype.kind in "iufb"]
    return [array for array in found if any((array.reshape(-1) == secret).all() for secret in secrets)]


@pytest.mark.parametrize("name", list(problems.methods()))
def test_nothing_that_training_receives_holds_labels_of_the_target(name: str) -> None:
    scenario = problems.scenario()
    assembly = assemble(problems.methods()[name], scenario, 0)
    arrays = list(reachable(received(assembly), set()))
    assert any(array.shape == (LABELS, problems.SIZE) for array in arrays)  # the walk does find the target's inputs
    assert any((array == assembly.parts.feeds["source"]._plan.labels).all() for array in arrays if array.shape == (36,))
    assert leaks(received(assembly), scenario) == []


@pytest.mark.parametrize(
    "hide",
    [
        lambda parts, y: dataclasses.replace(parts, augment=lambda key, x: x + y.sum()),  # in a closure
        lambda parts, y: dataclasses.replace(parts, feeds={**parts.feeds, "more": types.SimpleNamespace(z=[y])}),
        lambda parts, y: dataclasses.replace(parts, penalty=functools.partial(print, jax.numpy.asarray(y))),
    ],
    ids=["closure", "attribute", "partial"],
)
def test_the_walk_finds_labels_that_are_there(hide: Any) -> None:
    scenario = problems.scenario()
    parts: Parts = assemble(problems.config(), scenario, 0).parts
    assert len(leaks([hide(parts, scenario.test.y)], scenario)) == 1


def test_an_oracle_run_says_so_and_does_hold_them() -> None:
    scenario = problems.scenario()
    assembly = assemble(problems.config("target_only"), scenario, 0)
    assert assembly.scenario.is_oracle
    labels = assembly.parts.feeds["source"]._plan.domains[0].y
    assert set(labels.tolist()) == {0, 1, 2} and len(labels) == LABELS - LABELS // 10
    result = tladapt.run(problems.config("target_only", steps=10), scenario)
    assert result.metrics["oracle_run"] is True


def test_target_without_labels_runs_and_reports_no_target_accuracy() -> None:
    result = tladapt.run(problems.config("dann", steps=10, evaluations=1), problems.scenario(labelled=False))
    assert not [key for key in result.metrics if key.startswith("target/")]
    assert "oracle/step" not in result.metrics and "chosen/step" in result.metrics


def test_unlabelled_domain_of_a_scenario_has_no_labels() -> None:
    scenario = problems.scenario()
    assert scenario.target.y is None and isinstance(scenario.target, Domain)
