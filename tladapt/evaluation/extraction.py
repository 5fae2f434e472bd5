"""From a trained model and a domain to features and logits: what probes and transferability scores read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tladapt.data import Domain
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
      model: from `tladapt.models.pretrained(...)`, which is compiled, or anything with `features(x) -> [n, d]` and,
        where it classifies, `logits(x) -> [n, Z]` (None: it does not) of raw examples, such as
        `tladapt.open_run(...)`.
      domain: whose examples.
      batch: how many at once; the last batch is filled up.
      watcher: is told how many examples are done.

    Raises:
      UsageError: for features that are not `[n, d]`.

    Example:
      >>> import types
      >>> halves = types.SimpleNamespace(features=lambda x: x / 2, logits=None)
      >>> extract(halves, Domain([[2.0, 4.0], [6.0, 8.0], [0.0, 2.0]]), batch=2).features.tolist()
      [[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]
    """
    from tladapt.data import in_order, in_turn

    forward = _forward(model)
    count = len(domain)
    size = min(batch, count)
    features, logits = [], []
    for place, x in enumerate(in_turn(domain, in_order(count, size))):
        found, classified = forward(x)
        found = np.asarray(found)
        if found.ndim != 2 or len(found) != size:
            raise UsageError(f"features of {size} examples must be [{size}, d], got shape {found.shape}.")
        features.append(found)
        if classified is not None:
            logits.append(np.asarray(classified))
        if watcher is not None:
            watcher(min((place + 1) * size, count))
    return Extracted(np.concatenate(features)[:count], np.concatenate(logits)[:count] if logits else None)


def _forward(model: Any) -> Callable[[Any], tuple[Any, Any]]:
    """Return a function from raw examples to features and logits, or None for these."""
    from tladapt.models import PretrainedModel

    if not isinstance(model, PretrainedModel):
        classify = getattr(model, "logits", None)
        return lambda x: (model.features(x), None if classify is None else classify(x))
    from flax import nnx

    from tladapt.models import has_convolutions, jit

    graph, state = nnx.split(model)

    def outputs(state: Any, x: Any) -> tuple[Any, Any]:
        merged = nnx.merge(graph, state)
        return (merged.features(x), None) if merged.classifier is None else tuple(merged(x))

    compiled: list[Callable[..., tuple[Any, Any]]] = []

    def forward(x: Any) -> tuple[Any, Any]:
        ready = model.preprocess(x)
        if not compiled:
            compiled.append(jit(outputs, convolutions=has_convolutions(outputs, state, ready)))
        return compiled[0](state, ready)

    return forward
