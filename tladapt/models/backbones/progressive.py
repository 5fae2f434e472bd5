"""Progressive networks: a frozen column, and a new one of the same kind with lateral connections from it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from tladapt.errors import UsageError
from tladapt.models.backbones.base import BACKBONES, Backbone
from tladapt.models.backbones.published import Chain
from tladapt.models.layers import Linear
from tladapt.models.weights import load_arrays


@BACKBONES.register("progressive")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Progressive(Backbone):
    """Two columns of one kind: the first is frozen, the second is new and reads what the first makes of the input, too.

    h_i = f_i(h_{i-1}) + U_i relu(V_i a_i g_i), g the outputs of the frozen column's stages, h those of the new one, f_i
    the new column's i-th stage. The adapter scales g by a learned number a_i and maps it to the width of h by V_i, and
    again by U_i: linear layers at each place, which 1 x 1 convolutions are. There is an adapter at each stage that is a
    module, and one on the features, for the classifier. With all U_i at 0, as at the start, the new column is a
    network by itself.

    The frozen column moves in no run, bit for bit, its running statistics included, by which it normalises. Penalties
    that look at inner layers have none to look at here.

    Deviations from the paper:
      1. The lateral term is added to what the next stage reads, the paper's to the argument of its nonlinearity: for a
         stage that begins with a linear layer W that is the paper's with W U_i in the place of U_i.
      2. U_i starts at 0, the paper's at random.
      3. a_i starts at 1, the paper's at a small random number.
      4. There is one frozen column.

    Source: Rusu, Rabinowitz, Desjardins, Soyer, Kirkpatrick, Kavukcuoglu, Pascanu, Hadsell: Progressive neural
    networks. 2016. arXiv 1606.04671.
    """

    name: ClassVar[str] = "progressive"
    summary: ClassVar[str] = "a frozen column and a new one with lateral connections"

    column: Any = "mlp"
    """What both columns are: the name of a backbone with named stages, or a backbone with its options."""
    first: str | os.PathLike[str] | None = None
    """A run's folder, or a file of a run's weights, whose backbone the frozen column is; none: it stays as drawn."""

    def __post_init__(self) -> None:
        column = self.column
        if isinstance(column, Mapping):  # as a run's folder describes it
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in column.items()}
            column = BACKBONES[str(values.pop("name"))](**values)
        elif isinstance(column, str):
            column = BACKBONES[column]()
        if not isinstance(column, Backbone):
            raise UsageError(f"backbone 'progressive': column must be a backbone or the name of one, got {column!r}.")
        object.__setattr__(self, "column", column)
        if self.first is not None:
            object.__setattr__(self, "first", os.fspath(self.first))

    @property
    def dtype(self) -> str:  # type: ignore[override]  # it is that of the column
        return str(self.column.dtype)

    def prepare(self, x: jax.Array) -> jax.Array:
        return jnp.asarray(self.column.prepare(x))

    def build(self, shape: tuple[int, ...], *, rngs: nnx.Rngs) -> nnx.Module:
        old, new = (self.column.build(shape, rngs=rngs) for _ in range(2))
        for column in (old, new):
            if not isinstance(column, Chain):
                raise UsageError(
                    f"backbone 'progressive' needs columns with named stages; {self.column.name!r} does not name its"
                    " stages. Derive the network from tladapt.models.backbones.Chain."
                )
        if self.first is not None:
            _fill(old, Path(self.first))
        x = jax.eval_shape(self.column.prepare, jax.ShapeDtypeStruct((1, *shape), self.column.dtype))
        return ProgressiveNetwork(old, new, x, rngs=rngs)


class Adapter(nnx.Module):
    """U relu(V a g), of the width of what it is added to; 0 at the start.

    Args:
      before: width of the last axis of g.
      after: width of the result.
      rngs: draws V.
    """

    def __init__(self, before: int, after: int, *, rngs: nnx.Rngs):
        self.scale = nnx.Param(jnp.ones(()))
        self.narrow = Linear(before, after, rngs=rngs)
        self.lateral = Linear(after, after, use_bias=False, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def __call__(self, g: jax.Array) -> jax.Array:
        return self.lateral(jax.nn.relu(self.narrow(g * self.scale[...].astype(g.dtype))))


class ProgressiveNetwork(nnx.Module):
    """The network of `Progressive`: `[n, ...] -> [n, d]`.

    Args:
      old, new: two networks of one kind.
      x: shape and dtype of an input.
      rngs: draws the adapters.

    Attributes:
      fixed_paths: what no run moves.
    """

    fixed_paths = ("old",)

    def __init__(self, old: Chain, new: Chain, x: jax.ShapeDtypeStruct, *, rngs: nnx.Rngs):
        self.old, self.new = old, new
        self.out_features = new.out_features
        names = old.stage_names()
        own = {name for name, _ in old.stage_paths()}
        self.places = tuple(name for name in names if name in own or name == names[-1])
        old.eval()

        def outputs(x: jax.Array) -> dict[str, jax.Array]:
            return old.taps(x, self.places)

        shapes = jax.eval_shape(outputs, x)
        widths = [int(shapes[place].shape[-1]) for place in self.places]
        self.adapters = nnx.List([Adapter(width, width, rngs=rngs) for width in widths])

    def __call__(self, x: jax.Array) -> jax.Array:
        self.old.eval()  # whatever mode the whole is in
        adapters = dict(zip(self.places, self.adapters, strict=True))
        g = h = x
        for (name, before), (_, stage) in zip(self.old.stages(), self.new.stages(), strict=True):
            g, h = jax.lax.stop_gradient(before(g)), stage(h)
            if name in adapters:
                h = h + adapters[name](g)
        return h

    def stage_paths(self) -> tuple[tuple[str, str], ...]:
        """Return name and path of the new column's stages in order, each followed by its adapter."""
        adapters = {name: f"adapters/{place}" for place, name in enumerate(self.places)}
        found = []
        for name, path in self.new.stage_paths():
            found.append((name, f"new/{path}"))
            if name in adapters:
                found.append((name, adapters.pop(name)))
        return (*found, *((found[-1][0], path) for path in adapters.values()))


def _fill(column: Chain, path: Path) -> None:
    """Put the backbone of an earlier run into a column, in place.

    Raises:
      UsageError: listing every array that is missing, left over or of another shape.
    """
    if path.is_dir():
        path = path / "model" / "model.safetensors"
    arrays = load_arrays(path)
    kept = "shared" if any(name.startswith("statistics/shared/") for name in arrays) else "target"
    starts = ("params/backbone/", f"statistics/{kept}/backbone/")
    given = {
        name.removeprefix(start): leaf for start in starts for name, leaf in arrays.items() if name.startswith(start)
    }
    state = nnx.state(column, nnx.Not(nnx.RngState))
    problems = []
    for place, variable in nnx.to_flat_state(state):
        name, leaf = "/".join(map(str, place)), variable.get_value()
        came = given.pop(name, None)
        if came is None or came.shape != leaf.shape:
            shown = "it is missing" if came is None else f"came {list(came.shape)}"
            problems.append(f"{name}: expected {list(leaf.shape)}, {shown}")
        else:
            variable.set_value(jnp.asarray(came, leaf.dtype))
    problems += [f"{name}: came {list(leaf.shape)}, the column has no such array" for name, leaf in given.items()]
    if problems:
        listed = "\n  ".join(problems)
        raise UsageError(
            f"{path} does not fit the columns:\n  {listed}\nUse the backbone and the options that it was trained with."
        )
    nnx.update(column, state)
