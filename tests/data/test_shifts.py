"""Shifts as a whole: from text, on a side, in the record of a scenario, for arrays and for what is read on demand."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import tladapt
from tladapt import shifts
from tladapt.data import Domain, Scenario
from tladapt.data.shifts import SHIFTS, read_shifts, spelled
from tladapt.errors import UnknownNameError, UsageError

NEEDED = {
    "rotation": "angle=30",
    "label_shift": "alpha=1",
    "tweak_one": "label=b,prior=0.5",
    "knock_out": "label=b,share=0.5",
    "missing_classes": "classes=b",
    "concept_shift": "first=a,second=c",
}
# What a seed has nothing to choose in: maps without randomness, and shares of all or none.
FIXED = {"gaussian_blur", "defocus_blur", "zoom_blur", "brightness", "contrast", "saturate", "quantize", "scale"}
FIXED |= {"jpeg_compression", "pixelate", "missing_classes", "concept_shift", "subspace_shift"}
LABELLING = {"label_shift", "tweak_one", "imbalance", "knock_out", "missing_classes", "concept_shift"}


def text_of(name: str) -> str:
    return f"{name}:{NEEDED[name]}" if name in NEEDED else "imbalance:ratio=4" if name == "imbalance" else name


def pictures(*, labelled: bool = True, own_test: bool = True, channels: int = 3, side: int = 12) -> Scenario:
    """Three classes of small pictures, 8 bits."""
    rng = np.random.default_rng(5)

    def domain(count: int, name: str, known: bool = True) -> Domain:
        x = rng.integers(0, 256, size=(count, side, side, channels)).astype(np.uint8)
        return Domain(x, np.arange(count) % 3 if known else None, name=name)

    test = domain(15, "test") if own_test else None
    validation = domain(9, "held out")
    return Scenario(
        [domain(12, "one"), domain(18, "two")],
        domain(21, "target", labelled),
        test,
        validation=validation,
        classes=("a", "b", "c"),
        name="p",
    )


class OnDemand:
    """Examples that are read one by one, and which were."""

    def __init__(self, x: np.ndarray):
        self.x, self.read = x, set()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int, /) -> np.ndarray:
        self.read.add(index)
        return self.x[index]


def arrays(scenario: Scenario) -> dict[str, np.ndarray]:
    """Everything that a scenario holds."""
    found = {"target": scenario.target.x, "test": scenario.test.x, "test labels": scenario.test.y}
    found |= {"held out": scenario.validation.x, "target labels": scenario._oracle_labels}
    for place, domain in enumerate(scenario.source):
        found |= {f"source {place}": domain.x, f"labels {place}": domain.y}
    return found


def same(one: Scenario, other: Scenario) -> set[str]:
    """The arrays in which two scenarios are equal."""
    first, second = arrays(one), arrays(other)
    return {name for name in first if np.array_equal(first[name], second[name])}


@pytest.mark.parametrize("name", list(SHIFTS))
def test_every_shift_is_exact_under_its_seed_and_moves_its_side_alone(name):
    clean = pictures()
    before = {key: value.copy() for key, value in arrays(clean).items()}
    (shift,) = read_shifts(text_of(name))
    one, other = shift.apply(clean), shift.apply(clean)
    assert same(one, other) == set(before)
    assert all(np.array_equal(value, arrays(clean)[key]) for key, value in before.items())  # nothing in place
    untouched = {"source 0", "source 1", "labels 0", "labels 1", "held out"}
    assert same(one, clean) >= untouched and same(one, clean) != set(before)
    source = dataclasses.replace(shift, of="source").apply(clean)
    assert same(source, clean) >= {"target", "test", "test labels", "target labels"}
    assert same(source, clean) != set(before)
    assert one.name == f"p+{shift}" and one.classes == clean.classes
    if hasattr(shift, "seed"):
        again = dataclasses.replace(shift, seed=1).apply(clean)
        assert (same(again, one) == set(before)) == (name in FIXED)


@pytest.mark.parametrize("name", list(SHIFTS))
def test_text_leads_to_the_shift_again_and_the_record_is_json(name):
    (shift,) = read_shifts(text_of(name))
    assert read_shifts(str(shift)) == (shift,) == read_shifts(spelled(shift))
    after = shift.apply(pictures())
    assert json.loads(json.dumps(after.origin)) == after.origin
    assert after.origin["options"]["shift"] == spelled(shift)
    assert (name in LABELLING) == any("labels of the target" in note for note in after.origin.get("notes", []))
    assert not dataclasses.replace(shift, of="source").apply(pictures()).origin.get("notes")


@pytest.mark.parametrize("name", ["gaussian_noise", "rotation", "subspace_shift", "label_shift", "covariate_shift"])
def test_what_is_read_on_demand_gives_the_same_examples(name):
    clean = pictures()
    (shift,) = read_shifts(text_of(name))
    lazy = clean.with_domains(lambda role, domain: dataclasses.replace(domain, x=OnDemand(domain.x)))
    expected, found = shift.apply(clean), shift.apply(lazy)
    counted = found.target.x
    assert not isinstance(counted, np.ndarray) and len(found.target) == len(expected.target)
    for domain, other in ((found.target, expected.target), (found.test, expected.test)):
        order = np.random.default_rng(0).permutation(len(domain))  # in any order, in any chunks
        assert all(np.array_equal(domain.x[int(i)], other.x[i]) for i in order)
    np.testing.assert_array_equal(found.test.y, expected.test.y)


def test_a_corruption_reads_nothing_before_it_is_asked():
    clean = pictures()
    lazy = clean.with_domains(lambda role, domain: dataclasses.replace(domain, x=OnDemand(domain.x)))
    moved = shifts.GaussianNoise().apply(lazy)
    assert lazy.target.x.read == lazy.test.x.read == {0}  # the first example, to see what it is
    with pytest.raises(IndexError):
        moved.target.x[len(moved.target)]
    np.testing.assert_array_equal(moved.target.x[-1], moved.target.x[len(moved.target) - 1])


def test_target_and_test_draw_differently_unless_they_are_one():
    clean = pictures()
    twin = Scenario(clean.source, clean.target, Domain(clean.target.x.copy(), np.arange(21) % 3))
    moved = shifts.GaussianNoise(severity=5, constants="mnist_c").apply(twin)
    assert not np.array_equal(moved.target.x, moved.test.x)
    for known in (True, False):  # the target is its own test set, with labels of its own or only there
        labelled = Domain(clean.target.x, np.arange(21) % 3, name="target")
        own = Scenario(clean.source, labelled if known else labelled.unlabelled(), labelled)
        for shift in (shifts.GaussianNoise(), shifts.TweakOne(label="1", prior=0.5)):
            moved = shift.apply(own)
            assert moved.test.x is moved.target.x and (moved._oracle_labels is not None) == known


def test_several_shifts_are_made_in_turn():
    clean = pictures()
    both = tladapt.data.shifts.shift_scenario(clean, "rotation:angle=90+inverse:of=source")
    assert both.name == "p+rotation:angle=90+inverse:of=source"
    np.testing.assert_array_equal(both.target.x, np.rot90(clean.target.x, axes=(1, 2)))
    np.testing.assert_array_equal(both.source[1].x, 255 - clean.source[1].x)
    assert both.origin["options"]["shift"] == "rotation:of=target,angle=90+inverse:of=source"
    assert [record["name"] for record in both.origin["shifts"]] == ["rotation:angle=90", "inverse:of=source"]
    objects = tladapt.data.shifts.shift_scenario(clean, [shifts.Rotation(angle=90), "inverse:of=source"])
    assert same(both, objects) == set(arrays(both)) and objects.name == both.name


def test_reading_text():
    (one,) = read_shifts("label-shift:prior=0.2,0.3,0.5,seed=3")
    assert one == shifts.LabelShift(prior=(0.2, 0.3, 0.5), seed=3)
    (one,) = read_shifts("missing_classes:classes=c++,new york, b")
    assert one.classes == ("c++", "new york", "b")
    first, second = read_shifts("missing_classes:classes=c+++fog")
    assert first.classes == ("c++",) and second == shifts.Fog()
    assert read_shifts(None) == read_shifts("none") == read_shifts("") == ()
    for wrong, words in (
        ("rotatoin:angle=3", r"Unknown shift 'rotatoin'\. Did you mean 'rotation'"),
        ("rotation:angel=3", r"no option 'angel'\. Did you mean 'angle'"),
        ("rotation", r"needs option 'angle': a number"),
        ("rotation:30", r"options are rotation:option=value"),
        (
            "gaussian_noise:severity=6",
            r"'severity' of shift 'gaussian_noise' must be a whole number from 1 to 5, got 6",
        ),
        ("gaussian_noise:seed=-1", r"'seed' .* from 0 on"),
        ("stripe:severity=2", r"no option 'severity'"),
        ("saturate:constants=mnist_c", r"must be cifar_c, .* got 'mnist_c'"),
        ("inverse:of=both", r"must be target or source, got 'both'"),
        ("label_shift", r"either prior= .* or alpha="),
        ("label_shift:prior=0.5,0.2", r"sum to 1"),
    ):
        with pytest.raises(UsageError, match=words):
            read_shifts(wrong)
    with pytest.raises(UnknownNameError):
        read_shifts("zzz")
    with pytest.raises(UsageError, match="shift must be text"):
        read_shifts(3)
    with pytest.raises(UsageError, match="must be a whole number, got 'x'"):
        shifts.GaussianNoise(severity="x")
    with pytest.raises(UsageError, match=r"takes its options by name.*got 3"):
        shifts.Fog(3)


def test_load_shifts_and_records_how_to_load_again():
    scenario = tladapt.load("digits-photo", shift="rotation:angle=180", seed=3)
    clean = tladapt.load("digits-photo", seed=3)
    np.testing.assert_array_equal(scenario.target.x, clean.target.x[:, ::-1, ::-1])
    assert scenario.name == "digits-photo+rotation:angle=180"
    again = tladapt.load(scenario.origin["name"], **scenario.origin["options"])
    np.testing.assert_array_equal(again.test.x, scenario.test.x)
    np.testing.assert_array_equal(again.test.groups, clean.test.groups)
    assert "shift" not in clean.origin["options"] and "shifts" not in clean.origin
    in_name = tladapt.load("digits-photo?seed=3&shift=rotation:angle=180+inverse")
    np.testing.assert_array_equal(in_name.target.x, 255 - scenario.target.x)
    assert tladapt.load("digits-photo?shift=inverse", shift="none").name == "digits-photo"
    with pytest.raises(UsageError, match="Did you mean 'rotation'"):
        tladapt.load("digits-photo", shift="rotatio:angle=3")


def test_a_shift_of_ones_own():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Darker(shifts.InputShift):
        """Half the light."""

        draws = False

        def one(self, x, rng):
            return x // 2

    scenario = tladapt.load("digits-photo", shift=Darker())
    clean = tladapt.load("digits-photo")
    np.testing.assert_array_equal(scenario.target.x, clean.target.x // 2)
    assert scenario.name == "digits-photo+Darker" and scenario.origin["name"] is None  # no text makes it again
    assert "own" not in SHIFTS


def test_inputs_that_cannot_be_computed_with_are_refused():
    texts = Scenario(Domain(["good", "bad", "fine", "poor"], [0, 1, 0, 1]), Domain(["so", "so so"], [0, 1]))
    ids = Scenario(*[Domain(np.ones((4, 3), np.int32), [0, 1, 0, 1])] * 2)
    points = Scenario(*[Domain(np.ones((4, 3), np.float32), [0, 1, 0, 1])] * 2)
    for scenario, words in ((texts, "are texts"), (ids, "int32, read as indices")):
        for name in ("gaussian_noise", "rotation:angle=30", "subspace_shift", "covariate_shift", "stripe"):
            with pytest.raises(UsageError, match=words):
                tladapt.data.shifts.shift_scenario(scenario, name)
        assert len(shifts.MissingClasses(classes=("1",)).apply(scenario).target) == len(scenario.target) // 2
    with pytest.raises(UsageError, match=r"changes pictures.*float32 \(3,\)"):
        shifts.GaussianNoise().apply(points)
    with pytest.raises(UsageError, match="vary in fewer directions than the 1 "):
        shifts.CovariateShift().apply(points)
    holes = Scenario(*[Domain(np.full((4, 3), np.nan, np.float32), [0, 1, 0, 1])] * 2)
    with pytest.raises(UsageError, match="not finite"):
        shifts.SubspaceShift().apply(holes)
    floats = Scenario(*[Domain(np.ones((4, 8, 8, 1), np.float32), [0, 1, 0, 1])] * 2)
    with pytest.raises(UsageError, match=r"8-bit pictures.*numpy\.rint"):
        shifts.Fog().apply(floats)
    with pytest.raises(UsageError, match="3 channels"):
        shifts.Saturate().apply(pictures(channels=1))
    with pytest.raises(UsageError, match="oracle twin"):
        shifts.Inverse().apply(pictures().oracle())
    with pytest.raises(UsageError, match="square"):
        shifts.Rotation(angle=90).inputs(np.zeros((1, 8, 9, 3), np.uint8))
