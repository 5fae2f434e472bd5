"""Depthwise convolutions: `conv2d` beside `jax.lax`'s own, in alternation, forward and with gradients.

    python benchmarks/convolution.py [--rounds 5]

On a CPU the ratio is what `tladapt.models.convolution` is for; on other devices both are the same program.
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

CASES = {  # input, kernel, groups
    "depthwise 3 x 3, 56 pixels": ((16, 56, 56, 144), (3, 3, 1, 144), 144),
    "depthwise 3 x 3, 14 pixels": ((16, 14, 14, 384), (3, 3, 1, 384), 384),
    "depthwise 5 x 5, 28 pixels": ((16, 28, 28, 240), (5, 5, 1, 240), 240),
}


def plain(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups)


def ours(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    return conv2d(x, kernel, groups=groups)


def with_gradients(convolution: Callable[..., jax.Array], groups: int) -> Any:
    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.square(convolution(x, kernel, groups)).sum()

    return jit(jax.grad(loss, (0, 1)), convolutions=True)


def milliseconds(function: Any, *args: jax.Array) -> float:
    started = time.perf_counter()
    jax.block_until_ready(function(*args))
    return 1e3 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device, load = jax.devices()[0].device_kind, os.getloadavg()[0]
    print(f"jax {jax.__version__} on {device}, {os.cpu_count()} cores, load {load:.1f}")
    print(f"{'':28}{'':10}{'lax ms':>10}{'conv2d ms':>11}{'lax / conv2d':>14}")
    for name, (shape, size, groups) in CASES.items():
        draw = np.random.default_rng(0)
        x, kernel = (jnp.asarray(draw.normal(size=each), jnp.float32) for each in (shape, size))
        for kind in ("forward", "gradients"):
            pair = [
                jit(lambda x, k, f=f, g=groups: f(x, k, g), convolutions=True)
                if kind == "forward"
                else with_gradients(f, groups)
                for f in (plain, ours)
            ]
            for function in pair:
                jax.block_until_ready(function(x, kernel))
            rounds = [[milliseconds(function, x, kernel) for function in pair] for _ in range(given.rounds)]
            theirs, own = (min(times) for times in zip(*rounds, strict=True))
            print(f"{name:28}{kind:10}{theirs:10.1f}{own:11.1f}{theirs / own:14.1f}")


if __name__ == "__main__":
    main()
