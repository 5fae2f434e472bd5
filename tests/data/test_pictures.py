"""Examples as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from tladapt.data import Domain
from tladapt.data.pictures import pictures, some_of_each_class


def test_8_bits_stay_and_floats_are_stretched():
    whole = np.random.default_rng(0).integers(0, 256, size=(6, 8, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(pictures(Domain(whole), np.array([4, 1])), whole[[4, 1]])
    np.testing.assert_array_equal(pictures(Domain(whole[..., 0]), np.array([2])), whole[2:3, ..., :1])
    np.testing.assert_array_equal(pictures(Domain(whole / 255), np.arange(6)), whole)
    shown = pictures(Domain(whole / 127.5 - 1), np.arange(6))
    assert shown.min() == 0 and shown.max() == 255 and np.abs(shown.astype(int) - whole).max() <= 1


def test_large_pictures_shrink_and_nothing_breaks_on_numbers_that_are_not_finite():
    large = np.random.default_rng(0).uniform(size=(2, 200, 100, 1))
    large[0, 0, 0, 0] = np.nan
    assert pictures(Domain(large), np.arange(2)).shape == (2, 64, 32, 1)
    assert pictures(Domain(np.full((2, 9, 9, 3), 7.0)), np.arange(2)).shape == (2, 9, 9, 3)


@pytest.mark.parametrize("shape", [(5,), (5, 12), (5, 9, 9), (5, 9, 9, 4), (5, 2, 2, 3)])
def test_what_is_no_image_has_no_picture(shape):
    assert pictures(Domain(np.zeros(shape) if len(shape) > 1 else np.zeros((*shape, 1))), np.arange(3)) is None


def test_some_of_each_class_takes_the_classes_in_turn():
    y = np.repeat([0, 1, 2], [10, 2, 10])
    domain = Domain(np.zeros((22, 3)), y)
    index = some_of_each_class(domain, 9)
    assert y[index].tolist() == [0, 1, 2, 0, 1, 2, 0, 2][: len(index)]
    assert len(set(index.tolist())) == len(index)
    assert some_of_each_class(domain.unlabelled(), 3).tolist() == [0, 10, 21]
    assert len(some_of_each_class(domain.unlabelled(), 50)) == 22
