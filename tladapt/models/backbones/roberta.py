"""RoBERTa."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx

from tladapt.models.backbones.base import BACKBONES
from tladapt.models.backbones.published import Chain, variants
from tladapt.models.backbones.text import TextClassifier, TextEncoder, TextNetwork, encoder_rules
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Table, linear


@BACKBONES.register("roberta")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Roberta(TextEncoder):
    """RoBERTa: BERT's network, trained longer; positions count from `pad_id` + 1 on, padding excepted.

    Features are the mean of the last hidden states over the tokens of a text. Sentence classifiers that were published
    with it read `pooling="cls"`. The stages are "embeddings", "layer.0", "layer.1", ..., "pool".

    Source: Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach", 2019, arXiv 1907.11692.
    """

    name: ClassVar[str] = "roberta"
    summary: ClassVar[str] = "RoBERTa of any size, for token ids; a config.json beside the weights sets the sizes"

    vocabulary: int = 50265
    """How many tokens there are."""
    positions: int = 514
    """How many positions have an embedding; the first `pad_id` + 1 of them are not for tokens."""
    epsilon: float = 1e-5
    """Added to the variance in layer normalisation."""
    pad_id: int = 1
    """The token that fills up short texts; it is never read."""
    types: int = 1
    """How many kinds of segments have an embedding; all tokens here are of the first."""

    @property
    def longest(self) -> int:
        return self.positions - self.pad_id - 1

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return TextNetwork(self, types=self.types, skips=self.pad_id + 1, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        rules, drop = encoder_rules("roberta"), [r"(?:roberta\.)?embeddings\.(position|token_type)_ids", r"lm_head\..*"]
        if self.pooling == "pooler":
            rules += linear(r"(?:roberta\.)?pooler\.dense", "pool/dense")
        else:
            drop.append(r"(?:roberta\.)?pooler\..*")
        head = [*linear(r"classifier\.dense", "dense"), *linear(r"classifier\.out_proj", "")]
        if self.pooling != "cls":
            head, drop = [], [*drop, r"classifier\..*"]
        return (Table(name="transformers", backbone=tuple(rules), classifier=tuple(head), drop=tuple(drop)),)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return TextClassifier(
            features,
            classes,
            activation=jnp.tanh if self.pooling == "cls" else None,
            dropout=self.classifier_dropout,
            drops_features=True,
            rngs=rngs,
        )


variants(
    Roberta,
    {
        "roberta-base": {},
        "roberta-large": {"layers": 24, "width": 1024, "heads": 16, "inner": 4096},
        "distilroberta-base": {"layers": 6},
        "xlm-roberta-base": {"vocabulary": 250002},
    },
    "RoBERTa with {layers} layers of width {width} and {vocabulary} tokens",
)
register(
    *(
        PublishedWeights(
            name=f"{owner}/{name}",
            backbone=name,
            file="model.safetensors",
            hub=f"{owner}/{name}",
            preprocessing=TextPreprocessing(),
            licence=licence,
            source=source,
        )
        for owner, name, licence, source in (
            ("FacebookAI", "roberta-base", "MIT", "Liu et al.'s weights"),
            ("FacebookAI", "roberta-large", "MIT", "Liu et al.'s weights"),
            ("FacebookAI", "xlm-roberta-base", "MIT", "Conneau et al.'s weights, arXiv 1911.02116: 100 languages"),
            ("distilbert", "distilroberta-base", "Apache-2.0", "RoBERTa distilled as DistilBERT was"),
        )
    )
)
