"""What networks that read texts have in common: embeddings, post-norm transformer blocks, pooling of tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UnknownNameError, UsageError
from tladapt.models.attention import SelfAttention
from tladapt.models.backbones.base import BACKBONES, check_positive, check_rate
from tladapt.models.backbones.published import Chain, Published, Stage
from tladapt.models.backbones.text_config import CONFIG_FILES, SIZES, read_config
from tladapt.models.layers import Linear
from tladapt.models.normalization import LayerNorm
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.tokenizers import TOKENIZER_FILES, TextPreprocessing
from tladapt.models.weights.table import Rule, linear
from tladapt.registry import suggest

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}
"""Activations between the two layers of a block, by transformers' names: "gelu" is the exact one, by the error
function."""

POOLINGS = ("mean", "cls", "pooler")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextEncoder(Published):
    """A transformer encoder over token ids `[n, length]`, int32; positions that hold `pad_id` are masked."""

    dtype: ClassVar[str] = "int32"
    normalize: ClassVar[str] = "none"  # type: ignore[misc]  # an option of images; token ids are read as they are
    published_classes: ClassVar[int] = 0
    companions: ClassVar[tuple[str, ...]] = (*CONFIG_FILES, *TOKENIZER_FILES)

    vocabulary: int = 30522
    """How many tokens there are."""
    width: int = 768
    """Width of the hidden states."""
    layers: int = 12
    """Number of transformer blocks."""
    heads: int = 12
    """Attention heads of a block."""
    inner: int = 3072
    """Width between the two linear layers of a block."""
    positions: int = 512
    """How many positions have an embedding; the longest text has as many tokens."""
    activation: str = "gelu"
    """Between those layers: gelu (exact), gelu_new or gelu_pytorch_tanh (approximate), or relu."""
    epsilon: float = 1e-12
    """Added to the variance in layer normalisation."""
    pad_id: int = 0
    """The token that fills up short texts; it is never read."""
    dropout: float = 0.1
    """Share of the hidden states that is dropped while training, in [0, 1)."""
    attention_dropout: float = 0.1
    """Share of the attention weights that is dropped while training, in [0, 1)."""
    pooling: str | None = None
    """How tokens become features: mean over those that are not masked, cls (the first token), or pooler (a layer with
    tanh over the first token, which sentence classifiers of BERT stand on). None: as the files beside the weights say,
    else mean."""
    unit_norm: bool | None = None
    """Whether features are scaled to Euclidean norm 1, as sentence-transformers does. None: as the files beside the
    weights say, else not."""
    classifier_dropout: float = 0.1
    """Share of its inputs that the published classifier drops while training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_positive(
            self.name,
            vocabulary=self.vocabulary,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            inner=self.inner,
            positions=self.positions,
        )
        for rate in (self.dropout, self.attention_dropout, self.classifier_dropout):
            check_rate(self.name, rate)
        for kind, value, known in (
            ("activation", self.activation, ACTIVATIONS),
            ("pooling", self.pooling or "mean", POOLINGS),
        ):
            if value not in known:
                raise UnknownNameError(f"backbone {self.name!r} has no {kind} {value!r}.{suggest(value, known)}")
        if self.width % self.heads:
            raise UsageError(
                f"backbone {self.name!r}: width must be divisible by heads, got {self.width} and {self.heads}."
            )

    @property
    def longest(self) -> int:
        """The number of tokens of the longest text."""
        return self.positions

    def configured(self, folder: Path) -> Published:
        """Return this backbone with the options that config.json in a folder gives; those that were chosen stay.

        Raises:
          UsageError: for a folder of another architecture; and of other sizes, where this one has sizes of its own
            ("bert-base-uncased", not "bert").
        """
        if not (folder / "config.json").exists():
            return self
        told = read_config(folder)
        general = BACKBONES[told.backbone]
        if not isinstance(self, general):
            raise UsageError(f"the weights in {folder} are of {told.backbone!r}, and the backbone is {self.name!r}.")
        usual = type(self)()
        asked = {name: value for name, value in told.fields.items() if getattr(self, name) == getattr(usual, name)}
        other = [name for name in SIZES if name in asked and asked[name] != getattr(usual, name)]
        if other and type(self) is not general:
            raise UsageError(
                f"the weights in {folder} do not have the size of {self.name!r}:"
                f" {', '.join(f'{name} {asked[name]}, not {getattr(usual, name)}' for name in other)}. Name the"
                f" backbone {told.backbone!r}, which takes its sizes from the folder."
            )
        return dataclasses.replace(self, **asked)

    def reads(
        self, known: Preprocessing | TextPreprocessing | None, folder: Path | None
    ) -> Preprocessing | TextPreprocessing:
        """Return how texts become token ids: of the length, and by the tokenizer, that lie beside the weights."""
        if not isinstance(known, TextPreprocessing):
            told = read_config(folder) if folder is not None and (folder / "config.json").exists() else None
            length = TextPreprocessing.length if told is None or told.length is None else told.length
            known = TextPreprocessing(length=min(length, self.longest))
        return dataclasses.replace(known, folder=folder)

    def prepare(self, x: jax.Array) -> jax.Array:
        """Return token ids as they are."""
        return x

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        if len(shape) != 1:
            raise UsageError(
                f"backbone {self.name!r} reads token ids [n, length]; one of these inputs has shape {shape}. A"
                " tokenizer makes them: tladapt.models.Tokenizer."
            )
        if not 1 <= shape[0] <= self.longest:
            raise UsageError(
                f"backbone {self.name!r} reads texts of 1 to {self.longest} tokens; these have {shape[0]}. Encode them"
                f" with length={self.longest} or less."
            )
        network = self.network(shape, rngs=rngs)
        network.remat = self.remat
        return network


class TextNetwork(Chain):
    """The network of a `TextEncoder`: token ids `[n, length]` -> features `[n, width]`.

    It computes in `compute_dtype`; softmax, layer normalisation and pooling are float32 at least.

    Args:
      spec: its options.
      types: how many kinds of segments have an embedding; every token here is of the first. 0: there is none.
      skips: None for positions 0, 1, 2, ...; else tokens that are not padding are at `skips`, `skips` + 1, ..., and
        padding is at `skips` - 1.
      drops_attention: whether what attention gives is dropped at the rate of the hidden states, too.
      rngs: draws the initial parameters, and feeds dropout.
    """

    def __init__(
        self,
        spec: TextEncoder,
        *,
        types: int,
        rngs: nnx.Rngs,
        skips: int | None = None,
        drops_attention: bool = True,
    ):
        self.pad_id, self.out_features = spec.pad_id, spec.width
        self.embeddings = TextEmbeddings(spec, types=types, skips=skips, rngs=rngs)
        self.layer = nnx.List([TextLayer(spec, drops_attention=drops_attention, rngs=rngs) for _ in range(spec.layers)])
        self.pool = Pooler(spec.width, spec.pooling or "mean", unit_norm=bool(spec.unit_norm), rngs=rngs)

    def beside(self, x: jax.Array) -> tuple[jax.Array, ...]:
        """Return the mask `[n, length]` of token ids: 1 for tokens, 0 for padding, in the dtype to compute in."""
        return ((x != self.pad_id).astype(self.compute_dtype),)

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "embeddings", self.embeddings
        for i, layer in enumerate(self.layer):
            yield f"layer.{i}", layer
        yield "pool", self.pool


class Embedding(nnx.Module):
    """Rows of a table by integers; an integer that has no row gives NaN, which no run overlooks.

    Args:
      rows: number of rows.
      features: width of a row.
      rngs: draws the table, normal with deviation 0.02.
    """

    def __init__(self, rows: int, features: int, *, rngs: nnx.Rngs):
        self.embedding = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (rows, features), jnp.float32))

    def __call__(self, ids: jax.Array) -> jax.Array:
        return jnp.take(self.embedding[...], ids, axis=0, mode="fill", fill_value=jnp.nan)


class TextEmbeddings(nnx.Module):
    """Embeddings of tokens, of their positions and of the segment, added up and normalised: see `TextNetwork`."""

    def __init__(self, spec: TextEncoder, *, types: int, skips: int | None, rngs: nnx.Rngs):
        self.skips = skips
        self.word = Embedding(spec.vocabulary, spec.width, rngs=rngs)
        self.position = Embedding(spec.positions, spec.width, rngs=rngs)
        self.type = Embedding(types, spec.width, rngs=rngs) if types else nnx.data(None)
        self.norm = LayerNorm(spec.width, epsilon=spec.epsilon)
        self.dropout = nnx.Dropout(spec.dropout, rngs=rngs) if spec.dropout else nnx.data(None)

    def __call__(self, ids: jax.Array, mask: jax.Array) -> jax.Array:
        if not jnp.issubdtype(ids.dtype, jnp.integer) or ids.ndim != 2:
            raise TypeError(
                f"text networks read token ids, integers [n, length], got {ids.dtype} of shape {ids.shape}."
            )
        x = self.word(ids)  # [n, length, d]
        if self.type is not None:
            x = x + self.type.embedding[0][None, None, :]
        x = x + self.position(self._positions(mask))
        x = self.norm(x.astype(mask.dtype))
        return x if self.dropout is None else self.dropout(x)

    def _positions(self, mask: jax.Array) -> jax.Array:
        if self.skips is None:
            return jnp.arange(mask.shape[1])[None, :]  # [1, length]
        there = mask.astype(jnp.int32)
        return jnp.cumsum(there, axis=1) * there + (self.skips - 1)  # [n, length]


class TextLayer(nnx.Module):
    """A post-norm transformer block: `x = norm(x + attention(x)); x = norm(x + output(activation(inner(x))))`."""

    def __init__(self, spec: TextEncoder, *, drops_attention: bool, rngs: nnx.Rngs):
        self.attention = SelfAttention(spec.width, spec.heads, dropout=spec.attention_dropout, rngs=rngs)
        self.attention_norm = LayerNorm(spec.width, epsilon=spec.epsilon)
        self.inner = Linear(spec.width, spec.inner, rngs=rngs)
        self.output = Linear(spec.inner, spec.width, rngs=rngs)
        self.output_norm = LayerNorm(spec.width, epsilon=spec.epsilon)
        self.dropout = nnx.Dropout(spec.dropout, rngs=rngs) if spec.dropout else nnx.data(None)
        self.activation, self.drops_attention = spec.activation, drops_attention

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Return `[n, length, d]` of hidden states `[n, length, d]` and a mask `[n, length]`."""
        attended = self.attention(x, mask > 0.0)
        x = self.attention_norm(x + (self._drop(attended) if self.drops_attention else attended))
        y = self.output(ACTIVATIONS[self.activation](self.inner(x)))
        return self.output_norm(x + self._drop(y))

    def _drop(self, x: jax.Array) -> jax.Array:
        return x if self.dropout is None else self.dropout(x)


class Pooler(nnx.Module):
    """Features `[n, d]` of hidden states `[n, length, d]`: their mean over tokens, the first one, or a layer over it.

    Args:
      features: width d.
      kind: "mean", "cls" or "pooler".
      unit_norm: whether features are divided by their Euclidean norm.
      rngs: draws the layer of "pooler".
    """

    def __init__(self, features: int, kind: str, *, unit_norm: bool, rngs: nnx.Rngs):
        self.kind, self.unit_norm = kind, unit_norm
        self.dense = Linear(features, features, rngs=rngs) if kind == "pooler" else nnx.data(None)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        wide = x if x.dtype == jnp.float64 else x.astype(jnp.float32)
        if self.kind == "mean":
            there = mask.astype(wide.dtype)
            pooled = (wide * there[:, :, None]).sum(1) / jnp.maximum(there.sum(1), 1.0)[:, None]  # [n, d]
        else:
            pooled = wide[:, 0]
        if self.dense is not None:
            pooled = jnp.tanh(self.dense(pooled))
        if self.unit_norm:  # the least norm keeps gradients finite where all features are 0
            pooled = pooled * jax.lax.rsqrt(jnp.maximum(jnp.square(pooled).sum(-1, keepdims=True), 1e-24))
        return pooled.astype(x.dtype)


class TextClassifier(Linear):
    """The classifier of sentences: features `[n, d]` -> logits `[n, C]`, with a hidden layer where it has one.

    Args:
      features: width d.
      classes: number C.
      activation: of the hidden layer, as wide as the features; None: there is none.
      dropout: share of the input of the last layer that is dropped while training, in [0, 1).
      drops_features: whether the input of the hidden layer is dropped at that rate, too.
      rngs: draws the initial parameters, and feeds dropout.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        *,
        activation: Callable[[jax.Array], jax.Array] | None = None,
        dropout: float,
        drops_features: bool = False,
        rngs: nnx.Rngs,
    ):
        super().__init__(features, classes, rngs=rngs)
        self.dense = Linear(features, features, rngs=rngs) if activation is not None else nnx.data(None)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else nnx.data(None)
        self.activation, self.drops_features = activation, drops_features

    def __call__(self, x: jax.Array) -> jax.Array:
        if self.dense is not None and self.activation is not None:
            x = self.activation(self.dense(self._drop(x) if self.drops_features else x))
        return super().__call__(self._drop(x))

    def _drop(self, x: jax.Array) -> jax.Array:
        return x if self.dropout is None else self.dropout(x)


def encoder_rules(prefix: str) -> list[Rule]:
    r"""Return the rules of BERT's names in transformers, with or without "prefix." before them.

    Old files call the scale and bias of a layer normalisation "gamma" and "beta".
    """
    at = rf"(?:{prefix}\.)?"
    rules = [
        Rule(rf"{at}embeddings\.(word|position)_embeddings\.weight", r"embeddings/\1/embedding"),
        Rule(rf"{at}embeddings\.token_type_embeddings\.weight", "embeddings/type/embedding"),
        *norm_rules(rf"{at}embeddings\.LayerNorm", "embeddings/norm"),
    ]
    layer = rf"{at}encoder\.layer\.(\d+)"
    return [
        *rules,
        *linear(rf"{layer}\.attention\.self\.(query|key|value)", r"layer/\1/attention/\2"),
        *linear(rf"{layer}\.attention\.output\.dense", r"layer/\1/attention/out"),
        *norm_rules(rf"{layer}\.attention\.output\.LayerNorm", r"layer/\1/attention_norm"),
        *linear(rf"{layer}\.intermediate\.dense", r"layer/\1/inner"),
        *linear(rf"{layer}\.output\.dense", r"layer/\1/output"),
        *norm_rules(rf"{layer}\.output\.LayerNorm", r"layer/\1/output_norm"),
    ]


def norm_rules(pattern: str, path: str) -> list[Rule]:
    """Return the rules of a layer normalisation by PyTorch's names and by TensorFlow's."""
    return [Rule(rf"{pattern}\.(?:weight|gamma)", f"{path}/scale"), Rule(rf"{pattern}\.(?:bias|beta)", f"{path}/bias")]
