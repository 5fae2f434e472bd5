"""A multi-layer perceptron, for vectors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import ClassVar

from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone, check_positive, check_rate, flat_size
from tladapt.models.backbones.published import Chain, Stage
from tladapt.models.heads import DenseBlock


@BACKBONES.register("mlp")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MLP(Backbone):
    """Fully connected layers with ReLU; inputs of any shape are flattened."""

    name: ClassVar[str] = "mlp"
    summary: ClassVar[str] = "fully connected layers with ReLU, for vectors"

    widths: tuple[int, ...] = (256, 128)
    """Widths of the layers; the last is the width of the features."""
    batch_norm: bool = False
    """Whether each layer is batch-normalised before its ReLU."""
    dropout: float = 0.0
    """Share of the activations that is dropped after each layer while training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_positive(self.name, widths=self.widths)
        check_rate(self.name, self.dropout)
        if not self.widths:
            raise UsageError("backbone 'mlp': widths needs at least one layer, got ().")

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        if not shape or not flat_size(shape):
            raise UsageError(f"backbone 'mlp' reads inputs with at least one number each; these have shape {shape}.")
        return MLPNetwork(self, shape, rngs=rngs)


class MLPNetwork(Chain):
    """The network of `MLP`: `[n, *shape] -> [n, widths[-1]]`, with stages "flatten" and "layers.0" on."""

    def __init__(self, spec: MLP, shape: tuple[int, ...], *, rngs: nnx.Rngs):
        sizes = (flat_size(shape), *spec.widths)
        self.layers = nnx.List(
            [
                DenseBlock(before, after, batch_norm=spec.batch_norm, dropout=spec.dropout, rngs=rngs)
                for before, after in itertools.pairwise(sizes)
            ]
        )
        self.out_features = sizes[-1]

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "flatten", lambda x: x.reshape(x.shape[0], -1)  # [n, d]
        for place, layer in enumerate(self.layers):
            yield f"layers.{place}", layer
