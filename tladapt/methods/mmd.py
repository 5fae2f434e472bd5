"""DAN: features whose means agree in a reproducing kernel Hilbert space; and any discrepancy that is a function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, get_args

import jax

from tladapt import losses
from tladapt.errors import UsageError
from tladapt.losses.mmd import Estimator
from tladapt.methods.base import (
    METHODS,
    Context,
    Logged,
    Method,
    Term,
    Terms,
    check_range,
    check_schedule,
    classification,
)
from tladapt.ranges import Choice, Range


@METHODS.register("mmd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MMD(Method):
    """Deep adaptation network: a multi-kernel maximum mean discrepancy between the features of the two domains.

    L = CE_s + lambda(p) MMD^2(f_s, f_t), with five Gaussian kernels about the mean squared distance of the batch (see
    `tladapt.losses.mk_mmd`).

    Which parameters move: backbone and classifier by the cross entropy; the backbone alone by the discrepancy.

    Logged: `loss/mmd`, the squared discrepancy before its weight (up to 10; unbiased estimates of equal domains scatter
    about 0 and can be negative); `lambda`, its weight.

    Deviations from the paper:
      1. One layer (the features) instead of the sum over AlexNet's fc6 to fc8.
      2. The five kernels have equal weights; the paper's quadratic programme for them is left out, as in all public
         code.
      3. The unbiased estimator is the default; the paper's linear-time one is `estimator="linear"`.
      4. The weight follows DANN's schedule, as in the DeepDA code base; `schedule="constant"` is the paper's form.

    Defaults: weight 1, as in thuml's library; the paper chose it by validation.

    Source: Long, Cao, Wang, Jordan: Learning transferable features with deep adaptation networks. ICML 2015.
    arXiv 1502.02791. Kernel: Gretton et al., JMLR 13, 2012.
    """

    name: ClassVar[str] = "mmd"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(0.01, 10.0, log=True),
    }
    """1. weight: AdaTime's sweep for MMD (Ragab et al., TKDD 2023, arXiv 2203.08016), in factors."""

    weight: float = 1.0
    """Weight of the discrepancy; the schedule's value is multiplied by it."""
    schedule: str = "ganin2016"
    """How the weight grows over the run, by name; 'tladapt schedules' shows them."""
    estimator: Estimator = "unbiased"
    """Which estimator of the squared discrepancy: "biased" is never negative, "linear" is noisier and O(n)."""

    def __post_init__(self) -> None:
        check_range(self, "weight", "[0, inf)")
        check_schedule(self.schedule)
        if self.estimator not in get_args(Estimator):
            raise UsageError(f"mmd estimator must be one of {', '.join(get_args(Estimator))}; got {self.estimator!r}.")

    def loss(self, ctx: Context) -> Terms:
        weight = self.weight * ctx.schedule(self.schedule)
        value = losses.mk_mmd(ctx.source.features, ctx.target.features, estimator=self.estimator)
        return {"classification": classification(ctx), "mmd": Term(value, weight), "lambda": Logged(weight)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discrepancy(Method):
    """Any discrepancy between source and target as a method; made by `tladapt.methods.discrepancy`.

    L = CE_s + lambda fn(source, target).

    Which parameters move: backbone and classifier by the cross entropy; by `fn` the backbone, and the classifier too
    where `on="logits"`.

    Logged: `loss/discrepancy`, the value of `fn` before its weight; `lambda`, its weight.
    """

    name: ClassVar[str] = "discrepancy"

    fn: Callable[[jax.Array, jax.Array], jax.Array]
    """`fn(source, target) -> scalar`."""
    on: Literal["features", "logits"] = "features"
    """Which outputs `fn` receives, `[n_s, d]` and `[n_t, d]`."""
    weight: float = 1.0
    """Weight of the discrepancy; the schedule's value is multiplied by it."""
    schedule: str = "constant"
    """How the weight grows over the run, by name; 'tladapt schedules' shows them."""

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise UsageError(f"discrepancy(fn) needs a function fn(source, target) -> scalar, got {self.fn!r}.")
        if self.on not in ("features", "logits"):
            raise UsageError(f"discrepancy(..., on=...) must be 'features' or 'logits', got {self.on!r}.")
        check_schedule(self.schedule)

    def loss(self, ctx: Context) -> Terms:
        weight = self.weight * ctx.schedule(self.schedule)
        value = self.fn(getattr(ctx.source, self.on), getattr(ctx.target, self.on))
        return {"classification": classification(ctx), "discrepancy": Term(value, weight), "lambda": Logged(weight)}


def discrepancy(
    fn: Callable[[jax.Array, jax.Array], jax.Array],
    on: Literal["features", "logits"] = "features",
    weight: float = 1.0,
    *,
    schedule: str = "constant",
) -> Discrepancy:
    """Return the method that adds `weight * fn(source, target)` to the source's cross entropy.

    Args:
      fn: a discrepancy between two batches, `fn([n_s, d], [n_t, d]) -> scalar`, differentiable and free of side
        effects; `tladapt.testing.check_loss(fn)` tells whether it will do anything.
      on: which outputs it receives, "features" or "logits".
      weight: how strongly it counts.
      schedule: how the weight grows over the run, by name.

    Raises:
      UsageError: where `fn` is no function, or `on` or `schedule` is not one of the choices.

    Example:
      >>> from tladapt import losses, methods
      >>> method = methods.discrepancy(losses.coral, weight=10.0)
      >>> method.on, method.weight
      ('features', 10.0)
    """
    return Discrepancy(fn=fn, on=on, weight=weight, schedule=schedule)
