"""Options of text networks from the files that are published beside their weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.registry import suggest

CONFIG_FILES = ("config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json")
"""What is read beside weights, where it is there."""
SIZES = ("vocabulary", "width", "layers", "heads", "inner", "positions", "types")
"""Fields that decide the shapes of arrays."""

_BERT = {
    "vocab_size": "vocabulary",
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "inner",
    "max_position_embeddings": "positions",
    "type_vocab_size": "types",
    "hidden_act": "activation",
    "layer_norm_eps": "epsilon",
    "pad_token_id": "pad_id",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "classifier_dropout",
}
_DISTILBERT = {
    "vocab_size": "vocabulary",
    "dim": "width",
    "n_layers": "layers",
    "n_heads": "heads",
    "hidden_dim": "inner",
    "max_position_embeddings": "positions",
    "activation": "activation",
    "pad_token_id": "pad_id",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "seq_classif_dropout": "classifier_dropout",
}
_KINDS = {  # model_type -> our backbone, names of its options, what its published classifiers of sentences read
    "bert": ("bert", _BERT, "pooler"),
    "roberta": ("roberta", _BERT, "cls"),
    "xlm-roberta": ("roberta", _BERT, "cls"),
    "camembert": ("roberta", _BERT, "cls"),
    "distilbert": ("distilbert", _DISTILBERT, "cls"),
}
_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_MODULES = ("Transformer", "Pooling", "Normalize")


class Told(NamedTuple):
    """What a folder of weights says about its network.

    Attributes:
      backbone: the name of the architecture.
      fields: its options.
      length: tokens of the longest text that it was meant for; None where the files do not say.
    """

    backbone: str
    fields: dict[str, Any]
    length: int | None


def read_config(path: str | os.PathLike[str]) -> Told:
    """Return what config.json says, as transformers writes it, and the files of sentence-transformers beside it.

    The pooling is that of sentence-transformers where the folder is one of theirs, that of transformers' classifiers
    where the weights are of one, and else is not said.

    Args:
      path: config.json, or the folder that holds it.

    Raises:
      MissingDataError, DamagedDataError: there is none, or it cannot be read.
      UsageError: it is of a network that is not among ours, or that computes something else.
    """
    place = Path(path).expanduser()
    place = place / "config.json" if place.is_dir() else place
    config = _json(place)
    kind = config.get("model_type")
    if kind not in _KINDS:
        raise UnknownNameError(f"{place} is of model_type {kind!r}.{suggest(str(kind), _KINDS)}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise UsageError(
            f"{place}: position_embedding_type {config['position_embedding_type']!r} is not supported, only 'absolute'."
        )
    if config.get("is_decoder"):
        raise UsageError(f"{place} is of a decoder, which reads backwards only; text networks here read both ways.")
    backbone, names, pooling = _KINDS[kind]
    fields = {ours: config[theirs] for theirs, ours in names.items() if config.get(theirs) is not None}
    if any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
        fields["pooling"] = pooling
    folder, length = place.parent, None
    if (folder / "modules.json").exists():
        fields |= _sentence_pooling(folder)
    if (folder / "sentence_bert_config.json").exists():
        length = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    return Told(backbone, fields, length)


def spec_from_config(path: str | os.PathLike[str]) -> Backbone:
    """Return the text network that a config.json (or the folder that holds it) is of; raises as `read_config` does."""
    told = read_config(path)
    return BACKBONES[told.backbone](**told.fields)


def _sentence_pooling(folder: Path) -> dict[str, Any]:
    modules = _json(folder / "modules.json")
    kinds = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in modules}
    if other := [kind for kind in kinds if kind not in _MODULES]:
        raise UsageError(
            f"{folder / 'modules.json'} has a module {other[0]!r}, which is not supported; {', '.join(_MODULES)} are."
        )
    fields: dict[str, Any] = {"unit_norm": "Normalize" in kinds}
    if "Pooling" in kinds:
        place = folder / kinds["Pooling"] / "config.json"
        chosen = [mode for mode, on in _json(place).items() if mode.startswith("pooling_mode_") and on is True]
        if len(chosen) != 1 or chosen[0] not in _POOLINGS:
            raise UsageError(
                f"{place} asks for {', '.join(chosen) or 'no pooling'}; supported: {', '.join(_POOLINGS)}."
            )
        fields["pooling"] = _POOLINGS[chosen[0]]
    return fields


def _json(path: Path) -> Any:
    if not path.exists():
        raise MissingDataError(f"No {path}. It is published beside the weights: put it into the same folder.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedDataError(f"{path} cannot be read: {error}") from error
