"""Typical mistakes in Python: each raises one message that says what came and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import tladapt
from tladapt.errors import RunFolderError, UsageError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 8)).astype(np.float32), RNG.integers(0, 3, 60)
SOURCE, TARGET = tladapt.Domain(X, Y, name="lab"), tladapt.Domain(X[:50] + 1.0, name="field")


class Wrong(nnx.Module):
    """Reads five numbers where there are eight, or returns two things."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.layer, self.width = nnx.Linear(width, 4, rngs=rngs), width

    def __call__(self, x: Any) -> Any:
        return self.layer(x) if self.width == 5 else (self.layer(x), 1)


def run(**options: Any) -> tladapt.Result:
    config = tladapt.Config(**{"backbone": "mlp", "steps": 2, "evaluations": 1, **options})
    return tladapt.run(config, tladapt.Scenario(SOURCE, TARGET))


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "source without labels": (
        lambda: tladapt.Scenario(TARGET, TARGET),
        r"source domain 'field' needs labels: Domain\(x, y\)",
    ),
    "one-hot labels": (lambda: tladapt.Domain(X, np.eye(3)[Y]), r"class indices, got shape \(60, 3\).*argmax"),
    "labels that are no integers": (lambda: tladapt.Domain(X, Y + 0.5), "y must be integers from 0 on"),
    "lengths": (lambda: tladapt.Domain(X, Y[:-1]), r"one entry for each of the 60 examples, got shape \(59,\)"),
    "shapes": (
        lambda: tladapt.Scenario(SOURCE, tladapt.Domain(X[:, :5])),
        r"must have one shape: source 'lab' has \(8,\), target '' has \(5,\)",
    ),
    "channels first": (
        lambda: tladapt.run(
            tladapt.Config(backbone="lenet", steps=1),
            tladapt.Scenario(
                tladapt.Domain(np.ones((4, 3, 32, 32)), [0, 1, 0, 1]), tladapt.Domain(np.ones((4, 3, 32, 32)))
            ),
        ),
        "Are the channels first. They have to be last",
    ),
    "a name": (lambda: run(method="dan"), "Unknown method 'dan'. Did you mean 'dann'"),
    "a class": (lambda: run(method=tladapt.methods.dann), r"Call it: method=methods\.DANN\(\.\.\.\)"),
    "an option": (
        lambda: tladapt.methods.dann(wieght=1.0),
        r"DANN\(...\) has no option 'wieght'. Did you mean 'weight'",
    ),
    "an option by position": (lambda: tladapt.methods.dann(0.5), r"options by name: weight, .*; got 0.5"),
    "a field of the recipe": (lambda: tladapt.Recipe(lr=0.1), r"no option 'lr'. Did you mean|Known"),
    "a field of the config": (lambda: tladapt.Config(stepz=5), "no option 'stepz'. Did you mean 'steps'"),
    "no config": (lambda: tladapt.run("dann", None), "needs a tladapt.Config first, got str"),  # type: ignore[arg-type]
    "no scenario": (
        lambda: tladapt.run(tladapt.Config(), (SOURCE, TARGET)),  # type: ignore[arg-type]
        "needs a tladapt.Scenario second, got tuple",
    ),
    "a network for other inputs": (
        lambda: run(backbone=Wrong(5, rngs=nnx.Rngs(0))),
        r"Wrong could not read inputs of shape \[n, 8\]",
    ),
    "a network that returns two things": (
        lambda: run(backbone=Wrong(8, rngs=nnx.Rngs(0))),
        r"must return one array \[n, d\], Wrong returned a tuple",
    ),
    "a loss that is no scalar": (
        lambda: run(method=tladapt.methods.discrepancy(lambda s, t: s.mean(0) - t.mean(0))),
        r"term 'discrepancy' must be a scalar, got shape \(128,\). Take its mean",
    ),
    "views of vectors": (lambda: run(method="mean_teacher"), r"Vectors can have 'noise': --recipe.augment noise"),
    "pixels that are none": (
        lambda: run(recipe=tladapt.Recipe(augment="flip+color_jitter")),
        r"'color_jitter' takes inputs for pixels in \[0, 1\], and they go from -",
    ),
    "options of an augmentation": (
        lambda: tladapt.Recipe(augment="rotation(angle=3)"),
        r"augmentation 'rotation' has no option 'angle'.* Options: degrees",
    ),
    "a sum that is none": (
        lambda: tladapt.methods.combine(tladapt.methods.shot(), tladapt.methods.dann()),
        "'shot' has 2 stage",
    ),
    "a rate": (lambda: tladapt.Recipe(learning_rate=-1.0), "learning_rate must be a finite number from 0 on, got -1"),
    "data": (lambda: tladapt.load("mnist_usps"), "Unknown scenario 'mnist_usps'. Did you mean 'mnist-usps'"),
    "a run that is none": (lambda: tladapt.open_run("nowhere"), "nowhere is not a run's folder"),
    "other inputs": (lambda: run().predict(X[:, :5]), r"reads inputs of shape \[n, 8\], got \[60, 5\]"),
    "one example": (
        lambda: tladapt.losses.mk_mmd(jnp.ones((1, 3)), jnp.ones((4, 3))),
        "needs two examples of each domain, got n_s=1, n_t=4",
    ),
}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_is_told_in_one_message(name: str) -> None:
    mistake, words = MISTAKES[name]
    with pytest.raises((UsageError, ValueError, RunFolderError), match=words) as caught:
        mistake()
    assert len(str(caught.value)) < 500


def test_an_init_of_ones_own_takes_what_it_likes() -> None:
    class Own(tladapt.Method):
        def __init__(self, strength: float):
            object.__setattr__(self, "strength", strength)

    assert Own(2.0).strength == 2.0
