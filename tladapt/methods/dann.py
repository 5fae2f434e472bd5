"""DANN: features that a domain discriminator cannot tell apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx

from tladapt import losses
from tladapt.methods.base import METHODS, Context, Logged, Method, Sizes, Term, Terms, classification
from tladapt.models import Discriminator


@METHODS.register("dann")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DANN(Method):
    """Domain-adversarial training of neural networks.

    The discriminator D minimises the domain loss L_d = 0.5 (BCE(D(f_s), 1) + BCE(D(f_t), 0)); a gradient reversal between
    features and D lets the backbone maximise it, with coefficient lambda(p). L_d is log 2 at a tie.

    Which parameters move: the cross entropy moves backbone and classifier; L_d moves the discriminator (down) and
    the backbone (up, times lambda).

    Deviations from the paper:
      1. L_d is the mean over each domain, then over the two, so that unequal batch sizes do not tilt it.
      2. The discriminator ends in one logit instead of two (the same function).

    Source: Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky: Domain-adversarial training of
    neural networks. JMLR 17, 2016. arXiv 1505.07818. The default discriminator is that of the paper's MNIST network.
    """

    name: ClassVar[str] = "dann"

    weight: float = 1.0
    """Largest value of lambda: the schedule's value is multiplied by it."""
    schedule: str = "ganin2016"
    """How lambda grows over the run, by name (see tladapt.losses.schedules)."""
    hidden: tuple[int, ...] = (100,)
    """Widths of the discriminator's hidden layers."""
    batch_norm: bool = False
    """Whether the discriminator's hidden layers are batch-normalised."""

    def heads(self, sizes: Sizes, rngs: nnx.Rngs) -> Mapping[str, nnx.Module]:
        return {"discriminator": Discriminator(sizes.features, self.hidden, batch_norm=self.batch_norm, rngs=rngs)}

    def loss(self, ctx: Context) -> Terms:
        coefficient = self.weight * ctx.schedule(self.schedule)
        features = jnp.concatenate([ctx.source.features, ctx.target.features])  # [n_s + n_t, d]
        domain_logits = ctx.heads["discriminator"](losses.gradient_reversal(features, coefficient))  # [n_s + n_t]
        source_logits, target_logits = jnp.split(domain_logits, [len(ctx.source.features)])
        return {
            "classification": classification(ctx),
            "domain": Term(losses.domain_adversarial(source_logits, target_logits)),
            "discriminator/accuracy": Logged(losses.domain_accuracy(source_logits, target_logits)),
            "lambda": Logged(coefficient),
        }
