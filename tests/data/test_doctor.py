"""The data doctor: each illness provoked, and healthy data left alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tladapt.data import Domain, Scenario, load
from tladapt.data.doctor import examine
from tladapt.data.duplicates import shared_examples
from tladapt.errors import UsageError

NAMES = ("ant", "bee", "cat", "dog")


def pixels(n: int, seed: int, *, shape: tuple[int, ...] = (8, 8, 1)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, *shape)).astype(np.float32)


def problem(source=None, target=None, test=None, *, y=None, test_y=None, validation=None, classes=NAMES) -> Scenario:
    source = pixels(80, 0) if source is None else source
    target = pixels(60, 1) if target is None else target
    y = np.arange(len(source)) % 4 if y is None else y
    if test is None and test_y is not None:
        test = pixels(len(test_y), 2)
    return Scenario(
        Domain(source, y, name="lab"),
        Domain(target, name="field"),
        None if test is None else Domain(test, np.arange(len(test)) % 4 if test_y is None else test_y, name="held"),
        validation=validation,
        classes=classes,
    )


def found(scenario: Scenario, **options) -> list[tuple[str, str]]:
    return [(finding.severity, finding.about) for finding in examine(scenario, **options).findings]


def test_healthy_data_are_not_commented():
    assert found(problem(test=pixels(40, 2))) == []
    assert found(load("digits-photo")) == []


def test_a_look_before_a_run_is_quick():
    scenario = load("digits-photo")
    started = time.perf_counter()
    examine(scenario)
    assert time.perf_counter() - started < 5  # a tenth of a second on a machine with nothing else to do


def test_the_numbers_are_those_of_the_model():
    whole = np.random.default_rng(0).integers(0, 256, size=(80, 8, 8, 1)).astype(np.uint8)
    report = examine(problem(whole, (whole[:60] / 255).astype(np.float32)))
    source, target = report.domains
    assert (source.role, source.name, source.examples, source.shape, source.dtype) == (
        *("source", "lab", 80, (8, 8, 1)),
        "uint8",
    )
    assert source.mean == pytest.approx(whole.mean() / 255) and source.deviation == pytest.approx(whole.std() / 255)
    assert source.minimum == 0 and source.maximum == 1 and target.maximum == 1
    assert not [finding for finding in report.findings if finding.about == "range"]  # 8 bits are read as 0 to 1
    assert report.classes == {"ant": 20, "bee": 20, "cat": 20, "dog": 20}
    assert "80 examples of shape [8, 8, 1], values 0 to 1 (8-bit, read as 0 to 1)" in str(report)


# ---- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [(1, 255), (255, 1), (1, 65535)])
def test_domains_in_different_ranges_stop_a_run(source, target):
    report = examine(problem(pixels(80, 0) * source, pixels(60, 1) * target))
    assert [(one.severity, one.about) for one in report.findings] == [("stop", "range")]
    with pytest.raises(UsageError, match=r"in different ranges: source 'lab' goes from 0 to .* target 'field' from"):
        report.raise_if_stopped()
    assert "recipe's standardize='domain'" in report.texts("stop")[0]
    assert ("divide by 255" in report.texts("stop")[0]) == (255 in (source, target))


def test_flattened_pixels_stop_a_run_and_other_units_of_vectors_only_warn():
    flat = [pixels(80, 0, shape=(64,)), pixels(60, 1, shape=(64,))]
    assert found(problem(flat[0], 255 * flat[1])) == [("stop", "range")]
    assert found(problem(flat[0], 1000 * (flat[1] - 0.5))) == [("warn", "range")]


def test_ranges_that_each_domain_is_standardised_out_of_are_only_noted():
    report = examine(problem(target=255 * pixels(60, 1)), standardize="domain")
    assert [(one.severity, one.about) for one in report.findings] == [("note", "range")]
    report.raise_if_stopped()
    assert found(problem(target=255 * pixels(60, 1)), standardize="source") == [("stop", "range")]


def test_a_test_set_in_another_range_than_the_target_stops_in_any_case():
    assert found(problem(test=255 * pixels(40, 2)), standardize="domain") == [("stop", "range")]
    held = Domain(255 * pixels(40, 3), np.arange(40) % 4, name="kept")
    assert found(problem(validation=held)) == [("stop", "range")]


def test_shifts_of_light_are_no_other_range():
    assert found(problem(target=0.1 * pixels(60, 1))) == []
    assert found(problem(target=2 * pixels(60, 1))) == []


def test_negative_values_in_one_domain_alone_are_a_warning():
    assert found(problem(target=2 * pixels(60, 1) - 1)) == [("warn", "range")]


def test_values_that_are_not_finite_stop_a_run():
    broken = pixels(60, 1)
    broken[3, 0, 0, 0], broken[7, 1, 1, 0] = np.nan, np.inf
    report = examine(problem(target=broken))
    assert "target 'field' holds values that are not finite (NaN or infinity) in 2 of 60" in report.texts("stop")[0]
    assert np.isfinite(report.domains[-1].mean)


def test_inputs_without_any_difference_are_said():
    assert ("warn", "values") in found(problem(target=np.full((60, 8, 8, 1), 0.5)))


def test_inputs_that_vary_in_the_target_alone_are_a_warning():
    flat = pixels(80, 0, shape=(5,))
    flat[:, [1, 4]] = 0.25
    target = pixels(60, 1, shape=(5,))
    target[:, 4] = 0.5
    report = examine(problem(flat, target))
    assert [(one.severity, one.about) for one in report.findings] == [("warn", "values")]
    assert (
        "1 of 5 inputs are constant in the source" in report.texts("warn")[0]
        and "from 0: 1)" in report.texts("warn")[0]
    )


# ---- classes -------------------------------------------------------------------------------------------------------


def test_classes_are_counted_by_name_and_missing_ones_are_said():
    report = examine(problem(y=np.arange(80) % 3))
    assert report.classes == {"ant": 27, "bee": 27, "cat": 26, "dog": 0}
    assert "no example of 1 of the 4 classes: dog" in report.texts("warn")[0]
    assert ("warn", "classes") in found(problem(y=np.zeros(80, int)))
    rare = np.repeat([0, 1, 2, 3], [2, 40, 20, 18])
    assert "fewer than 5 examples of: ant" in examine(problem(y=rare)).texts("warn")[0]
    uneven = np.repeat([0, 1], [74, 6])
    assert found(problem(y=uneven, classes=NAMES[:2])) == [("note", "classes")]


def test_label_sets_that_differ_are_said_by_name():
    report = examine(problem(y=np.arange(80) % 3, test_y=np.arange(40) % 4))
    assert any("the test set has dog, of which the source has no example" in text for text in report.texts("warn"))
    report = examine(problem(test_y=np.arange(40) % 2))
    assert "no example of 2 of the source's 4 classes (cat, dog)" in report.texts("warn")[0]
    many = tuple(map(str, range(10)))
    nearly = problem(y=np.arange(80) % 10, test_y=np.arange(40) % 9, classes=many)
    assert found(nearly) == [("note", "labels")]


# ---- equal examples ------------------------------------------------------------------------------------------------


def test_examples_in_two_domains_are_counted():
    source, target, test = pixels(80, 0), pixels(60, 1), pixels(40, 2)
    target[:5], test[:3], test[10:12] = source[:5], source[20:23], target[30:32]
    report = examine(problem(source, target, test))
    assert report.duplicates == {"source/target": 5, "source/test": 3, "target/test": 2}
    texts = report.texts("warn")
    assert any("3 of the 40 test examples are in the source set too" in text for text in texts)
    assert [finding.about for finding in report.findings] == ["duplicates"] * 3
    held = Domain(source[:4], np.arange(4), name="kept")
    assert examine(problem(source, validation=held)).duplicates == {"source/target": 0, "source/validation": 4}


def test_equal_examples_are_found_across_types():
    whole = np.random.default_rng(0).integers(0, 256, size=(80, 8, 8, 1)).astype(np.uint8)
    target = np.concatenate([whole[:7].astype(np.float32) / np.float32(255), pixels(50, 1)])
    assert examine(problem(whole, target)).duplicates == {"source/target": 7}


def test_blank_examples_and_the_transductive_protocol_are_no_leak():
    source, target = pixels(80, 0), pixels(60, 1)
    source[:9], target[:9] = 0.0, 0.0
    assert examine(problem(source, target)).duplicates == {"source/target": 0}
    target = pixels(60, 1)
    same = Scenario(Domain(pixels(80, 0), np.arange(80) % 4), Domain(target, np.arange(60) % 4), classes=NAMES)
    assert found(same) == [("note", "duplicates")]
    assert found(same.oracle()) == [("note", "duplicates")]  # source and target are one there


def test_equal_vectors_are_only_noted():
    flat = pixels(80, 0, shape=(3,))
    assert found(problem(flat, flat[:60])) == [("note", "duplicates")]


class Lazy:
    """Examples that are read one by one; it counts how many were."""

    def __init__(self, x: np.ndarray):
        self.x, self.reads = x, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> np.ndarray:
        self.reads += 1
        return self.x[index]


def test_data_read_on_demand_are_looked_at_in_part():
    lazy = Lazy(pixels(200, 0))
    scenario = problem(lazy, Lazy(255 * pixels(60, 1)))
    before = lazy.reads
    report = examine(scenario)
    assert report.duplicates is None and lazy.reads - before < 50
    assert report.domains[0].looked_at == 32 and report.findings[0].severity == "stop"
    lazy = Lazy(pixels(200, 0))
    assert shared_examples(problem(lazy, lazy.x[:60]), thorough=True) == {"source/target": 60}


def test_the_record_is_json():
    import json

    record = json.loads(json.dumps(examine(problem(test=pixels(40, 2))).record()))
    assert record["classes"]["ant"] == 20 and record["domains"][0]["shape"] == [8, 8, 1]
    assert record["test_classes"] == list(NAMES) and record["findings"] == []
