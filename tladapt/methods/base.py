"""What a method is: losses on outputs, the parameters that they move, and the state that no gradient touches.

A method is a frozen, keyword-only dataclass whose fields are its hyper-parameters. Every part has a default;
most methods override `loss` alone, or `heads` and `loss`. The training room reads nothing else of a method.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt import losses
from tladapt.data.augment import Mixture
from tladapt.errors import UnknownNameError, UsageError
from tladapt.fields import Chosen
from tladapt.losses.schedules import LAMBDA_SCHEDULES
from tladapt.models import Outputs
from tladapt.ranges import Choice, Range
from tladapt.registry import Registry, suggest

PyTree = Any


class Term(NamedTuple):
    """One named part of an objective: `value` (a scalar) enters with `weight` (a number or a traced scalar)."""

    value: jax.Array
    weight: Any = 1.0


class Logged(NamedTuple):
    """A scalar that is logged under its name and not minimised."""

    value: Any


Terms = Mapping[str, Term | Logged | jax.Array]
"""Named parts of an objective; a bare scalar is a term of weight 1."""


class SourceOutputs(NamedTuple):
    """What the model made of the source batch.

    Attributes:
      x: inputs as the model saw them `[n, ...]`.
      y: class indices `[n]`, int32.
      domain: which of the source domains each example is from `[n]`, int32.
      index: position of each example among all of its role `[n]`, int32: where a bank in `memory` keeps it.
      features: `[n, d]`.
      logits: `[n, C]`.
      mixture: what else is in each example where the recipe mixes them (mixup); `y` has the larger share then, and
        `classification` counts both. None: nothing.
    """

    x: jax.Array
    y: jax.Array
    domain: jax.Array
    index: jax.Array  # type: ignore[assignment]  # hides tuple.index, which nobody asks a batch for
    features: jax.Array
    logits: jax.Array
    mixture: Mixture | None = None


class TargetOutputs(NamedTuple):
    """What the model made of the target batch. As `SourceOutputs`, without a field for labels."""

    x: jax.Array
    domain: jax.Array
    index: jax.Array  # type: ignore[assignment]  # as above
    features: jax.Array
    logits: jax.Array


class Forward(NamedTuple):
    """One forward pass: features `[n, d]`, logits `[n, C]`, the running statistics after it, inner layers by name."""

    features: jax.Array
    logits: jax.Array
    statistics: PyTree
    taps: Mapping[str, jax.Array] | None = None


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes that heads and memories are made from.

    Attributes:
      features: width `d` of the features.
      classes: number of classes `C`.
      sources: number of source domains.
      source_examples, target_examples: number of training examples of each role.
      classifier: makes a fresh classifier like the model's own, `classifier(rngs=...)`.
    """

    features: int
    classes: int
    sources: int
    source_examples: int
    target_examples: int
    classifier: Callable[..., nnx.Module]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the run with its own data, learning-rate schedule and fresh optimiser state.

    Attributes:
      name: how logs call it.
      source, target: which domains a batch of this stage holds; a source-free stage has `source=False`.
      share: its share of the steps, relative to the other stages.
      refresh: how many times `Method.refresh` sees the whole target in this stage, evenly spaced, the first at its
        start.
    """

    name: str = "adapt"
    source: bool = True
    target: bool = True
    share: float = 1.0
    refresh: int = 0


@dataclasses.dataclass(frozen=True)
class Update:
    """One gradient update within a step.

    Attributes:
      loss: what is minimised, a function of a `Context`.
      moves: which parameter blocks it moves: "backbone", "bottleneck", "classifier", the name of a head;
        "model" stands for the first three, "heads" for all heads, "all" for everything. Other blocks, and the
        optimiser's state for them, stay bit for bit.
      repeat: how many times in a row, on the same batch.
    """

    loss: Callable[[Context], Terms | tuple[Terms, Mapping[str, PyTree]]]
    moves: tuple[str, ...] = ("all",)
    repeat: int = 1


@dataclasses.dataclass(frozen=True)
class Context:
    """All that a loss may look at, inside the compiled step.

    Attributes:
      source: `SourceOutputs`; None where the stage has no source, and outside of a loss.
      target: `TargetOutputs`; None where the stage has no target, and outside of a loss.
      heads: the method's own modules by name, ready to be called; empty in `after_step`.
      memory: the method's arrays that no gradient touches.
      params: parameters by block (updated ones in `after_step`).
      progress: how far the stage is, in [0, 1).
      step: the step's number within the stage, int32.
      aux: in `after_step`, what the losses returned beside their terms.
    """

    source: Any
    target: Any
    heads: Mapping[str, Any]
    memory: Any
    params: Mapping[str, PyTree]
    progress: jax.Array
    step: jax.Array
    aux: Mapping[str, PyTree]
    random_key: jax.Array
    run_forward: Callable[..., Forward]
    run_view: Callable[..., jax.Array]

    def key(self, name: str) -> jax.Array:
        """Return the random key of this step for one purpose; the same name gives the same key."""
        return jax.random.fold_in(self.random_key, zlib.crc32(name.encode()))

    def schedule(self, name: str) -> jax.Array:
        """Return a named lambda schedule's value at this step (see `tladapt.losses.schedules`)."""
        check_schedule(name)
        return LAMBDA_SCHEDULES[name](self.progress, self.step)

    def view(self, domain: Literal["source", "target"], name: str) -> jax.Array:
        """Return another augmented view of this step's batch of a domain; each name gives an independent one."""
        return self.run_view(domain, self.key("view/" + name))

    def forward(
        self,
        x: jax.Array,
        *,
        domain: Literal["source", "target"] = "target",
        params: Mapping[str, PyTree] | None = None,
        statistics: PyTree = None,
    ) -> Forward:
        """Run the model once more: on other inputs, or with other parameters or statistics (a teacher's, say).

        The pass is in training mode within a loss and in evaluation mode within `predict`. The run's own statistics
        do not change; those after the pass are in the result, for `memory`.

        Args:
          x: inputs as the model sees them (`ctx.target.x`, `ctx.view(...)`).
          domain: whose running statistics to use where they are kept per domain.
          params: blocks "backbone", "bottleneck", "classifier"; None: the current ones.
          statistics: running statistics; None: the current ones.
        """
        return self.run_forward(x, domain=domain, params=params, statistics=statistics)


@dataclasses.dataclass(frozen=True)
class Start:
    """What a method's memory may be made from before the first step; there is no label and no test set in it."""

    params: Mapping[str, PyTree]
    statistics: PyTree
    sizes: Sizes
    key: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(Chosen):
    """Base of all methods. A subclass is a frozen, keyword-only dataclass; its fields are its hyper-parameters.

    Class attributes:
      name: how commands, folders and tables call it (by default the class's name in lower case).
      needs: what it needs beyond the batch: "views" (augmented ones), "oracle" (the labelled target as its source).
      augmentation: what augments inputs where the recipe says nothing ("none" for most methods).
      target_statistics: whether predictions on the target use BatchNorm statistics that are measured over the whole
        target, whatever the recipe's policy says of evaluation.
      ranges: what `tladapt tune` searches: a range for each field that a user would tune, with its source.
      improves: validators whose quantity the method's own losses drive up on the target, so that their scores flatter
        it.
    """

    name: ClassVar[str] = "method"
    needs: ClassVar[frozenset[str]] = frozenset()
    augmentation: ClassVar[str] = "none"
    target_statistics: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, Range | Choice]] = {}
    improves: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def heads(self, sizes: Sizes, rngs: nnx.Rngs) -> Mapping[str, nnx.Module]:
        """Return the modules that are trained beside the model, by name (a discriminator, a second classifier)."""
        return {}

    def bottleneck(self, features: int, rngs: nnx.Rngs) -> nnx.Module | None:
        """Return the layer between backbone and classifier that this method prescribes; None: what the recipe says.

        A module with attribute `out_features`.
        """
        return None

    def classifier(self, features: int, classes: int, rngs: nnx.Rngs) -> nnx.Module | None:
        """Return the classifier that this method prescribes; None: a linear layer."""
        return None

    def memory(self, start: Start) -> PyTree:
        """Return the arrays that no gradient touches: random maps, EMA copies, banks, pseudo-labels."""
        return {}

    def stages(self) -> tuple[Stage, ...]:
        """Return the stages of a run, in order."""
        return (Stage(),)

    def updates(self, stage: Stage) -> tuple[Update, ...]:
        """Return the gradient updates of one step of a stage, in order."""
        return (Update(self.loss),)

    def loss(self, ctx: Context) -> Terms | tuple[Terms, Mapping[str, PyTree]]:
        """Return the named terms; a second value, a dictionary of arrays, reaches `after_step` as `ctx.aux`."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(self, ctx), or updates(self, stage).")

    def after_step(self, ctx: Context) -> PyTree:
        """Return the memory after a step; `ctx.params` are the updated parameters."""
        return ctx.memory

    def refresh(self, ctx: Context, outputs: Outputs) -> PyTree:
        """Return the memory after a look at the whole target in evaluation mode: all rows, in order, as arrays."""
        return ctx.memory

    def predict(self, ctx: Context, x: jax.Array, domain: Literal["source", "target"]) -> Outputs:
        """Return features and logits in evaluation mode; by default the model's own."""
        out = ctx.forward(x, domain=domain)
        return Outputs(out.features, out.logits)


METHODS: Registry[type[Method]] = Registry("method")


def check_schedule(name: str) -> None:
    """Raise `UnknownNameError` unless `name` is in `LAMBDA_SCHEDULES`, where one of your own goes too."""
    if name not in LAMBDA_SCHEDULES:
        raise UnknownNameError(f"Unknown lambda schedule {name!r}.{suggest(name, LAMBDA_SCHEDULES)}")


def check_range(method: Method, field: str, within: str) -> None:
    """Raise `UsageError` unless a field of a method lies in an interval such as "[0, 1)" or "[0, inf)"."""
    low, high = (float(end) for end in within[1:-1].split(","))
    value = getattr(method, field)
    above = value >= low if within[0] == "[" else value > low
    below = value <= high if within[-1] == "]" else value < high
    if not (above and below):
        raise UsageError(f"method {method.name!r}: {field} must lie in {within}, got {value!r}.")


def classification(ctx: Context, *, logits: jax.Array | None = None, smoothing: float = 0.0) -> Term:
    """Return the cross entropy of the source batch as a term.

    L = mean_i s_i H(y_i, p_i) + (1 - s_i) H(y'_i, p_i), where the recipe mixes a share 1 - s_i of another example with
    label y'_i into each; s_i = 1 where it does not.

    Args:
      ctx: what the loss may look at.
      logits: of another classifier `[n, C]`; None: the model's own.
      smoothing: of the labels, in [0, 1).
    """
    source, logits = ctx.source, ctx.source.logits if logits is None else logits
    if source.mixture is None:
        return Term(losses.cross_entropy(logits, source.y, smoothing=smoothing))

    def part(labels: jax.Array, share: jax.Array) -> jax.Array:
        mean = losses.cross_entropy(logits, labels, smoothing=smoothing, weights=share)  # over examples by their share
        return jnp.mean(share).astype(mean.dtype) * mean

    return Term(part(source.y, source.mixture.share) + part(source.mixture.y, 1.0 - source.mixture.share))
