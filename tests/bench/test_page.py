import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from tests.bench.toy_grid import LAST, PROBLEMS, outcomes
from tladapt.bench import Benchmark, Problem, Published, Setting
from tladapt.bench.tables.page import bench_page
from tladapt.bench.tables.records import BenchTable
from tladapt.bench.tables.table import tabulate
from tladapt.bench.tables.written import draw_tables, show_table, write_tables
from tladapt.errors import RunFolderError
from tladapt.training.config import Config

BENCHMARK = Benchmark(
    name="toy",
    title="A toy benchmark",
    problems=tuple(Problem(name=name, data="toy") for name in PROBLEMS),
    settings=(Setting(name="common", config=Config(), rows=("source_only", "dann"), note="Our own recipe."),),
    published=(Published(method="dann", problem="mean", value=71.5, kind="oracle", source="First & al."),),
)


class Balance(HTMLParser):
    """Ends with an empty stack where every element is closed in its place."""

    def __init__(self):
        super().__init__()
        self.open, self.void = [], {"meta", "link", "img", "br"}

    def handle_starttag(self, tag, attrs):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The folder of a grid of which one run failed and one has not been trained."""
    out = tmp_path_factory.mktemp("grid")
    about = {"benchmark": "toy", "title": "A toy benchmark", "metric": "accuracy", "settings": ["common"]}
    asked = {"problems": list(PROBLEMS), "methods": list(LAST), "seeds": [0, 1, 2]}
    command = ["tladapt", "bench", "toy", "--out", "a b"]
    (out / "bench.json").write_text(json.dumps(about | asked | {"command": command}))
    (out / "cells").mkdir()
    for method in (*LAST, "mcd"):
        for problem in PROBLEMS:
            for seed in range(3) if method != "mcd" else (0,):
                cell = {"benchmark": "toy", "setting": "common", "metric": "accuracy", "problem": problem}
                name = f"{problem[0]}-{method}-{seed}"
                (out / "cells" / f"{name}.json").write_text(json.dumps(cell | {"method": method, "seed": seed}))
    (out / "failed" / "A-mcd-0").mkdir(parents=True)
    (out / "failed" / "A-mcd-0" / "error.txt").write_text("Traceback\nDivergenceError: <loss> is nan\n")
    return out


def test_files_of_a_grid(grid):
    files = write_tables(grid, outcomes(), BENCHMARK)
    assert [file.name for file in files] == ["table.txt", "table.md", "table.csv", "table.tex", "report.html"]
    text, page = files[0].read_text(), files[-1].read_text()
    assert text.startswith("A toy benchmark: last step\n") and "common: Our own recipe." in text
    assert re.search(r"^ mcd +– +– +– +–$", text, re.MULTILINE)  # was asked for
    assert re.search(r"^ dann +mean +71.5 oracle +72.0 oracle +\+0.5 ", text, re.MULTILINE)
    assert "tladapt bench toy --out &#x27;a b&#x27;" in page
    assert not [path.name for path in grid.iterdir() if path.name.startswith(".") or path.suffix == ".part"]
    again = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_tables(grid, outcomes(), BENCHMARK)] == again


def test_the_page_is_whole_and_self_contained(grid):
    page = write_tables(grid, outcomes(), BENCHMARK)[-1].read_text()
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "://" not in page and "<script" not in page
    said = words(page)
    for part in ("Results", "When to stop", "Gain over source_only", "Ranks", "Beside the literature", "What failed"):
        assert f"<h2>{part}</h2>" in page
    assert "dann has the highest accuracy at the last step in the mean over 2 problems, 70.0 %: +3.5 points" in said
    assert "95 % interval over seeds 1.3 to 5.7" in said
    assert "DivergenceError: &lt;loss&gt; is nan" in page and "First &amp; al." in page
    assert "Runs of mcd are missing on A&gt;B, B&gt;A." in page
    assert page.count("<svg") >= 3 and "critical difference" in page and "target_only (oracle)" in page


def test_what_is_worse_than_the_baseline_is_said():
    found = [one for one in outcomes() if one.method != "target_only"]
    swapped = {"dann": "source_only", "source_only": "dann"}
    turned = [dataclasses.replace(one, method=swapped[one.method]) for one in found]
    said = words(bench_page(tabulate(turned)))
    assert "Adaptation hurts: dann is worse than source_only by 3.5 points [1.3, 5.7] in the mean" in said


def test_pages_of_little():
    alone = tabulate([one for one in outcomes() if one.method == "dann" and one.problem == "A>B"])
    said = words(bench_page(alone))
    assert "Not enough runs are finished to compare methods." in said and "No run failed." in said
    assert "<h2>Ranks" not in bench_page(alone) and "<h2>Gain" not in bench_page(alone)
    one_seed = words(bench_page(tabulate([one for one in outcomes() if one.seed == 0])))
    assert "dann has the highest accuracy at the last step in the mean over 2 problems, 68.0 %." in one_seed
    assert bench_page(BenchTable(benchmark="x", title="x", settings=()))


def test_the_terminal_shows_the_tables_and_what_failed(grid, capsys):
    show_table(grid, outcomes(), BENCHMARK)
    shown = capsys.readouterr().out
    for part in ("A toy benchmark: last step", "mean over 2 problems", "beside the literature", "Runs that failed"):
        assert part in shown
    assert "every number" not in shown and max(map(len, shown.splitlines())) <= 100


def test_a_folder_that_is_no_grid_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="not the folder of a grid"):
        write_tables(tmp_path, outcomes(), BENCHMARK)


def test_figures_on_demand(grid, monkeypatch):
    drawn = []
    monkeypatch.setattr("tladapt.bench.tables.written.save_figure", lambda figure, file: drawn.append(figure) or file)
    found = [one for one in outcomes() if one.method != "target_only"]
    files = draw_tables(grid, [*found, *(dataclasses.replace(one, setting="paper") for one in found)], BENCHMARK)
    names = ["gains.png", "ranks.png", "gains-paper.png", "ranks-paper.png"]
    assert [file.relative_to(grid).as_posix() for file in files] == [f"figures/{name}" for name in names]
    gains, ranks = (figure.axes[0] for figure in drawn[:2])
    # mcd was asked for, and has neither a gain nor a rank
    assert [label.get_text() for label in gains.get_yticklabels()] == ["dann"]
    assert {"dann (1.00)", "source_only (2.00)"} <= {text.get_text().strip() for text in ranks.texts}
