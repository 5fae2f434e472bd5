"""Convolution over time: `conv1d` beside `conv2d` of width 1 and `jax.lax`'s own, in alternation, in a scanned step.

    python benchmarks/temporal.py [--rounds 3]

A step is one of plain SGD on the three convolutions of `window_cnn`, batch 64, windows of 128 points and 9 channels.
On a CPU the ratio is what `tladapt.models.temporal` is for; on other devices all three are XLA's own convolution.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tladapt.models import conv2d, jit
from tladapt.models.temporal import conv1d

SIZES = ((5, 9, 64), (8, 64, 128), (8, 128, 128))
STEPS = 5
Convolution = Callable[[jax.Array, jax.Array], jax.Array]


def unfolded(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return conv1d(x, kernel, padding=len(kernel) // 2)


def of_width_one(x: jax.Array, kernel: jax.Array) -> jax.Array:
    pads = ((len(kernel) // 2,) * 2, (0, 0))
    return conv2d(x[:, :, None], kernel[:, None], padding=pads)[:, :, 0]


def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    pads, numbers = [(len(kernel) // 2,) * 2], ("NWC", "WIO", "NWC")
    return lax.conv_general_dilated(x, kernel, (1,), pads, dimension_numbers=numbers)


def scanned(convolution: Convolution) -> Any:
    def loss(kernels: list[jax.Array], x: jax.Array) -> jax.Array:
        for kernel in kernels:
            x = jax.nn.relu(convolution(x, kernel))[:, ::2]
        return jnp.square(x).mean()

    def step(kernels: list[jax.Array], x: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        value, gradients = jax.value_and_grad(loss)(kernels, x)
        return [kernel - 0.1 * gradient for kernel, gradient in zip(kernels, gradients, strict=True)], value

    return jit(lambda kernels, batches: lax.scan(step, kernels, batches), convolutions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    device, load = jax.devices()[0].device_kind, os.getloadavg()[0]
    print(f"jax {jax.__version__} on {device}, {os.cpu_count()} cores, load {load:.1f}")
    draw = np.random.default_rng(0)
    kernels = [jnp.asarray(0.05 * draw.normal(size=size), jnp.float32) for size in SIZES]
    batches = jnp.asarray(draw.normal(size=(STEPS, 64, 128, 9)), jnp.float32)
    steps = {"conv1d": scanned(unfolded), "conv2d": scanned(of_width_one), "lax": scanned(plain)}
    for function in steps.values():
        jax.block_until_ready(function(kernels, batches))
    for _ in range(given.rounds):
        took = {}
        for name, function in steps.items():
            started = time.perf_counter()
            jax.block_until_ready(function(kernels, batches))
            took[name] = 1e3 * (time.perf_counter() - started) / STEPS
        ratios = ", ".join(f"{name} / conv1d {took[name] / took['conv1d']:.1f}" for name in ("conv2d", "lax"))
        print(", ".join(f"{name} {value:.0f} ms a step" for name, value in took.items()) + f"; {ratios}")


if __name__ == "__main__":
    main()
