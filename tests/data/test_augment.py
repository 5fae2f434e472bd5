from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tladapt.data import AUGMENTATIONS
from tladapt.errors import UnknownNameError, UsageError

KEY = jax.random.key(3)
X = jnp.asarray(np.random.default_rng(0).random((16, 6, 5, 2)), jnp.float32)


@pytest.mark.parametrize("name", [*AUGMENTATIONS, "translate+noise", "flip+crop+noise"])
def test_shape_dtype_determinism_and_jit(name):
    augment = AUGMENTATIONS[name]
    once = augment(KEY, X)
    assert once.shape == X.shape and once.dtype == X.dtype
    np.testing.assert_array_equal(once, augment(KEY, X))
    np.testing.assert_allclose(jax.jit(augment)(KEY, X), once, rtol=1e-6, atol=1e-6)
    half = augment(KEY, X.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    if name != "none":
        assert not np.array_equal(once, X)
        assert not np.array_equal(once, augment(jax.random.key(4), X))


def test_noise_has_its_deviation_and_is_not_clipped():
    x = AUGMENTATIONS["noise"](KEY, jnp.zeros((100, 100)))
    assert abs(float(x.std()) - 0.1) < 0.005 and abs(float(x.mean())) < 0.005 and float(x.min()) < 0


@pytest.mark.parametrize(("name", "reach"), [("translate", 2), ("crop", 4)])
def test_shifts_are_whole_pixels_within_reach_with_zeros_coming_in(name, reach):
    x = jnp.asarray(np.random.default_rng(1).random((300, 12, 12, 1)) + 1, jnp.float32)
    moved = np.asarray(AUGMENTATIONS[name](KEY, x))
    seen = set()
    for before, after in zip(np.asarray(x), moved, strict=True):
        wide = np.pad(before, ((reach, reach), (reach, reach), (0, 0)))
        span = range(2 * reach + 1)
        fits = [(i, j) for i in span for j in span if np.array_equal(wide[i : i + 12, j : j + 12], after)]
        assert len(fits) == 1
        seen.add(fits[0])
    assert {i for i, _ in seen} == {j for _, j in seen} == set(range(2 * reach + 1))


def test_flip_mirrors_about_half_of_the_images():
    flipped = np.asarray(AUGMENTATIONS["flip"](KEY, jnp.tile(X, (20, 1, 1, 1))))
    x = np.tile(np.asarray(X), (20, 1, 1, 1))
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(flipped, x, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(flipped, x, strict=True)])
    assert (mirrored ^ kept).all() and 0.4 < mirrored.mean() < 0.6


def test_a_composition_applies_its_parts_in_order_with_keys_of_their_own():
    by_hand = AUGMENTATIONS["noise"](
        jax.random.fold_in(KEY, 1), AUGMENTATIONS["translate"](jax.random.fold_in(KEY, 0), X)
    )
    np.testing.assert_array_equal(AUGMENTATIONS["translate+noise"](KEY, X), by_hand)


@pytest.mark.parametrize("name", ["translate", "flip", "crop"])
def test_vectors_cannot_be_moved(name):
    with pytest.raises(UsageError, match=r"needs images.*\(4, 7\)"):
        jax.jit(AUGMENTATIONS[name])(KEY, jnp.zeros((4, 7)))


def test_unknown_names_list_close_ones_within_a_composition_too():
    with pytest.raises(UnknownNameError, match="'translate'"):
        AUGMENTATIONS["noise+translat"]
    assert "noise+flip" in AUGMENTATIONS and "noise+fly" not in AUGMENTATIONS
