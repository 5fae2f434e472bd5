"""Features and logits of a domain: equal to the model's own, in any batches, and without its labels."""

from __future__ import annotations

import types

import jax
import numpy as np
import pytest

from tladapt.data import Domain
from tladapt.errors import UsageError
from tladapt.evaluation import extract
from tladapt.models import pretrained

PICTURES = np.random.default_rng(0).integers(0, 256, size=(5, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize("headless", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_pretrained_model_is_compiled_and_reads_raw_pictures(headless: bool) -> None:
    model = pretrained("cifar_resnet20", classes=4)
    if headless:
        model.classifier = None
    done: list[int] = []
    found = extract(model, Domain(PICTURES), batch=3, watcher=done.append)
    assert done == [3, 5] and found.features.shape == (5, 64)
    expected = jax.jit(lambda x: model.features(x))(model.preprocess(PICTURES))
    np.testing.assert_allclose(found.features, expected, rtol=1e-4, atol=1e-5)
    if headless:
        assert found.logits is None
    else:
        head = model.classifier(expected)
        np.testing.assert_allclose(found.logits, head, rtol=1e-3, atol=1e-4)


def test_an_object_of_ones_own_and_an_array_of_wrong_shape() -> None:
    own = types.SimpleNamespace(features=lambda x: x[:, 0, :2, 0] / 255, logits=lambda x: x[:, 0, :3, 1] * 1.0)
    found = extract(own, Domain(PICTURES, np.arange(5)), batch=2)
    np.testing.assert_array_equal(found.features, PICTURES[:, 0, :2, 0] / 255)
    np.testing.assert_array_equal(found.logits, PICTURES[:, 0, :3, 1])
    flat = types.SimpleNamespace(features=lambda x: x.mean(axis=(1, 2, 3)))
    with pytest.raises(UsageError, match=r"must be \[2, d\], got shape \(2,\)"):
        extract(flat, Domain(PICTURES), batch=2)
