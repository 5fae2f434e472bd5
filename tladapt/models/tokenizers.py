"""Texts to token ids, by the tokenizers that are published beside weights."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.errors import DamagedDataError, MissingDataError, MissingPackageError, UsageError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
"""What is read beside weights, where it is there."""


class Tokenizer:
    """Texts to token ids, with the special tokens of the model; see `from_folder`.

    Args:
      inner: a `tokenizers.Tokenizer` with its special tokens.
      pad_id: the token that fills up short texts.

    Attributes:
      pad_id: as given.
      vocabulary: number of tokens.
    """

    def __init__(self, inner: Any, *, pad_id: int):
        self._inner, self.pad_id = inner, pad_id
        self.vocabulary = int(inner.get_vocab_size())
        inner.no_padding()

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> Tokenizer:
        """Return the tokenizer whose files lie in a folder, beside the weights.

        tokenizer.json is taken as it is. vocab.txt makes BERT's WordPiece: cleaned, split at blanks, punctuation and
        Chinese characters, and lower-cased without accents where tokenizer_config.json says "do_lower_case"; where it
        says nothing, if no token of the vocabulary has a capital. vocab.json with merges.txt makes RoBERTa's byte-level
        BPE.

        Raises:
          MissingDataError: there is none of these files.
          DamagedDataError: they cannot be read.
          MissingPackageError: the package `tokenizers` is not installed.
        """
        place = Path(folder).expanduser()
        package = _package()
        settings = _settings(place / "tokenizer_config.json")
        try:
            if (place / "tokenizer.json").exists():
                inner = package.Tokenizer.from_file(str(place / "tokenizer.json"))
            elif (place / "vocab.txt").exists():
                inner = _word_piece(package, place / "vocab.txt", settings)
            elif (place / "vocab.json").exists() and (place / "merges.txt").exists():
                inner = _byte_level(package, place)
            else:
                raise MissingDataError(
                    f"No tokenizer in {place}: it needs tokenizer.json, or vocab.txt, or vocab.json and merges.txt."
                    " They are published beside the weights; put them into one folder, and give it as the weights."
                )
        except MissingDataError:
            raise
        except Exception as error:  # the package raises bare Exceptions
            raise DamagedDataError(f"The tokenizer in {place} cannot be read: {error}") from error
        return cls(inner, pad_id=_pad_id(inner, settings, place))

    def encode(self, texts: Sequence[str], length: int) -> np.ndarray:
        """Return token ids `[n, length]`, int32: longer texts are cut at the end, shorter ones filled up with `pad_id`.

        Args:
          texts: n texts.
          length: number of tokens a text, the special ones included.

        Raises:
          UsageError: for what is no sequence of texts, and a length that has no room for a token.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"encode() takes a sequence of texts, got {texts!r:.80}. One text alone: [text].")
        special = self._inner.num_special_tokens_to_add(False)
        if length <= special:
            raise UsageError(f"length must be above {special}, the number of special tokens, got {length}.")
        self._inner.enable_truncation(max_length=length)
        ids = np.full((len(texts), length), self.pad_id, np.int32)
        for row, found in zip(ids, self._inner.encode_batch(list(texts)), strict=True):
            row[: len(found.ids)] = found.ids
        return ids

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Return the tokens of ids, as the vocabulary spells them."""
        return [self._inner.id_to_token(int(one)) for one in ids]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextPreprocessing:
    """How texts become the inputs of a network: token ids of one length."""

    length: int = 256
    """Tokens of a text, the special ones included: longer texts are cut, shorter ones filled up."""
    folder: Path | None = None
    """Where the tokenizer lies; None: nowhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (self.length,)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """What makes the ids; it is read at first use."""
        if self.folder is None:
            raise UsageError(
                "these weights came without a folder, and so without a tokenizer. Make ids with"
                " Tokenizer.from_folder(folder).encode(texts, length)."
            )
        return Tokenizer.from_folder(self.folder)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a backbone that go with it: none."""
        return {}

    def __call__(self, texts: Sequence[str]) -> jax.Array:
        """Return token ids `[n, length]`, int32; raises as `Tokenizer.from_folder` and `Tokenizer.encode` do."""
        return jnp.asarray(self.tokenizer.encode(texts, self.length))


def _package() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingPackageError(
            "reading texts needs the package 'tokenizers'. Install it: pip install 'tladapt[text]'."
        ) from error
    return tokenizers


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedDataError(f"{path} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _pad_id(inner: Any, settings: dict[str, Any], place: Path) -> int:
    """Return the id of the padding: the token that the settings, the tokenizer or custom call so."""
    named = settings.get("pad_token")
    named = named.get("content") if isinstance(named, dict) else named
    if named is None and inner.padding is not None:
        return int(inner.padding["pad_id"])
    for token in (named, "[PAD]", "<pad>"):
        if token is not None and (found := inner.token_to_id(token)) is not None:
            return int(found)
    raise DamagedDataError(
        f"The tokenizer in {place} has no token for padding: neither its tokenizer_config.json nor its vocabulary names"
        " one ([PAD], <pad>)."
    )


def _word_piece(package: Any, path: Path, settings: dict[str, Any]) -> Any:
    lines = path.read_text(encoding="utf-8").split("\n")
    vocabulary = {line.rstrip("\r"): place for place, line in enumerate(lines[:-1] if lines[-1] == "" else lines)}
    lower = settings.get("do_lower_case")
    if lower is None:
        lower = not any(token != token.lower() and not token.startswith("[") for token in vocabulary)
    inner = package.Tokenizer(package.models.WordPiece(vocabulary, unk_token="[UNK]"))
    inner.normalizer = package.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=lower,
    )
    inner.pre_tokenizer = package.pre_tokenizers.BertPreTokenizer()
    inner.add_special_tokens([token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in vocabulary])
    inner.post_processor = package.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    return inner


def _byte_level(package: Any, folder: Path) -> Any:
    inner = package.Tokenizer(package.models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    inner.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = [token for token in ("<s>", "<pad>", "</s>", "<unk>") if inner.token_to_id(token) is not None]
    mask = package.AddedToken("<mask>", lstrip=True)
    inner.add_special_tokens([*special, *([mask] if inner.token_to_id("<mask>") is not None else [])])
    inner.post_processor = package.processors.RobertaProcessing(
        ("</s>", inner.token_to_id("</s>")), ("<s>", inner.token_to_id("<s>")), add_prefix_space=False
    )
    return inner
