"""Text networks: sizes as the library's, what padding, precision, dropout and odd token ids do."""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models import golden
from tladapt.errors import UnknownNameError, UsageError
from tladapt.models import BACKBONES, PretrainedModel, build_model
from tladapt.models.backbones import Bert, DistilBert, Roberta, TextEncoder
from tladapt.models.pretrained_model import leaves
from tladapt.models.text_features import features_of_texts
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights.table import fill

SMALL = {"vocabulary": 97, "width": 24, "layers": 1, "heads": 4, "inner": 40, "positions": 18}

# Parameters and tensors of transformers' BertModel, DistilBertModel and RobertaModel of these sizes (5.23.0):
# sum(p.numel() for p in model.parameters()), len(model.state_dict()).
PUBLISHED = {
    "bert-tiny": (4385920, 39),
    "bert-mini": (11170560, 71),
    "bert-small": (28763648, 71),
    "bert-medium": (41373184, 135),
    "bert-base-uncased": (109482240, 199),
    "bert-base-cased": (108310272, 199),
    "bert-base-multilingual-cased": (177853440, 199),
    "bert-base-multilingual-uncased": (167356416, 199),
    "bert-large-uncased": (335141888, 391),
    "bert-large-cased": (333579264, 391),
    "all-MiniLM-L6-v2": (22713216, 103),
    "all-MiniLM-L12-v2": (33360000, 199),
    "distilbert-base-uncased": (66362880, 100),
    "distilbert-base-cased": (65190912, 100),
    "distilbert-base-multilingual-cased": (134734080, 100),
    "roberta-base": (124645632, 199),
    "roberta-large": (355359744, 391),
    "distilroberta-base": (82118400, 103),
    "xlm-roberta-base": (278043648, 199),
}


def small(kind=Bert, *, length=12, **options):
    """Return a small network, in evaluation mode, whose kernels and tables are not small."""
    network = kind(**{**SMALL, **options}).build((length,), rngs=nnx.Rngs(0))
    state = nnx.state(network, nnx.Param)
    nnx.update(network, jax.tree.map(lambda leaf: 4.0 * leaf if leaf.ndim > 1 else leaf, state))
    network.eval()
    return network


def ids(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(3, 97, shape), jnp.int32)


def features(network, x):
    """Return the features of a network in one compiled program: many small ones take longer."""
    return _features(*nnx.split(network), x)


@functools.partial(jax.jit, static_argnums=0)
def _features(graph, state, x):
    return nnx.merge(graph, state, copy=True)(x)


def test_every_variant_is_known():
    named = {name for name in BACKBONES if issubclass(BACKBONES[name], TextEncoder)}
    assert named == {"bert", "distilbert", "roberta", *PUBLISHED}


QUICK = ("bert-tiny", "distilbert-base-uncased", "distilroberta-base")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in PUBLISHED]
)
def test_variants_have_the_published_size(name):
    spec = BACKBONES[name](**({} if name.startswith("distilbert") else {"pooling": "pooler"}))
    network = nnx.eval_shape(lambda: spec.build((8,), rngs=nnx.Rngs(0)))
    found = jax.tree.leaves(nnx.state(network, nnx.Param))
    assert (sum(leaf.size for leaf in found), len(found)) == PUBLISHED[name]


@pytest.mark.parametrize(("kind", "pooling"), [(Bert, "mean"), (DistilBert, "cls"), (Roberta, "mean")])
def test_padding_changes_no_feature(kind, pooling):
    network = small(kind, pooling=pooling)
    x = ids(2, 7)
    padded = jnp.pad(x, ((0, 0), (0, 5)), constant_values=network.pad_id)
    found = features(network, x)
    np.testing.assert_allclose(features(network, padded), found, rtol=1e-5, atol=1e-6)
    assert np.abs(features(network, x[:, ::-1]) - found).max() > 1e-3  # and order does


def test_an_empty_text_has_finite_features_and_gradients():
    network = small(unit_norm=True)
    x = ids(2, 6).at[1].set(0)
    graph, params, rest = nnx.split(network, nnx.Param, ...)

    def loss(params):
        found = nnx.merge(graph, params, rest, copy=True)(x)
        return jnp.square(found[0, 0]), found

    (_, found), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    assert np.isfinite(found).all() and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_token_that_is_none_gives_nan():
    network = small()
    x = ids(2, 4).at[:, 1].set(jnp.array([97, 96]))
    np.testing.assert_array_equal(np.isnan(features(network, x)), [[True] * 24, [False] * 24])


def test_bfloat16():
    network = small(unit_norm=True)
    x = ids(3, 8)
    exact = features(network, x)
    network.compute_dtype = jnp.bfloat16
    found = features(network, x)
    assert found.dtype == jnp.bfloat16
    assert 1e-5 < golden.closeness(found, exact) < 0.03


def test_rematerialised_blocks_give_the_same():
    x = ids(3, 8)

    def gradients(remat):
        network = small(remat=remat, dropout=0.0, attention_dropout=0.0, pooling="pooler")
        assert network.remat == remat
        graph, params = nnx.split(network)
        loss = lambda params: jnp.square(nnx.merge(graph, params, copy=True)(x)).mean()  # noqa: E731
        assert bool(re.search(r"\b(remat2?|checkpoint)\[", str(jax.make_jaxpr(loss)(params)))) == remat
        return jax.jit(jax.value_and_grad(loss))(params)

    for ours, theirs in zip(*(jax.tree.leaves(gradients(remat)) for remat in (False, True)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_dropout_is_in_training_alone():
    network = small()
    x = ids(2, 8)
    steady = features(network, x)
    np.testing.assert_array_equal(features(network, x), steady)
    network.train()
    assert np.abs(features(network, x) - steady).max() > 1e-3
    assert not jax.tree.leaves(nnx.state(small(dropout=0.0, attention_dropout=0.0), nnx.RngState))
    head = Bert(**SMALL, pooling="pooler").classifier(24, 5, rngs=nnx.Rngs(0))
    ones = jnp.ones((4, 24))
    assert np.abs(head(ones) - head(ones)).max() > 1e-3


def test_old_names_prefixes_and_other_heads():
    """A file of google-bert/bert-base-uncased has "bert." before all names, "gamma" and "beta", and cls.predictions."""
    _, about = golden.load("bert_mean")
    spec = BACKBONES["bert"](**about["options"])
    network = spec.build((18,), rngs=nnx.Rngs(0))
    wanted = leaves(PretrainedModel(spec, network, None, TextPreprocessing()))
    plain = {name: golden.seeded(name, tuple(shape)) for name, shape in about["tensors"].items()}
    old = {}
    for name, value in plain.items():
        if "LayerNorm" in name:
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        old[f"bert.{name}"] = value
    extra = {
        "bert.embeddings.position_ids": np.arange(18)[None],
        "cls.predictions.transform.dense.weight": np.zeros((24, 24), np.float32),
        "cls.seq_relationship.bias": np.zeros(2, np.float32),
    }
    found = fill({**old, **extra}, wanted, spec.tables(), called="old", blocks=("backbone",))
    expected = fill(plain, wanted, spec.tables(), called="plain", blocks=("backbone",))
    assert set(found.dropped) == {*extra, "bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert found.arrays.keys() == expected.arrays.keys() == wanted.keys()
    for path, value in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[path], value)


def test_a_model_for_training_reads_token_ids():
    model = build_model(Bert(**SMALL), (8,), 3, rngs=nnx.Rngs(0))
    model.eval()
    assert jax.eval_shape(model, ids(2, 8)).logits.shape == (2, 3)


def test_mistakes_are_told():
    with pytest.raises(UsageError, match=r"reads token ids \[n, length\]; one of these inputs has shape \(8, 8, 3\)"):
        Bert(**SMALL).build((8, 8, 3), rngs=nnx.Rngs(0))
    with pytest.raises(UsageError, match="texts of 1 to 16 tokens; these have 17"):
        Roberta(**SMALL).build((17,), rngs=nnx.Rngs(0))
    with pytest.raises(UsageError, match="width must be divisible by heads, got 24 and 5"):
        Bert(**{**SMALL, "heads": 5})
    with pytest.raises(UnknownNameError, match="no pooling 'max'"):
        Bert(pooling="max")
    with pytest.raises(UnknownNameError, match=r"no activation 'gelu_fast'\..*'gelu'"):
        Bert(activation="gelu_fast")
    with pytest.raises(TypeError, match=r"token ids, integers \[n, length\], got float32 of shape \(2, 8\)"):
        small()(jnp.zeros((2, 8)))


def test_features_of_many_texts_are_those_of_each(monkeypatch):
    monkeypatch.setattr("tladapt.models.text_features._STEP", 9)
    spec = Bert(**SMALL)
    model = PretrainedModel(spec, small(), None, TextPreprocessing())
    model.train()  # dropout must not matter
    rows = np.asarray(ids(11, 18, seed=1)).copy()
    for row, length in zip(rows, np.random.default_rng(0).integers(0, 19, 11), strict=True):
        row[length:] = 0
    found = features_of_texts(model, rows, batch_size=4)
    assert found.dtype == np.float32
    model.eval()
    np.testing.assert_allclose(found, features(model.backbone, jnp.asarray(rows)), rtol=1e-4, atol=1e-5)
    image = BACKBONES["squeezenet1_1"]()
    with pytest.raises(UsageError, match="needs a text network"):
        features_of_texts(PretrainedModel(image, nnx.Module(), None, TextPreprocessing()), rows)
