"""Amazon reviews, 5,000 word counts: the 12 tasks of the DANN paper, on the features that its authors released."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Published, Setting
from tladapt.bench.catalogue.pairs import pair_problems
from tladapt.data.catalogue.amazon_reviews import AmazonReviews
from tladapt.models.backbones.mlp import MLP
from tladapt.training.config import Config

LETTERS = {"books": "B", "dvd": "D", "electronics": "E", "kitchen": "K"}
PROBLEMS = pair_problems("amazon-reviews", AmazonReviews.pairs(), LETTERS)
JMLR = "Ganin et al., JMLR 2016, table 1, original data, as quoted by Wilson and Cook, ACM TIST 2020, table 4"
DANN = (78.4, 73.3, 77.9, 72.3, 75.4, 78.3, 71.3, 73.8, 85.4, 70.9, 74.0, 84.3)


BENCHMARKS.register("amazon-reviews")(
    Benchmark(
        name="amazon-reviews",
        title="Amazon reviews, 5,000 word counts, 12 pairs",
        problems=PROBLEMS,
        settings=(
            Setting(
                name="common",
                config=Config(backbone=MLP(widths=(100,)), recipe="word-counts", steps=500, evaluations=5),
                rows=("logistic_regression", "source_only", "dann", "mmd", "coral", "mcc"),
                note="one hidden layer of 100 on the counts as released; the rate by held-out source reviews",
            ),
        ),
        seeds=5,
        published=(
            *(
                Published(method="dann", problem=problem.name, value=value, kind="unknown", source=JMLR)
                for problem, value in zip(PROBLEMS, DANN, strict=True)
            ),
        ),
        paper="Ganin et al., JMLR 2016, arXiv:1505.07818, section 5.1",
    )
)
