"""The command of a config: what it is read back as is the config again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import pytest

import tladapt
from tests.training import problems
from tladapt import methods, penalties
from tladapt.bench.search.command_line import train_command
from tladapt.cli.options import given_fields
from tladapt.cli.train_command import command, config_of
from tladapt.models.backbones.mlp import MLP
from tladapt.training import BATCHNORM_PRESETS, RECIPES, Config, Group
from tladapt.training.config import config_json

STARRED = dataclasses.replace(
    RECIPES["adam"], name="adam*", learning_rate=0.02, groups=(Group(pattern="^backbone", learning_rate=0.1),)
)
SCENARIO = tladapt.load("digits-photo", seed=3, shift="inverse")


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(method=methods.cdan(weight=0.25, entropy=True, hidden=(64, 32)), backbone=MLP(widths=(8, 8))),
        Config(method="dann", recipe=STARRED, batchnorm="per_domain", steps=70, patience=2, log_every=10),
        Config(method="mcc", recipe="digits", validator="dev", penalty=penalties.L2SP(weight=0.5), evaluations=3),
        Config(method="dann", batchnorm=dataclasses.replace(BATCHNORM_PRESETS["separate"], evaluation="target")),
    ],
    ids=["plain", "method", "recipe", "parts", "policy"],
)
def test_there_and_back(config: Config) -> None:
    words = shlex.split(train_command(config, SCENARIO, seed=2, seeds=4, out="best") or "")
    assert words[:2] == ["tladapt", "train"]
    context = command.make_context("train", words[2:])
    given, options = context.params, given_fields(context)
    assert config_json(config_of(given, options)) == config_json(config)
    assert (given["seed"], given["seeds"], given["out"]) == (2, 4, "best")
    data = tladapt.load(given["data"], None, **options["data"])
    assert data.origin["options"] == SCENARIO.origin["options"] and data.name == SCENARIO.name


def test_a_plain_config_is_a_short_command() -> None:
    plain = tladapt.load("digits-photo")
    found = train_command(Config(method="dann"), plain, seed=0, seeds=1, out="best")
    assert found == "tladapt train --data digits-photo --method dann --seed 0 --seeds 1 --out best"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": methods.combine(methods.dann(), methods.mcc())},
        {"method": problems.Breaking()},
        {"recipe": problems.RECIPE},
        {"debug": True},
    ],
    ids=["combined", "own method", "own recipe", "debug"],
)
def test_what_has_no_name_has_no_command(changes: dict[str, Any]) -> None:
    assert train_command(Config(**changes), SCENARIO, seed=0, seeds=1, out="best") is None
    assert train_command(Config(), problems.scenario(), seed=0, seeds=1, out="best") is None
