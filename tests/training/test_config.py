"""A config as data: names, checks, JSON and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

import tladapt
from tests.training import problems
from tladapt.errors import UnknownNameError, UsageError
from tladapt.evaluation import VALIDATORS, Validator
from tladapt.methods import DANN, METHODS, Method, discrepancy
from tladapt.models import BACKBONES
from tladapt.penalties import PENALTIES
from tladapt.training import RECIPES, BatchNorm, Config, Group, Recipe
from tladapt.training.config import config_from_json, config_json, describe
from tladapt.training.recipe import RECIPE_NOTES


def through_json(config: Config, **objects: Any) -> Config:
    return config_from_json(json.loads(json.dumps(config_json(config))), **objects)


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        *(Config(method=name) for name in METHODS),
        *(Config(backbone=name) for name in BACKBONES),
        *(Config(recipe=name) for name in RECIPES),
        *(Config(validator=name, penalty=penalty) for name in VALIDATORS for penalty in PENALTIES),
        Config(
            method=DANN(weight=0.25, hidden=(7, 5)),
            backbone=problems.DROPPING,
            recipe=Recipe(
                name="mine",
                clip=2.0,
                groups=(Group(pattern="bias", weight_decay=0.0), Group(pattern="backbone", learning_rate=0.1)),
                batchnorm=BatchNorm(forward="separate", evaluation="target"),
            ),
            steps=7,
            log_every=3,
            evaluations=2,
            debug=True,
            init="runs/first",
        ),
    ],
    ids=lambda config: f"{config.method}-{config.backbone}-{config.recipe}-{config.validator}"[:60],
)
def test_to_json_and_back(config: Config) -> None:
    assert through_json(config).resolved() == config.resolved()


def test_recipe_is_hashed_and_a_changed_policy_shows_in_its_name() -> None:
    plain, same, other = (config_json(Config(batchnorm=name)) for name in (None, "joint", "separate"))
    assert plain == same and len(plain["recipe"]["hash"]) == 12
    assert other["recipe"]["hash"] != plain["recipe"]["hash"]
    assert (plain["recipe"]["name"], other["recipe"]["name"]) == ("ganin2016", "ganin2016*")
    assert Config(batchnorm="separate").resolved().resolved() == Config(batchnorm="separate").resolved()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(Validator):
    def score(self, outputs: Any) -> float:
        return 0.0


class Net(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(problems.SIZE, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.linear(x))


def gap(source: jax.Array, target: jax.Array) -> jax.Array:
    return jax.numpy.square(source.mean(0) - target.mean(0)).sum()


def test_parts_of_ones_own_are_named_and_asked_for() -> None:
    config = Config(method=problems.Breaking(at=3), backbone=Net(rngs=nnx.Rngs(0)), validator=Mine())
    record = config_json(config)
    assert record["method"] == {"name": "breaking", "at": 3, "own": "tests.training.problems.Breaking"}
    with pytest.raises(UsageError, match=r"a method of your own \(tests.training.problems.Breaking\); give it again"):
        through_json(config)
    with pytest.raises(UsageError, match=r"a backbone of your own \(.*Net\).*open_run\(folder, backbone=...\)"):
        through_json(config, method=config.method)
    with pytest.raises(UsageError, match="a validator of your own"):
        through_json(config, method=config.method, backbone=config.backbone)
    back = through_json(config, method=config.method, backbone=config.backbone, validator=config.validator)
    assert (back.method, back.backbone, back.validator) == (config.method, config.backbone, config.validator)
    with pytest.raises(UsageError, match=r"no 'backbon'. Did you mean 'backbone'"):
        through_json(config, backbon=config.backbone)


def test_class_of_ones_own_with_a_registered_name_is_not_taken_for_the_other() -> None:
    own: Any = dataclasses.dataclass(frozen=True, kw_only=True)(type("DANN", (Method,), {"__module__": "mine"}))
    assert own().name == "dann"
    with pytest.raises(UsageError, match=r"a method of your own \(mine.DANN\)"):
        through_json(Config(method=own()))


def test_a_function_is_described_by_its_name() -> None:
    record = config_json(Config(method=discrepancy(gap, weight=0.5)))["method"]
    assert record["name"] == "discrepancy" and record["fn"].endswith("test_config.gap") and record["weight"] == 0.5


def test_numbers_of_numpy_and_paths_are_plain_in_json(tmp_path: Path) -> None:
    config = Config(method=DANN(weight=np.float32(0.5)), init=tmp_path / "run", weights=tmp_path / "file")
    assert config_json(config)["method"]["weight"] == 0.5
    assert config.init == str(tmp_path / "run") and config.weights == str(tmp_path / "file")
    assert describe({"a": np.arange(2), 1: (None, True)}) == {"a": [0, 1], "1": [None, True]}


@pytest.mark.parametrize(
    ("field", "name", "close"),
    [
        ("method", "dan", "dann"),
        ("backbone", "lenett", "lenet"),
        ("recipe", "ganin", "ganin2016"),
        ("validator", "entropi", "entropy"),
        ("penalty", "l2", "l2sp"),
        ("batchnorm", "per-domain", "per_domain"),
    ],
)
def test_misspelt_names_list_the_close_ones(field: str, name: str, close: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Unknown .* {name!r}. Did you mean .*{close!r}"):
        Config(**{field: name})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"steps": 2.5}, "steps must be a whole number of at least 1, got 2.5"),
        ({"evaluations": 0}, "evaluations must be"),
        ({"log_every": -1}, "log_every must be"),
        ({"method": 3}, "method must be a name or a tladapt.Method, got 3"),
        ({"method": DANN}, r"Call it: method=methods.DANN\(...\)"),
        ({"penalty": 3}, "penalty must be a name or a tladapt.Penalty"),
        ({"batchnorm": True}, "batchnorm must be the name of a preset or a BatchNorm, got True"),
    ],
)
def test_configs_that_make_no_sense(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Config(**fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"optimizer": "lion"}, "recipe.optimizer must be sgd, adam or adamw; got 'lion'"),
        ({"schedule": "cosin"}, "Unknown learning-rate schedule 'cosin'. Did you mean 'cosine'"),
        ({"standardize": "both"}, "recipe.standardize must be none, source or domain"),
        ({"augment": "noise+flup"}, "Unknown augmentation 'flup'. Did you mean 'flip'"),
        ({"momentum": 1.0}, r"recipe.momentum must be in \[0, 1\), got 1.0"),
        ({"clip": 0.0}, "recipe.clip must be above 0"),
        ({"weight_decay": -0.1}, "recipe.weight_decay must be a finite number from 0 on"),
        ({"batch_size": 1}, "recipe.batch_size must be a whole number from 2 on, got 1"),
        ({"batch_size": 6.5}, "recipe.batch_size must be a whole number"),
        ({"bottleneck": -1}, "recipe.bottleneck must be a whole number from 0 on"),
    ],
)
def test_recipes_that_make_no_sense(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Recipe(**fields)


def test_every_recipe_has_a_note() -> None:
    assert set(RECIPE_NOTES) == set(RECIPES)
    assert all(RECIPES[name].name == name for name in RECIPES)


def test_run_takes_a_config_a_scenario_and_a_seed() -> None:
    with pytest.raises(UsageError, match=r"needs a tladapt.Config first, got str"):
        tladapt.run("dann", problems.scenario())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"needs a tladapt.Scenario second, got str"):
        tladapt.run(Config(), "digits-photo")  # type: ignore[arg-type]
    for seed in (-1, 1.5, True, 2**31):
        with pytest.raises(UsageError, match="seed must be a whole number from 0 to"):
            tladapt.run(Config(), problems.scenario(), seed=seed)  # type: ignore[arg-type]
