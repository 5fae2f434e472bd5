from __future__ import annotations

import numpy as np
import pytest

from tladapt.data import Domain, Scenario
from tladapt.errors import UsageError

RNG = np.random.default_rng(0)


def images(n: int, side: int = 4) -> np.ndarray:
    return RNG.integers(0, 256, (n, side, side, 1), dtype=np.uint8)


class Reader:
    """A random-access source that counts how often it is read."""

    def __init__(self, x: np.ndarray):
        self.x, self.reads = x, 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int, /) -> np.ndarray:
        self.reads += 1
        return self.x[index]


def test_domain_takes_arrays_lists_and_random_access_sources():
    x = images(5)
    assert Domain(x).x is x
    assert Domain(x.tolist(), [0, 1, 2, 3, 4]).y.dtype == np.int32
    assert Domain(np.zeros((3, 2), np.float64)).x.dtype == np.float32
    reader = Reader(x)
    domain = Domain(reader, np.arange(5))
    assert domain.x is reader and reader.reads == 0  # nothing is decoded before it is asked for
    assert domain.shape == (4, 4, 1) and len(domain) == 5
    taken = domain.take(np.array([3, 1]))
    np.testing.assert_array_equal(taken.x[0], x[3])
    np.testing.assert_array_equal(taken.y, [3, 1])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (iter([1]), None, r"len\(\) and \[i\]"),
        (np.zeros(3), None, "at least 2 axes"),
        (np.zeros((0, 3)), None, "no examples"),
        (np.array([["a"], ["b"]]), None, "numeric"),
        ([np.zeros((2, 2)), np.zeros((3, 2))], None, "shapes differ"),
        (np.zeros((3, 2)), [0, 1], "one entry for each of the 3"),
        (np.zeros((3, 2)), [0, 1, -1], "integers from 0"),
        (np.zeros((3, 2)), [0, 1, 0.5], "integers from 0"),
        (np.zeros((3, 2)), ["a", "b", "c"], "return_inverse"),
    ],
)
def test_domain_refuses_in_words(x, y, words):
    with pytest.raises(UsageError, match=words):
        Domain(x, y)


def test_labels_may_be_a_column_whole_floats_or_booleans():
    for y in (np.array([[0], [1], [1]]), np.array([0.0, 1.0, 1.0]), np.array([False, True, True])):
        np.testing.assert_array_equal(Domain(np.zeros((3, 2)), y).y, [0, 1, 1])


def test_the_target_of_a_scenario_has_no_labels_and_nothing_leads_to_them():
    source, target = Domain(images(6), np.arange(6) % 3), Domain(images(4), [2, 1, 0, 2], name="t", groups=[0, 0, 1, 1])
    scenario = Scenario(source, target, Domain(images(4), [0, 1, 2, 0]))
    assert scenario.target.y is None
    np.testing.assert_array_equal(scenario.target.groups, [0, 0, 1, 1])
    assert scenario.test is not None and len(scenario.test) == 4 and scenario.classes == ("0", "1", "2")


def test_without_a_test_set_a_labelled_target_is_evaluated_on_itself():
    source, target = Domain(images(6), np.arange(6) % 3), Domain(images(4), [2, 1, 0, 2])
    assert Scenario(source, target).test is target
    assert Scenario(source, Domain(images(4))).test is None


def test_oracle_turns_the_labelled_target_into_the_source():
    source, target = Domain(images(6), np.arange(6) % 3), Domain(images(4), [2, 1, 0, 2])
    scenario = Scenario(source, target, origin={"name": "mine"}, classes=["a", "b", "c"])
    oracle = scenario.oracle()
    assert oracle.is_oracle and not scenario.is_oracle
    np.testing.assert_array_equal(oracle.source[0].y, [2, 1, 0, 2])
    assert oracle.target.y is None and oracle.origin == {"name": "mine"} and oracle.classes == ("a", "b", "c")
    with pytest.raises(UsageError, match="no labels of the target"):
        Scenario(source, Domain(images(4))).oracle()


def test_scenario_refuses_what_does_not_fit():
    source = Domain(images(6), np.arange(6) % 3, name="s")
    with pytest.raises(UsageError, match="needs labels"):
        Scenario(Domain(images(6)), Domain(images(4)))
    with pytest.raises(UsageError, match="one shape"):
        Scenario(source, Domain(images(4, side=5)))
    with pytest.raises(UsageError, match="only 2 class names"):
        Scenario(source, Domain(images(4)), classes=["a", "b"])
