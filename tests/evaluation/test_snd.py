"""SND: the value, its ends, and what it is famous for getting wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.evaluation import naive
from tladapt.errors import UsageError
from tladapt.evaluation import ValidationOutputs, collapse
from tladapt.evaluation.validators import SoftNeighborhoodDensity, snd


def seen(logits, features=None):
    z = np.asarray(logits)
    f = z if features is None else features
    return ValidationOutputs(z, z, np.arange(len(z)) % z.shape[1], f, z)


@pytest.mark.parametrize("n,classes", [(2, 2), (7, 3), (40, 10)])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 1e-4])
def test_equals_the_naive_one(n, classes, temperature):
    z = 2 * np.random.default_rng(n).normal(size=(n, classes))
    score = SoftNeighborhoodDensity(temperature=temperature).score(seen(z))
    assert score == pytest.approx(naive.snd(z, temperature), rel=1e-9, abs=1e-9)


def test_blocks_change_nothing(monkeypatch):
    z = np.random.default_rng(0).normal(size=(101, 5))
    whole = SoftNeighborhoodDensity().score(seen(z))
    monkeypatch.setattr(snd, "_CELLS", 101 * 7 + 3)  # blocks of 7 rows, the last one of 3
    assert SoftNeighborhoodDensity().score(seen(z)) == pytest.approx(whole, rel=1e-12)


def test_higher_is_denser():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    sure = 9 * np.eye(3)[labels] + rng.normal(size=(300, 3))
    unsure = np.eye(3)[labels] + rng.normal(size=(300, 3))
    dense = SoftNeighborhoodDensity().score(seen(sure))
    assert dense == pytest.approx(math.log(99), abs=0.01)  # each example has the 99 others of its class as neighbours
    assert dense > SoftNeighborhoodDensity().score(seen(unsure)) + 0.1


def test_a_collapsed_model_has_the_highest_score_and_the_guard_refuses_it():
    constant = np.tile([5.0, 0.0, 0.0], (60, 1))
    assert SoftNeighborhoodDensity().score(seen(constant)) == pytest.approx(math.log(59), rel=1e-12)
    assert collapse(seen(constant)) == "every target example is predicted as class 0"


def test_order_does_not_count_and_large_logits_do_no_harm():
    z = np.random.default_rng(1).normal(size=(50, 4))
    order = np.random.default_rng(2).permutation(50)
    assert SoftNeighborhoodDensity().score(seen(z)) == pytest.approx(SoftNeighborhoodDensity().score(seen(z[order])))
    huge = SoftNeighborhoodDensity(temperature=1e-9).score(seen(np.float32(1e30 * z)))
    assert 0 <= huge <= math.log(49)


def test_many_examples_are_thinned():
    z = np.random.default_rng(1).normal(size=(90, 4))
    thin = SoftNeighborhoodDensity(limit=10).score(seen(z))
    assert thin == SoftNeighborhoodDensity().score(seen(z[np.linspace(0, 89, 10).astype(int)]))
    assert thin <= math.log(9)


def test_what_has_no_score():
    assert math.isnan(SoftNeighborhoodDensity().score(seen([[1.0, 0.0]])))
    assert math.isnan(SoftNeighborhoodDensity().score(seen([[np.nan, 0.0], [1.0, 0.0], [1.0, 0.0]])))


@pytest.mark.parametrize("field,value", [("temperature", 0.0), ("temperature", math.inf), ("limit", 1)])
def test_mistakes(field, value):
    with pytest.raises(UsageError, match=f"snd: {field} must be"):
        SoftNeighborhoodDensity(**{field: value})
