"""The model: backbone, optional bottleneck, classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.models.backbones.published import Chain
from tladapt.models.heads import Bottleneck
from tladapt.models.layers import Linear


class Outputs(NamedTuple):
    """What a model gives for a batch.

    Attributes:
      features: `[n, d]`.
      logits: `[n, C]`.
    """

    features: Any
    logits: Any


class Model(nnx.Module):
    """A backbone, a bottleneck or None, and a classifier.

    Args:
      backbone: inputs `[n, ...]` -> features `[n, d]`.
      bottleneck: features -> narrower features, or None.
      classifier: features -> logits `[n, C]`.
      out_features: width d of the features that the classifier sees.
      classes: number C of classes.
      prepare: raw inputs -> what the backbone reads (a published network's normalisation, say).
      precision: what the backbone computes in; features leave it as float32.
      backbone_features: width of what the backbone gives; None: d, there is no bottleneck.
    """

    def __init__(
        self,
        backbone: Any,
        bottleneck: Any,
        classifier: Any,
        *,
        out_features: int,
        classes: int,
        prepare: Callable[[jax.Array], jax.Array] | None = None,
        precision: str = "float32",
        backbone_features: int | None = None,
    ):
        self.backbone = backbone
        self.bottleneck = bottleneck if bottleneck is not None else nnx.data(None)
        self.classifier = classifier
        self.out_features, self.classes, self.prepare = out_features, classes, prepare
        self.precision = precision
        self.backbone_features = out_features if backbone_features is None else backbone_features
        if hasattr(backbone, "compute_dtype"):  # of a network that reads integers
            backbone.compute_dtype = jnp.dtype(precision)

    def features(self, x: jax.Array) -> jax.Array:
        """Return the features `[n, d]` of inputs `[n, ...]`: the bottleneck's where there is one."""
        features = self.body(self.read(x))
        return features if self.bottleneck is None else self.bottleneck(features)

    def read(self, x: jax.Array) -> jax.Array:
        """Return inputs as the backbone reads them: prepared, in the precision that it computes in."""
        x = x if self.prepare is None else self.prepare(x)
        lowered = self.precision != "float32" and jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(self.precision) if lowered else x

    def body(self, x: jax.Array) -> jax.Array:
        """Return the backbone's features of what it reads, in float32 at least."""
        return self.raised(self.backbone(x))

    def raised(self, features: jax.Array) -> jax.Array:
        """Return features in float32 where the backbone computes in less."""
        return features if self.precision == "float32" else features.astype(jnp.float32)

    def classify(self, features: jax.Array) -> jax.Array:
        """Return the logits `[n, C]` of features `[n, d]`."""
        return self.classifier(features)

    def __call__(self, x: jax.Array) -> Outputs:
        features = self.features(x)
        return Outputs(features, self.classify(features))


BackboneLike = str | Backbone | nnx.Module | Callable[..., nnx.Module]


def build_model(
    backbone: BackboneLike,
    shape: tuple[int, ...],
    classes: int,
    *,
    rngs: nnx.Rngs,
    bottleneck: int | Callable[..., nnx.Module | None] | None = None,
    classifier: Callable[..., nnx.Module] | None = None,
    precision: str = "float32",
    draw: bool = True,
) -> Model:
    """Put a model together, and check that its parts fit the inputs and each other.

    Args:
      backbone: a name in `BACKBONES`; a backbone with its fields; a module of your own (it is copied, and stays as it
        is); or a function or class that makes one, called with `rngs=`.
      shape: of one input, without the batch.
      classes: number of classes.
      rngs: draws the initial parameters, and feeds dropout.
      bottleneck: width of a linear layer with ReLU; or a function of `(features, rngs=)` that returns a module or None.
      classifier: a function of `(features, classes, rngs=)` that returns a module; None: a linear layer.
      precision: what the backbone computes in, "float32" or "bfloat16"; its parameters and features are float32.
      draw: whether the backbone's parameters are drawn; False where weights are about to replace them.

    Returns:
      A `Model` in training mode.

    Raises:
      UsageError: for parts that cannot be made, cannot read their inputs, or return something of another shape.

    Example:
      >>> model = build_model("lenet", (16, 16, 1), 10, rngs=nnx.Rngs(0), bottleneck=64)
      >>> features, logits = model(jnp.zeros((2, 16, 16, 1)))
      >>> features.shape, logits.shape
      ((2, 64), (2, 10))
    """
    if not isinstance(classes, int) or classes < 2:
        raise UsageError(f"classes must be a whole number of at least 2, got {classes!r}.")
    shape = tuple(shape)
    if isinstance(backbone, str):
        backbone = BACKBONES[backbone]
    if isinstance(backbone, type) and issubclass(backbone, Backbone):
        backbone = backbone()
    body = _make_backbone(backbone, shape, rngs) if draw else _blank(backbone, shape)
    spec = backbone if isinstance(backbone, Backbone) else None
    width = (
        body.out_features
        if isinstance(body, Chain)
        else _width(
            body,
            shape,
            "backbone",
            "Add a global pool (x.mean((1, 2))) or flatten (x.reshape(len(x), -1)).",
            dtype="float32" if spec is None else spec.dtype,
            prepare=None if spec is None else spec.prepare,
        )
    )
    given_width = width
    neck: Any = None
    if isinstance(bottleneck, int) and not isinstance(bottleneck, bool):
        if bottleneck < 1:
            raise UsageError(f"bottleneck is a width of at least 1, or None for no bottleneck; got {bottleneck!r}.")
        neck = Bottleneck(width, bottleneck, rngs=rngs)
    elif callable(bottleneck):
        neck = bottleneck(width, rngs=rngs)
    elif bottleneck is not None:
        raise UsageError(f"bottleneck must be a width, a function of (features, rngs=) or None, got {bottleneck!r}.")
    if neck is not None:
        width = _width(neck, (width,), "bottleneck", "It must keep one row an example.")
    head = (classifier or Linear)(width, classes, rngs=rngs)
    given = _width(head, (width,), "classifier", "It must keep one row an example.")
    if given != classes:
        raise UsageError(f"The classifier must give [n, {classes}] logits, one a class; it gives [n, {given}].")
    model = Model(
        body,
        neck,
        head,
        out_features=width,
        classes=classes,
        prepare=None if spec is None else spec.prepare,
        precision=precision,
        backbone_features=given_width,
    )
    model.train()
    return model


def _make_backbone(backbone: Any, shape: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Module:
    if isinstance(backbone, Backbone):
        return backbone.build(shape, rngs=rngs)
    if isinstance(backbone, nnx.Module):
        graph, state = nnx.split(backbone)
        # New buffers, not only new variables: a training step donates its own.
        return nnx.merge(graph, jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, jax.Array) else leaf, state))
    if callable(backbone):
        made = backbone(rngs=rngs)
        if isinstance(made, nnx.Module):
            return made
        raise UsageError(f"The backbone function must return a flax.nnx.Module, it returned {type(made).__name__}.")
    raise UsageError(
        "backbone must be a name ('tladapt list backbones' shows them), a tladapt Backbone, a flax.nnx.Module, or a"
        f" function of (rngs=) that makes one; got {backbone!r}."
    )


def filled(module: nnx.Module, rngs: nnx.Rngs) -> nnx.Module:
    """Return a module that was only traced (`nnx.eval_shape`) with zeros for its arrays, and random streams."""
    state = nnx.state(module)
    for _, variable in nnx.to_flat_state(state):
        value = variable.get_value()
        if isinstance(variable, nnx.RngKey):
            variable.set_value(rngs.dropout())
        elif isinstance(value, jax.ShapeDtypeStruct):
            variable.set_value(jnp.asarray(np.zeros(value.shape, value.dtype)))
    nnx.update(module, state)
    return module


def _blank(backbone: Any, shape: tuple[int, ...]) -> nnx.Module:
    """Return a backbone with zeros in the place of its parameters and statistics: nothing is drawn."""
    return filled(nnx.eval_shape(lambda: _make_backbone(backbone, shape, nnx.Rngs(0))), nnx.Rngs(0))


def _width(
    module: Any,
    shape: tuple[int, ...],
    part: str,
    hint: str,
    *,
    dtype: str = "float32",
    prepare: Callable[[jax.Array], jax.Array] | None = None,
) -> int:
    """Return d, after a look without computing at whether `module` maps `[n, *shape]` to `[n, d]`."""
    if not isinstance(module, nnx.Module):
        raise UsageError(f"The {part} must be a flax.nnx.Module, got {type(module).__name__}.")
    graph, state = nnx.split(module)
    count = 2
    inputs = jax.ShapeDtypeStruct((count, *shape), dtype)
    try:
        out = jax.eval_shape(
            lambda state, x: nnx.merge(graph, state, copy=True)(x if prepare is None else prepare(x)), state, inputs
        )
    except UsageError:
        raise
    except Exception as error:  # it is the user's code that runs here, and it may raise anything
        raise UsageError(
            f"The {part} {type(module).__name__} could not read inputs of shape [n, {', '.join(map(str, shape))}]"
            f" ({dtype}): {type(error).__name__}: {error}"
        ) from error
    if not hasattr(out, "shape"):
        raise UsageError(f"The {part} must return one array [n, d], {type(module).__name__} returned {_words(out)}.")
    if out.ndim != 2 or out.shape[0] != count:
        shown = ", ".join(["n" if out.shape and out.shape[0] == count else "?", *map(str, out.shape[1:])])
        raise UsageError(
            f"The {part} must return [n, d], {type(module).__name__} returned [{shown}] for inputs"
            f" [n, {', '.join(map(str, shape))}]. {hint}"
        )
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise UsageError(f"The {part} must return floating numbers, {type(module).__name__} returned {out.dtype}.")
    return int(out.shape[1])


def _words(out: Any) -> str:
    shapes = ", ".join(str(getattr(leaf, "shape", type(leaf).__name__)) for leaf in jax.tree.leaves(out))
    return f"a {type(out).__name__} of ({shapes})"
