"""Toy problems that the training tests share: shifted Gaussians, three classes, networks that train in milliseconds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tladapt
from tladapt.data import Domain, Scenario
from tladapt.methods import Method, Term, classification, combine, mmd
from tladapt.methods.base import Context, Terms
from tladapt.models.backbones.mlp import MLP
from tladapt.training import Config, Event, Recipe, loop
from tladapt.training.checkpoint import Checkpoints
from tladapt.training.dispatch import Dispatcher
from tladapt.training.state import flat

SIZE = 8
STEPS, CHUNK, EVALUATIONS = 40, 5, 4  # evaluated and saved after 10, 20, 30, 40 steps

PLAIN = MLP(widths=(SIZE,))
NORMAL = MLP(widths=(SIZE,), batch_norm=True)
DROPPING = MLP(widths=(SIZE,), batch_norm=True, dropout=0.25)

RECIPE = Recipe(name="toy", batch_size=6, learning_rate=0.05)
NOISY = dataclasses.replace(RECIPE, augment="noise")


def scenario(*, seed: int = 0, sources: int = 1, labelled: bool = True) -> Scenario:
    """Three Gaussian classes in eight dimensions; the target is shifted."""
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.normal(size=(3, SIZE))

    def domain(count: int, shift: float, name: str, known: bool = True) -> Domain:
        y = np.arange(count) % 3
        rng.shuffle(y)
        x = centres[y] + rng.normal(size=(count, SIZE)) + shift
        return Domain(x.astype(np.float32), y if known else None, name=name)

    source = tuple(domain(40, 0.3 * i, f"source{i}") for i in range(sources))
    target, test = domain(35, 1.0, "target", labelled), domain(35, 1.0, "test")
    return Scenario(source, target, test if labelled else None, name="toy", classes=("a", "b", "c"))


def images(*, seed: int = 0, channels: int = 1) -> Scenario:
    """Three classes of 8 x 8 uint8 images: a bright bar in another place; the target is darker."""
    rng = np.random.default_rng(seed)

    def domain(count: int, light: int, name: str) -> Domain:
        y = np.arange(count) % 3
        x = rng.integers(0, 60, size=(count, 8, 8, channels))
        for i, label in enumerate(y):
            x[i, :, 2 * label + 1] += light
        return Domain(x.astype(np.uint8), y, name=name)

    return Scenario(domain(40, 190, "source"), domain(35, 120, "target"), domain(35, 120, "test"), name="bars")


def config(method: str | Method = "source_only", **changes: Any) -> Config:
    """A run that takes a second: most of it is tracing."""
    values: dict[str, Any] = {
        "backbone": PLAIN,
        "recipe": RECIPE,
        "steps": STEPS,
        "log_every": CHUNK,
        "evaluations": EVALUATIONS,
    }
    return Config(method=method, **{**values, **changes})


def methods() -> dict[str, Config]:
    """The kinds of method that state can hide in: heads, stages, refreshes, a teacher, maps, several updates, a sum."""
    return {
        "source_only": config("source_only", backbone=DROPPING),
        "dann": config("dann", backbone=DROPPING),
        "shot": config(tladapt.methods.shot(width=4, dropout=0.25, refreshes=3), backbone=DROPPING),
        "mean_teacher": config("mean_teacher", backbone=DROPPING, recipe=NOISY),
        "mcd": config(tladapt.methods.mcd(repeat=2), backbone=DROPPING),
        "cdan": config(tladapt.methods.cdan(entropy=True, map="random", size=8, hidden=(4,)), backbone=DROPPING),
        "combined": config(combine(tladapt.methods.dann(hidden=(4,)), mmd()), backbone=DROPPING),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Breaking(Method):
    """The source's cross entropy, and a term that is fine until it is not."""

    at: int = 17
    """The step at which `trouble` becomes NaN."""

    def loss(self, ctx: Context) -> Terms:
        # The root of -1, so that the NaN is made at that step, and not only chosen there.
        root = jnp.sqrt(jnp.where(ctx.step == self.at, -1.0, 1.0))
        return {"classification": classification(ctx), "trouble": Term(root * jnp.mean(ctx.target.features), 0.1)}


# ---- callbacks -------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """What `stop` raises."""


def stop(kind: str, step: int) -> Callable[[Event], None]:
    """Return a callback that raises at an event."""

    def callback(event: Event) -> None:
        if (event.kind, event.step) == (kind, step):
            raise Stopped

    return callback


def dispatchers(patch: pytest.MonkeyPatch) -> list[Dispatcher]:
    """Return a list that fills with the dispatchers of the runs to come."""
    made: list[Dispatcher] = []

    class Recorded(Dispatcher):
        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **options)
            made.append(self)

    patch.setattr(loop, "Dispatcher", Recorded)
    return made


class Watcher:
    """A callback that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[str]:
        return [event.row["text"] for event in self.events if event.kind == "note"]


# ---- comparisons -----------------------------------------------------------------------------------------------------


def arrays(tree: Any) -> dict[str, np.ndarray]:
    """Return a tree's arrays by path."""
    return {name: np.asarray(leaf) for name, leaf in flat(tree).items()}


def differing(one: Any, other: Any) -> list[str]:
    """Return the names of the arrays that are not equal bit for bit."""
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys()
    return [
        name
        for name in first
        if first[name].dtype != second[name].dtype
        or first[name].shape != second[name].shape
        or first[name].tobytes() != second[name].tobytes()
    ]


def numbers(history: list[dict[str, Any]], kind: str = "train") -> list[dict[str, Any]]:
    """Return the lines of one kind."""
    return [row for row in history if row["kind"] == kind]


def assert_same_result(one: tladapt.Result, other: tladapt.Result) -> None:
    """Parameters, statistics, memory, metrics and log are equal, bit for bit."""
    assert not differing(one.weights._asdict(), other.weights._asdict())
    assert one.metrics == other.metrics
    assert one.history == other.history


def assert_same_folder(one: Path, other: Path) -> None:
    """The files that say numbers are equal byte for byte, and so is the last state, its optimiser included."""
    for name in ("config.json", "metrics.jsonl", "summary.json", "model/config.json", "model/model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    with np.load(one / "outputs.npz") as first, np.load(other / "outputs.npz") as second:
        assert not differing(dict(first), dict(second))
    last = json.loads((one / "summary.json").read_text())["steps"]
    assert not differing(Checkpoints(one / "checkpoints").read(last), Checkpoints(other / "checkpoints").read(last))


def copied(tree: Any) -> Any:
    """Return a tree in fresh buffers: a compiled step takes over those of its state."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)
