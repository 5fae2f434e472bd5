"""SqueezeNet 1.0 and 1.1."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.published import Chain, Published, Stage, variants
from tladapt.models.layers import Conv, global_average, max_pool
from tladapt.models.preprocessing import Preprocessing
from tladapt.models.weights.catalogue import PublishedWeights, register
from tladapt.models.weights.table import Table, conv

_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
# what stands where among "features.N": the first convolution is 0 and its ReLU 1, the others fires or pools
_POOLS = {"1_0": (2, 6, 11), "1_1": (2, 5, 8)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SqueezeNet(Published):
    """SqueezeNet: fire modules (squeeze by 1 x 1, expand by 1 x 1 and 3 x 3); features are the mean over space, 512.

    The published classifier is a 1 x 1 convolution with ReLU before the mean over space: it reads the last map, not the
    features. A classifier that a run draws is linear on the features.

    The stages are called as in torchvision: "features.0" to "features.12", pools and the ReLU among them, and "pool".

    Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
    arXiv 1602.07360; version 1.1 of forresti/SqueezeNet; torchvision's padding (none at the first convolution, pools
    that keep incomplete windows).
    """

    name: ClassVar[str] = "squeezenet"
    classifier_reads: ClassVar[str] = "features.12"

    version: Literal["1_0", "1_1"] = "1_1"
    """1_0 begins with 7 x 7 and 96 channels; 1_1 with 3 x 3 and 64, and pools earlier: 2.4 times less work."""
    dropout: float = 0.5
    """Share that the published classifier drops while training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version not in _POOLS:
            raise UsageError(f"backbone {self.name!r}: version must be 1_0 or 1_1, got {self.version!r}.")

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        return SqueezeNetNetwork(self.version, rngs=rngs)

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return SqueezeNetClassifier(features, classes, self.dropout, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return (_TABLE,)


class SqueezeNetNetwork(Chain):
    """The network of `SqueezeNet`: `[n, h, w, 3] -> [n, 512]`."""

    def __init__(self, version: str, *, rngs: nnx.Rngs):
        channels, kernel = (96, 7) if version == "1_0" else (64, 3)
        parts: dict[str, nnx.Module] = {
            "0": Conv(3, channels, kernel, strides=2, padding="VALID", rngs=rngs),
        }
        fires = iter(_FIRES)
        for place in range(3, 13):
            if place not in _POOLS[version]:
                squeezed, expanded = next(fires)
                parts[str(place)] = _Fire(channels, squeezed, expanded, rngs=rngs)
                channels = 2 * expanded
        self.parts = nnx.Dict(parts)
        self.pools = _POOLS[version]
        self.out_features = channels

    def stages(self) -> Iterator[tuple[str, Stage]]:
        yield "features.0", self.parts["0"]
        yield "features.1", jax.nn.relu
        for place in range(2, 13):
            pools = place in self.pools
            yield f"features.{place}", _pool if pools else self.parts[str(place)]
        yield "pool", global_average


def _pool(x: jax.Array) -> jax.Array:
    return max_pool(x, 3, strides=2, ceil_mode=True)


class _Fire(nnx.Module):
    def __init__(self, before: int, squeezed: int, expanded: int, *, rngs: nnx.Rngs):
        self.squeeze = Conv(before, squeezed, 1, rngs=rngs)
        self.expand1x1 = Conv(squeezed, expanded, 1, rngs=rngs)
        self.expand3x3 = Conv(squeezed, expanded, 3, padding=((1, 1), (1, 1)), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.squeeze(x))
        return jax.nn.relu(jnp.concatenate([self.expand1x1(x), self.expand3x3(x)], axis=-1))


class SqueezeNetClassifier(nnx.Module):
    """The published classifier: maps `[n, h, w, 512]` -> logits `[n, C]`, the mean over space of ReLUs."""

    def __init__(self, features: int, classes: int, dropout: float, *, rngs: nnx.Rngs):
        self.conv = Conv(features, classes, 1, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs) if dropout else nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x if self.dropout is None else self.dropout(x)
        return global_average(jax.nn.relu(self.conv(x)))


_TABLE = Table(
    name="torchvision",
    backbone=(
        *conv(r"features\.0", "parts/0"),
        *conv(r"features\.(\d+)\.(squeeze|expand1x1|expand3x3)", r"parts/\1/\2"),
    ),
    classifier=tuple(conv(r"classifier\.1", "conv")),
)

variants(
    SqueezeNet,
    {f"squeezenet{version}": {"version": version} for version in ("1_0", "1_1")},
    "SqueezeNet {version}: fire modules, 0.7 to 1.2 million parameters",
)
register(
    PublishedWeights(
        name="forresti/squeezenet1_1",
        backbone="squeezenet1_1",
        file="squeezenet1_1.pth",
        sha256="bdf2636fe982d5fce1f708d80099560b4d4c3e3b45a4b97e0d16bf3830a3ff92",
        classes=1000,
        preprocessing=Preprocessing(size=227, normalize="caffe"),
        licence="BSD",
        source="SqueezeNet v1.1 of forresti/SqueezeNet (Caffe), by way of ncnn, under torchvision's names; reads BGR",
    ),
    *(
        PublishedWeights(
            name=f"torchvision/squeezenet{version}.IMAGENET1K_V1",
            backbone=f"squeezenet{version}",
            file=f"squeezenet{version}-{head}.pth",
            url=f"https://download.pytorch.org/models/squeezenet{version}-{head}.pth",
            sha256=head,
            classes=1000,
            licence="BSD-3-Clause",
            source="torchvision",
        )
        for version, head in (("1_0", "b66bff10"), ("1_1", "b8a52dc0"))
    ),
)
