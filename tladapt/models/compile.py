"""How a training step is compiled, and whether it may run inside `jax.lax.scan` on CPU."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

_LOG = logging.getLogger(__name__)

_REDUCTIONS_ONLY = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


@functools.cache
def _understands_reductions_only() -> bool:
    """Return whether this jaxlib's CPU compiler knows the option, by compiling something trivial once."""
    try:
        jax.jit(lambda x: x + 1.0, compiler_options=_REDUCTIONS_ONLY).lower(0.0).compile()
    except jax.errors.JaxRuntimeError as error:
        _LOG.info(
            "The CPU compiler does not know %s; convolutions are compiled its own way. %s", _REDUCTIONS_ONLY, error
        )
        return False
    return True


def jit(fn: Callable[..., Any], *, convolutions: bool, donate_argnums: int | Sequence[int] = (), **options: Any) -> Any:
    """`jax.jit`, told how to compile convolutions on CPU.

    On CPU jaxlib 0.10 hands convolutions to a library that runs their gradients on about one core, and reductions to
    the same library, which is good at those. With `convolutions` it gets the reductions only. A compiler that does not
    know the option is found out once, with a trivial function, and left to itself.

    Args:
      fn: the function to compile.
      convolutions: whether `fn` has convolutions; a network without them is some 5 % slower with the option.
      donate_argnums: positions of arguments whose buffers may be reused.
      **options: further arguments of `jax.jit`; `compiler_options` among them win.

    Returns:
      What `jax.jit` returns.
    """
    own = options.pop("compiler_options", None) or {}
    if convolutions and jax.default_backend() == "cpu" and _understands_reductions_only():
        own = _REDUCTIONS_ONLY | own
    return jax.jit(fn, donate_argnums=donate_argnums, compiler_options=own or None, **options)


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Yield every equation, those of nested programs (scan, cond, jit, custom rules ...) too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(part, "jaxpr", part)  # a closed program holds an open one
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _is_canonical(equation: Any) -> bool:
    numbers = equation.params["dimension_numbers"]
    spatial = len(numbers.lhs_spec) - 2
    image = (0, spatial + 1, *range(1, spatial + 1))  # N...C
    kernel = (spatial + 1, spatial, *range(spatial))  # ...IO
    return (
        tuple(numbers.lhs_spec) == image
        and tuple(numbers.rhs_spec) == kernel
        and tuple(numbers.out_spec) == image
        and equation.params["batch_group_count"] == 1
    )


def _convolutions(fn: Callable[..., Any], args: tuple[Any, ...]) -> list[Any]:
    jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
    return [each for each in _equations(jaxpr) if each.primitive.name == "conv_general_dilated"]


def has_convolutions(fn: Callable[..., Any], *args: Any) -> bool:
    """Return whether `fn(*args)` computes a convolution; `args` may be `jax.ShapeDtypeStruct`s."""
    return bool(_convolutions(fn, args))


def foreign_convolutions(fn: Callable[..., Any], *args: Any) -> tuple[str, ...]:
    """Find the convolutions of `fn` that XLA on CPU runs 20 to 90 times slower inside a loop.

    These are the ones that are not written NHWC x HWIO -> NHWC: above all the gradients that autodiff makes of
    `nnx.Conv` and `jax.lax.conv_general_dilated`. A step that has any is better called from a Python loop there.

    Args:
      fn: a whole training step, gradients included; it is traced, not run.
      *args: its arguments, arrays or `jax.ShapeDtypeStruct`s.

    Returns:
      A description of each, in order; empty where a scan is as fast as a loop.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from tladapt.models import conv2d
      >>> image, kernel = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
      >>> step = jax.grad(lambda kernel, image: conv2d(image, kernel).sum())
      >>> foreign_convolutions(step, kernel, image)
      ()
    """
    found = []
    for equation in _convolutions(fn, args):
        if not _is_canonical(equation):
            x, kernel = (variable.aval.shape for variable in equation.invars)
            numbers = equation.params["dimension_numbers"]
            found.append(
                f"convolution of {x} with {kernel}, axes {numbers.lhs_spec} x {numbers.rhs_spec} -> {numbers.out_spec}"
            )
    return tuple(found)
