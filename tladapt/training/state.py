"""All that a run is between two steps: arrays, and one integer that says where it stands."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.errors import RunFolderError
from tladapt.training.inputs import Inputs

PyTree = Any


class State(NamedTuple):
    """The state of a run; a checkpoint is this and nothing else.

    Attributes:
      step: number of steps done, int32.
      seed: the run's seed, int32; all randomness is a function of (seed, purpose, step).
      inputs: constants that inputs are standardised by.
      params: parameters by block: the model's and the heads'.
      statistics: the model's running statistics, by domain or "shared".
      head_statistics: the heads' running statistics by head.
      memory: the method's arrays that no gradient touches.
      penalty: the penalty's arrays.
      optimizer: the optimiser's state by block.
      fault: (step, number of the term) of the first non-finite term, (-1, -1) while there is none, int32.
    """

    step: jax.Array
    seed: jax.Array
    inputs: Inputs
    params: PyTree
    statistics: PyTree
    head_statistics: PyTree
    memory: PyTree
    penalty: PyTree
    optimizer: PyTree
    fault: jax.Array


def no_fault() -> jax.Array:
    """Return the mark of a run without a non-finite term."""
    return jnp.full((2,), -1, jnp.int32)


def flat(state: PyTree) -> dict[str, Any]:
    """Return a pytree as a dictionary from paths to leaves."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unflat(arrays: dict[str, Any], like: PyTree) -> Any:
    """Return `arrays` in the structure of `like`.

    Raises:
      RunFolderError: listing every path, shape and dtype that differs.
    """
    wanted = flat(like)
    problems = [f"missing {name}" for name in wanted if name not in arrays]
    problems += [f"unknown {name}" for name in arrays if name not in wanted]
    for name, leaf in wanted.items():
        if name in arrays:
            came, expected = np.asarray(arrays[name]), jnp.asarray(leaf)
            if came.shape != expected.shape or came.dtype != expected.dtype:
                problems.append(
                    f"{name}: expected {expected.dtype}{list(expected.shape)}, came {came.dtype}{list(came.shape)}"
                )
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise RunFolderError(
            f"the saved arrays do not fit this model and method: {shown}. Was a part of your own changed in between?"
        )
    leaves = [jnp.array(arrays[name]) for name in wanted]  # copies: a compiled step takes its state over
    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), leaves)
