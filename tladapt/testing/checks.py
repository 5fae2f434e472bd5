"""The checks of the conformance kit, one a function; each raises `ConformanceError` in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.testing.case import NO_GRADIENT, Case, close, fail, raised, weight_names


def check_value(case: Case) -> None:
    """A finite floating scalar, at odd and unequal sizes; a loss that needs equal sizes refuses others."""
    for sizes in case.sizes():
        value = case.value(*case.inputs(sizes))
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
    traces = 0

    def counted(*arguments: jax.Array) -> Any:
        nonlocal traces
        traces += 1
        return case.fn(*arguments)

    compiled = jax.jit(counted)
    for draw in range(3):
        arrays = case.inputs(case.even, draw=draw)
        eager, value = float(case.value(*arrays)), float(compiled(*arrays))
        if not close(eager, value, 1e-4):
            fail("compiled", f"{value} compiled and {eager} eagerly.", "Usual cause: state, or branches on values.")
    if traces != 1:
        fail("compiled", f"{traces} traces for 3 calls of one shape.", "Usual cause: Python state inside the loss.")


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


def check_permutation(case: Case) -> None:
    """The order of the examples does not matter."""
    arrays = case.inputs(case.even)
    rng = np.random.default_rng(case.seed)
    orders = [rng.permutation(len(a)) for a in arrays]
    if not case.unpaired:
        orders = [orders[0]] * len(arrays)
    before, _ = case.both("permutation", *arrays)
    after, _ = case.both("permutation", *[a[order] for a, order in zip(arrays, orders, strict=True)])
    if not close(before, after, 1e-4):
        fail(
            "permutation",
            f"{before:.6g} became {after:.6g} when the examples were reordered.",
            "Usual cause: examples of the two domains compared by position. A loss that pairs examples on purpose is "
            "checked with permutation=False.",
        )


def check_mean(case: Case) -> None:
    """Every example twice changes little: a mean, not a sum."""
    arrays = case.inputs(case.even)
    once, _ = case.both("mean", *arrays)
    twice, _ = case.both("mean", *[np.concatenate([a, a]) for a in arrays])
    if abs(twice - once) > case.tolerance * abs(once) + 1e-6:
        fail(
            "mean",
            f"{once:.6g} became {twice:.6g} with every example twice: the weight of the loss would depend on the batch "
            "size.",
            "Usual cause: a sum over examples where a mean was meant.",
        )


def check_weights(case: Case) -> None:
    """Weight 0 is the example left out, in value and gradient."""
    small = case.inputs((12, 9) if case.unpaired and not case.equal_sizes else (12, 12))
    rng = np.random.default_rng(case.seed + 1)
    padded: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    keywords: dict[str, jax.Array] = {}
    for position, x in enumerate(small):
        n = len(x) + 5
        places = np.sort(rng.permutation(n)[: len(x)]) if case.unpaired or position == 0 else kept[0]
        full = np.full((n, *x.shape[1:]), 1e3 if x.dtype.kind == "f" else 0, x.dtype)
        full[places] = x
        weights = np.zeros(n, np.float32)
        weights[places] = 1
        padded.append(full)
        kept.append(places)
        if position < len(weight_names(case.kind)):
            keywords[weight_names(case.kind)[position]] = jnp.asarray(weights)
    value, gradients = case.both("weights", *small)
    weighted, weighted_gradients = case.both("weights", *padded, **keywords)
    cause = "Usual cause: a mean over all rows, or a batch statistic (bandwidth, covariance, marginal) without weights."
    if not close(value, weighted, 1e-4):
        fail("weights", f"{value:.6g} without five examples and {weighted:.6g} with weight 0 on them.", cause)
    for position, gradient, padded_gradient in zip(case.moved, gradients, weighted_gradients, strict=True):
        name = case.names[position]
        rest = np.delete(padded_gradient, kept[position], axis=0)
        if np.any(rest != 0):
            fail("weights", f"{name} of weight 0 get a gradient, up to {np.abs(rest).max():.3g}.", cause)
        if not close(gradient, padded_gradient[kept[position]], 1e-3):
            fail("weights", f"the gradient of the {name} is another one when examples have weight 0.", cause)


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


def check_devices(case: Case) -> None:
    """The batch split over several devices gives what one device gives."""
    arrays = case.inputs(case.even)
    value, gradients = case.both("devices", *arrays)
    for count in (2, 4, 8):
        if count > jax.device_count():
            return
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), ("data",))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        other, other_gradients = case.both("devices", *[jax.device_put(a, split) for a in arrays])
        same = all(close(a, b, 1e-3) for a, b in zip(gradients, other_gradients, strict=True))
        if not close(value, other, 1e-4) or not same:
            fail(
                "devices",
                f"{value:.6g} on one device, {other:.6g} with the batch split over {count} (or another gradient).",
                "Usual cause: shard_map or pmap with a statistic of each device's part: use the global batch.",
            )
