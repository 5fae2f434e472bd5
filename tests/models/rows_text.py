"""Reference networks: transformers that read texts. Their last input is half padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.models.row import Row

_SIZES = {"vocabulary": 97, "width": 24, "layers": 2, "heads": 4, "inner": 40, "positions": 18}
_THEIRS = {
    "vocab_size": 97,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 18,
    "hidden_dropout_prob": 0.0,  # eager attention has no module for its dropout that could be turned off
    "attention_probs_dropout_prob": 0.0,
}
_DISTILBERT = {
    "vocab_size": 97,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 40,
    "max_position_embeddings": 18,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "seq_classif_dropout": 0.0,
}


def transformers(network: str, **options: Any) -> Callable[[], Any]:
    def create() -> Any:
        import transformers

        kind = getattr(transformers, network)
        return kind(kind.config_class(**options, attn_implementation="eager"))

    return create


def mask(module: Any, x: Any) -> Any:
    return (x != module.config.pad_token_id).long()


def hidden(module: Any, x: Any) -> Any:
    return module.base_model(x, attention_mask=mask(module, x)).last_hidden_state


def first(module: Any, x: Any) -> Any:
    return hidden(module, x)[:, 0]


def pooler(module: Any, x: Any) -> Any:
    return module.base_model(x, attention_mask=mask(module, x)).pooler_output


def mean_of_norm_1(module: Any, x: Any) -> Any:
    there = mask(module, x)[..., None]
    mean = (hidden(module, x) * there).sum(1) / there.sum(1)
    return mean / mean.norm(dim=1, keepdim=True)


def logits(module: Any, x: Any) -> Any:
    return module(x, attention_mask=mask(module, x)).logits


_GRADIENTS = {
    "embeddings.word_embeddings.weight": "backbone/embeddings/word/embedding",
    "embeddings.position_embeddings.weight": "backbone/embeddings/position/embedding",
    "encoder.layer.0.attention.self.key.weight": "backbone/layer/0/attention/key/kernel",
    "encoder.layer.0.intermediate.dense.weight": "backbone/layer/0/inner/kernel",
    "encoder.layer.1.output.LayerNorm.weight": "backbone/layer/1/output_norm/scale",
}
_STAGES = ("embeddings", "layer.0", "layer.1")

ROWS: dict[str, Row] = {
    "bert_classifier": Row(
        backbone="bert",
        library="transformers",
        make=transformers("BertForSequenceClassification", num_labels=5, **_THEIRS),
        features=pooler,
        logits=logits,
        input=(3, 12),
        classes=5,
        options={**_SIZES, "pooling": "pooler"},
        stages=_STAGES,
        gradients={
            **{f"bert.{theirs}": ours for theirs, ours in _GRADIENTS.items()},
            "bert.pooler.dense.weight": "backbone/pool/dense/kernel",
            "classifier.weight": "classifier/kernel",
        },
    ),
    "bert_mean": Row(
        backbone="bert",
        library="transformers",
        make=transformers("BertModel", hidden_act="gelu_new", **_THEIRS),
        features=mean_of_norm_1,
        logits=None,
        input=(3, 18),
        classes=0,
        options={**_SIZES, "activation": "gelu_new", "unit_norm": True},
        stages=_STAGES,
        gradients=_GRADIENTS,
    ),
    "distilbert_classifier": Row(
        backbone="distilbert",
        library="transformers",
        make=transformers("DistilBertForSequenceClassification", num_labels=5, **_DISTILBERT),
        features=first,
        logits=logits,
        input=(3, 12),
        classes=5,
        options={**_SIZES, "pooling": "cls"},
        stages=_STAGES,
        gradients={
            "distilbert.embeddings.position_embeddings.weight": "backbone/embeddings/position/embedding",
            "distilbert.transformer.layer.0.attention.q_lin.weight": "backbone/layer/0/attention/query/kernel",
            "distilbert.transformer.layer.1.sa_layer_norm.bias": "backbone/layer/1/attention_norm/bias",
            "distilbert.transformer.layer.1.ffn.lin1.weight": "backbone/layer/1/inner/kernel",
            "pre_classifier.weight": "classifier/dense/kernel",
        },
    ),
    "roberta_classifier": Row(
        backbone="roberta",
        library="transformers",
        make=transformers(
            "RobertaForSequenceClassification", num_labels=5, type_vocab_size=1, layer_norm_eps=1e-5, **_THEIRS
        ),
        features=first,
        logits=logits,
        input=(3, 12),
        pad=1,
        classes=5,
        options={**_SIZES, "pooling": "cls"},
        stages=_STAGES,
        gradients={
            **{f"roberta.{theirs}": ours for theirs, ours in _GRADIENTS.items()},
            "classifier.dense.weight": "classifier/dense/kernel",
            "classifier.out_proj.bias": "classifier/bias",
        },
    ),
}
