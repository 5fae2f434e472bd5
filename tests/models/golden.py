"""Outputs of reference implementations for weights and inputs that anyone can draw again.

A golden file holds what PyTorch's torchvision, timm or transformers give for a network whose tensors are drawn by
`seeded` from their names and shapes alone: no weights need to be kept, and no reference package to compare with.
`make_golden.py` writes them.
"""

from __future__ import annotations

import json
import pathlib
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tladapt.models import BACKBONES, PretrainedModel
from tladapt.models.model import filled as as_drawn
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.pretrained_model import leaves, put
from tladapt.models.weights.store import flatten
from tladapt.models.weights.table import fill

FOLDER = pathlib.Path(__file__).with_name("golden")


def seeded(name, shape):
    """Return the tensor of a name: kernels of variance 1 / fan-in, scales and variances near 1, the rest small."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith(("running_var", ".var")):
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) <= 1:
        small = generator.normal(0.0, 0.1, shape)
        return (1.0 + small if name.endswith("weight") and len(shape) == 1 else small).astype(np.float32)
    if "embed" in name:
        return generator.normal(0.0, 0.5, shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    return generator.normal(0.0, (1.4 / fan_in) ** 0.5, shape).astype(np.float32)


def inputs(shape, seed=0, pad=0):
    """Return normally distributed inputs `[n, h, w, c]`, or token ids where `shape` has two axes: the last is short."""
    generator = np.random.default_rng(seed)
    if len(shape) == 2:
        ids = generator.integers(3, 90, shape).astype(np.int32)
        ids[-1, shape[1] // 2 :] = pad
        return ids
    return generator.normal(size=shape).astype(np.float32)


def load(name):
    """Return the arrays of a golden file and what it is about: backbone, options, names and shapes of the tensors."""
    with np.load(FOLDER / f"{name}.npz") as file:
        arrays = dict(file)
    return arrays, json.loads(arrays.pop("about").tobytes())


def model_of(about):
    """Return the network with the tensors that its golden file was made with."""
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in about["options"].items()}
    spec = BACKBONES[about["backbone"]](**options)
    shape = tuple(about["input"][1:])
    classes = about["classes"]

    def parts():
        network = spec.build(shape, rngs=nnx.Rngs(0))
        classifier = spec.classifier(network.out_features, classes, rngs=nnx.Rngs(1)) if classes else None
        return PretrainedModel(spec, network, classifier, Preprocessing(normalize="none"))

    model = nnx.eval_shape(parts)  # drawing what will be replaced would take longer than all the rest
    tensors = {name: seeded(name, tuple(shape)) for name, shape in about["tensors"].items()}
    blocks = ("backbone", "classifier") if classes else ("backbone",)
    filled = fill(tensors, leaves(model), spec.tables(), called=about["backbone"], blocks=blocks)
    assert filled.table == about["library"] and not filled.notes
    model = as_drawn(model, nnx.Rngs(0))
    put(model, filled.arrays)
    model.eval()
    return model


def closeness(ours, theirs):
    """Return the largest difference as a share of the largest value."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-12))


def summary(value):
    """Return what a golden file keeps of a stage's output: mean, deviation, the first values."""
    value = np.asarray(value)
    return np.concatenate([[value.mean(), value.std(), np.abs(value).max()], value.reshape(-1)[:16]]).astype(np.float32)


def compare(name, tolerance=1e-4):
    """Compare a network with its golden file in evaluation mode: stages, features, logits."""
    arrays, about = load(name)
    model = model_of(about)
    x = jnp.asarray(inputs(about["input"], pad=about.get("pad", 0)))
    stages = [key.removeprefix("stage/") for key in arrays if key.startswith("stage/")]
    features = model.backbone.stage_names()[-1]
    read = model.spec.classifier_reads or features
    graph, state = nnx.split(model)
    taps = jax.jit(lambda s: nnx.merge(graph, s, copy=True).backbone.taps(x, [*stages, features, read]))(
        nnx.as_pure(state)
    )
    for stage in stages:
        assert closeness(summary(taps[stage]), arrays[f"stage/{stage}"]) < tolerance, stage
    assert closeness(taps[features], arrays["features"]) < tolerance
    if about["classes"]:
        assert closeness(model.classifier(taps[read]), arrays["logits"]) < tolerance


def compare_training(name, tolerance=1e-5):
    """Compare a network with its golden file in training mode: features, logits, new statistics, gradients.

    Both compute in float64: in float32, ReLUs whose input is almost 0 open in one library and not in the other, and
    the gradients of early layers differ by up to a hundredth.
    """
    with jax.enable_x64(True):
        _compare_training(name, tolerance)


def _compare_training(name, tolerance):
    arrays, about = load(name)
    model = model_of(about)
    x = jnp.asarray(inputs(about["input"], pad=about.get("pad", 0)))
    x = x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    model.backbone.compute_dtype = jnp.float64
    model.train()
    for _, part in nnx.iter_graph(model):
        if isinstance(part, nnx.Dropout):
            part.deterministic = True  # as in the reference: its masks are nobody's to compare
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params, rest):
        model = nnx.merge(graph, params, rest, copy=True)
        features, logits = model(x) if about["classes"] else (model.features(x), jnp.zeros(()))
        loss = jnp.square(features).mean() + jnp.square(logits).mean()
        return loss, (features, logits, nnx.as_pure(nnx.state(model, nnx.BatchStat)))

    (_, (features, logits, statistics)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        nnx.as_pure(params), nnx.as_pure(rest)
    )
    assert closeness(features, arrays["train/features"]) < tolerance
    if about["classes"]:
        assert closeness(logits, arrays["train/logits"]) < tolerance
    for kind, found in (("statistics", flatten(statistics)), ("gradient", flatten(gradients))):
        keys = [key for key in arrays if key.startswith(f"train/{kind}/")]
        for key in keys:
            value = found[key.removeprefix(f"train/{kind}/")]
            assert closeness(summary(value), arrays[key]) < tolerance, key
    assert any(key.startswith("train/gradient/") for key in arrays)
