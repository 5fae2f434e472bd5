"""Features of many texts, short ones with short ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.text import TextNetwork
from tladapt.models.pretrained_model import PretrainedModel

_STEP = 32  # tokens: texts are computed at a multiple of it, each of which is a program to compile


def features_of_texts(
    model: PretrainedModel, texts: Sequence[str] | np.ndarray | jax.Array, *, batch_size: int = 32
) -> np.ndarray:
    """Return the features of texts, in evaluation mode: those of `model.features(model.preprocess(texts))`, sooner.

    Texts are sorted by their lengths, and each batch is computed at the length of its longest text, so that little is
    spent on padding. Padding changes no feature but by rounding.

    Args:
      model: a text network.
      texts: n texts, or their token ids `[n, length]`.
      batch_size: texts at a time, at least 1.

    Returns:
      Features `[n, d]`, float32, in the order of the texts.

    Raises:
      UsageError: for a model that reads no texts.
    """
    if not isinstance(model.backbone, TextNetwork):
        raise UsageError(f"features_of_texts() needs a text network, and {model.spec.name!r} is none.")
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}.")
    ids = np.asarray(texts if hasattr(texts, "shape") else model.preprocess(texts))
    graph, state = nnx.split(nnx.view(model.backbone, deterministic=True, raise_if_not_found=False))
    compute = jax.jit(lambda state, ids: nnx.merge(graph, state, copy=True)(ids))
    features = np.empty((len(ids), model.backbone.out_features), np.float32)
    for rows, batch in by_length(ids, model.backbone.pad_id, batch_size=batch_size):
        features[rows] = compute(state, batch)[: len(rows)]
    return features


def by_length(ids: np.ndarray, pad_id: int, *, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield token ids in batches of texts of similar lengths, the longest first, without most of their padding.

    Args:
      ids: `[n, length]`.
      pad_id: the token that is padding, at the end of a text.
      batch_size: rows of a batch.

    Yields:
      The rows that a batch holds `[m]`, m at most `batch_size`; and the batch `[batch_size, l]`, int32: these rows, and
      then rows of padding. l is a multiple of 32 or the whole length, so that few programs are compiled.
    """
    there = ids != pad_id  # [n, length]
    lengths = np.where(there.any(1), ids.shape[1] - there[:, ::-1].argmax(1), 1)
    order = np.argsort(-lengths, kind="stable")
    for start in range(0, len(ids), batch_size):
        rows = order[start : start + batch_size]
        width = min(-(-int(lengths[rows[0]]) // _STEP) * _STEP, ids.shape[1])
        batch = np.full((batch_size, width), pad_id, np.int32)
        batch[: len(rows)] = ids[rows, :width]
        yield rows, batch
