from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from tladapt.data import load
from tladapt.data.catalogue import digits_photo
from tladapt.errors import UsageError

SEEDS = [0, 1, 17]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_scan_serves_two_roles_and_all_are_used(seed):
    scans = digits_photo.plan(seed).scans
    dealt = np.concatenate(list(scans.values()))
    assert {role: len(index) for role, index in scans.items()} == {
        "source": 800, "validation": 100, "target": 500, "test": 397,
    }  # fmt: skip
    np.testing.assert_array_equal(np.sort(dealt), np.arange(1797))


def test_no_two_scans_are_the_same_picture():
    assert len(np.unique(load_digits().data, axis=0)) == 1797


@pytest.mark.parametrize("seed", SEEDS)
def test_no_photo_pixel_serves_both_training_and_test(seed):
    patches = digits_photo.plan(seed).patches
    used = {role: np.zeros((2, 427, 640), bool) for role in patches}
    for role, corners in patches.items():
        for photo, row, column in corners:
            assert row + 16 <= 427 and column + 16 <= 640
            used[role][photo, row : row + 16, column : column + 16] = True
    assert not (used["target"] & used["test"]).any()
    for mask in used.values():
        assert mask.mean(axis=(1, 2)).min() > 0.25  # both photos, and much of each half


@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_pictures_are_what_the_plan_says(contrast):
    scenario = load("digits-photo", seed=5, contrast=contrast)
    plan = digits_photo.plan(5)
    photos, labels = load_sample_images().images, load_digits().target
    source = scenario.source[0]
    shown = {scan: source.x[place, :, :, 0] for place, scan in enumerate(plan.scans["source"])}
    np.testing.assert_array_equal(source.y, labels[plan.scans["source"]])
    assert (source.x[..., 0] == source.x[..., 1]).all() and (source.x[..., 0] == source.x[..., 2]).all()
    # Enlarged, ink white on black: the mean ink of a scan stays.
    for scan in list(shown)[:20]:
        assert abs(shown[scan].mean() / 255 - load_digits().images[scan].mean() / 16) < 0.02
    upscaled = digits_photo._shipped()[0]
    for role, domain, copies in [("target", scenario.oracle().source[0], 4), ("test", scenario.test, 5)]:
        assert len(domain) == copies * len(plan.scans[role])
        np.testing.assert_array_equal(domain.groups, np.repeat(np.arange(len(plan.scans[role])), copies))
        np.testing.assert_array_equal(domain.y, labels[np.repeat(plan.scans[role], copies)])
        for place in range(0, len(domain), 97):
            photo, row, column = plan.patches[role][place]
            patch = photos[photo][row : row + 16, column : column + 16].astype(np.float32)
            digit = upscaled[plan.scans[role][place // copies]].astype(float)
            np.testing.assert_array_equal(domain.x[place], np.abs(np.rint(contrast * patch) - digit[:, :, None]))


def test_classes_are_balanced_and_the_order_says_nothing_of_them():
    scenario = load("digits-photo", seed=2)
    np.testing.assert_array_equal(np.bincount(scenario.source[0].y), np.full(10, 80))
    np.testing.assert_array_equal(np.bincount(scenario.validation.y), np.full(10, 10))
    np.testing.assert_array_equal(np.bincount(scenario.oracle().source[0].y), np.full(10, 200))
    assert np.bincount(scenario.test.y).min() >= 5 * 34
    for y in (scenario.source[0].y, scenario.oracle().source[0].y[::4], scenario.test.y[::5]):
        assert abs(np.corrcoef(y, np.arange(len(y)))[0, 1]) < 0.15
        # scikit-learn's own order cycles through the classes; a predictor from the position modulo 10 is at chance.
        hits = [np.bincount(y[place::10]).max() for place in range(10)]
        assert sum(hits) < 0.35 * len(y)


def test_a_seed_decides_everything_and_contrast_only_the_photographs():
    first, again, other = load("digits-photo", seed=1), load("digits-photo", seed=1), load("digits-photo", seed=2)
    for role in ("target", "test", "validation"):
        np.testing.assert_array_equal(getattr(first, role).x, getattr(again, role).x)
    assert not np.array_equal(first.target.x, other.target.x)
    assert not np.array_equal(first.source[0].x, other.source[0].x)
    mild = load("digits-photo", seed=1, contrast=0.1)
    np.testing.assert_array_equal(mild.source[0].x, first.source[0].x)
    np.testing.assert_array_equal(mild.test.y, first.test.y)
    black = mild.test.x.min(axis=(1, 2, 3))
    assert black.max() <= 26  # a tenth of 255: the ground is nearly black


def test_shapes_dtypes_and_bad_options():
    scenario = load("digits-photo")
    assert scenario.source[0].x.dtype == np.uint8 and scenario.target.shape == (16, 16, 3)
    assert scenario.target.y is None
    for contrast in (0.0, 1.5, -1.0):
        with pytest.raises(UsageError, match="contrast"):
            load("digits-photo", contrast=contrast)
    with pytest.raises(UsageError, match="seed"):
        load("digits-photo", seed=-1)
