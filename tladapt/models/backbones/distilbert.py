"""DistilBERT."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
from flax import nnx

from tladapt.models.backbones.base import BACKBONES
from tladapt.models.backbones.published import Chain, variants
from tladapt.models.backbones.text import TextClassifier, TextEncoder, TextNetwork, norm_rules
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Rule, Table, linear


@BACKBONES.register("distilbert")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DistilBert(TextEncoder):
    """DistilBERT: half of BERT's layers, no embedding of segments; features are the mean over the tokens of a text.

    Sentence classifiers that were published with it read `pooling="cls"`. The stages are "embeddings", "layer.0",
    "layer.1", ..., "pool".

    Source: Sanh, Debut, Chaumond, Wolf, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and
    lighter", 2019, arXiv 1910.01108.
    """

    name: ClassVar[str] = "distilbert"
    summary: ClassVar[str] = "DistilBERT of any size, for token ids; a config.json beside the weights sets the sizes"

    layers: int = 6
    """Number of transformer blocks."""
    classifier_dropout: float = 0.2
    """Share of its inputs that the published classifier drops while training, in [0, 1)."""

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return TextNetwork(self, types=0, drops_attention=False, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        at = r"(?:distilbert\.)?"
        layer = rf"{at}transformer\.layer\.(\d+)"
        rules = [
            Rule(rf"{at}embeddings\.(word|position)_embeddings\.weight", r"embeddings/\1/embedding"),
            *norm_rules(rf"{at}embeddings\.LayerNorm", "embeddings/norm"),
            *(
                rule
                for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value"), ("out", "out"))
                for rule in linear(rf"{layer}\.attention\.{theirs}_lin", rf"layer/\1/attention/{ours}")
            ),
            *norm_rules(rf"{layer}\.sa_layer_norm", r"layer/\1/attention_norm"),
            *linear(rf"{layer}\.ffn\.lin1", r"layer/\1/inner"),
            *linear(rf"{layer}\.ffn\.lin2", r"layer/\1/output"),
            *norm_rules(rf"{layer}\.output_layer_norm", r"layer/\1/output_norm"),
        ]
        drop = [r"vocab_(transform|layer_norm|projector)\..*", r"qa_outputs\..*"]
        if self.pooling == "pooler":
            rules += linear(rf"{at}pooler\.dense", "pool/dense")
        head = [*linear("pre_classifier", "dense"), *linear("classifier", "")]
        if self.pooling != "cls":
            head, drop = [], [*drop, r"(pre_)?classifier\..*"]
        return (Table(name="transformers", backbone=tuple(rules), classifier=tuple(head), drop=tuple(drop)),)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        activation = jax.nn.relu if self.pooling == "cls" else None
        return TextClassifier(features, classes, activation=activation, dropout=self.classifier_dropout, rngs=rngs)


variants(
    DistilBert,
    {
        "distilbert-base-uncased": {"vocabulary": 30522},
        "distilbert-base-cased": {"vocabulary": 28996},
        "distilbert-base-multilingual-cased": {"vocabulary": 119547},
    },
    "DistilBERT with {layers} layers of width {width} and {vocabulary} tokens",
)
register(
    *(
        PublishedWeights(
            name=f"distilbert/{name}",
            backbone=name,
            file="model.safetensors",
            hub=f"distilbert/{name}",
            preprocessing=TextPreprocessing(),
            licence="Apache-2.0",
            source="Sanh et al.'s weights",
        )
        for name in ("distilbert-base-uncased", "distilbert-base-cased", "distilbert-base-multilingual-cased")
    )
)
