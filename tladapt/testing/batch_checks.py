"""Checks of what a loss makes of a batch: its order, size, weights and division over devices."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from tladapt.testing.case import PER_DEVICE, Case, close, fail, weight_names


def check_permutation(case: Case) -> None:
    """The order of the examples does not matter."""
    arrays = case.inputs(case.even)
    rng = np.random.default_rng(case.seed)
    orders = [rng.permutation(len(a)) for a in arrays]
    if not case.unpaired:
        orders = [orders[0]] * len(arrays)
    before, _ = case.both("permutation", *arrays)
    after, _ = case.both("permutation", *[a[order] for a, order in zip(arrays, orders, strict=True)])
    if close(before, after, 1e-4):
        return
    happened = f"{before:.6g} became {after:.6g} when the examples were reordered"
    count = blocks_of(case, arrays, before)
    if count:
        fail(
            "permutation",
            f"{happened}, and stays what it is when they are reordered within {count} equal blocks of the batch.",
            PER_DEVICE,
        )
    fail(
        "permutation",
        f"{happened}.",
        "Usual cause: examples of the two domains compared by position. A loss that pairs examples on purpose is "
        "checked with permutation=False.",
    )


def blocks_of(case: Case, arrays: list[np.ndarray], value: float) -> int:
    """Return into how many equal blocks a loss cuts its batch, so that only the order of the blocks matters; or 0."""
    for count in (2, 4, 8, 16):
        rng = np.random.default_rng([case.seed, count])
        orders = [
            np.concatenate([rng.permutation(part) for part in np.split(np.arange(len(a)), count)]) for a in arrays
        ]
        if not case.unpaired:
            orders = [orders[0]] * len(arrays)
        again, _ = case.both("permutation", *[a[order] for a, order in zip(arrays, orders, strict=True)])
        if close(value, again, 1e-4):
            return count
    return 0


def check_mean(case: Case) -> None:
    """Every example twice changes little: a mean, not a sum."""
    arrays = case.inputs(case.even)
    once, _ = case.both("mean", *arrays)
    twice, _ = case.both("mean", *[np.concatenate([a, a]) for a in arrays])
    if abs(twice - once) > case.tolerance * abs(once) + 1e-6:
        grows = abs(twice) > abs(once)
        fail(
            "mean",
            f"{once:.6g} became {twice:.6g} with every example twice: the weight of the loss would depend on the batch "
            "size.",
            "Usual cause: a sum over examples where a mean was meant."
            if grows
            else "Usual cause: a second division by the number of examples, after a mean.",
        )


def check_weights(case: Case) -> None:
    """Weight 0 is the example left out, in value and gradient."""
    small = case.inputs(case.sizes()[-1])
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


def check_devices(case: Case) -> None:
    """The batch split over several devices gives what one device gives."""
    if jax.device_count() == 1:
        warnings.warn(
            "check 'devices' did not run, as this process has one device; all others did. To run it on simulated ones,"
            " call jax.config.update('jax_num_cpu_devices', 8) before anything else uses JAX.",
            stacklevel=3,
        )
        return
    arrays = case.inputs(case.even)
    value, gradients = case.both("devices", *arrays)
    for count in (2, 4, 8):
        if count > jax.device_count():
            return
        # Auto: the compiler divides the work, and sums over a batch go over all of it.
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
        split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        other, other_gradients = case.both("devices", *[jax.device_put(a, split) for a in arrays])
        same = all(close(a, b, 1e-3) for a, b in zip(gradients, other_gradients, strict=True))
        if not close(value, other, 1e-4) or not same:
            fail(
                "devices",
                f"{value:.6g} on one device, {other:.6g} with the batch split over {count} (or another gradient).",
                PER_DEVICE,
            )
