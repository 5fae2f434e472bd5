"""What a penalty is: it keeps parameters, features or outputs close to those of an earlier model, beside any method."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tladapt.errors import UsageError
from tladapt.fields import Chosen
from tladapt.ranges import Choice, Range
from tladapt.registry import Registry

PyTree = Any
DomainName = Literal["source", "target"]

Logits = Callable[[Mapping[str, PyTree], jax.Array], jax.Array]
"""The model in evaluation mode: (parameters by block, raw inputs `[n, ...]`) -> logits `[n, C]`."""

BACKBONE = "backbone"
"""As the name of a layer: what the backbone gives, before any bottleneck."""

SOURCE_CLASSIFIER = "source_classifier"
"""The block of parameters of a source classifier that is trained on."""


@dataclasses.dataclass(frozen=True)
class SourceClassifier:
    """The classifier that the starting weights were trained with, for classes of its own.

    Attributes:
      module: what it reads -> logits `[n, C_s]`, its parameters in place.
      reads: the layer that it reads: `BACKBONE`, the name of a stage, or "features" for what the run's own classifier
        reads.
    """

    module: nnx.Module
    reads: str = BACKBONE


class Seen(NamedTuple):
    """What the model made of the batch of one domain.

    Attributes:
      x: inputs as the model saw them `[n, ...]`.
      y: class indices `[n]`, int32; None for the target, whose labels nobody has.
      features: `[n, d]`.
      logits: `[n, C]`.
      taps: outputs of the layers that the penalty asks for, by name, `[n, ..., channels]`.
    """

    x: jax.Array
    y: jax.Array | None
    features: jax.Array
    logits: jax.Array
    taps: Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class PenaltyContext:
    """What a penalty may look at inside the compiled step.

    Attributes:
      params: parameters by block, heads included; `SOURCE_CLASSIFIER` is there where the penalty trains it.
      seen: the forward passes of this update, in training mode, by domain: those that the stage has.
    """

    params: Mapping[str, PyTree]
    seen: Mapping[str, Seen]
    run_model: Callable[[PyTree, DomainName, jax.Array], Any]
    run_source_classifier: Callable[[PyTree, jax.Array], jax.Array]
    reads: str = ""

    def earlier(self, model: PyTree, domain: DomainName) -> Seen:
        """Return what an earlier model (`PenaltyStart.model`) makes of a domain's inputs, in evaluation mode.

        No gradient goes through it.
        """
        out, seen = self.run_model(model, domain, self.seen[domain].x), self.seen[domain]
        return jax.tree.map(jax.lax.stop_gradient, Seen(seen.x, seen.y, out.features, out.logits, out.taps or {}))

    def source_logits(self, head: PyTree, seen: Seen) -> jax.Array:
        """Return the logits `[n, C_s]` of a source classifier with parameters `head` on what it reads of a pass."""
        return self.run_source_classifier(head, seen.features if self.reads == "features" else seen.taps[self.reads])

    def mean(self, each: Callable[[DomainName, Seen], jax.Array]) -> jax.Array:
        """Return the mean over all examples of the step of a function that gives one number for each, `[n]`."""
        domains: tuple[DomainName, ...] = ("source", "target")
        return jnp.mean(jnp.concatenate([each(name, self.seen[name]) for name in domains if name in self.seen]))


@dataclasses.dataclass(frozen=True)
class PenaltyStart:
    """What a penalty may look at before the first step of a run, and after the last one.

    Attributes:
      params: the model's parameters by block ("backbone", "bottleneck", "classifier") at that moment.
      logits: by domain, "source" or "target", the model in evaluation mode: `logits["source"](params, x) -> [n, C]`;
        blocks that `params` lacks are as they were. It may be an argument of a function under `jax.jit`.
      source: `source(count) -> (x [n, ...], y [n])`, labelled source examples as the data set has them (uint8 or
        float32), n <= count, spread evenly over the source domains and over each of them.
      target: `target(count) -> x [n, ...]`, target examples; there are no labels of the target.
      key: randomness.
      earlier: what the penalty of the same name handed on in the run that this one starts from (see `Penalty.carry`);
        None where there is nothing.
      model: the whole model at that moment as arrays, to be kept in memory for `PenaltyContext.earlier`.
      classes: number of classes C.
      layers: names of the backbone's stages in order; () where it does not name them.
      halves: `halves(layer) -> (before, after)`, the model in evaluation mode on the source in two functions of arrays
        that may be arguments under `jax.jit`: raw inputs -> the layer's output -> features.
      source_head: parameters of the source classifier, to be kept in memory; None where there is none.
      source_logits: `source_logits(x) -> [n, C_s]` in evaluation mode, for raw source inputs; None likewise.
    """

    params: Mapping[str, PyTree]
    logits: Mapping[str, Logits]
    source: Callable[[int], tuple[np.ndarray, np.ndarray]]
    target: Callable[[int], np.ndarray]
    key: jax.Array
    earlier: PyTree = None
    model: PyTree = None
    classes: int = 0
    layers: tuple[str, ...] = ()
    halves: Callable[[str], tuple[Callable[..., jax.Array], Callable[..., jax.Array]]] | None = None
    source_head: PyTree = None
    source_logits: Callable[[np.ndarray], np.ndarray] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Penalty(Chosen):
    """Base of all penalties. A subclass is a frozen, keyword-only dataclass; its fields are its hyper-parameters.

    A field `weight` is a factor on the whole of it: at 0 the step is compiled without the penalty.

    One of parameters defines `prepare` and `value`; one that looks at the batch defines `prepare` and `value_on`, and
    says in `needs` and `taps` what it looks at.

    Class attributes:
      name: how commands, folders and tables call it (by default the class's name in snake case).
      needs: what it needs beyond parameters and features: "inputs" (an earlier model looks at them) and "taps" (outputs
        of inner layers), for which cached features are not enough; "labels" (a labelled source in every stage);
        "source_classifier" (the one that the starting weights came with).
      trains_source_classifier: whether the source classifier is trained with the model.
      ranges: what `tladapt tune` searches: a range for each field that a user would tune, with its source.
    """

    name: ClassVar[str] = "penalty"
    needs: ClassVar[frozenset[str]] = frozenset()
    trains_source_classifier: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, Range | Choice]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    @property
    def tunes(self) -> bool:
        """Whether it says something on how a backbone is trained, which cached features of one leave nothing of."""
        return bool(self.needs & {"inputs", "taps", "source_classifier"})

    def taps(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        """Return the layers whose outputs it looks at, given the backbone's stages by name; `BACKBONE` may be one."""
        return ()

    def prepare(self, start: PenaltyStart) -> PyTree:
        """Return the arrays that the penalty keeps all run long (the anchor, its importance)."""
        raise NotImplementedError(f"{type(self).__name__} must define prepare(self, start).")

    def value(self, params: Mapping[str, PyTree], memory: PyTree) -> jax.Array:
        """Return the penalty, a scalar, for parameters by block."""
        raise NotImplementedError(f"{type(self).__name__} must define value(self, params, memory).")

    def value_on(self, ctx: PenaltyContext, memory: PyTree) -> jax.Array:
        """Return the penalty, a scalar, for an update's parameters, batch and outputs; by default `value`'s."""
        return self.value(ctx.params, memory)

    def carry(self, end: PenaltyStart, memory: PyTree) -> PyTree:
        """Return what a later run that starts from this one finds in `start.earlier`: nested dictionaries of arrays.

        It is called once, after the last step. None, as here: a later run begins anew.
        """
        return None


PENALTIES: Registry[type[Penalty]] = Registry("penalty")


def wide(x: jax.Array) -> jax.Array:
    """Return an array in float32, or in float64 where it was."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def check_at_least(penalty: Penalty, field: str, least: float = 0.0) -> None:
    """Raise `UsageError` unless a field of a penalty is a number of at least `least`."""
    value = getattr(penalty, field)
    if not value >= least:
        raise UsageError(f"penalty {penalty.name!r}: {field} must be {least:g} or more, got {value!r}.")


def check_source_classifier(penalty: Penalty, start: PenaltyStart) -> None:
    """Raise `UsageError` where a run has no source classifier."""
    if start.source_head is None:
        raise UsageError(
            f"penalty {penalty.name!r} needs the classifier that the starting weights were trained with, and there is"
            " none. Start from published weights that have their classifier, or from a run with a linear classifier"
            " (--init RUN)."
        )
