"""Parts that stand on features: bottlenecks, classifiers, domain discriminators."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.models.layers import Linear
from tladapt.models.normalization import BatchNorm


class DenseBlock(nnx.Module):
    """Linear, then batch normalisation, ReLU and dropout where they are asked for: `[n, d] -> [n, width]`.

    Args:
      features: width d of the input.
      width: width of the output.
      batch_norm: whether the layer is batch-normalised; it then has no bias of its own.
      relu: whether a ReLU follows.
      dropout: share of the outputs that is dropped while training, in [0, 1); with 0 there is no random state.
      rngs: draws the initial parameters, and feeds dropout.
    """

    def __init__(
        self,
        features: int,
        width: int,
        *,
        batch_norm: bool = False,
        relu: bool = True,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is the share that is dropped, in [0, 1); got {dropout!r}.")
        self.linear = Linear(features, width, use_bias=not batch_norm, rngs=rngs)
        self.norm = BatchNorm(width) if batch_norm else nnx.data(None)
        self.relu = relu
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else nnx.data(None)
        self.out_features = width

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.linear(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.relu:
            x = jax.nn.relu(x)
        return x if self.dropout is None else self.dropout(x)


class Bottleneck(DenseBlock):
    """A layer between backbone and classifier that narrows the features; arguments as for `DenseBlock`.

    The default is a linear layer with ReLU. `batch_norm=True, relu=False` is the bottleneck of Liang, Hu, Feng, "Do We
    Really Need to Access the Source Data? Source Hypothesis Transfer for Unsupervised Domain Adaptation", ICML 2020,
    arXiv 2002.08546.
    """


def _blocks(sizes: Sequence[int], *, batch_norm: bool, dropout: float, rngs: nnx.Rngs) -> nnx.List[DenseBlock]:
    return nnx.List(
        [
            DenseBlock(before, after, batch_norm=batch_norm, dropout=dropout, rngs=rngs)
            for before, after in itertools.pairwise(sizes)
        ]
    )


class MLPClassifier(nnx.Module):
    """Hidden layers with ReLU and a linear layer: features `[n, d]` -> logits `[n, C]`.

    Args:
      features: width d of the features.
      classes: number C of classes.
      hidden: widths of the hidden layers; () makes it linear.
      batch_norm: whether hidden layers are batch-normalised.
      dropout: share of the hidden activations that is dropped while training, in [0, 1).
      rngs: draws the initial parameters, and feeds dropout.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        hidden: Sequence[int] = (),
        *,
        batch_norm: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        sizes = (features, *hidden)
        self.hidden = _blocks(sizes, batch_norm=batch_norm, dropout=dropout, rngs=rngs)
        self.out = Linear(sizes[-1], classes, rngs=rngs)

    def __call__(self, features: jax.Array) -> jax.Array:
        for layer in self.hidden:
            features = layer(features)
        return self.out(features)


class Discriminator(nnx.Module):
    """Tells domains apart: features `[n, d]` -> logits `[n]`, high for the source.

    Hidden layers with ReLU and one linear output without a sigmoid. Ganin et al., "Domain-Adversarial Training of
    Neural Networks", JMLR 17 (2016), arXiv 1505.07818, use two hidden layers of 1024 on large images and one of 100 on
    MNIST.

    Args:
      features: width d of the features.
      hidden: widths of the hidden layers; () makes it linear.
      batch_norm: whether hidden layers are batch-normalised.
      dropout: share of the hidden activations that is dropped while training, in [0, 1).
      rngs: draws the initial parameters, and feeds dropout.
    """

    def __init__(
        self,
        features: int,
        hidden: Sequence[int] = (1024, 1024),
        *,
        batch_norm: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        sizes = (features, *hidden)
        self.hidden = _blocks(sizes, batch_norm=batch_norm, dropout=dropout, rngs=rngs)
        self.out = Linear(sizes[-1], 1, rngs=rngs)

    def __call__(self, features: jax.Array) -> jax.Array:
        for layer in self.hidden:
            features = layer(features)
        return self.out(features).squeeze(-1)  # [n, 1] -> [n]


class WeightNormLinear(nnx.Module):
    """A linear layer of lengths times directions: `W[:, c] = scale[c] v[:, c] / |v[:, c]|`, v = `direction`.

    Lengths start at |v|, so that it starts as the linear layer of kernel `direction` (Xavier-normal).

    Args:
      in_features: width d of the input.
      out_features: number C of outputs.
      rngs: draws the initial directions.

    Source: Salimans, Kingma, "Weight Normalization", NeurIPS 2016, arXiv 1602.07868. The classifier of SHOT (Liang, Hu,
    Feng, ICML 2020, arXiv 2002.08546).
    """

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        self.in_features, self.out_features = in_features, out_features
        direction = nnx.initializers.glorot_normal()(rngs.params(), (in_features, out_features), jnp.float32)
        self.direction = nnx.Param(direction)  # [d, C]
        self.scale = nnx.Param(jnp.linalg.norm(direction, axis=0))  # [C]
        self.bias = nnx.Param(jnp.zeros(out_features))

    def __call__(self, x: jax.Array) -> jax.Array:
        direction = self.direction[...]
        length = jnp.linalg.norm(direction, axis=0)  # [C]
        kernel = direction * (self.scale[...] / length)[None, :]  # [d, C]
        return x @ kernel.astype(x.dtype) + self.bias[...].astype(x.dtype)[None, :]
