"""Networks for tests: their parameters counted without drawing any, or drawn by NumPy, which compiles nothing."""

from __future__ import annotations

import math

import numpy as np
from flax import nnx

from tladapt.models import BACKBONES
from tladapt.models.model import filled as as_drawn
from tladapt.models.pretrained_model import leaves, put


def parameters(name, classes=1000, **options):
    """Return the number of parameters, running statistics left out, with a classifier of so many classes."""
    spec = BACKBONES[name](**options)

    def build():
        network = spec.build((spec.size, spec.size, 3), rngs=nnx.Rngs(0))
        return nnx.List([network, spec.classifier(network.out_features, classes, rngs=nnx.Rngs(0))])

    state = nnx.to_flat_state(nnx.state(nnx.eval_shape(build), nnx.Param))
    return sum(math.prod(variable.get_value().shape) for _, variable in state)


def named(base):
    """Return the names of the registered variants of an architecture."""
    return {name for name in BACKBONES if issubclass(BACKBONES[name], base)}


def drawn(spec, shape):
    """Return a network whose kernels have variance 1.4 / fan-in, scales and variances are 1, the rest 0.02 normal."""
    network = as_drawn(nnx.eval_shape(lambda: spec.build(shape, rngs=nnx.Rngs(0))), nnx.Rngs(0))
    generator = np.random.default_rng(0)

    def draw(path, shape):
        if path.endswith(("scale", "var")):
            return np.ones(shape)
        deviation = (1.4 / math.prod(shape[:-1])) ** 0.5 if path.endswith("kernel") else 0.02
        return generator.normal(0.0, deviation, shape)

    put(network, {path: draw(path, leaf.shape) for path, leaf in leaves(network).items()})
    return network
