"""How steps reach the device: scan and loop, this library's layers and Flax's, in alternation in one run.

    python benchmarks/step.py [--rounds 5] [--steps 20] [--json FILE]

Times a whole DANN step (forward, backward, update, running statistics, metrics) of the digits CNN, 64 + 64 images of
32 x 32 x 3, four ways. Ratios are to the first line; milliseconds are of a shared machine and compare with nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

import tladapt
from tladapt.models import DigitsCNN
from tladapt.training.assemble import assemble
from tladapt.training.dispatch import Dispatcher
from tladapt.training.layout import Single
from tladapt.training.step import StageStep

WIDTHS = (32, 64, 128)


class Plain(nnx.Module):
    """The digits CNN in Flax's own layers: `nnx.Conv`, `nnx.BatchNorm`, `nnx.max_pool`."""

    def __init__(self, rngs: nnx.Rngs):
        sizes = (3, *WIDTHS)
        self.convolutions = nnx.List(
            [nnx.Conv(a, b, (3, 3), use_bias=False, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )
        self.norms = nnx.List([nnx.BatchNorm(size, momentum=0.9, rngs=rngs) for size in WIDTHS])
        self.dense = nnx.Linear(4 * 4 * WIDTHS[-1], 128, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(128, momentum=0.9, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = nnx.max_pool(nnx.relu(norm(convolution(x))), (2, 2), (2, 2))
        return nnx.relu(self.norm(self.dense(x.reshape(len(x), -1))))


def scenario() -> tladapt.Scenario:
    """Return noise in the shape of small images: speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 512, 32, 32, 3), dtype=np.uint8)
    return tladapt.Scenario(tladapt.Domain(images[0], rng.integers(0, 10, 512)), tladapt.Domain(images[1]))


class Way:
    """One way to run steps; `time` returns milliseconds a step."""

    def __init__(self, backbone: Any, mode: str, steps: int):
        config = tladapt.Config(method="dann", backbone=backbone, steps=1_000_000)
        self.run = assemble(config, scenario(), 0)
        self.span, self.steps, self.first = self.run.spans[0], steps, 0
        layout = Single()
        self.state = layout.join([self.run.state])
        self.arrays, axes = layout.resident([self.run.resident()])
        step, pieces = StageStep(self.run.parts, self.span), self.run.chunk(self.span, 0, steps)
        self.dispatch = Dispatcher(step, layout, self.state, self.arrays, axes, layout.pieces([pieces]))
        self.dispatch.mode = mode  # type: ignore[assignment]
        self.time()  # compiles

    def time(self) -> float:
        pieces = self.run.chunk(self.span, self.first, self.steps)
        started = time.perf_counter()
        self.state, log = self.dispatch(self.state, self.arrays, [pieces])
        jax.block_until_ready((self.state, log))
        self.first += self.steps
        return 1e3 * (time.perf_counter() - started) / self.steps


def main() -> None:
    """Time all ways round by round, print the table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    own = DigitsCNN(widths=WIDTHS)
    plain = Plain(nnx.Rngs(0))
    ways = {
        "Flax's layers, loop": Way(plain, "loop", given.steps),
        "tladapt's layers, loop": Way(own, "loop", given.steps),
        "tladapt's layers, scan": Way(own, "scan", given.steps),
    }
    if jax.default_backend() != "cpu":  # on a CPU this one takes minutes a step
        ways["Flax's layers, scan"] = Way(plain, "scan", given.steps)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(given.rounds):
        for name, way in ways.items():
            times[name].append(way.time())
        load = os.getloadavg()[0]
        print(
            f"round {number + 1}: load {load:.1f}, " + ", ".join(f"{t[-1]:.1f} ms" for t in times.values()), flush=True
        )
    base = np.array(times["Flax's layers, loop"])
    record = {
        name: {
            "milliseconds": [round(t, 2) for t in series],
            "speed": [round(float(q), 2) for q in np.quantile(base / np.array(series), [0.0, 0.5, 1.0])],
        }
        for name, series in times.items()
    }
    print(f"\n{'':26} ms a step (median)   speed against the first (min, median, max)")
    for name, entry in record.items():
        low, middle, high = entry["speed"]
        print(f"{name:26} {np.median(entry['milliseconds']):18.1f}   {middle:.2f} [{low:.2f}, {high:.2f}]")
    facts = {"jax": jax.__version__, "device": jax.devices()[0].device_kind, "cores": os.cpu_count()}
    facts |= {"python": platform.python_version(), "steps a chunk": given.steps}
    print(facts)
    if given.json:
        given.json.write_text(json.dumps({"environment": facts, "results": record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
