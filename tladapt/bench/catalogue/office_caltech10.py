"""Office-Caltech-10, 12 pairs: on SURF words, and on the features of a published network."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Published, Row, Setting
from tladapt.bench.catalogue.pairs import pair_problems
from tladapt.data.catalogue.office_caltech10 import OfficeCaltech10
from tladapt.methods import MeanTeacher
from tladapt.models.backbones.mlp import MLP
from tladapt.training.config import Config

LETTERS = {"amazon": "A", "caltech10": "C", "dslr": "D", "webcam": "W"}
PAIRS = OfficeCaltech10.pairs()
SURF = pair_problems("office-caltech10-surf", PAIRS, LETTERS)
JDA = "Long et al. (JDA), ICCV 2013, table 2, deterministic"
NEIGHBOUR = {
    "C>A": 23.70, "C>W": 25.76, "C>D": 25.48, "A>C": 26.00, "A>W": 29.83, "A>D": 25.48,
    "W>C": 19.86, "W>A": 22.96, "W>D": 59.24, "D>C": 26.27, "D>A": 28.50, "D>W": 63.39,
}  # fmt: skip
METHODS = ("source_only", "dann", "cdan", "mmd", "coral", "mcd", "mcc", "shot")

BENCHMARKS.register("office-caltech10-surf")(
    Benchmark(
        name="office-caltech10-surf",
        title="Office-Caltech-10, SURF words, 12 pairs",
        problems=SURF,
        settings=(
            Setting(
                name="common",
                config=Config(backbone=MLP(widths=(128,)), recipe="adam", steps=500, evaluations=5),
                rows=("nearest_neighbour", "logistic_regression", *METHODS),
                note="one hidden layer of 128 on words that are standardised in each domain",
            ),
        ),
        published=tuple(
            Published(method="nearest_neighbour", problem=problem, value=value, kind="last", source=JDA)
            for problem, value in NEIGHBOUR.items()
        ),
        paper="Gong et al., CVPR 2012; the full protocol of Long et al., ICCV 2013",
    )
)

BENCHMARKS.register("office-caltech10")(
    Benchmark(
        name="office-caltech10",
        title="Office-Caltech-10, features of a published network, 12 pairs",
        problems=pair_problems("office-caltech10", PAIRS, LETTERS),
        settings=(
            Setting(
                name="common",
                config=Config(
                    backbone="mobilenetv2_100",
                    weights="tensorflow/mobilenetv2_100",
                    recipe="thuml",
                    steps=1000,
                    evaluations=5,
                ),
                rows=(*METHODS, Row(name="mean_teacher", method=MeanTeacher(), changes={"views": 4})),
                note="the backbone stays as its weights are; a bottleneck of 256, the classifier and heads are trained",
            ),
        ),
        paper="Gong et al., CVPR 2012; all of both domains, tested on the target (transductive)",
    )
)
