"""Mean teacher for domain adaptation: the student agrees with its own running average on the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from tladapt import losses
from tladapt.methods.base import METHODS, Context, Method, PyTree, Start, Term, Terms, classification
from tladapt.models import Outputs

MODEL_BLOCKS = ("backbone", "bottleneck", "classifier")


@METHODS.register("mean_teacher")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanTeacher(Method):
    """Self-ensembling: a teacher, the average of the student's past, labels another view of each target example.

    L = CE_s + w (mean_i m_i mean_c (p_ic - p'_ic)^2 + v C mean_c BCE(mean_i p_ic, 1/C) mean_i m_i), where p is the student's
    prediction for one augmented view, p' the teacher's for another, and m_i = 1 where the teacher is more confident than
    `confidence`. After each step the teacher's parameters become a * teacher + (1 - a) * student. The teacher answers.

    Which parameters move: the student's backbone and classifier; the teacher by averaging only.

    Deviations from the paper:
      1. The teacher normalises by its batch in training and keeps running statistics of its own target passes for
         prediction, as in the authors' code (which averages parameters only).
      2. Source and target views pass in one forward where the BatchNorm policy is joint (`combine_batches` in the authors' code).
      3. The authors standardise each data set; here inputs stay as they are unless the recipe says so.

    Source: French, Mackiewicz, Fisher: Self-ensembling for visual domain adaptation. ICLR 2018. arXiv 1706.05208; after
    Tarvainen, Valpola: Mean teachers are better role models. NeurIPS 2017. arXiv 1703.01780.
    """

    name: ClassVar[str] = "mean_teacher"
    needs: ClassVar[frozenset[str]] = frozenset({"views"})
    augmentation: ClassVar[str] = "translate+noise"

    weight: float = 3.0
    """Weight w of the consistency."""
    decay: float = 0.99
    """How much of the teacher stays at each step, in [0, 1]."""
    confidence: float = 0.96837722
    """Target examples on which the teacher is less confident than this do not count."""
    balance: float = 0.005
    """Weight v of the class balance within the consistency (the authors: 0 for MNIST and USPS)."""

    def memory(self, start: Start) -> PyTree:
        student = {block: start.params[block] for block in MODEL_BLOCKS if block in start.params}
        return {"params": student, "statistics": start.statistics}

    def loss(self, ctx: Context) -> tuple[Terms, Mapping[str, PyTree]]:
        teacher = ctx.forward(
            ctx.view("target", "teacher"), params=ctx.memory["params"], statistics=ctx.memory["statistics"]
        )
        confident = jnp.max(jax.nn.softmax(teacher.logits), axis=1) > self.confidence  # [n_t]
        consistency = losses.consistency(ctx.target.logits, teacher.logits, confidence=self.confidence)
        classes = ctx.target.logits.shape[1]
        balance = losses.class_balance(ctx.target.logits) * jnp.mean(confident.astype(ctx.target.logits.dtype))
        terms = {
            "classification": classification(ctx),
            "consistency": Term(consistency, self.weight),
            "class_balance": Term(balance, self.weight * self.balance * classes),
        }
        return terms, {"statistics": teacher.statistics}

    def after_step(self, ctx: Context) -> PyTree:
        teacher = jax.tree.map(
            lambda old, new: self.decay * old + (1.0 - self.decay) * new,
            ctx.memory["params"],
            {block: ctx.params[block] for block in ctx.memory["params"]},
        )
        return {"params": teacher, "statistics": ctx.aux["statistics"]}

    def predict(self, ctx: Context, x: jax.Array, domain: Literal["source", "target"]) -> Outputs:
        out = ctx.forward(x, domain=domain, params=ctx.memory["params"], statistics=ctx.memory["statistics"])
        return Outputs(out.features, out.logits)
