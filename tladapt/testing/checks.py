"""Checks of the value and the gradient, one a function; each raises `ConformanceError` in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from tladapt.testing.case import BLOCKS, NO_GRADIENT, RAISES, Case, close, fail, raised


def check_value(case: Case) -> None:
    """A finite floating scalar, at odd and unequal sizes; a loss that needs equal sizes refuses others."""
    for sizes in case.sizes():
        try:
            value = first_value(case, sizes)
        except Exception as error:
            blocks = runs(case, case.even) and not runs(case, (17, 17))
            fail("value", f"{raised(error)} at sizes {sizes}.", BLOCKS if blocks else RAISES, error)
        shape, dtype = jnp.shape(value), jnp.result_type(value)
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            fail(
                "value",
                f"expected a floating scalar, got shape {shape} and {dtype}.",
                "Usual cause: no mean at the end.",
            )
        if not np.isfinite(float(value)):
            fail("value", f"{float(value)} at sizes {sizes}.", "Usual cause: log(0), sqrt(0), x / 0 or overflow.")
    if case.equal_sizes and case.unpaired:
        try:
            case.fn(*map(jnp.asarray, case.inputs((6, 4))))
        except ValueError:
            return
        except Exception as error:
            fail("value", f"{raised(error)} at sizes (6, 4).", "Refuse unequal sizes by a ValueError that says so.")
        fail("value", "unequal sizes (6, 4) passed in silence.", "Refuse them by ValueError, or drop equal_sizes=True.")


def first_value(case: Case, sizes: tuple[int, int]) -> Any:
    """Return the loss's value: eagerly at one size, and compiled at the others, which costs what `gradient` saves."""
    arrays = case.inputs(sizes)
    if sizes != case.even:
        try:
            return case.compiled(*arrays)[0]
        except Exception:  # is it the sizes? The eager call tells; if it can, `gradient` says what is wrong
            pass
    return case.fn(*map(jnp.asarray, arrays))


def runs(case: Case, sizes: tuple[int, int]) -> bool:
    """Return whether the loss takes batches of these sizes."""
    try:
        case.fn(*map(jnp.asarray, case.inputs(sizes)))
    except Exception:
        return False
    return True


def check_reference(case: Case, reference: Callable[..., float]) -> None:
    """The value of a reference, at all sizes."""
    for sizes in case.sizes():
        arrays = case.inputs(sizes)
        expected = float(reference(*[a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]))
        value, _ = case.both("reference", *arrays)
        if not close(value, expected, 1e-4):
            fail("reference", f"{value} where the reference has {expected}, sizes {sizes}.", "Compare the formulas.")


def check_gradient(case: Case) -> None:
    """A finite gradient that is not zero where there has to be one, and zero where there must be none."""
    for sizes in case.sizes():
        _, gradients = case.both("gradient", *case.inputs(sizes))
        for position, gradient in zip(case.moved, gradients, strict=True):
            name = case.names[position]
            if not np.all(np.isfinite(gradient)):
                fail(
                    "gradient",
                    f"the gradient of the {name} is not finite at sizes {sizes}.",
                    "Usual cause: sqrt or log at 0, guarded by a jnp.where outside only: guard its argument too.",
                )
            if position in case.no_gradient:
                if np.any(gradient != 0):
                    fail(
                        "gradient",
                        f"the {name} get a gradient, up to {np.abs(gradient).max():.3g}, and should get none.",
                        "Put jax.lax.stop_gradient around them.",
                    )
            elif not np.any(gradient != 0):
                fail("gradient", f"no gradient reaches the {name} at sizes {sizes}:", NO_GRADIENT)


def check_pure_and_compiled(case: Case) -> None:
    """The same arrays give the same value, jit equals eager, and one shape is traced once."""
    arrays = case.inputs(case.even)
    first, second = float(case.value(*arrays)), float(case.value(*arrays))
    if first != second:
        fail("pure", f"the same inputs gave {first} and then {second}.", "Usual cause: a counter, or randomness.")
    for draw in range(3):
        arrays = case.inputs(case.even, draw=draw)
        eager, (value, _) = float(case.value(*arrays)), case.both("compiled", *arrays)
        if not close(eager, value, 1e-4):
            fail("compiled", f"{value} compiled and {eager} eagerly.", "Usual cause: state, or branches on values.")
    traces = case.traces[str([a.shape for a in arrays])]
    if traces != 1:
        fail("compiled", f"{traces} traces for calls of one shape.", "Usual cause: Python state inside the loss.")


def check_descent(case: Case) -> None:
    """A step against the gradient lowers the loss."""
    arrays = case.inputs(case.even)
    value, gradients = case.both("descent", *arrays)
    for position, gradient in zip(case.moved, gradients, strict=True):
        if position in case.no_gradient:
            continue
        x = arrays[position]
        direction = gradient / np.linalg.norm(gradient) * np.linalg.norm(x)
        lower, after = False, value
        for length in (1e-2, 1e-3):
            moved = list(arrays)
            moved[position] = (x - length * direction).astype(np.float32)
            after, _ = case.both("descent", *moved)
            lower = lower or after < value
        if not lower:
            fail(
                "descent",
                f"the gradient points away from lower values: a small step against the gradient of the "
                f"{case.names[position]} took the loss from {value:.6g} to {after:.6g}.",
                "Usual cause: a reversal, or a custom gradient, with the wrong sign.",
            )


def check_equal_and_shift(case: Case) -> None:
    """About zero for equal domains, more for shifted ones."""
    sizes = (64, 64)
    shifted, _ = case.both("shift", *case.inputs(sizes))
    source, target = case.inputs(sizes, shift=0.0)
    equal, _ = case.both("equal", source, target)
    same, _ = case.both("equal", source, source)
    if shifted <= max(equal, same):
        fail(
            "shift",
            f"{shifted:.6g} for shifted domains is not above {equal:.6g} for equal ones ({same:.6g} for one batch "
            "twice).",
            "Usual cause: the sign (a discrepancy is minimised), or a loss that does not look at the shift.",
        )
    allowed = case.bias + case.tolerance * abs(shifted)
    for what, value in (("two samples of one distribution", equal), ("one batch twice", same)):
        if abs(value) > allowed:
            fail(
                "equal",
                f"{value:.6g} for {what}, expected 0 within {allowed:.3g} ({shifted:.6g} for shifted domains).",
                "Usual cause: a missing or wrong term; if the loss has that bias by design, state it by bias=.",
            )


def check_sign(case: Case) -> None:
    """Lower where predictions are better: right labels, agreement; a discriminator that is undecided beats a guess."""
    first, *rest = case.inputs(case.even)
    if case.kind == "labelled":
        shown = 4 * np.eye(case.width, dtype=np.float32)[rest[0]]
        better, worse = case.both("sign", shown, rest[0])[0], case.both("sign", -shown, rest[0])[0]
        what = "right classes", "wrong ones"
    elif case.kind == "aligned":
        better, worse = case.both("sign", rest[0], rest[0])[0], case.both("sign", first, rest[0])[0]
        what = "equal predictions", "different ones"
    else:  # "domains": whichever domain is called 1, to be right and wrong with the same certainty costs on average
        sure = np.full_like(first, 3.0)
        better = case.both("sign", 0 * sure, 0 * sure)[0]
        worse = 0.5 * (case.both("sign", sure, -sure)[0] + case.both("sign", -sure, sure)[0])
        what = "an undecided discriminator", "one that is as often right as wrong, and sure"
    if better > worse + 1e-6 * max(1.0, abs(worse)):
        fail(
            "sign",
            f"{better:.6g} for {what[0]} is above {worse:.6g} for {what[1]}.",
            "Usual cause: the wrong sign. The loss is minimised; what is to be maximised goes in with a minus, or "
            "behind a gradient reversal.",
        )


def check_precision(case: Case) -> None:
    """float32 stays float32; bfloat16 gives a finite value and gradient."""
    arrays = case.inputs(case.even)
    dtype = jnp.result_type(case.value(*arrays))
    if dtype != jnp.float32:
        fail("precision", f"float32 in, {dtype} out.", "Usual cause: a constant or a cast of another precision.")
    half = [jnp.asarray(a, jnp.bfloat16) if a.dtype.kind == "f" else jnp.asarray(a) for a in arrays]
    value, gradients = case.both("precision", *half)
    if not np.isfinite(value) or not all(np.all(np.isfinite(g)) for g in gradients):
        fail(
            "precision", f"{value} (or its gradient) is not finite in bfloat16.", "Compute in float32 inside the loss."
        )


def check_degenerate(case: Case) -> None:
    """Constant, identical and extreme inputs give finite values and gradients."""
    base = case.inputs(case.even)

    def filled(value: float) -> list[np.ndarray]:
        return [np.full_like(a, value) if a.dtype.kind == "f" else a for a in base]

    situations = {"all zeros": filled(0.0), "constant inputs": filled(0.3), "constant large inputs": filled(1e3)}
    scale = 1e2 if case.kind == "pair" else 1e4  # logits saturate any softmax; features stay in a float32 distance
    situations["extreme inputs"] = [scale * a if a.dtype.kind == "f" else a for a in base]
    if len(case.moved) == 2:
        situations["two equal batches"] = [base[0], base[0]]
    for what, arrays in situations.items():
        value, gradients = case.both("degenerate", *[a.astype(b.dtype) for a, b in zip(arrays, base, strict=True)])
        if not np.isfinite(value):
            fail(
                "degenerate", f"the value is {value} for {what}.", "Usual cause: x / 0 (a bandwidth, a norm) or log(0)."
            )
        for position, gradient in zip(case.moved, gradients, strict=True):
            if not np.all(np.isfinite(gradient)):
                fail(
                    "degenerate",
                    f"the gradient of the {case.names[position]} is not finite for {what}.",
                    "Usual cause: sqrt, a norm or log at 0: guard its argument inside the jnp.where as well.",
                )
