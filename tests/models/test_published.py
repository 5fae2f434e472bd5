"""Networks with published weights: equal to the reference's, block by block, and alike in what they can do."""

from __future__ import annotations

import pytest

from tests.models import golden

GOLDEN = sorted(path.stem for path in golden.FOLDER.glob("*.npz"))
LARGE = {
    *("densenet121", "resnet50", "vgg16", "mobilenet_v3_large", "tf_mobilenetv3_large_100"),
    *("efficientnet_b0", "efficientnet_b2_torchvision", "tf_efficientnet_b3"),
}  # a smaller network of the same kind is compared every time
EVALUATED = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in GOLDEN]


@pytest.mark.parametrize("name", EVALUATED)
def test_equals_the_reference(name):
    golden.compare(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_trains_as_the_reference(name):
    golden.compare_training(name)
