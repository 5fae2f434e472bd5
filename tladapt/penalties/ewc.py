"""Elastic weight consolidation: parameters that the source's predictions depend on are held, others may move."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.errors import UsageError
from tladapt.models.compile import has_convolutions
from tladapt.models.compile import jit as compiled
from tladapt.penalties.base import PENALTIES, Penalty, PenaltyStart, PyTree
from tladapt.ranges import Choice, Range

Labels = Literal["classes", "sample", "empirical"]
Model = Callable[[PyTree, jax.Array], jax.Array]


@PENALTIES.register("ewc")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EWC(Penalty):
    """(weight / 2) sum_i F_i (theta_i - theta*_i)^2, theta* where the run starts, F the diagonal Fisher information.

    F is that of the model at theta*, a mean over examples of the source (see `fisher_information`). Zero, with zero
    gradient, at theta*; the gradient is weight F (theta - theta*).

    With `decay` g it is online EWC, for a chain of runs each of which starts from the one before (`--init RUN`). A run
    that ends hands on F <- g F + F_t, F_t taken at its last parameters on its own target, whose labels nobody needs:
    they are the model's. The next run's theta* is where it starts, and its penalty is (weight / 2) g sum F (theta -
    theta*)^2: one anchor and one F, however long the chain. The first run takes F on its source.

    Which parameters move: backbone, bottleneck and classifier are held; running statistics and a method's heads are
    not. Statistics that go over to the target are no longer the source's at any weight; `batchnorm="frozen"` keeps
    them.

    Logged: `loss/penalty`, the value above (its weight is in it, so `weight/penalty` is 1).

    A step of size r is stable while r weight F < 2 for the largest F: where a run diverges, `recipe.clip` or a smaller
    learning rate serves better than a smaller weight.

    Deviations from the paper:
      1. F is a mean over at most `examples` examples; the papers leave the number open.
      2. Online, the Fisher information of a target is taken under the model's own predictions, for want of labels.

    Defaults: the exact F, over all classes. The papers' weights are of other networks and units: try powers of ten.

    Source: Kirkpatrick et al.: Overcoming catastrophic forgetting in neural networks. PNAS 2017. arXiv 1612.00796.
    Online: Schwarz et al.: Progress & Compress. ICML 2018. arXiv 1805.06370.
    """

    name: ClassVar[str] = "ewc"
    ranges: ClassVar[Mapping[str, Range | Choice]] = {
        "weight": Range(1.0, 1e4, log=True),
    }
    """1. weight: powers of ten around the default; the papers' are of other networks and units."""

    weight: float = 100.0
    """Strength of the pull."""
    labels: Labels = "classes"
    """Whose labels the gradients of F are of: "classes" (all, each as likely as the model says), "sample" (one drawn
    from the model), "empirical" (the true ones)."""
    decay: float | None = None
    """Factor g, in (0, 1], on what earlier runs handed on; none: each run takes F anew, on its source."""
    examples: int = 1000
    """How many examples F is a mean over, at most."""
    block: int | None = None
    """Examples whose gradients are in memory at a time; none: 1 on CPU, where more are no faster, 16 elsewhere."""
    classifier: bool = True
    """Whether the classifier is held too."""

    def __post_init__(self) -> None:
        if not self.weight >= 0.0:
            raise UsageError(f"penalty {self.name!r}: weight must be 0 or more, got {self.weight!r}.")
        if self.labels not in get_args(Labels):
            raise UsageError(f"penalty {self.name!r}: labels must be {_CHOICES}, got {self.labels!r}.")
        if self.decay is not None and not 0.0 < self.decay <= 1.0:
            raise UsageError(f"penalty {self.name!r}: decay must be in (0, 1], or none; got {self.decay!r}.")
        if self.decay is not None and self.labels == "empirical":
            raise UsageError(
                f"penalty {self.name!r}: labels='empirical' needs true labels, and with a decay F is taken on targets,"
                " which have none. Use labels='classes' or 'sample'."
            )
        for field in ("examples", "block"):
            value = getattr(self, field)
            if not (value is None and field == "block") and (not isinstance(value, int) or value < 1):
                raise UsageError(f"penalty {self.name!r}: {field} must be a whole number from 1 on, got {value!r}.")

    def prepare(self, start: PenaltyStart) -> PyTree:
        anchor = self._held(start.params)
        if self.decay is not None and start.earlier is not None:
            return {"anchor": anchor, "fisher": _fitting(start.earlier["fisher"], anchor)}
        x, y = start.source(self.examples)
        return {"anchor": anchor, "fisher": self._fisher(start, anchor, "source", x, y)}

    def value(self, params: Mapping[str, PyTree], memory: PyTree) -> jax.Array:
        def pull(now: jax.Array, then: jax.Array, fisher: jax.Array) -> jax.Array:
            return jnp.sum(fisher * jnp.square((now - then).astype(fisher.dtype)))

        held = {block: params[block] for block in memory["anchor"]}
        pulls = jax.tree.map(pull, held, memory["anchor"], memory["fisher"])
        factor = 0.5 * self.weight * (1.0 if self.decay is None else self.decay)
        return factor * jax.tree.reduce(jnp.add, pulls)

    def carry(self, end: PenaltyStart, memory: PyTree) -> PyTree:
        if self.decay is None:
            return None
        new = self._fisher(end, self._held(end.params), "target", end.target(self.examples), None)
        decay = self.decay
        return {"fisher": jax.tree.map(lambda old, new: decay * old + new, memory["fisher"], new)}

    def _held(self, params: Mapping[str, PyTree]) -> dict[str, PyTree]:
        return {block: tree for block, tree in params.items() if self.classifier or block != "classifier"}

    def _fisher(self, seen: PenaltyStart, params: PyTree, domain: str, x: np.ndarray, y: np.ndarray | None) -> PyTree:
        block = self.block if self.block is not None else 1 if jax.default_backend() == "cpu" else 16
        return fisher_information(seen.logits[domain], params, x, labels=self.labels, y=y, key=seen.key, block=block)


_CHOICES = ", ".join(map(repr, get_args(Labels)[:-1])) + f" or {get_args(Labels)[-1]!r}"


def fisher_information(
    logits: Model,
    params: PyTree,
    x: Any,
    *,
    labels: Labels = "classes",
    y: Any = None,
    key: jax.Array | None = None,
    block: int = 1,
) -> PyTree:
    """Compute the diagonal of the Fisher information of a classifier, example by example.

    F_i = mean_x E_y (d log p(y | x) / d theta_i)^2. The square is taken of each example's own gradient: the square of
    a batch's mean gradient is another, smaller quantity. `labels` says what y is: "classes" takes the expectation over
    p(y | x) exactly, with one gradient a class; "sample" draws one y of p(y | x), which is right on average;
    "empirical" takes the true y, which agrees with the other two only where the model is right about p.

    At most `block` examples' gradients (times the number of classes under "classes") are in memory at a time.

    Args:
      logits: `logits(params, x [n, ...]) -> [n, C]`, where no example's logits depend on another's (evaluation mode).
        Arrays that it closes over are compiled in; those of a `jax.tree_util.Partial` are not.
      params: floating arrays in any tree.
      x: inputs `[n, ...]`.
      labels: "classes", "sample" or "empirical".
      y: class indices `[n]` for "empirical".
      key: randomness for "sample".
      block: examples at a time, > 0.

    Returns:
      F in the form of `params`, >= 0, in float32 (float64 for parameters of that type).

    Raises:
      UsageError: for labels or a key that are needed and missing.

    Example:
      >>> weights, x = jnp.zeros((1, 2)), np.array([[2.0], [2.0]], np.float32)
      >>> fisher_information(lambda w, x: x @ w, weights, x)  # p (1 - p) x^2 = 0.5 * 0.5 * 4
      Array([[1., 1.]], dtype=float32)
    """
    if labels == "empirical" and y is None:
        raise UsageError("labels='empirical' needs y, the true classes; use labels='classes' or 'sample' without.")
    if labels == "sample" and key is None:
        raise UsageError("labels='sample' needs key=, such as jax.random.key(0).")
    count = len(x)
    known = np.zeros(count, np.int32) if y is None else np.asarray(y, np.int32)
    base = jax.random.key(0) if key is None else key  # drawn from under "sample" alone

    def squares(logits: Model, params: PyTree, x: jax.Array, y: jax.Array, place: jax.Array) -> PyTree:
        """Return E_y of the squared gradient for one example."""
        scores, pull = jax.vjp(lambda params: logits(params, x[None])[0].astype(jnp.float32), params)  # [C]
        p = jax.nn.softmax(scores)
        if labels == "classes":
            # d log p(c) / d scores = e_c - p
            away = jnp.eye(len(p), dtype=p.dtype) - p[None, :]  # [C, C]
            gradients = jax.vmap(lambda one: pull(one)[0])(away)
            return jax.tree.map(lambda leaf: jnp.tensordot(p.astype(_wide(leaf)), _squared(leaf), 1), gradients)
        chosen = jax.random.categorical(jax.random.fold_in(base, place), scores) if labels == "sample" else y
        return jax.tree.map(_squared, pull(jax.nn.one_hot(chosen, len(p), dtype=p.dtype) - p)[0])

    def total(logits: Model, params: PyTree, x: jax.Array, y: jax.Array, place: jax.Array) -> PyTree:
        """Return the sum over all blocks; a `place` of -1 fills the last one up."""

        def add(sums: PyTree, piece: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[PyTree, None]:
            found = jax.vmap(functools.partial(squares, logits, params))(*piece)  # leaves [block, ...]
            counts = piece[2] >= 0
            return jax.tree.map(
                lambda old, new: old + jnp.tensordot(counts.astype(new.dtype), new, 1), sums, found
            ), None

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _wide(leaf)), params)
        return jax.lax.scan(add, zeros, (x, y, place))[0]

    filled = np.resize(np.arange(count), -(-count // block) * block)
    place = np.where(np.arange(len(filled)) < count, filled, -1).astype(np.int32)
    pieces = [np.asarray(part)[filled].reshape(-1, block, *np.shape(part)[1:]) for part in (x, known)]
    model = logits if isinstance(logits, jax.tree_util.Partial) else jax.tree_util.Partial(logits)
    arguments = (model, params, *pieces, place.reshape(-1, block))
    sums = compiled(total, convolutions=has_convolutions(total, *arguments))(*arguments)
    return jax.tree.map(lambda leaf: leaf / count, sums)


def _wide(leaf: jax.Array) -> Any:
    """Return the dtype that squares of a leaf are summed in."""
    return jnp.float64 if leaf.dtype == jnp.float64 else jnp.float32


def _squared(leaf: jax.Array) -> jax.Array:
    return jnp.square(leaf.astype(_wide(leaf)))


def _fitting(fisher: PyTree, anchor: PyTree) -> PyTree:
    """Return what an earlier run handed on, where it is of the parameters that are held now."""
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(anchor)
    }
    found = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(fisher)
    }
    wrong = [name for name in shapes if name not in found or found[name].shape != shapes[name]]
    if wrong:
        raise UsageError(
            "the run that this one starts from handed on Fisher information of other parameters: there is none for"
            f" {', '.join(wrong[:3])}{' and others' if len(wrong) > 3 else ''}. Hold the same ones in the whole chain"
            " (--penalty.classifier false where the classes change)."
        )
    leaves = [jnp.asarray(found[name]) for name in shapes]
    return cast(PyTree, jax.tree.unflatten(jax.tree.structure(anchor), leaves))
