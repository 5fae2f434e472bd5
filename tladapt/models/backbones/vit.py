"""Vision transformers: ViT, DeiT, DINO, and CLIP's image tower."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.attention import SelfAttention
from tladapt.models.backbones.positions import resized_grid
from tladapt.models.backbones.published import Chain, Published, Stage, using, variants
from tladapt.models.backbones.vit_names import tables
from tladapt.models.backbones.vit_weights import PUBLISHED
from tladapt.models.layers import Conv, Linear
from tladapt.models.normalization import LayerNorm
from tladapt.models.weights.catalogue import register
from tladapt.models.weights.table import Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisionTransformer(Published):
    """A transformer over patches of an image; features are its class token after the last normalisation.

    The same network is ViT (Dosovitskiy et al.), DeiT, DINO (weights without a classifier), DINOv2 (with
    `layer_scale`), and the image tower of CLIP (with `pre_norm` and `projection`: there, features are the image
    embedding, and the class token is the stage "pool").

    The stages are called as in timm: "blocks.0" to "blocks.11" give tokens `[n, 1 + patches, d]`, class token first,
    then patches row by row; before them is "embed", after them "norm", "pool" and, where there is one, "projection".

    Images of other sizes than `image_size` are read too, with sides that are multiples of `patch`: the position
    embeddings are resized, bicubic.

    Deviations from DINO's code: 1. it resizes position embeddings by the factor (g + 0.1) / 14, which shifts them by
    less than a hundredth of a patch; here, as in transformers, by g / 14.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    ICLR 2021, arXiv 2010.11929; Touvron, Cord, Douze, Massa, Sablayrolles, Jegou, "Training data-efficient image
    transformers and distillation through attention", ICML 2021, arXiv 2012.12877; Caron et al., "Emerging Properties in
    Self-Supervised Vision Transformers", ICCV 2021, arXiv 2104.14294; Oquab et al., "DINOv2: Learning Robust Visual
    Features without Supervision", TMLR 2024, arXiv 2304.07193; Radford et al., "Learning Transferable Visual Models
    From Natural Language Supervision", ICML 2021, arXiv 2103.00020.
    """

    name: ClassVar[str] = "vit"
    smallest: ClassVar[int] = 8
    prefix: ClassVar[int] = 1
    """How many tokens come before those of the patches."""

    patch: int = 16
    """Side of a patch, in pixels."""
    width: int = 192
    """Width d of the tokens; that of the hidden layers is four times it."""
    depth: int = 12
    """Number of blocks."""
    heads: int = 3
    """Number of heads of each attention."""
    image_size: int = 224
    """Side of the images whose patches the position embeddings were made for, in pixels."""
    antialias: bool = True
    """How these are resized for larger or smaller images: with antialiasing as in timm, or without as in DINO."""
    activation: Literal["gelu", "quick_gelu"] = "gelu"
    """Of the hidden layers: GELU, or OpenAI's `x sigmoid(1.702 x)`."""
    epsilon: float = 1e-6
    """Added to the variance in layer normalisation."""
    pre_norm: bool = False
    """Normalise the tokens before the first block, and have no bias in the embedding of patches: CLIP."""
    layer_scale: bool = False
    """Scale each channel of what a block adds: DINOv2."""
    projection: int = 0
    """Width of the linear projection of the class token at the end; 0: there is none."""

    def network(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> Chain:
        if shape[0] % self.patch or shape[1] % self.patch:
            raise UsageError(
                f"backbone {self.name!r} reads patches of {self.patch} x {self.patch} pixels, so the sides of images"
                f" are multiples of {self.patch}; these have {shape[0]} x {shape[1]} pixels. Resize or crop them."
            )
        return VisionTransformerNetwork(self, rngs=rngs)

    def tables(self) -> tuple[Table, ...]:
        return tables(projects=self.projection > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistilledTransformer(VisionTransformer):
    """A DeiT with a second token, that a teacher's answers were distilled into.

    As in timm, features are the mean of the class and the distillation token, and logits the mean of the two
    classifiers' that read one of them each. The stages are those of `VisionTransformer`; the distillation token comes
    second.

    Source: Touvron et al., arXiv 2012.12877, section 4.
    """

    prefix: ClassVar[int] = 2
    classifier_reads: ClassVar[str] = "norm"

    def classifier(self, features: int, classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
        return _TwoClassifiers(features, classes, rngs=rngs)


class VisionTransformerNetwork(Chain):
    """The network of `VisionTransformer`: `[n, h, w, 3] -> [n, d]`."""

    def __init__(self, spec: VisionTransformer, *, rngs: nnx.Rngs):
        width = spec.width
        self.prefix, self.patch, self.antialias = spec.prefix, spec.patch, spec.antialias
        self.patch_embed = Conv(
            3, width, spec.patch, strides=spec.patch, padding="VALID", use_bias=not spec.pre_norm, rngs=rngs
        )
        small = nnx.initializers.normal(0.02)
        places = spec.prefix + (spec.image_size // spec.patch) ** 2
        self.class_token = nnx.Param(small(rngs.params(), (width,), jnp.float32))
        self.distillation_token = (
            nnx.Param(small(rngs.params(), (width,), jnp.float32)) if spec.prefix == 2 else nnx.data(None)
        )
        self.positions = nnx.Param(small(rngs.params(), (places, width), jnp.float32))
        self.pre_norm: Any = LayerNorm(width, epsilon=spec.epsilon) if spec.pre_norm else nnx.data(None)
        self.blocks = nnx.List([_Block(spec, rngs=rngs) for _ in range(spec.depth)])
        self.norm = LayerNorm(width, epsilon=spec.epsilon)
        self.projection: Any = (
            Linear(width, spec.projection, use_bias=False, rngs=rngs) if spec.projection else nnx.data(None)
        )
        self.out_features = spec.projection or width

    def stages(self) -> Iterator[tuple[str, Stage]]:
        tokens = ("patch_embed", "class_token", "distillation_token", "positions", "pre_norm")
        yield "embed", using(self._embed, *tokens)
        for i, block in enumerate(self.blocks):
            yield f"blocks.{i}", block
        yield "norm", self.norm
        yield "pool", lambda x: x[:, : self.prefix].mean(1)
        if self.projection is not None:
            yield "projection", self.projection

    def _embed(self, x: jax.Array) -> jax.Array:
        """Return the tokens `[n, prefix + patches, d]` that the first block reads."""
        patches = self.patch_embed(x)  # [n, h / patch, w / patch, d]
        n, height, width, d = patches.shape
        positions = self.positions[...]
        grid = resized_grid(positions[self.prefix :], (height, width), antialias=self.antialias)
        first = [token[...] for token in (self.class_token, self.distillation_token) if token is not None]
        prefix = (jnp.stack(first) + positions[: self.prefix]).astype(x.dtype)  # [prefix, d]
        tokens = jnp.concatenate(
            [
                jnp.broadcast_to(prefix[None], (n, *prefix.shape)),
                patches.reshape(n, height * width, d) + grid.astype(x.dtype)[None],
            ],
            axis=1,
        )
        return tokens if self.pre_norm is None else self.pre_norm(tokens)


class _Block(nnx.Module):
    """Attention, then a hidden layer; each reads normalised tokens, and is added to them."""

    def __init__(self, spec: VisionTransformer, *, rngs: nnx.Rngs):
        width = spec.width
        self.norm1 = LayerNorm(width, epsilon=spec.epsilon)
        self.attention = SelfAttention(width, spec.heads, rngs=rngs)
        self.norm2 = LayerNorm(width, epsilon=spec.epsilon)
        self.fc1 = Linear(width, 4 * width, rngs=rngs)
        self.fc2 = Linear(4 * width, width, rngs=rngs)
        self.scale1: Any = nnx.Param(jnp.full(width, 1e-5)) if spec.layer_scale else nnx.data(None)
        self.scale2: Any = nnx.Param(jnp.full(width, 1e-5)) if spec.layer_scale else nnx.data(None)
        self.activation = _quick_gelu if spec.activation == "quick_gelu" else _gelu

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + _scaled(self.attention(self.norm1(x)), self.scale1)
        return x + _scaled(self.fc2(self.activation(self.fc1(self.norm2(x)))), self.scale2)


class _TwoClassifiers(Linear):
    """The mean of two linear layers' logits: one reads the first token, the other the second."""

    def __init__(self, features: int, classes: int, *, rngs: nnx.Rngs):
        super().__init__(features, classes, rngs=rngs)
        self.distilled = Linear(features, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return (super().__call__(x[:, 0]) + self.distilled(x[:, 1])) / 2.0


def _gelu(x: jax.Array) -> jax.Array:
    return jax.nn.gelu(x, approximate=False)


def _quick_gelu(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(1.702 * x)


def _scaled(x: jax.Array, scale: Any) -> jax.Array:
    return x if scale is None else x * scale[...].astype(x.dtype)[None, None, :]


_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 192, "heads": 3},
    "small": {"width": 384, "heads": 6},
    "base": {"width": 768, "heads": 12},
    "large": {"width": 1024, "heads": 16, "depth": 24},
}
_PATCHES = {"tiny": (16,), "small": (8, 16, 32), "base": (8, 16, 32)}
variants(
    VisionTransformer,
    {
        f"vit_{kind}_patch{patch}_224": {**_SIZES[kind], "patch": patch}
        for kind, patches in _PATCHES.items()
        for patch in patches
    },
    "ViT of width {width} over patches of {patch} pixels, for images of {size} pixels",
)
variants(
    VisionTransformer,
    {f"deit_{kind}_patch16_224": _SIZES[kind] for kind in _PATCHES},
    "DeiT of width {width} over patches of {patch} pixels, for images of {size} pixels",
)
variants(
    DistilledTransformer,
    {f"deit_{kind}_distilled_patch16_224": _SIZES[kind] for kind in _PATCHES},
    "DeiT of width {width} with a distillation token, for images of {size} pixels",
)
variants(
    VisionTransformer,
    {f"vit_b_{patch}": {**_SIZES["base"], "patch": patch} for patch in (16, 32)},
    "ViT of width {width} as in torchvision, over patches of {patch} pixels, for images of {size} pixels",
)
variants(
    VisionTransformer,
    {
        f"vit_{kind}_patch14_dinov2": {
            **_SIZES[kind],
            "patch": 14,
            "layer_scale": True,
            "image_size": 518,
            "size": 518,
        }
        for kind in ("small", "base")
    },
    "DINOv2 of width {width} over patches of {patch} pixels, for images of {size} pixels",
)
_CLIP = {"pre_norm": True, "epsilon": 1e-5, "normalize": "clip"}
variants(
    VisionTransformer,
    {
        f"vit_{kind}_patch{patch}_clip_{activation}224": {
            **_SIZES[kind],
            **_CLIP,
            "patch": patch,
            "projection": projection,
            "activation": "quick_gelu" if activation else "gelu",
        }
        for kind, patch, projection in (("base", 32, 512), ("base", 16, 512), ("large", 14, 768))
        for activation in ("", "quickgelu_")
    },
    "CLIP's image tower of width {width} with {activation} over patches of {patch} pixels, images of {size} pixels",
)
register(*PUBLISHED)
