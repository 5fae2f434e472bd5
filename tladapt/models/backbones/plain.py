"""What plain convolutional networks are made of: convolutions with ReLU, fully connected layers over a grid."""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx

from tladapt.models.layers import Conv, Initializer
from tladapt.models.normalization import BatchNorm, NormOptions
from tladapt.models.weights.table import Rule


class ConvUnit(nnx.Module):
    """A convolution, a batch normalisation where it is asked for, a ReLU.

    Args:
      before: channels in.
      after: channels out.
      size: height and width of the kernel.
      strides: steps of the window.
      padding: pixels of zeros on all four sides.
      use_bias: whether the convolution adds a bias.
      norm: options of the batch normalisation; None: there is none.
      kernel_init: draws the kernel; None: as `Conv` does.
      rngs: draws the initial parameters.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: int,
        *,
        strides: int = 1,
        padding: int,
        use_bias: bool = True,
        norm: NormOptions | None = None,
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
    ):
        around = ((padding, padding), (padding, padding))
        self.conv = Conv(
            before,
            after,
            size,
            strides=strides,
            padding=around,
            use_bias=use_bias,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.norm = BatchNorm(after, **norm) if norm is not None else nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.conv(x)
        return jax.nn.relu(x if self.norm is None else self.norm(x))


def flatten(x: jax.Array) -> jax.Array:
    """Return `[n, h, w, c]` as `[n, h w c]`."""
    return x.reshape(len(x), -1)


def fully_connected(pattern: str, path: str, grid: int) -> list[Rule]:
    """Return the rules of PyTorch's linear layer, or convolution, that reads a whole grid of cells.

    There the columns of its kernel are ordered by channel, then row; in ours by row, then channel.

    Args:
      pattern: of its name.
      path: of ours.
      grid: cells a side.
    """

    def channels_last(kernel: np.ndarray) -> np.ndarray:
        width = kernel.shape[0]
        return kernel.reshape(width, -1, grid, grid).transpose(2, 3, 1, 0).reshape(-1, width)  # [h w c, width]

    return [Rule(rf"{pattern}\.weight", f"{path}/kernel", channels_last), Rule(rf"{pattern}\.bias", f"{path}/bias")]
