"""No network: features that come from somewhere else."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone


@BACKBONES.register("identity")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity(Backbone):
    """The inputs are the features: what is trained are the bottleneck and the heads.

    Inputs are vectors `(d,)`, or several views of each example `(views, d)`, of which the first one is what predictions
    are made from.
    """

    name: ClassVar[str] = "identity"
    summary: ClassVar[str] = "the inputs themselves, for features that were computed before"

    def prepare(self, x: jax.Array) -> jax.Array:
        """Return the first view where there are several."""
        return x if x.ndim == 2 else x[:, 0]

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        if len(shape) not in (1, 2):
            raise UsageError(
                f"backbone 'identity' takes features as they are, vectors (d,); these inputs have shape {shape}. Use"
                " 'mlp', or another backbone."
            )
        return IdentityNetwork(shape[-1])


class IdentityNetwork(nnx.Module):
    """The network of `Identity`: `[n, d] -> [n, d]`."""

    def __init__(self, width: int):
        self.out_features = width

    def __call__(self, x: jax.Array) -> jax.Array:
        return x
