"""DANN: features that a domain discriminator cannot tell apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx

from tladapt import losses
from tladapt.methods.base import (
    METHODS,
    Context,
    Logged,
    Method,
    Sizes,
    Term,
    Terms,
    check_range,
    check_schedule,
    classification,
)
from tladapt.models import Discriminator
from tladapt.ranges import Choice, Range


@METHODS.register("dann")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DANN(Method):
    """Domain-adversarial training of neural networks.

    The discriminator D minimises the domain loss L_d = 0.5 (BCE(D(f_s), 1) + BCE(D(f_t), 0)); a gradient reversal
    between features f and D lets the backbone maximise it: min over backbone and classifier of CE_s - lambda(p) L_d.

    Which parameters move: backbone and classifier by the cross entropy; the discriminator down L_d at its full rate,
    and the backbone up L_d times lambda. The classifier does not see L_d.

    Logged: `loss/domain`, L_d (log 2 = 0.69 is a tie: a falling L_d is no success); `discriminator/accuracy`, the
    balanced share of the batch whose domain D tells (0.5 is chance); `lambda`.

    Deviations from the paper:
      1. L_d is the mean over each domain, then over the two, so that unequal batch sizes do not tilt it.
      2. The discriminator ends in one logit, source against target, whatever the number of sources.

    Defaults: lambda from 0 to 1 by the paper's schedule (section 5.2.2); the discriminator of its MNIST network, one
    hidden layer of 100. The ResNet recipes of thuml's library take `hidden=(1024, 1024), batch_norm=True`.

    Source: Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky: Domain-adversarial training
    of neural networks. JMLR 17, 2016. arXiv 1505.07818.
    """

    name: ClassVar[str] = "dann"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.01, 1.0, log=True),
        "hidden": Choice(((100,), (1024, 1024))),
    }
    """1. weight: the paper's, section 5.1.3 (reviews). 2. hidden: the discriminators of its MNIST and SVHN networks."""

    weight: float = 1.0
    """Largest value of lambda: the schedule's value is multiplied by it."""
    schedule: str = "ganin2016"
    """How lambda grows over the run, by name; 'tladapt schedules' shows them."""
    hidden: tuple[int, ...] = (100,)
    """Widths of the discriminator's hidden layers."""
    batch_norm: bool = False
    """Whether the discriminator's hidden layers are batch-normalised."""

    def __post_init__(self) -> None:
        check_range(self, "weight", "[0, inf)")  # the reversal brings the minus sign itself
        check_schedule(self.schedule)

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
