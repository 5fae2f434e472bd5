"""Activities by person: AdaTime's ten pairs of persons in UCI HAR, WISDM and HHAR, and its one-dimensional CNN."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Published, Setting
from tladapt.data.catalogue.activity import Har, Hhar, Wisdm
from tladapt.training.config import Config

ADATIME = "Ragab et al. (AdaTime), TKDD 2023, arXiv:2203.08321, hyper-parameters by labels of the target"
# Macro-F1 with hyper-parameters chosen on target labels: DANN, CDAN, Deep CORAL.
ORACLE = {
    "har": {"dann": 88.26, "cdan": 90.72, "coral": 86.30},
    "wisdm": {"dann": 62.41, "cdan": 55.59, "coral": 54.19},
    "hhar": {"dann": 77.89, "cdan": 79.07, "coral": 71.75},
}

for _entry in (Har, Wisdm, Hhar):
    BENCHMARKS.register(_entry.name)(
        Benchmark(
            name=_entry.name,
            title=f"{_entry.name.upper()}, ten pairs of persons",
            problems=tuple(Problem(name=pair.replace("-", ">"), data=f"{_entry.name}:{pair}") for pair in _entry.table),
            settings=(
                Setting(
                    name="common",
                    config=Config(backbone="window_cnn", recipe="adam", steps=1000, evaluations=5),
                    rows=("source_only", "dann", "cdan", "mmd", "coral", "mcd", "mcc", "shot", "adabn"),
                    note="AdaTime's CNN over time",
                ),
            ),
            metric="macro_f1",
            published=tuple(
                Published(method=method, problem="mean", value=value, kind="oracle", source=ADATIME)
                for method, value in ORACLE[_entry.name].items()
            ),
            paper="Ragab et al. (AdaTime), TKDD 2023, arXiv:2203.08321",
        )
    )
