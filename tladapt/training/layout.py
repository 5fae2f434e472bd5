"""How runs of one program lie on the devices: one by itself, one over several devices, or seeds as an axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tladapt.errors import UsageError
from tladapt.models.compile import jit as compiled

PyTree = Any
Function = Callable[..., Any]


def available(asked: int | Literal["all"], batch_size: int) -> int:
    """Return how many devices `asked` stands for.

    Raises:
      UsageError: for more than there are, or a number that does not divide the batch.
    """
    there = len(jax.devices())
    count = there if asked == "all" else asked
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise UsageError(f"devices must be a number of at least 1, or 'all'; got {asked!r}.")
    if count > there:
        kind = jax.default_backend()
        simulate = f" JAX_NUM_CPU_DEVICES={count} in the environment simulates that many." if kind == "cpu" else ""
        raise UsageError(f"{count} devices were asked for, and JAX sees {there} ({kind}).{simulate}")
    if batch_size % count:
        raise UsageError(
            f"a batch of {batch_size} examples a domain cannot be split evenly over {count} devices."
            f" Set the recipe's batch_size to a multiple, such as {-(-batch_size // count) * count}."
        )
    return count


@dataclasses.dataclass(frozen=True)
class Single:
    """One run; with `devices` above 1 its batches are split over them, and everything else is on each.

    A batch stays one array to whoever computes with it: statistics of BatchNorm, kernels between all pairs of
    examples and the entropy of mean predictions are those of the whole batch.
    """

    devices: int = 1
    axis = 0  # of a chunk's pieces, the one that counts steps

    def __str__(self) -> str:
        return "one device" if self.devices == 1 else f"batches over {self.devices} devices"

    @property
    def mesh(self) -> Mesh:
        """The devices in a row."""
        return jax.make_mesh((self.devices,), ("data",), (AxisType.Auto,), devices=jax.devices()[: self.devices])

    def _on(self, *axes: str | None) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def compile(self, function: Function, *, convolutions: bool, axes: PyTree) -> Function:
        """Compile a function of (state, arrays, pieces) that gives the state's memory away."""
        options = {} if self.devices == 1 else {"out_shardings": self._on()}
        return compiled(function, convolutions=convolutions, donate_argnums=(0,), **options)

    def look(self, function: Function, axes: PyTree, *args: PyTree) -> tuple[Function, tuple[PyTree, ...]]:
        """Return a function and arguments whose jaxpr shows what each device will compute."""
        return function, args

    def join(self, states: Sequence[PyTree]) -> PyTree:
        """Return one tree for the states of the runs."""
        (state,) = states
        return state if self.devices == 1 else jax.device_put(state, self._on())

    def split(self, state: PyTree) -> list[PyTree]:
        """Return the states of the runs."""
        return [state]

    def resident(self, arrays: Sequence[Mapping[str, PyTree]]) -> tuple[dict[str, PyTree], dict[str, int | None]]:
        """Return the arrays that stay on the devices, by domain, and their axis of runs."""
        (only,) = arrays
        placed = dict(only) if self.devices == 1 else jax.device_put(dict(only), self._on())
        return placed, dict.fromkeys(only)

    def pieces(self, chunks: Sequence[PyTree]) -> PyTree:
        """Return what a chunk of steps brings for all runs; leaves `[steps, batch, ...]`."""
        (chunk,) = chunks
        return chunk if self.devices == 1 else jax.device_put(chunk, self._on(None, "data"))

    def sent(self, pieces: PyTree) -> PyTree:
        """Return a chunk's pieces on their way to the devices."""
        return jax.device_put(pieces) if self.devices == 1 else pieces


@dataclasses.dataclass(frozen=True)
class Stacked:
    """Several runs that differ by their seed, as a leading axis of every array.

    `vmap` computes them together on one device; `pmap` puts one on each device.
    """

    how: Literal["vmap", "pmap"]
    count: int
    axis = 1

    def __str__(self) -> str:
        return f"{self.how} of {self.count} seeds"

    def compile(self, function: Function, *, convolutions: bool, axes: PyTree) -> Function:
        """Compile a function of one run's (state, arrays, pieces) for all of them."""
        if self.how == "pmap":
            devices = jax.devices()[: self.count]
            return jax.pmap(function, in_axes=(0, axes, 0), donate_argnums=(0,), devices=devices)
        mapped = jax.vmap(function, in_axes=(0, axes, 0))
        return compiled(mapped, convolutions=convolutions, donate_argnums=(0,))

    def look(self, function: Function, axes: PyTree, *args: PyTree) -> tuple[Function, tuple[PyTree, ...]]:
        """Return a function and arguments whose jaxpr shows what each device will compute."""
        if self.how == "vmap":
            return jax.vmap(function, in_axes=(0, axes, 0)), args
        state, arrays, piece = args
        shared = {name: tree if axes[name] is None else _at(tree, 0) for name, tree in arrays.items()}
        return function, (_at(state, 0), shared, _at(piece, 0))

    def join(self, states: Sequence[PyTree]) -> PyTree:
        """Return one tree for the states of the runs."""
        if self.how == "vmap":
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        return jax.device_put(_stack(states), self._by_run())

    def split(self, state: PyTree) -> list[PyTree]:
        """Return the states of the runs, each whole on the first device."""
        if self.how == "pmap":
            state = jax.device_get(state)
        return [jax.tree.map(lambda leaf, run=run: jnp.asarray(leaf[run]), state) for run in range(self.count)]

    def resident(self, arrays: Sequence[Mapping[str, PyTree]]) -> tuple[dict[str, PyTree], dict[str, int | None]]:
        """Return the arrays that stay on the devices, by domain, and their axis of runs: None where all share them."""
        placed: dict[str, PyTree] = {}
        axes: dict[str, int | None] = {}
        for name, first in arrays[0].items():
            same = all(_same(first, other[name]) for other in arrays[1:])
            axes[name] = None if same else 0
            placed[name] = first if same else _stack([each[name] for each in arrays])
            if self.how == "pmap":
                everywhere = NamedSharding(self._mesh(), PartitionSpec())
                placed[name] = jax.device_put(placed[name], everywhere if same else self._by_run())
        return placed, axes

    def pieces(self, chunks: Sequence[PyTree]) -> PyTree:
        """Return what a chunk of steps brings for all runs; leaves `[runs, steps, batch, ...]`."""
        return _stack(chunks)

    def sent(self, pieces: PyTree) -> PyTree:
        """Return a chunk's pieces on their way to the devices."""
        return jax.device_put(pieces, self._by_run()) if self.how == "pmap" else jax.device_put(pieces)

    def _mesh(self) -> Mesh:
        return jax.make_mesh((self.count,), ("run",), (AxisType.Auto,), devices=jax.devices()[: self.count])

    def _by_run(self) -> NamedSharding:
        return NamedSharding(self._mesh(), PartitionSpec("run"))


Layout = Single | Stacked


def _stack(trees: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


def _at(tree: PyTree, place: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[place], tree)


def _same(one: PyTree, other: PyTree) -> bool:
    """Whether two trees hold equal arrays."""
    return all(
        a.shape == b.shape and bool(jnp.array_equal(a, b))
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )
