"""Running statistics measured over the whole target, in the place of those that training left (AdaBN)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

PyTree = Any


def measured(passes: Callable[[PyTree, np.ndarray], PyTree], old: PyTree, count: int, batch: int) -> PyTree:
    """Return the statistics that a network has on `count` examples.

    Each batch passes with batch statistics and without dropout. A layer's mean is the mean of the batches' means, its
    variance their mean variance plus the variance of their means. A layer's momentum m is read off its response to
    what it held before, so that any layer that blends `m * old + (1 - m) * batch` is served; other variables stay as
    they are.

    Args:
      passes: `passes(statistics, index)` returns the statistics after the examples at `index` have passed.
      old: statistics of the network, of which only the structure counts, and the variables that blend nothing.
      count: number of examples, > 0.
      batch: largest number of examples in a pass.

    Source: Li, Wang, Shi, Hou, Liu: Adaptive batch normalization for practical domain adaptation. Pattern Recognition
    2018. arXiv 1603.04779.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(old)
    batches = np.array_split(np.arange(count), math.ceil(count / batch))
    shares = np.array([len(index) / count for index in batches])

    def leaves(statistics: PyTree) -> list[np.ndarray]:
        return [np.asarray(leaf) for leaf in jax.tree.leaves(statistics)]

    zeros = jax.tree.map(jnp.zeros_like, old)
    after_zeros = [leaves(passes(zeros, index)) for index in batches]  # (1 - m) * batch
    # What went in must tower over what the batch adds, or the difference would lose the momentum's digits.
    large = [(64 * (1 + np.abs(leaf))).astype(leaf.dtype) for leaf in after_zeros[0]]
    tall = jax.tree_util.tree_unflatten(structure, [jnp.asarray(leaf) for leaf in large])
    after_large = leaves(passes(tall, batches[0]))

    found: dict[Any, np.ndarray] = {}
    spread: dict[Any, np.ndarray] = {}
    for place, (path, _) in enumerate(paths):
        low = np.stack([leaf[place] for leaf in after_zeros])
        if not jnp.issubdtype(low.dtype, jnp.floating):
            continue
        response = (after_large[place].astype(np.float64) - low[0]) / large[place]
        momentum = float(np.median(response))
        if np.all(np.abs(response - momentum) < 1e-3) and -1e-6 < momentum < 1 - 1e-5:
            values = low.astype(np.float64) / (1.0 - momentum)
            found[path] = np.tensordot(shares, values, 1)
            spread[path] = np.tensordot(shares, np.square(values - found[path][None]), 1)
    new = []
    for path, leaf in paths:
        value = found.get(path)
        mean = (*path[:-1], jax.tree_util.DictKey("mean"))
        if value is not None and getattr(path[-1], "key", None) == "var" and mean in spread:
            value = value + spread[mean]
        new.append(leaf if value is None else jnp.asarray(value, jnp.asarray(leaf).dtype))
    return jax.tree_util.tree_unflatten(structure, new)
