"""CDAN: a domain discriminator that looks at features joined with predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt import losses
from tladapt.errors import UsageError
from tladapt.methods.base import (
    METHODS,
    Context,
    Logged,
    Method,
    PyTree,
    Sizes,
    Start,
    Term,
    Terms,
    check_range,
    check_schedule,
    classification,
)
from tladapt.models import BatchNorm, Discriminator
from tladapt.ranges import Choice, Range

LARGEST_EXACT_MAP = 4096


@METHODS.register("cdan")
@dataclasses.dataclass(frozen=True, kw_only=True)
class CDAN(Method):
    """Conditional adversarial domain adaptation; with entropy=True, CDAN+E.

    The discriminator D sees h = vec(p f^T), the features f joined with the predictions p, which carry no gradient; as
    in DANN, D minimises L_d = 0.5 (mean w BCE(D(h_s), 1) + mean w BCE(D(h_t), 0)) and the backbone maximises it times
    lambda. Where C d is large, h = (R_f^T f) * (R_g^T p) / sqrt(D) with fixed random maps R_f and R_g. CDAN+E weighs
    each example by how certain its prediction is, w_i = 1 + exp(-H(p_i)), normalised within each domain; without it
    w = 1.

    Which parameters move: backbone and classifier by the cross entropy; the discriminator down L_d at its full rate,
    and the backbone up L_d times lambda. The classifier does not see L_d, but for `entropy_grad="reversed"`: there the
    weights w are differentiated too, reversed, so that backbone and classifier raise L_d through them.

    Logged: `loss/domain`, L_d (log 2 = 0.69 is a tie: a falling L_d is no success); `discriminator/accuracy`, the
    balanced share of the batch whose domain D tells (0.5 is chance); `lambda`.

    Memory: the two random maps, drawn once from the run's seed and kept in every checkpoint; empty for the exact map.

    Deviations from the paper:
      1. lambda follows DANN's schedule over the run; the authors' code has the same curve over the first 10,000 steps
         whatever the length of the run, which is `schedule="cdan"`.
      2. The exact map is contracted with the discriminator's first layer and never formed as an array `[n, C d]`.
      3. The weights are detached by default, as in thuml's library; the authors' code is `entropy_grad="reversed"`.
         Their normalising sums are constants in both, and each domain counts one half, as in the authors' code.

    Defaults: the map is random where C d > 4096, of width 1024 (the authors' digits code: 500). The discriminator has
    one hidden layer of 100, as `dann` has here, so that the two differ in what it looks at; the authors have two of
    1024 (500 for digits): `hidden=(1024, 1024)`.

    Source: Long, Cao, Wang, Jordan: Conditional adversarial domain adaptation. NeurIPS 2018. arXiv 1705.10667.
    """

    name: ClassVar[str] = "cdan"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.01, 10.0, log=True),
        "entropy": Choice((False, True)),
    }
    """1. weight: the sweep of AdaTime (Ragab et al., TKDD 2023, arXiv 2203.08016), in factors. 2. entropy: the paper's
    CDAN and CDAN+E."""

    weight: float = 1.0
    """Largest value of lambda: the schedule's value is multiplied by it."""
    schedule: str = "ganin2016"
    """How lambda grows over the run, by name; 'tladapt schedules' shows them."""
    entropy: bool = False
    """Whether certain predictions count more: CDAN+E."""
    entropy_grad: Literal["detach", "reversed"] = "detach"
    """Whether the weights of CDAN+E are constants, or are differentiated and reversed as in the authors' code."""
    map: Literal["auto", "exact", "random"] = "auto"
    """The conditional map: the outer product, random maps of it, or by its size: random above 4096 entries."""
    size: int = 1024
    """Width D of the random maps."""
    hidden: tuple[int, ...] = (100,)
    """Widths of the discriminator's hidden layers, one at least."""
    batch_norm: bool = False
    """Whether the discriminator's hidden layers are batch-normalised."""

    def __post_init__(self) -> None:
        check_range(self, "weight", "[0, inf)")  # the reversal brings the minus sign itself
        check_schedule(self.schedule)
        check_range(self, "size", "[1, inf)")
        for field, choices in (("entropy_grad", ("detach", "reversed")), ("map", ("auto", "exact", "random"))):
            if getattr(self, field) not in choices:
                raise UsageError(f"cdan {field} must be one of {', '.join(choices)}; got {getattr(self, field)!r}.")
        if self.entropy_grad == "reversed" and not self.entropy:
            raise UsageError("cdan entropy_grad='reversed' is about the weights of CDAN+E; add entropy=True.")
        if not self.hidden:
            raise UsageError("cdan hidden must name one hidden layer at least, such as (100,); got ().")

    def random(self, sizes: Sizes) -> bool:
        """Return whether the conditional map is the random one."""
        return self.map == "random" or (self.map == "auto" and sizes.features * sizes.classes > LARGEST_EXACT_MAP)

    def heads(self, sizes: Sizes, rngs: nnx.Rngs) -> Mapping[str, nnx.Module]:
        discriminator: nnx.Module
        if self.random(sizes):
            discriminator = Discriminator(self.size, self.hidden, batch_norm=self.batch_norm, rngs=rngs)
        else:
            discriminator = ConditionalDiscriminator(
                sizes.features, sizes.classes, self.hidden, batch_norm=self.batch_norm, rngs=rngs
            )
        return {"discriminator": discriminator}

    def memory(self, start: Start) -> PyTree:
        if not self.random(start.sizes):
            return {}
        feature_map, class_map = losses.random_maps(
            start.key, start.sizes.features, start.sizes.classes, size=self.size
        )
        return {"feature_map": feature_map, "class_map": class_map}

    def loss(self, ctx: Context) -> Terms:
        coefficient = self.weight * ctx.schedule(self.schedule)
        features = jnp.concatenate([ctx.source.features, ctx.target.features])  # [n_s + n_t, d]
        logits = jnp.concatenate([ctx.source.logits, ctx.target.logits])  # [n_s + n_t, C]
        domain_logits = self._judged(ctx, losses.gradient_reversal(features, coefficient), jax.nn.softmax(logits))
        split = [len(ctx.source.features)]
        source_logits, target_logits = jnp.split(domain_logits, split)
        weights: dict[str, jax.Array] = {}
        if self.entropy:
            certainty = losses.certainty_weights(logits, detach=self.entropy_grad == "detach")  # [n_s + n_t]
            source, target = jnp.split(losses.gradient_reversal(certainty, coefficient), split)
            weights = {"source_weights": source, "target_weights": target}
        return {
            "classification": classification(ctx),
            "domain": Term(losses.domain_adversarial(source_logits, target_logits, **weights)),
            "discriminator/accuracy": Logged(losses.domain_accuracy(source_logits, target_logits)),
            "lambda": Logged(coefficient),
        }

    def _judged(self, ctx: Context, features: jax.Array, probabilities: jax.Array) -> jax.Array:
        discriminator = ctx.heads["discriminator"]
        if ctx.memory:
            maps = ctx.memory["feature_map"], ctx.memory["class_map"]
            return discriminator(losses.random_conditional_map(features, probabilities, *maps))
        return discriminator(features, probabilities)


class ConditionalDiscriminator(nnx.Module):
    """A discriminator on the conditional map: features `[n, d]` and probabilities `[n, C]` -> logits `[n]`.

    It computes what a `Discriminator` on `[n, C d]` does and starts as one would, with the map contracted into the
    first layer.

    Args:
      features: width d of the features.
      classes: number C of classes.
      hidden: widths of the hidden layers, one at least.
      batch_norm: whether hidden layers are batch-normalised.
      rngs: draws the initial parameters.
    """

    def __init__(
        self, features: int, classes: int, hidden: tuple[int, ...], *, batch_norm: bool = False, rngs: nnx.Rngs
    ):
        initial = nnx.initializers.lecun_normal(in_axis=(0, 1), out_axis=2)
        self.kernel = nnx.Param(initial(rngs.params(), (classes, features, hidden[0]), jnp.float32))
        self.bias = nnx.data(None) if batch_norm else nnx.Param(jnp.zeros(hidden[0]))
        self.norm = BatchNorm(hidden[0]) if batch_norm else nnx.data(None)
        self.rest = Discriminator(hidden[0], hidden[1:], batch_norm=batch_norm, rngs=rngs)

    def __call__(self, features: jax.Array, probabilities: jax.Array) -> jax.Array:
        first = losses.conditional_product(features, probabilities, self.kernel[...])  # [n, k]
        if self.bias is not None:
            first = first + self.bias[...][None, :]
        if self.norm is not None:
            first = self.norm(first)
        return self.rest(jax.nn.relu(first))
