"""Text networks from folders as they are published: config.json, the weights, the tokenizer's files."""

from __future__ import annotations

import json
import pathlib
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from tests.models import golden
from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UnknownNameError, UsageError
from tladapt.models import TextPreprocessing, Tokenizer, pretrained
from tladapt.models.backbones import Bert, Roberta, spec_from_config
from tladapt.models.weights.packages import find_in_package

CONFIG = {
    "vocab_size": 97,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 18,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "cafe", "sat", "##s", ".", "!", "re", "##sume"]


def write(folder, name, content):
    path = pathlib.Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def filled_folder(folder, name, **config):
    """Make a folder with the weights of a golden file; return the arrays of that file, and what it is about."""
    arrays, about = golden.load(name)
    tensors = {key: golden.seeded(key, tuple(shape)) for key, shape in about["tensors"].items()}
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    write(folder, "config.json", {**CONFIG, **config})
    return arrays, jnp.asarray(golden.inputs(about["input"], pad=about["pad"]))


@pytest.mark.parametrize(
    ("backbone", "config"),
    [
        ("bert", {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}),
        pytest.param(
            "roberta",
            {
                "model_type": "roberta",
                "architectures": ["RobertaForSequenceClassification"],
                "type_vocab_size": 1,
                "layer_norm_eps": 1e-5,
                "pad_token_id": 1,
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_published_classifier_gives_its_logits(tmp_path, backbone, config):
    arrays, x = filled_folder(tmp_path, f"{backbone}_classifier", **config)
    model = pretrained(backbone, tmp_path)
    assert model.spec.layers == 2 and model.spec.pooling == {"bert": "pooler", "roberta": "cls"}[backbone]
    features, logits = nnx.jit(lambda model, x: model(x))(model, x)
    assert golden.closeness(features, arrays["features"]) < 1e-4
    assert golden.closeness(logits, arrays["logits"]) < 1e-4
    other = pretrained(backbone, tmp_path, classes=7)
    assert "does not fit" in other.notes[0] and other.classifier.kernel.shape == (24, 7)


def test_what_was_chosen_stays(tmp_path):
    filled_folder(tmp_path, "bert_mean", model_type="bert", hidden_act="gelu_new", hidden_dropout_prob=0.3)
    write(tmp_path, "modules.json", [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}])
    write(tmp_path, "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    spec = pretrained("bert", tmp_path).spec
    assert (spec.activation, spec.dropout, spec.pooling, spec.unit_norm) == ("gelu_new", 0.3, "cls", False)
    spec = pretrained("bert", tmp_path, pooling="mean", dropout=0.0, unit_norm=True).spec
    assert (spec.activation, spec.dropout, spec.pooling, spec.unit_norm) == ("gelu_new", 0.0, "mean", True)
    with pytest.raises(UsageError, match=r"size of 'bert-mini': vocabulary 97, not 30522, width 24, not 256"):
        pretrained("bert-mini", tmp_path)
    with pytest.raises(UsageError, match="are of 'bert', and the backbone is 'roberta'"):
        pretrained("roberta", tmp_path)


def test_configs(tmp_path):
    write(tmp_path, "config.json", {**CONFIG, "model_type": "xlm-roberta", "pad_token_id": 1, "layer_norm_eps": 1e-5})
    sizes = dict(vocabulary=97, width=24, layers=2, heads=4, inner=40, positions=18)
    assert spec_from_config(tmp_path) == Roberta(**sizes)
    write(tmp_path, "bert/config.json", {**CONFIG, "model_type": "bert"})
    assert spec_from_config(tmp_path / "bert" / "config.json") == Bert(**sizes)
    for change, error, words in (
        ({"model_type": "albert"}, UnknownNameError, r"model_type 'albert'.*'bert'"),
        ({"position_embedding_type": "relative_key"}, UsageError, "only 'absolute'"),
        ({"is_decoder": True}, UsageError, "of a decoder"),
        ({"hidden_act": "swish"}, UnknownNameError, "no activation 'swish'"),
    ):
        write(tmp_path, "config.json", {**CONFIG, "model_type": "bert", **change})
        with pytest.raises(error, match=words):
            spec_from_config(tmp_path)
    write(tmp_path, "config.json", "{")
    with pytest.raises(DamagedDataError, match=r"config\.json cannot be read"):
        spec_from_config(tmp_path)
    with pytest.raises(MissingDataError, match=r"No .*nowhere.* put it into the same folder"):
        spec_from_config(tmp_path / "nowhere" / "config.json")


@pytest.mark.parametrize(
    ("modules", "pooling", "words"),
    [
        (["Transformer", "Pooling", "Dense"], {"pooling_mode_mean_tokens": True}, "a module 'Dense'"),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "asks for pooling_mode_max_tokens; supported"),
    ],
)
def test_sentence_encoders_that_compute_something_else(tmp_path, modules, pooling, words):
    write(tmp_path, "config.json", {**CONFIG, "model_type": "bert"})
    write(tmp_path, "modules.json", [{"type": f"st.models.{kind}", "path": kind} for kind in modules])
    write(tmp_path, "Pooling/config.json", pooling)
    with pytest.raises(UsageError, match=words):
        spec_from_config(tmp_path)


def test_weights_in_a_package(tmp_path, monkeypatch):
    filled_folder(tmp_path / "carries_bert" / "model", "bert_mean", model_type="bert", hidden_act="gelu_new")
    write(tmp_path, "carries_bert/__init__.py", "raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_in_package("carries-bert") == tmp_path / "carries_bert" / "model"
    assert find_in_package("json") is None and find_in_package("owner/name") is None
    for name in ("carries_bert", "package:carries-bert"):
        assert pretrained("bert", name).spec.width == 24
    assert "carries_bert" not in sys.modules
    with pytest.raises(MissingPackageError, match=r"No installed package 'json' carries weights .*pip install json"):
        find_in_package("package:json")
    write(tmp_path, "carries_bert/other/pytorch_model.bin", "")
    with pytest.raises(UsageError, match="has weights in 2 folders"):
        find_in_package("carries_bert")


def test_files_beside_weights_of_the_hub_are_fetched(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install 'tladapt[hub]'")
    from huggingface_hub import errors

    from tladapt.models.weights.hub import fetch_beside

    asked, reason = [], [""]
    monkeypatch.setattr("tladapt.models.weights.hub._out_of_reach", lambda: reason[0])

    class Missing(errors.EntryNotFoundError):
        def __init__(self):
            pass

    def download(repository, file, revision, endpoint):
        asked.append((repository, file, revision))
        if file == "modules.json":
            raise Missing
        if file == "vocab.txt":
            raise OSError("unreachable")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    path = tmp_path / "models--owner--na--me" / "snapshots" / "abc" / "model.safetensors"
    write(path.parent, "config.json", {})
    fetch_beside(path, ["config.json", "modules.json", "tokenizer.json", "vocab.txt", "merges.txt"])
    assert asked == [("owner/na--me", file, "abc") for file in ("modules.json", "tokenizer.json", "vocab.txt")]
    fetch_beside(tmp_path / "model.safetensors", ["config.json"])
    reason[0] = "no connection"
    fetch_beside(path, ["tokenizer.json"])  # the hub's package would try for half a minute
    assert len(asked) == 3


class TestTokenizers:
    @pytest.fixture(autouse=True)
    def package(self):
        pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install 'tladapt[text]'")

    def test_word_pieces(self, tmp_path):
        write(tmp_path, "vocab.txt", "\n".join(WORDS) + "\n")
        tokenizer = Tokenizer.from_folder(tmp_path)
        assert tokenizer.vocabulary == len(WORDS) and tokenizer.pad_id == 0
        ids = tokenizer.encode(["The cats  sat.", "Café résumé!", "dogs", ""], 7)
        assert ids.dtype == np.int32
        shown = [" ".join(tokenizer.tokens(row)).replace(" [PAD]", "") for row in ids]
        assert shown == [
            "[CLS] the cat ##s sat . [SEP]",
            "[CLS] cafe re ##sume ! [SEP]",
            "[CLS] [UNK] [SEP]",
            "[CLS] [SEP]",
        ]
        np.testing.assert_array_equal(tokenizer.encode(["The cats sat."], 5), [[2, 5, 6, 9, 3]])
        np.testing.assert_array_equal(tokenizer.encode(["The cats sat."], 9)[:, 7:], 0)

    def test_capitals(self, tmp_path):
        write(tmp_path, "vocab.txt", "\n".join([*WORDS, "The"]))
        assert Tokenizer.from_folder(tmp_path).tokens([14, 5]) == ["The", "the"]
        np.testing.assert_array_equal(Tokenizer.from_folder(tmp_path).encode(["The the"], 4), [[2, 14, 5, 3]])
        write(tmp_path, "tokenizer_config.json", {"do_lower_case": True})
        np.testing.assert_array_equal(Tokenizer.from_folder(tmp_path).encode(["The the"], 4), [[2, 5, 5, 3]])

    def test_byte_level(self, tmp_path):
        words = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "Ġ", "ab", "Ġab", "<mask>"]
        write(tmp_path, "vocab.json", {word: place for place, word in enumerate(words)})
        write(tmp_path, "merges.txt", "#version: 0.2\na b\nĠ ab\n")
        tokenizer = Tokenizer.from_folder(tmp_path)
        np.testing.assert_array_equal(tokenizer.encode(["ab abb"], 7), [[0, 7, 8, 5, 2, 1, 1]])
        tokenizer._inner.save(str(tmp_path / "tokenizer.json"))
        again = Tokenizer.from_folder(tmp_path)
        assert again.pad_id == 1
        np.testing.assert_array_equal(again.encode(["ab abb"], 7), [[0, 7, 8, 5, 2, 1, 1]])

    def test_mistakes_are_told(self, tmp_path, monkeypatch):
        with pytest.raises(MissingDataError, match=r"needs tokenizer\.json, or vocab\.txt, or vocab\.json and merges"):
            Tokenizer.from_folder(tmp_path)
        write(tmp_path, "vocab.txt", "\n".join(WORDS))
        tokenizer = Tokenizer.from_folder(tmp_path)
        with pytest.raises(UsageError, match=r"a sequence of texts, got 'one'.* \[text\]"):
            tokenizer.encode("one", 8)
        with pytest.raises(UsageError, match="length must be above 2"):
            tokenizer.encode(["one"], 2)
        write(tmp_path, "tokenizer.json", "{")
        with pytest.raises(DamagedDataError, match="cannot be read"):
            Tokenizer.from_folder(tmp_path)
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(MissingPackageError, match=r"pip install 'tladapt\[text\]'"):
            Tokenizer.from_folder(tmp_path)

    def test_a_model_reads_texts(self, tmp_path):
        filled_folder(tmp_path, "bert_mean", model_type="bert", hidden_act="gelu_new")
        write(tmp_path, "vocab.txt", "\n".join(WORDS))
        model = pretrained("bert", tmp_path, unit_norm=True)
        x = model.preprocess(["the cat sat .", "a"])
        assert x.shape == (2, 18) and x.dtype == jnp.int32  # no more positions than it has
        np.testing.assert_allclose(
            np.linalg.norm(nnx.jit(lambda model, x: model.features(x))(model, x), axis=1), 1.0, rtol=1e-5
        )
        with pytest.raises(UsageError, match="came without a folder"):
            TextPreprocessing()(["the"])
