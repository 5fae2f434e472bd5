"""Schedules: the values of the published curves, and what every one of them has to be."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tladapt.losses.schedules import LAMBDA_SCHEDULES, LEARNING_RATE_SCHEDULES

ALL = {f"lambda/{k}": v for k, v in LAMBDA_SCHEDULES.items()} | {
    f"learning_rate/{k}": v for k, v in LEARNING_RATE_SCHEDULES.items()
}


def at(name, progress, step=0):
    return float(ALL[name](jnp.float32(progress), jnp.int32(step)))


@pytest.mark.parametrize("progress,value", [(0, 0), (0.1, 0.462), (0.25, 0.848), (0.5, 0.987), (1, 0.99991)])
def test_lambda_of_the_dann_paper(progress, value):
    """Values computed by hand from 2 / (1 + exp(-10 p)) - 1."""
    assert at("lambda/ganin2016", progress) == pytest.approx(value, abs=5e-4 if progress < 1 else 5e-6)


@pytest.mark.parametrize(
    "name,values",
    [  # at 5 %, 50 % and 100 % of a run of 20,000 steps, from the formulas in double precision
        ("ganin2016", (0.245, 0.987, 1.0)),
        ("cdan", (0.462, 1.0, 1.0)),
        ("thuml", (0.462, 1.0, 1.0)),
        ("mdd", (0.0462, 0.1, 0.1)),
        ("deepda", (0.025, 0.245, 0.462)),
        ("pykale", (0.0, 0.954, 1.0)),
        ("adatime", (1.0, 1.0, 1.0)),
        ("adapt", (0.1, 0.1, 0.1)),
        ("adapt-update", (1.0, 1.0, 1.0)),
        ("constant", (1.0, 1.0, 1.0)),
        ("pytorch-adapt", (1.0, 1.0, 1.0)),
        ("skada", (1.0, 1.0, 1.0)),
        ("domainbed", (1.0, 1.0, 1.0)),
        ("linear", (0.05, 0.5, 1.0)),
        ("tllib", (0.462, 1.0, 1.0)),
        ("cdan-digits", (0.0, 1.0, 1.0)),
        ("dsan", (0.122, 0.493, 0.5)),
        ("adamatch", (0.024, 1.0, 1.0)),
        ("rampup", (0.0369, 1.0, 1.0)),
        ("aad", (0.132, 0.0001, 0.00001)),
    ],
)
def test_presets_differ_as_published(name, values):
    for progress, value in zip((0.05, 0.5, 1.0), values, strict=True):
        assert at(f"lambda/{name}", progress, round(20_000 * progress)) == pytest.approx(value, abs=6e-4)


def test_every_preset_is_in_the_table_above():
    marks = test_presets_differ_as_published.pytestmark[0].args[1]
    assert {name for name, _ in marks} == set(LAMBDA_SCHEDULES)


@pytest.mark.parametrize("name", sorted(LAMBDA_SCHEDULES))
def test_lambdas_rise_or_fall_within_zero_and_one(name):
    values = [at(f"lambda/{name}", i / 50, 400 * i) for i in range(51)]
    rises = -1 if name == "aad" else 1
    assert all(rises * b >= rises * a for a, b in itertools.pairwise(values))
    assert min(values) >= 0 and max(values) <= 1
    if name not in ("constant", "pytorch-adapt", "skada", "domainbed", "adapt", "rampup", "aad"):
        assert values[0] == 0


def test_lambda_ganin_stays_below_one():
    assert at("lambda/ganin2016", 0) == 0
    assert at("lambda/ganin2016", 1) < 1


@pytest.mark.parametrize(
    "name,progress,step,value",
    [
        ("ganin2016", 0, 0, 1),
        ("ganin2016", 1, 0, 11**-0.75),
        ("shot", 0.5, 0, 6**-0.75),
        ("thuml", 0, 1000, 2**-0.75),
        ("thuml-dan", 0, 10_000, 4**-0.75),
        ("thuml-mdd", 0, 10_000, 3**-0.75),
        ("constant", 0.7, 700, 1),
        ("cosine", 0, 0, 1),
        ("cosine", 0.5, 0, 0.5),
        ("cosine", 1, 0, 0),
        ("warmup-cosine", 0, 0, 0),
        ("warmup-cosine", 0.025, 0, 0.5),
        ("warmup-cosine", 0.05, 0, 1),
        ("warmup-cosine", 1, 0, 0),
        ("ovanet", 1, 0, 11**-0.75),
        ("aad", 1, 0, 11**-0.75),
        ("dsan", 0.5049, 0, 6**-0.75),
        ("dsan", 0.5051, 0, (1 + 10 * 101 / 200) ** -0.75),
        ("tllib", 0, 1000, 2**-0.75),
        ("cdan", 0, 1000, 2**-0.75),
        ("deepda", 0, 10_000, 4**-0.75),
        ("mdd", 0, 10_000, 3**-0.75),
        ("thuml-fixmatch", 0, 10_000, 5**-0.75),
        ("bsp", 0, 10_000, 2**-0.75),
        ("uan", 0, 5_000, 6**-0.75),
        ("uan", 0, 50_000, 11**-0.75),
        ("cdan-usps-mnist", 0.5, 0, 0.5),
        ("cdan-mnist-usps", 0.39, 0, 1),
        ("cdan-mnist-usps", 0.9, 0, 0.25),
        ("thuml-step", 0.6, 0, 0.1),
        ("step", 0.33, 0, 1),
        ("step", 0.34, 0, 0.1),
        ("step", 1, 0, 0.01),
        ("linear", 0.3, 0, 0.7),
        ("poly", 0.75, 0, 0.25**0.9),
        ("poly", 1, 0, 0),
        ("one-cycle", 0, 0, 0.04),
        ("one-cycle", 0.15, 0, 0.52),
        ("one-cycle", 0.3, 0, 1),
        ("one-cycle", 0.65, 0, (1 + 4e-6) / 2),
        ("one-cycle", 1, 0, 4e-6),
        ("slanted-triangular", 0.05, 0, 16.5 / 32),
        ("slanted-triangular", 0.1, 0, 1),
        ("slanted-triangular", 1, 0, 1 / 32),
        ("adamatch", 0, 0, 1),
        ("adamatch", 1, 0, 0.25),
        ("fixmatch", 0, 0, 1),
        ("fixmatch", 1, 0, math.cos(7 * math.pi / 16)),
        ("warmup", 0.025, 0, 0.5),
        ("warmup", 1, 0, 1),
    ],
)
def test_learning_rates(name, progress, step, value):
    assert at(f"learning_rate/{name}", progress, step) == pytest.approx(value, abs=1e-6)


def test_every_learning_rate_is_in_the_table_above():
    marks = test_learning_rates.pytestmark[0].args[1]
    assert {name for name, *_ in marks} == set(LEARNING_RATE_SCHEDULES)


def test_ganin_and_thuml_annealing_are_two_curves():
    """They meet only at step 10 p / 0.001, the end of a run of 10,000 steps."""
    assert at("learning_rate/ganin2016", 1.0) == pytest.approx(at("learning_rate/thuml", 1.0, 10_000), rel=1e-6)
    assert at("learning_rate/ganin2016", 1.0) < 0.6 * at("learning_rate/thuml", 1.0, 3_000)


@pytest.mark.parametrize("name", sorted(ALL))
def test_traced_float32_and_finite(name):
    """Under jit, in a scan, with strict promotion: progress float32, step int32."""
    values = jax.jit(jax.vmap(ALL[name]))(jnp.linspace(0, 1, 11), jnp.arange(0, 1100, 100))
    assert values.dtype == jnp.float32 and values.shape == (11,)
    assert np.all(np.isfinite(values))
    eager = [
        float(ALL[name](float(p), int(i))) for p, i in zip(np.linspace(0, 1, 11), range(0, 1100, 100), strict=True)
    ]
    np.testing.assert_allclose(values, eager, rtol=1e-5, atol=1e-6)
    assert ALL[name].__doc__
