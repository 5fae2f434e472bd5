"""Heart disease at four hospitals, 12 pairs: a table with missing values, and shares of classes that differ widely."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Setting
from tladapt.bench.catalogue.pairs import pair_problems
from tladapt.data.catalogue.heart import Heart
from tladapt.models.backbones.mlp import MLP
from tladapt.training.config import Config

LETTERS = {"cleveland": "C", "hungarian": "H", "switzerland": "S", "va": "V"}

BENCHMARKS.register("heart")(
    Benchmark(
        name="heart",
        title="heart disease at four hospitals, 12 pairs",
        problems=pair_problems("heart", Heart.pairs(), LETTERS),
        settings=(
            Setting(
                name="common",
                config=Config(backbone=MLP(widths=(64,)), recipe="adam", steps=500, evaluations=5),
                rows=("logistic_regression", "source_only", "dann", "cdan", "mmd", "coral", "mcd", "mcc", "shot"),
                note="one hidden layer of 64",
            ),
        ),
        seeds=5,
        metric="mean_class_accuracy",
        paper="Detrano et al., American Journal of Cardiology 1989; there is no protocol for adaptation",
    )
)
