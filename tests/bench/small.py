"""A benchmark of clouds of points: two problems, two methods, two seeds, each run a second of work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.cli.toy import points

BENCHMARK = '''"""A benchmark as people write their own."""

from pathlib import Path

from tladapt.bench import Benchmark, Problem, Setting
from tladapt.models.backbones import MLP
from tladapt.training import Config, Recipe

HERE = Path(__file__).parent
CONFIG = Config(
    method="source_only",
    backbone=MLP(widths=(8,)),
    recipe=Recipe(name="small", batch_size=6, learning_rate=0.05),
    steps={steps},
    log_every=5,
    evaluations=4,
)
SMALL = Benchmark(
    name="small",
    title="Clouds of points",
    problems=tuple(Problem(name=f"A>{{name}}", data=str(HERE / f"{{name}}.npz")) for name in {problems}),
    settings=(Setting(name="common", config=CONFIG, rows=("source_only", "dann")),),
    seeds=2,
)
'''


def write_benchmark(folder: Path, *, steps: int = 40, problems: str = "BC") -> Path:
    """Write the files of a benchmark, and return the one that `tladapt bench` is given."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(problems):
        shift = 0.4 * (place + 1)
        (sx, sy), (tx, _), (vx, vy) = points(60, 0.0, 0), points(45, shift, 1), points(45, shift, 2)
        arrays = {"source_x": sx, "source_y": sy, "target_x": tx, "test_x": vx, "test_y": vy}
        np.savez(folder / f"{name}.npz", **arrays, classes=np.array(["ant", "bee", "cat"]))
    path = folder / "small.py"
    path.write_text(BENCHMARK.format(steps=steps, problems=repr(problems)))
    return path
