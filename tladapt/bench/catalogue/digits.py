"""Digits: MNIST, USPS and MNIST-M, all training images of both domains, tested on the target's test split."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Published, Setting
from tladapt.models.backbones.digits_cnn import DigitsCNN
from tladapt.models.backbones.lenet import LeNet
from tladapt.training.config import Config

SHOT = "Liang et al. (SHOT), official results.md, mean of 3 seeds, another split of USPS (7,438 / 1,860 at 28 x 28)"
DANN = "Ganin et al., JMLR 2016, table 2, with the full MNIST-M"
PROBLEMS = (
    Problem(name="M>U", data="mnist-usps"),
    Problem(name="U>M", data="usps-mnist"),
    Problem(name="M>MM", data="mnist-mnistm"),
)
METHODS = ("source_only", "dann", "cdan", "mmd", "coral", "mcd", "mcc", "shot", "mean_teacher", "adabn", "target_only")


def _published() -> tuple[Published, ...]:
    found = []
    for setting in ("common", "liang2020"):
        rows = (("source_only", 79.7, 88.0), ("shot", 97.9, 98.0), ("target_only", 97.0, 99.2))
        for method, to_usps, to_mnist in rows:
            for problem, value in (("M>U", to_usps), ("U>M", to_mnist)):
                found.append(
                    Published(method=method, problem=problem, value=value, kind="last", source=SHOT, setting=setting)
                )
    found.append(Published(method="dann", problem="M>MM", value=76.66, kind="unknown", source=DANN))
    return tuple(found)


BENCHMARKS.register("digits")(
    Benchmark(
        name="digits",
        title="digits: MNIST, USPS, MNIST-M",
        problems=PROBLEMS,
        settings=(
            Setting(
                name="common",
                config=Config(backbone=DigitsCNN(widths=(16, 32, 64)), recipe="digits", steps=1000, evaluations=5),
                rows=METHODS,
                note="a small CNN with BatchNorm; the recipe was chosen by IM (experiments/digits_recipe.sh)",
            ),
            Setting(
                name="liang2020",
                config=Config(backbone=LeNet(), recipe="liang2020", steps=1000, evaluations=5),
                rows=("source_only", "shot", "target_only"),
                note="SHOT's digits recipe on a LeNet without BatchNorm",
            ),
            Setting(
                name="french2018",
                config=Config(backbone=DigitsCNN(widths=(16, 32, 64)), recipe="french2018", steps=1000, evaluations=5),
                rows=("source_only", "mean_teacher"),
                note="the recipe of self-ensembling, 256 + 256 images a step",
            ),
        ),
        published=_published(),
        paper="all training images, the protocol of Liang et al., ICML 2020, and French et al., ICLR 2018",
    )
)
