"""From a trained model and a domain to features and logits: what probes and transferability scores read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tladapt.data import Domain, examples
from tladapt.errors import UsageError


class Extracted(NamedTuple):
    """What a model makes of all examples of a domain, in order.

    Attributes:
      features: `[n, d]`.
      logits: `[n, Z]` of the model's own classes; None for a model without a classifier.
    """

    features: np.ndarray
    logits: np.ndarray | None


def extract(model: Any, domain: Domain, *, batch: int = 64, watcher: Callable[[int], None] | None = None) -> Extracted:
    """Compute features and logits of a domain in batches of one shape; labels of the domain are not looked at.

    Args:
      model: has `features(x) -> [n, d]`, and where it classifies, `logits(x) -> [n, Z]`; one whose `logits` is None
        has no classifier. `preprocess(x)`, where it has one, is called on the raw examples first (uint8 images, floats
        as they are). `tladapt.models.pretrained(...)`, `tladapt.open_run(...)` and objects of your own will do.
      domain: whose examples.
      batch: how many at once; the last batch is filled up.
      watcher: is told how many examples are done.

    Raises:
      UsageError: for features that are not `[n, d]`.

    Example:
      >>> import types
      >>> halves = types.SimpleNamespace(preprocess=lambda x: x / 2, features=lambda x: x, logits=None)
      >>> extract(halves, Domain([[2.0, 4.0], [6.0, 8.0], [0.0, 2.0]]), batch=2).features.tolist()
      [[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]
    """
    prepare = getattr(model, "preprocess", None) or (lambda x: x)
    classify = getattr(model, "logits", None)
    count = len(domain)
    size = min(batch, count)
    features, logits = [], []
    for first in range(0, count, size):
        index = np.minimum(np.arange(first, first + size), count - 1)
        x = prepare(examples(domain, index))
        found = np.asarray(model.features(x))
        if found.ndim != 2 or len(found) != size:
            raise UsageError(f"features of {size} examples must be [{size}, d], got shape {found.shape}.")
        features.append(found)
        if classify is not None:
            logits.append(np.asarray(classify(x)))
        if watcher is not None:
            watcher(min(first + size, count))
    return Extracted(np.concatenate(features)[:count], np.concatenate(logits)[:count] if logits else None)
