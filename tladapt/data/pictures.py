"""Examples as pictures for people: 8-bit, small enough for a page; None where inputs are no images."""

from __future__ import annotations

import numpy as np

from tladapt.data.domain import Domain
from tladapt.data.sampling import examples

SIDE = 64  # pixels: more would make a page of a hundred pictures heavy


def is_picture(shape: tuple[int, ...], dtype: np.dtype | type) -> bool:
    """Return whether inputs of a shape are images: `[h, w, 1 or 3]`, or 8-bit `[h, w]`.

    >>> is_picture((16, 16, 3), np.float32), is_picture((9, 128), np.float32), is_picture((28, 28), np.uint8)
    (True, False, True)
    """
    if min(shape[:2], default=0) < 4:
        return False
    return (len(shape) == 3 and shape[2] in (1, 3)) or (len(shape) == 2 and np.dtype(dtype) == np.uint8)


def pictures(domain: Domain, index: np.ndarray) -> np.ndarray | None:
    """Return examples of a domain as pictures, at most 64 pixels wide or high.

    Args:
      domain: images in any range; floats outside [0, 1] are stretched from the least to the greatest value shown.
      index: which examples, integers `[n]`.

    Returns:
      uint8 `[n, h, w, 1 or 3]`, or None where the domain's examples are no images.
    """
    if len(index) == 0 or not is_picture(domain.shape, np.asarray(domain.x[0]).dtype):
        return None
    x = examples(domain, index)
    if x.ndim == 3:
        x = x[..., None]
    if x.dtype != np.uint8:
        x = np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
        low, high = (0.0, 1.0) if x.min() >= 0 and x.max() <= 1 else (float(x.min()), float(x.max()))
        x = np.rint((x - low) * (255 / (high - low or 1.0))).astype(np.uint8)
    return _shrunk(x)


def _shrunk(x: np.ndarray) -> np.ndarray:
    from PIL import Image

    height, width = x.shape[1:3]
    factor = SIDE / max(height, width)
    if factor >= 1:
        return x
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    planes = x[..., 0] if x.shape[3] == 1 else x
    small = np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in planes])
    return small[..., None] if x.shape[3] == 1 else small


def some_of_each_class(domain: Domain, count: int) -> np.ndarray:
    """Return positions of about `count` examples, the classes in turn; evenly spaced where there are no labels."""
    n = len(domain)
    if domain.y is None:
        return np.unique(np.linspace(0, n - 1, min(count, n)).astype(np.int64))
    kinds = np.unique(domain.y)[:count]
    rounds = -(-count // len(kinds))
    turns = [np.flatnonzero(domain.y == kind)[:rounds] for kind in kinds]
    taken = [turn[place] for place in range(rounds) for turn in turns if place < len(turn)]
    return np.array(taken[:count], np.int64)
