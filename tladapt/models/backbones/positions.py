"""Position embeddings of a grid of patches, resized to a grid of another shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def cubic_matrix(old: int, new: int, *, antialias: bool) -> np.ndarray:
    """Return the matrix `[new, old]` that resizes `old` values in a row to `new` ones by cubic convolution.

    `y_i = sum_j k((j + 1/2 - c_i) / s) x_j / norm` with centres `c_i = (i + 1/2) old / new`. With antialiasing s is
    max(old / new, 1), k is Keys' kernel with a = -1/2, and weights beyond the border are left out; without, s is 1,
    a = -3/4, and values beyond the border are those at it. Both are what PyTorch's `interpolate` does, corners not
    aligned.

    Source: Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Transactions on Acoustics,
    Speech and Signal Processing 29(6), 1981.

    >>> cubic_matrix(2, 2, antialias=False)
    array([[1., 0.],
           [0., 1.]])
    """
    scale = max(old / new, 1.0) if antialias else 1.0
    a = -0.5 if antialias else -0.75
    beyond = 0 if antialias else 2
    centres = (np.arange(new) + 0.5) * old / new  # [new]
    places = np.arange(-beyond, old + beyond)
    t = np.abs(places[None] + 0.5 - centres[:, None]) / scale  # [new, places]
    near = ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
    far = ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a
    weights = np.where(t <= 1.0, near, np.where(t < 2.0, far, 0.0))
    read = np.clip(places, 0, old - 1)[:, None] == np.arange(old)[None]  # [places, old]
    matrix = weights @ read  # [new, old]
    return matrix / matrix.sum(1, keepdims=True)


def resized_grid(positions: jax.Array, shape: tuple[int, int], *, antialias: bool) -> jax.Array:
    """Return the embeddings of a square grid for a grid of another shape, bicubic, in float32 at least.

    Args:
      positions: `[g * g, d]`, row by row.
      shape: height and width of the new grid.
      antialias: see `cubic_matrix`.

    Returns:
      `[height * width, d]`.
    """
    side = round(len(positions) ** 0.5)
    if shape == (side, side):
        return positions
    wide = positions if positions.dtype == jnp.float64 else positions.astype(jnp.float32)
    rows, columns = (jnp.asarray(cubic_matrix(side, new, antialias=antialias), wide.dtype) for new in shape)
    grid = jnp.einsum("hi,wj,ijd->hwd", rows, columns, wide.reshape(side, side, -1), precision="highest")
    return grid.reshape(shape[0] * shape[1], -1).astype(positions.dtype)
