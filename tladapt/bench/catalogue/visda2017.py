"""VisDA-2017: rendered objects to photographs, a ResNet-101 that is fine-tuned."""

from __future__ import annotations

import dataclasses

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Setting
from tladapt.bench.catalogue.literature import SHOT, TLL, published_rows
from tladapt.bench.catalogue.resnet import FINE_TUNED, METHODS

ORACLE = {"source_only": "51.7", "dann": "79.5", "mmd": "66.4", "cdan": "80.1", "mcd": "77.7", "mcc": "83.6"}
LAST = {"shot": "82.9"}

BENCHMARKS.register("visda2017")(
    Benchmark(
        name="visda2017",
        title="VisDA-2017, synthetic to real, ResNet-101",
        problems=(Problem(name="S>R", data="visda2017"),),
        settings=(
            Setting(
                name="common",
                config=dataclasses.replace(
                    FINE_TUNED, backbone="resnet101", weights="torchvision/resnet101.IMAGENET1K_V1"
                ),
                rows=METHODS,
                note="ResNet-101, all of it fine-tuned",
            ),
        ),
        metric="mean_class_accuracy",
        published=(
            *published_rows(("S>R",), ORACLE, kind="oracle", source=TLL),
            *published_rows(("S>R",), LAST, kind="last", source=SHOT),
        ),
        paper="Peng et al., 2017, arXiv:1710.06924; the validation set is the target",
    )
)
