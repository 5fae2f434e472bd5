"""Office-31, 6 pairs, a ResNet-50 that is fine-tuned."""

from __future__ import annotations

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Setting
from tladapt.bench.catalogue.literature import SHOT, TLL, published_rows
from tladapt.bench.catalogue.pairs import pair_problems
from tladapt.bench.catalogue.resnet import FINE_TUNED, METHODS
from tladapt.data.catalogue.office31 import Office31

LETTERS = {"amazon": "A", "dslr": "D", "webcam": "W"}
COLUMNS = ("A>W", "D>W", "W>D", "A>D", "D>A", "W>A")
ORACLE = {
    "source_only": "75.8 95.5 99.0 79.3 63.6 63.8",
    "dann": "91.4 97.9 100.0 83.6 73.3 70.4",
    "mmd": "84.2 98.4 100.0 87.3 66.9 65.2",
    "cdan": "93.8 98.5 100.0 89.9 73.4 70.4",
    "mcd": "90.4 98.5 100.0 87.3 68.3 67.6",
    "mcc": "94.1 98.4 99.8 95.6 75.5 74.2",
}
LAST = {"shot": "90.1 98.4 99.9 94.0 74.7 74.3"}

BENCHMARKS.register("office31")(
    Benchmark(
        name="office31",
        title="Office-31, 6 pairs, ResNet-50",
        problems=pair_problems("office31", Office31.pairs(), LETTERS),
        settings=(Setting(name="common", config=FINE_TUNED, rows=METHODS, note="ResNet-50, all of it fine-tuned"),),
        published=(
            *published_rows(COLUMNS, ORACLE, kind="oracle", source=TLL),
            *published_rows(COLUMNS, LAST, kind="last", source=SHOT),
        ),
        paper="Saenko et al., ECCV 2010; all of both domains, tested on the target (transductive)",
    )
)
