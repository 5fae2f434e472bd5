"""Spoken digits: five speakers are the source, the sixth is the target; log-mel pictures and a small CNN."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Setting
from tladapt.data.catalogue.spoken_digits import SpokenDigits
from tladapt.models.backbones.digits_cnn import DigitsCNN
from tladapt.training.config import Config

BENCHMARKS.register("spoken-digits")(
    Benchmark(
        name="spoken-digits",
        title="spoken digits, leave one speaker out",
        problems=tuple(Problem(name=f">{name}", data=f"spoken-digits:{name}") for name in SpokenDigits.domains),
        settings=(
            Setting(
                name="common",
                config=Config(backbone=DigitsCNN(widths=(16, 32, 64)), recipe="adam", steps=500, evaluations=5),
                rows=("source_only", "dann", "cdan", "mmd", "coral", "mcc", "shot", "adabn", "target_only"),
                note="log-mel pictures of 40 x 32, each recording by its own mean and deviation",
            ),
        ),
        paper="Free Spoken Digit Dataset (github.com/Jakobovski); there is no protocol by speakers",
    )
)
