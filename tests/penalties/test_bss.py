"""Batch spectral shrinkage against the singular values of NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.methods.toy import gradients, moment
from tladapt import methods
from tladapt.errors import UsageError
from tladapt.penalties import BSS, PENALTIES
from tladapt.penalties.bss import smallest_squares


def features(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(5, 8), (13, 7), (6, 6), (1, 4)])
def test_value_is_that_of_the_smallest_singular_values(n: int, d: int) -> None:
    f = features(n, d)
    squares = np.sort(np.linalg.svd(f.astype(np.float64), compute_uv=False)) ** 2
    for k in range(1, min(n, d) + 1):
        np.testing.assert_allclose(smallest_squares(jnp.asarray(f), k), squares[:k].sum(), rtol=2e-5, atol=1e-5)
    if n <= d:
        wanted = np.linalg.eigvalsh(f.astype(np.float64) @ f.T.astype(np.float64))[0]
        np.testing.assert_allclose(smallest_squares(jnp.asarray(f), 1), wanted, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(5, 8), (13, 7)])
def test_gradient_is_that_of_the_value(n: int, d: int) -> None:
    """Central differences in float64 of the sum of the two smallest squares."""
    f, step = features(n, d).astype(np.float64), 1e-6

    def value(f: np.ndarray) -> float:
        return float(np.sum(np.sort(np.linalg.svd(f, compute_uv=False))[:2] ** 2))

    wanted = np.zeros_like(f)
    for place in np.ndindex(*f.shape):
        up, down = f.copy(), f.copy()
        up[place] += step
        down[place] -= step
        wanted[place] = (value(up) - value(down)) / (2 * step)
    found = jax.grad(lambda f: smallest_squares(f, 2))(jnp.asarray(f, jnp.float32))
    np.testing.assert_allclose(found, wanted, atol=2e-4)


@pytest.mark.parametrize("f", [np.zeros((4, 6)), np.ones((6, 4)), np.eye(5)], ids=["zero", "constant", "ties"])
def test_equal_singular_values_make_no_nan(f: np.ndarray) -> None:
    value, gradient = jax.value_and_grad(lambda f: smallest_squares(f, 2))(jnp.asarray(f, jnp.float32))
    assert np.isfinite(value) and value >= 0
    assert np.all(np.isfinite(gradient))


def test_halves_are_summed_in_float32() -> None:
    f = jnp.asarray(features(5, 8), jnp.bfloat16)
    value, gradient = jax.value_and_grad(lambda f: smallest_squares(f, 1))(f)
    assert value.dtype == jnp.float32 and gradient.dtype == jnp.bfloat16


def test_in_a_step_it_shrinks_the_features_of_each_domain() -> None:
    penalty = BSS(weight=0.5, k=2)
    found = moment(methods.dann(hidden=(8,)), penalty=penalty)
    _, log = found.go()
    outputs, _ = found.step.passes.outputs(
        found.state.params,
        found.state.statistics,
        found.step.passes.batches(found.state.inputs, found.arrays, found.piece, jax.random.key(0))[1],
        jax.random.key(0),
        {},
    )
    wanted = [
        np.sum(np.sort(np.linalg.svd(np.asarray(out.features, np.float64), compute_uv=False))[:2] ** 2)
        for out in outputs.values()
    ]
    np.testing.assert_allclose(log["loss/penalty"], 0.5 * np.mean(wanted), rtol=1e-4)


def test_it_moves_what_makes_features_alone() -> None:
    """At a point where it is not flat: features of 13 examples in 6 dimensions."""
    with_it, without = (gradients(methods.source_only(), penalty=penalty) for penalty in (BSS(weight=0.5), None))
    for block in with_it:
        same = all(np.array_equal(a, b) for a, b in zip(with_it[block], without[block], strict=True))
        assert same == (block == "classifier"), block


def test_what_cannot_be_is_told() -> None:
    assert PENALTIES["bss"] is BSS
    with pytest.raises(UsageError, match="weight must be 0 or more"):
        BSS(weight=-1.0)
    for k in (0, 1.5, True):
        with pytest.raises(UsageError, match="k must be a whole number from 1 on"):
            BSS(k=k)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"features of shape \(13, 6\) have 6 singular values, not k=7"):
        moment(methods.source_only(), penalty=BSS(k=7)).go()
