"""DomainNet, 12 pairs of its four cleanest domains, a ResNet-101 that is fine-tuned."""

from __future__ import annotations

import dataclasses

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Setting
from tladapt.bench.catalogue.literature import TLL, published_rows
from tladapt.bench.catalogue.pairs import pair_problems
from tladapt.bench.catalogue.resnet import FINE_TUNED, METHODS

LETTERS = {"clipart": "c", "painting": "p", "real": "r", "sketch": "s"}
PAIRS = [f"{source}-{target}" for source in LETTERS for target in LETTERS if source != target]
COLUMNS = ("c>p", "c>r", "c>s", "p>c", "p>r", "p>s", "r>c", "r>p", "r>s", "s>c", "s>p", "s>r")
ORACLE = {
    "source_only": "32.7 50.6 39.4 41.1 56.8 35.0 48.6 48.8 36.1 49.0 34.8 46.1",
    "mmd": "38.8 55.2 43.9 45.9 59.0 40.8 50.8 49.8 38.9 56.1 45.9 55.5",
    "dann": "37.9 54.3 44.4 41.7 55.6 36.8 50.7 50.8 40.1 55.0 45.0 54.5",
    "cdan": "40.4 56.8 46.1 45.1 58.4 40.5 55.6 53.6 43.0 57.2 46.4 55.7",
    "mcd": "37.5 52.9 44.0 44.6 54.5 41.6 52.0 51.5 39.7 55.5 44.6 52.0",
    "mcc": "37.7 55.7 42.6 45.4 59.8 39.9 54.4 53.1 37.0 58.1 46.3 56.2",
}

BENCHMARKS.register("domainnet")(
    Benchmark(
        name="domainnet",
        title="DomainNet, 12 pairs of clipart, painting, real and sketch, ResNet-101",
        problems=pair_problems("domainnet", PAIRS, LETTERS),
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
        published=(*published_rows(COLUMNS, ORACLE, kind="oracle", source=TLL),),
        paper="Peng et al., ICCV 2019, arXiv:1812.01754; the official training and test lists",
    )
)
