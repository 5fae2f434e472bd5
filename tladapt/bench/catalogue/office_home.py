"""Office-Home, 12 pairs, a ResNet-50 that is fine-tuned."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Setting
from tladapt.bench.catalogue.literature import SHOT, TLL, published_rows
from tladapt.bench.catalogue.pairs import pair_problems
from tladapt.bench.catalogue.resnet import FINE_TUNED, METHODS
from tladapt.data.catalogue.office_home import OfficeHome

LETTERS = {"art": "Ar", "clipart": "Cl", "product": "Pr", "real_world": "Rw"}
COLUMNS = (
    "Ar>Cl", "Ar>Pr", "Ar>Rw", "Cl>Ar", "Cl>Pr", "Cl>Rw", "Pr>Ar", "Pr>Cl", "Pr>Rw", "Rw>Ar", "Rw>Cl", "Rw>Pr",
)  # fmt: skip
ORACLE = {
    "source_only": "41.1 65.9 73.7 53.1 60.1 63.3 52.2 36.7 71.8 64.8 42.6 75.2",
    "mmd": "45.6 67.7 73.9 57.7 63.8 66.0 54.9 40.0 74.5 66.2 49.1 77.9",
    "dann": "53.8 62.6 74.0 55.8 67.3 67.3 55.8 55.1 77.9 71.1 60.7 81.1",
    "cdan": "55.2 72.4 77.6 62.0 69.7 70.9 62.4 54.3 80.5 75.5 61.0 83.8",
    "mcd": "51.7 72.2 78.2 63.7 69.5 70.8 61.5 52.8 78.0 74.5 58.4 81.8",
    "mcc": "58.4 79.6 83.0 67.5 77.0 78.5 66.6 54.8 81.8 74.4 61.4 85.6",
}
LAST = {"shot": "57.1 78.1 81.5 68.0 78.2 78.1 67.4 54.9 82.2 73.3 58.8 84.3"}

BENCHMARKS.register("office-home")(
    Benchmark(
        name="office-home",
        title="Office-Home, 12 pairs, ResNet-50",
        problems=pair_problems("office-home", OfficeHome.pairs(), LETTERS),
        settings=(Setting(name="common", config=FINE_TUNED, rows=METHODS, note="ResNet-50, all of it fine-tuned"),),
        published=(
            *published_rows(COLUMNS, ORACLE, kind="oracle", source=TLL),
            *published_rows(COLUMNS, LAST, kind="last", source=SHOT),
        ),
        paper="Venkateswara et al., CVPR 2017; all of both domains, tested on the target (transductive)",
    )
)
