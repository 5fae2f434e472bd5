"""Networks with published weights: equal to the reference's, block by block, and alike in what they can do."""

from __future__ import annotations

import pytest
from flax import nnx

from tests.models import golden
from tladapt.models import BACKBONES
from tladapt.models.backbones import Published
from tladapt.models.weights.store import flatten

GOLDEN = sorted(path.stem for path in golden.FOLDER.glob("*.npz"))
LARGE = {
    *("densenet121", "inception_v3", "resnet50", "vgg16", "mobilenet_v3_large", "tf_mobilenetv3_large_100"),
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


def first_of_each_family():
    found = {}
    for name in BACKBONES:
        if issubclass(BACKBONES[name], Published):
            found.setdefault(BACKBONES[name].family or name, name)
    return sorted(found.values())


@pytest.mark.parametrize("name", first_of_each_family())
def test_every_parameter_is_a_stages(name):
    """Unfreezing goes from stage to stage: what is of none would be trained from the start."""
    spec = BACKBONES[name]()
    shape = (16,) if spec.dtype == "int32" else (spec.size, spec.size, 3)
    network = nnx.eval_shape(lambda: spec.build(shape, rngs=nnx.Rngs(0)))
    paths = [path for _, path in network.stage_paths()]
    for leaf in flatten(nnx.state(network, nnx.Not(nnx.RngState))):
        assert any(leaf == path or leaf.startswith(path + "/") for path in paths), leaf
