"""Every registered network of a family against the tensors of the library's: names, shapes, numbers of parameters.

Nothing is computed and no memory is taken: models are traced, tensors are broadcast zeros.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import pathlib
import re

import numpy as np
import pytest
from flax import nnx

from tladapt.models import BACKBONES
from tladapt.models.backbones import Published
from tladapt.models.pretrained_model import PretrainedModel, leaves
from tladapt.models.weights.catalogue import WEIGHTS
from tladapt.models.weights.table import fill

# make_names.py writes them.
NETWORKS = [
    network
    for file in sorted(pathlib.Path(__file__).with_name("names").glob("*.json.gz"))
    for network in json.loads(gzip.decompress(file.read_bytes()))
]

# torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["num_params"], torchvision 0.29; make_names.py prints
# them too.
PARAMETERS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "alexnet": 61_100_840,
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "inception_v3": 27_161_264 - 3_326_696,  # the auxiliary classifier: 98,560 + 2,459,136 + 769,000
}

LARGE = {"densenet161", "densenet169", "densenet201", "resnet152"}  # tracing them takes seconds


def marks(name):
    return pytest.mark.slow if name in LARGE else ()


@functools.cache
def traced(name):
    """Return the network of a name with the classifier that it was published with, without its numbers."""
    spec = BACKBONES[name]()

    def parts():
        network = spec.build((spec.size, spec.size, 3), rngs=nnx.Rngs(0))
        classifier = spec.classifier(network.out_features, spec.published_classes, rngs=nnx.Rngs(0))
        return PretrainedModel(spec, network, classifier, None)

    return nnx.eval_shape(parts)


def zeros(tensors):
    return {
        name: np.broadcast_to(np.int64(0) if name.endswith("num_batches_tracked") else np.float32(0), shape)
        for name, shape in tensors.items()
    }


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(network, marks=marks(network["backbone"]), id=f"{network['library']}-{network['backbone']}")
        for network in NETWORKS
    ],
)
def test_every_tensor_of_the_library_has_its_place(network):
    model = traced(network["backbone"])
    filled = fill(zeros(network["tensors"]), leaves(model), model.spec.tables(), called=network["backbone"])
    assert not filled.notes and set(filled.arrays) == set(leaves(model))
    auxiliary = [name for name in filled.dropped if not name.endswith("num_batches_tracked")]
    assert all(name.startswith("AuxLogits.") for name in auxiliary)


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in PARAMETERS])
def test_number_of_parameters(name):
    parameters = leaves(nnx.state(traced(name), nnx.Param))
    assert sum(leaf.size for leaf in parameters.values()) == PARAMETERS[name]


def test_names_of_torchvisions_own_densenet_files_are_read_too():
    model = traced("densenet121")
    network = next(each for each in NETWORKS if each["backbone"] == "densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): s for name, s in network["tensors"].items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert not fill(zeros(old), leaves(model), model.spec.tables(), called="densenet121").notes


def test_registered_weights_name_backbones_and_fields_that_there_are():
    for name in WEIGHTS:
        spec = BACKBONES[WEIGHTS[name].backbone]()
        assert isinstance(spec, Published)
        fields = WEIGHTS[name].fields()
        changed = dataclasses.replace(spec, **fields)  # refuses a normalisation that there is not
        assert {field: getattr(changed, field) for field in fields} == fields
