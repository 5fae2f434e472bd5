"""Augmentations: what all of them keep, and each against Pillow, SciPy or colorsys."""

from __future__ import annotations

import colorsys
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from tladapt.data import AUGMENTATIONS
from tladapt.data.augment import RandAugment, RandomErasing, RandomResizedCrop, check_inputs
from tladapt.data.augment.colour import hue_turned
from tladapt.data.augment.geometry import enlarged, turning, warped
from tladapt.data.augment.randaugment import OPERATIONS
from tladapt.errors import UnknownNameError, UsageError

KEY = jax.random.key(3)
X = jnp.asarray(np.random.default_rng(0).random((16, 6, 5, 3)), jnp.float32)
OURS = [name for name in AUGMENTATIONS if name == "none" or dataclasses.is_dataclass(AUGMENTATIONS[name])]
NAMES = [*(name for name in OURS if name != "randaugment"), "randaugment(operations=1)", "translate+noise"]


def augmented(name: str, x: jax.Array, key: jax.Array = KEY) -> np.ndarray:
    return np.asarray(jax.jit(AUGMENTATIONS[name])(key, x))


@pytest.mark.parametrize("name", NAMES)
def test_shape_dtype_range_determinism_and_jit(name):
    augment = jax.jit(AUGMENTATIONS[name])
    once = np.asarray(augment(KEY, X))
    assert once.shape == X.shape and once.dtype == X.dtype
    if "noise" not in name and name != "scaling":
        assert float(once.min()) >= -1e-6 and float(once.max()) <= 1 + 1e-6
    np.testing.assert_array_equal(once, augment(KEY, X))
    # A level that is rounded to its neighbour moves by 1 / 255.
    tolerance = 1 / 128 if "randaugment" in name else 1e-5
    np.testing.assert_allclose(AUGMENTATIONS[name](KEY, X), once, rtol=1e-6, atol=tolerance)
    assert jax.eval_shape(augment, KEY, X.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    if name != "none":
        assert not np.array_equal(once, X)
        assert not np.array_equal(once, augment(jax.random.key(4), X))


@pytest.mark.parametrize("name", [name for name in OURS if name != "none"])
def test_each_example_draws_its_own(name):
    same = jnp.repeat(X[:1], 16, axis=0)
    after = augmented(name, same)
    assert len({one.tobytes() for one in after}) > (1 if name == "flip" else 4)


@pytest.mark.parametrize(
    "name",
    [
        "noise(deviation=0)",
        "scaling(deviation=0)",
        "spec_augment(frames=0, bands=0)",
        "translate(pixels=0)",
        "crop(padding=0)",
        "flip(probability=0)",
        "rotation(degrees=0)",
        "random_resized_crop(scale=1, ratio=1)",
        "color_jitter(brightness=0, contrast=0, saturation=0, hue=0)",
        "random_erasing(probability=0)",
        "randaugment(operations=0)",
    ],
)
def test_strength_zero_changes_nothing_at_all(name):
    np.testing.assert_array_equal(augmented(name, X), X)


def test_noise_has_its_deviation_and_is_not_clipped():
    x = AUGMENTATIONS["noise"](KEY, jnp.zeros((100, 100)))
    assert abs(float(x.std()) - 0.1) < 0.005 and abs(float(x.mean())) < 0.005 and float(x.min()) < 0


def test_scaling_multiplies_each_channel_of_a_window_by_one_factor():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(400, 7, 3)), jnp.float32)
    factor = augmented("scaling(deviation=0.2)", x) / np.asarray(x)
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1], factor.shape), rtol=1e-4)
    assert abs(factor[:, 0].mean() - 1) < 0.02 and abs(factor[:, 0].std() - 0.2) < 0.02
    with pytest.raises(UsageError, match="indices have no scale"):
        AUGMENTATIONS["scaling"](KEY, jnp.zeros((2, 3), jnp.int32))


def test_spec_augment_masks_a_stretch_of_frames_and_one_of_bands_by_the_mean():
    x = jnp.asarray(np.random.default_rng(1).normal(size=(200, 9, 7, 1)), jnp.float32)
    after = augmented("spec_augment(frames=4, bands=20)", x)
    masked = (after != np.asarray(x))[..., 0]
    means = np.broadcast_to(np.asarray(x).mean((1, 2, 3))[:, None, None], masked.shape)
    np.testing.assert_allclose(after[..., 0][masked], means[masked], atol=1e-6)
    times, bands = masked.all(axis=2), masked.all(axis=1)  # [n, frames], [n, bands]
    np.testing.assert_array_equal(masked, times[:, :, None] | bands[:, None, :])
    partly = ~bands.all(axis=1)  # where all bands are masked the frames cannot be told
    lengths = times.sum(axis=1)[partly]
    assert set(lengths.tolist()) == set(range(5)) and set(bands.sum(axis=1).tolist()) == set(range(8))
    for rows in (times[partly], bands):
        assert (np.abs(np.diff(rows.astype(int), axis=1, prepend=0, append=0)).sum(axis=1) <= 2).all()  # one stretch
    assert times[partly].any(axis=0).all()  # any frame may be masked


@pytest.mark.parametrize(("name", "reach"), [("translate", 2), ("crop", 4), ("translate(pixels=1)", 1)])
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


def test_flip_mirrors_about_half_of_the_images_and_undoes_itself():
    x = np.tile(np.asarray(X), (20, 1, 1, 1))
    flipped = AUGMENTATIONS["flip"](KEY, jnp.asarray(x))
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(np.asarray(flipped), x, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(np.asarray(flipped), x, strict=True)])
    assert (mirrored ^ kept).all() and 0.4 < mirrored.mean() < 0.6
    np.testing.assert_array_equal(AUGMENTATIONS["flip"](KEY, flipped), x)
    np.testing.assert_array_equal(AUGMENTATIONS["flip(probability=1)"](KEY, X), X[:, :, ::-1])


def test_warps_are_those_of_scipy_and_turn_counter_clockwise():
    image = np.random.default_rng(2).random((9, 12, 2)).astype(np.float32)
    matrix, shift = np.array([[0.9, 0.3], [-0.2, 1.1]]), np.array([1.3, -2.6])
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre + shift - matrix @ centre
    planes = [ndimage.affine_transform(image[..., c], matrix, offset, order=1, mode="grid-constant") for c in (0, 1)]
    read = jax.jit(warped)
    made = read(jnp.asarray(image), jnp.asarray(matrix, jnp.float32), jnp.asarray(shift, jnp.float32))
    np.testing.assert_allclose(made, np.stack(planes, axis=-1), atol=1e-5)
    square = jnp.asarray(image[:, :9])
    quarter = read(square, turning(jnp.float32(np.pi / 2)), jnp.zeros(2))
    np.testing.assert_allclose(quarter, np.rot90(square), atol=1e-5)


def test_rotations_stay_within_their_angle():
    ramp = jnp.broadcast_to(jnp.arange(31.0)[:, None, None] - 15.0, (31, 31, 1))
    turned = augmented("rotation(degrees=30)", jnp.repeat(ramp[None], 200, axis=0))
    slope = (turned[:, 15, 18, 0] - turned[:, 15, 12, 0]) / 6  # the sine of the angle
    angles = np.degrees(np.arcsin(slope))
    assert angles.min() < -25 and angles.max() > 25 and np.abs(angles).max() <= 30.01


def test_a_part_is_enlarged_as_pillow_does():
    image = np.random.default_rng(3).random((10, 14)).astype(np.float32)
    for top, left, height, width in ((0.0, 0.0, 10.0, 14.0), (2.0, 3.0, 5.0, 7.0), (1.3, 0.2, 7.1, 9.9)):
        box = (left, top, left + width, top + height)
        expected = Image.fromarray(image).resize((14, 10), Image.Resampling.BILINEAR, box=box)
        made = jax.jit(enlarged)(jnp.asarray(image)[..., None], jnp.array([top, left]), jnp.array([height, width]))
        np.testing.assert_allclose(made[..., 0], np.asarray(expected), atol=1e-5)


def test_parts_have_their_share_of_the_area_and_their_proportions():
    rows, columns = jnp.meshgrid(jnp.arange(40.0), jnp.arange(30.0), indexing="ij")
    ramps = jnp.repeat(jnp.stack([rows, columns], axis=-1)[None], 300, axis=0)
    made = augmented("random_resized_crop(scale=0.25, ratio=1.5)", ramps)
    height = 40 * (made[:, 25, 15, 0] - made[:, 15, 15, 0]) / 10  # a pixel is this share of the part
    width = 30 * (made[:, 20, 20, 1] - made[:, 20, 10, 1]) / 10
    share, proportions = height * width / 1200, (width / 30) / (height / 40)
    assert 0.2 < share.min() < 0.3 and 0.9 < share.max() <= 1.001
    assert 1 / 1.51 < proportions.min() < 0.75 and 1.3 < proportions.max() < 1.51
    top = made[:, 15, 15, 0] - (15.5 * height / 40 - 0.5)
    left = made[:, 20, 10, 1] - (10.5 * width / 30 - 0.5)
    assert top.min() > -0.01 and (top + height).max() < 40.01
    assert left.min() > -0.01 and (left + width).max() < 30.01


def photograph(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(24, 20, 3)), (2, 2, 0.5))
    return (255 * (0.15 + 0.7 * (smooth - smooth.min()) / np.ptp(smooth))).astype(np.uint8)


def test_hue_is_turned_as_in_hsv():
    image = photograph() / np.float32(255)
    turn = jax.jit(hue_turned)
    made = np.asarray(turn(jnp.asarray(image), jnp.float32(0.3)))
    for place in ((0, 0), (5, 7), (23, 19), (11, 3)):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place].tolist())
        np.testing.assert_allclose(made[place], colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation, value), atol=1e-5)
    flat = jnp.full(image.shape, 0.4)
    np.testing.assert_allclose(turn(flat, jnp.float32(0.3)), flat, atol=1e-6)
    np.testing.assert_allclose(turn(jnp.asarray(image), jnp.float32(1.0)), image, atol=1e-5)


@pytest.mark.parametrize(
    ("option", "reference"),
    [
        ("brightness", lambda x: 0 * x),
        ("contrast", lambda x: 0 * x + (x @ [0.299, 0.587, 0.114]).mean((1, 2))[:, None, None, None]),
        ("saturation", lambda x: 0 * x + (x @ [0.299, 0.587, 0.114])[..., None]),
    ],
)
def test_colours_are_blended_by_factors_within_their_strength(option, reference):
    x = 0.35 + 0.3 * np.asarray(X, np.float64)  # nothing is clipped
    x = np.tile(x, (10, 1, 1, 1))
    others = {name: 0.0 for name in ("brightness", "contrast", "saturation", "hue") if name != option}
    settings = ",".join(f"{name}={value}" for name, value in others.items())
    made = augmented(f"color_jitter({option}=0.3,{settings})", jnp.asarray(x, jnp.float32))
    base = reference(x)
    factors = ((made - base) * (x - base)).sum((1, 2, 3)) / ((x - base) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(made, base + factors[:, None, None, None] * (x - base), atol=1e-5)
    assert 0.699 < factors.min() < 0.75 and 1.25 < factors.max() < 1.301


def test_grey_images_have_brightness_and_contrast_alone():
    grey = X[..., :1]
    np.testing.assert_array_equal(augmented("color_jitter(brightness=0, contrast=0)", grey), grey)
    assert not np.array_equal(augmented("color_jitter", grey), grey)


@pytest.mark.parametrize("fill", ["noise", "black"])
def test_rectangles_are_rubbed_out_of_about_half_of_the_images(fill):
    x = jnp.full((200, 20, 24, 2), 2.0)
    made = augmented(f"random_erasing(smallest=0.1, largest=0.3, fill={fill})", x)
    gone = made[..., 0] != 2
    shares = gone.mean((1, 2))
    assert 0.4 < (shares > 0).mean() < 0.6
    assert shares[shares > 0].min() > 0.05 and 0.2 < shares.max() < 0.35
    for one, picture in zip(gone[:40], made, strict=False):
        rows, columns = one.any(axis=1), one.any(axis=0)
        np.testing.assert_array_equal(one, rows[:, None] & columns[None])  # a rectangle
        for inside in (rows, columns):
            assert np.abs(np.diff(inside.astype(int))).sum() <= 2  # in one piece
        filled = picture[one]
        assert (filled == 0).all() if fill == "black" else (filled >= 0).all() and (filled < 1).all()
        if fill == "noise" and one.any():
            assert len(np.unique(filled)) > 20


@pytest.fixture(scope="module")
def operation():
    """One operation of RandAugment, by name and sign, of a picture of 256 levels."""
    made = jax.jit(RandAugment(magnitude=18).apply)

    def apply(name: str, sign: float, picture: np.ndarray) -> np.ndarray:
        image = jnp.asarray(picture, jnp.float32) / 255
        return 255 * np.asarray(made(jnp.int32(OPERATIONS.index(name)), jnp.float32(sign), image))

    return apply


@pytest.mark.parametrize(
    ("name", "pillow"),
    [
        ("identity", lambda image, sign: image),
        ("brightness", lambda image, sign: ImageEnhance.Brightness(image).enhance(1 + sign * 0.54)),
        ("color", lambda image, sign: ImageEnhance.Color(image).enhance(1 + sign * 0.54)),
        ("contrast", lambda image, sign: ImageEnhance.Contrast(image).enhance(1 + sign * 0.54)),
        ("sharpness", lambda image, sign: ImageEnhance.Sharpness(image).enhance(1 + sign * 0.54)),
        ("posterize", lambda image, sign: ImageOps.posterize(image, 6)),  # 8 - 2.4 bits
        ("solarize", lambda image, sign: ImageOps.solarize(image, 102)),  # 0.4
        ("autocontrast", lambda image, sign: ImageOps.autocontrast(image)),
        ("equalize", lambda image, sign: ImageOps.equalize(image)),
    ],
)
def test_operations_on_colours_are_those_of_pillow(operation, name, pillow):
    picture = photograph(1)
    for sign in (1.0, -1.0):
        expected = np.asarray(pillow(Image.fromarray(picture), sign), np.float32)
        made = operation(name, sign, picture)
        assert np.abs(made - expected).max() <= 1.51, name  # Pillow rounds after each part of an operation
        assert name == "identity" or np.abs(made - picture).mean() > 0.3


@pytest.mark.parametrize(
    ("name", "affine"),
    [
        ("rotate", lambda s: (turning(jnp.float32(0.1 * np.pi * s)), [0, 0])),
        ("shear_x", lambda s: ([[1, 0], [0.18 * s, 1]], [0, 0])),
        ("shear_y", lambda s: ([[1, 0.18 * s], [0, 1]], [0, 0])),
        ("translate_x", lambda s: (np.eye(2), [0, 20 * 0.6 * 150 / 331 * s])),
        ("translate_y", lambda s: (np.eye(2), [24 * 0.6 * 150 / 331 * s, 0])),
    ],
)
def test_operations_that_move_pixels_go_both_ways(operation, name, affine):
    picture = photograph(2)
    centre = (np.array(picture.shape[:2]) - 1) / 2
    for sign in (1.0, -1.0):
        matrix, shift = (np.asarray(part, float) for part in affine(sign))
        offset = centre + shift - matrix @ centre
        expected = [
            ndimage.affine_transform(picture[..., c] / 255.0, matrix, offset, order=1, mode="grid-constant")
            for c in range(3)
        ]
        np.testing.assert_allclose(operation(name, sign, picture), 255 * np.stack(expected, axis=-1), atol=2e-3)


def test_levels_of_one_value_stay(operation):
    flat = np.full((6, 6, 3), 77, np.uint8)
    for name in ("equalize", "autocontrast"):
        np.testing.assert_allclose(operation(name, 1.0, flat), flat, atol=1e-3)


def test_a_composition_applies_its_parts_in_order_with_keys_of_their_own():
    moved = augmented("translate", X, jax.random.fold_in(KEY, 0))
    by_hand = augmented("noise", moved, jax.random.fold_in(KEY, 1))
    np.testing.assert_allclose(augmented("translate+noise", X), by_hand, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in OURS if name not in ("none", "noise", "scaling")])
def test_vectors_cannot_be_moved(name):
    with pytest.raises(UsageError, match=r"needs images.*\(4, 7\).*noise"):
        jax.eval_shape(AUGMENTATIONS[name], KEY, jnp.zeros((4, 7)))


@pytest.mark.parametrize("name", ["noise", "translate", "rotation"])
def test_indices_cannot_be_augmented(name):
    with pytest.raises(UsageError, match="needs floating numbers, got int32"):
        jax.eval_shape(AUGMENTATIONS[name], KEY, jnp.zeros((4, 7, 7, 1), jnp.int32))


def test_colours_need_colours():
    with pytest.raises(UsageError, match="needs images with 1 or 3 channels, got 2"):
        jax.eval_shape(AUGMENTATIONS["color_jitter"], KEY, X[..., :2])


def test_options_are_read_from_text_and_unknown_names_list_close_ones():
    made = AUGMENTATIONS[" random_resized_crop( scale=0.5 , ratio = 2 ) "]
    assert made == RandomResizedCrop(scale=0.5, ratio=2.0)
    assert AUGMENTATIONS["random_erasing(fill=black)"] == RandomErasing(fill="black")
    assert AUGMENTATIONS["noise(deviation=1e-1)"] == AUGMENTATIONS["noise"]
    for name, words in (
        ("noise+translat", "'translate'"),
        ("colour_jitter", "Did you mean 'color_jitter'"),
        ("flip(", r"Cannot read 'flip\(': an augmentation is NAME or NAME\(option=value"),
        ("rotation(degree=3)", "no option 'degree'. Did you mean 'degrees'"),
        ("rotation(3)", "options are option=value, got '3'"),
        ("rotation(degrees=some)", "must be a number, got 'some'"),
        ("rotation(degrees=200)", "degrees must be from 0 to 180, got 200.0"),
        ("random_erasing(smallest=0.5)", "smallest must be from 0 to 0.4"),
        ("randaugment(operations=-1)", "operations must be from 0 to 16"),
        ("none(x=1)", "has no option 'x'"),
    ):
        with pytest.raises(UsageError, match=words):
            AUGMENTATIONS[name]
        assert name not in AUGMENTATIONS
    with pytest.raises(UnknownNameError):
        AUGMENTATIONS["noise+fly"]
    assert "noise+flip(probability=1)" in AUGMENTATIONS and 3 not in AUGMENTATIONS


def test_a_function_of_ones_own_goes_in_by_name(monkeypatch):
    monkeypatch.setattr(AUGMENTATIONS, "_things", dict(AUGMENTATIONS._things))
    AUGMENTATIONS.register("darker")(lambda key, x: x / 2)
    np.testing.assert_array_equal(AUGMENTATIONS["darker+flip(probability=1)"](KEY, X), X[:, :, ::-1] / 2)


def test_pixels_of_another_range_are_refused_where_it_matters():
    check_inputs("flip+color_jitter", low=0.0, high=1.0)
    check_inputs("flip+noise+random_resized_crop", low=-3.0, high=3.0)
    for low, high in ((-2.0, 2.0), (0.0, 255.0)):
        with pytest.raises(UsageError, match=rf"'color_jitter' takes inputs for pixels .*from {low:g} to {high:g}"):
            check_inputs("flip+color_jitter(hue=0)", low=low, high=high)
