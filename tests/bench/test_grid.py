"""The cells of a grid: which there are, what their folders are called, and which names are refused."""

import dataclasses

import pytest

from tladapt.bench import BENCHMARKS, Benchmark, Problem, Row, Setting, find_benchmark
from tladapt.bench.grid import Cell, Place, grid
from tladapt.errors import UnknownNameError, UsageError
from tladapt.methods import DANN
from tladapt.models.backbones import MLP
from tladapt.training import Config

CONFIG = Config(backbone=MLP(widths=(4,)), steps=10, recipe="adam")
TWO = Benchmark(
    name="two",
    title="two problems",
    problems=(Problem(name="A>B", data="a.npz"), Problem(name="B>A", data="b.npz", options={"size": 8})),
    settings=(
        Setting(name="common", config=CONFIG, rows=("nearest_neighbour", "source_only", "dann")),
        Setting(
            name="paper",
            config=dataclasses.replace(CONFIG, recipe="ganin2016"),
            rows=("source_only", Row(name="dann half", method=DANN(weight=0.5), changes={"steps": 20})),
        ),
    ),
    seeds=2,
)


def told(groups):
    return [[(cell.problem.name, cell.setting, cell.method, cell.seed) for cell in group] for group in groups]


def test_a_group_is_a_problem_and_a_method_with_its_seeds_problem_by_problem():
    assert told(grid(TWO)) == [
        [("A>B", "common", "nearest_neighbour", 0)],  # without randomness, one run says it all
        [("A>B", "common", "source_only", 0), ("A>B", "common", "source_only", 1)],
        [("A>B", "common", "dann", 0), ("A>B", "common", "dann", 1)],
        [("B>A", "common", "nearest_neighbour", 0)],
        [("B>A", "common", "source_only", 0), ("B>A", "common", "source_only", 1)],
        [("B>A", "common", "dann", 0), ("B>A", "common", "dann", 1)],
    ]


def test_what_is_asked_for_is_in_it_and_nothing_else():
    asked = grid(TWO, settings=["common", "paper"], methods=["mmd", "source_only"], problems=["B>A"], seeds=[7])
    assert told(asked) == [
        [("B>A", "common", "mmd", 7)],
        [("B>A", "common", "source_only", 7)],
        [("B>A", "paper", "source_only", 7)],  # a paper's recipe is for the rows that it names
    ]
    assert told(grid(TWO, settings=["paper"], methods=["mmd"], problems=["A>B"], seeds=[0])) == [
        [("A>B", "paper", "mmd", 0)]  # unless it is the only one asked for
    ]


def test_a_row_changes_the_config_of_its_setting_for_itself_alone():
    plain, half = (group[0].trained for group in grid(TWO, settings=["paper"], problems=["A>B"]))
    assert (plain.steps, half.steps) == (10, 20)
    assert half.method == DANN(weight=0.5) and plain.recipe == half.recipe == "ganin2016"


def cell(**given) -> Cell:
    fields = {"benchmark": "two", "setting": "common", "metric": "accuracy", "problem": TWO.problems[0]}
    return Cell(
        **{**fields, "method": "dann", "trained": dataclasses.replace(CONFIG, method="dann"), "seed": 0} | given
    )


def test_the_hash_stands_for_all_that_numbers_depend_on():
    one = cell()
    assert one.name == f"A_B-dann-seed0-{one.hash}" and len(one.hash) == 12
    assert cell(setting="paper").name == f"A_B-dann-paper-seed0-{one.hash}"
    others = [
        cell(seed=1),
        cell(trained=dataclasses.replace(CONFIG, method="dann", steps=11)),
        cell(trained=dataclasses.replace(CONFIG, method=DANN(weight=0.5))),
        cell(trained=dataclasses.replace(CONFIG, method="dann", recipe="ganin2016")),
        cell(problem=Problem(name="A>B", data="other.npz")),
        cell(problem=Problem(name="A>B", data="a.npz", options={"size": 9})),
    ]
    assert len({one.hash, *(other.hash for other in others)}) == 1 + len(others)
    same = cell(trained=dataclasses.replace(CONFIG, method=DANN()))  # a name and the object it stands for
    assert same.hash == one.hash


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"methods": ["dan"]}, "There is no method 'dan'. Did you mean 'dann'"),
        ({"problems": ["A>C"]}, r"has no problem 'A>C'. Did you mean 'A>B'"),
        ({"settings": ["papers"]}, "has no setting 'papers'. Did you mean 'paper'"),
        ({"seeds": [1, 1]}, "each seed can be given once"),
    ],
)
def test_what_there_is_not_is_refused_with_the_close_names(asked, words):
    with pytest.raises(UsageError, match=words):
        grid(TWO, **asked)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"is not empty \(thesis.tex\)"):
        Place(tmp_path).begin(TWO, grid(TWO), [])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_grid_may_grow_and_may_not_change(tmp_path):
    place = Place(tmp_path / "grid")
    place.begin(TWO, grid(TWO, methods=["dann"], seeds=[0]), ["tladapt", "bench"])
    place.begin(TWO, grid(TWO, methods=["mmd"], seeds=[0, 1]), ["tladapt", "bench"])
    assert len(list((tmp_path / "grid" / "cells").glob("*.json"))) == 6
    with pytest.raises(UsageError, match=r"holds dann on A>B, seed 0, under another config \(A_B-dann-seed0-.*choose"):
        place.begin(TWO, grid(TWO, change=lambda config: dataclasses.replace(config, steps=99)), [])
    with pytest.raises(UsageError, match="holds a grid of 'two', and 'three' is asked for"):
        place.begin(dataclasses.replace(TWO, name="three"), grid(TWO), [])


def test_benchmarks_come_by_name_or_from_a_file(tmp_path):
    assert find_benchmark("digits") is BENCHMARKS["digits"]
    with pytest.raises(UnknownNameError, match=r"Unknown benchmark 'digit'. Did you mean 'digits'"):
        find_benchmark("digit")
    one = "from tladapt.bench import Benchmark, Problem, Setting\nfrom tladapt import Config\n"
    setting = "settings=(Setting(name='common', config=Config(), rows=()),)"
    make = f"Benchmark(name='{{}}', title='', problems=(Problem(name='p', data='d'),), {setting})"
    (tmp_path / "one.py").write_text(f"{one}mine = {make.format('mine')}")
    (tmp_path / "two.py").write_text(f"{one}a = {make.format('first')}\nb = {make.format('second')}")
    (tmp_path / "none.py").write_text("x = 1")
    (tmp_path / "broken.py").write_text("1 / 0")
    assert find_benchmark(str(tmp_path / "one.py")).name == "mine"
    assert find_benchmark(str(tmp_path / "two.py:second")).name == "second"
    for name, words in {
        "two.py": "holds several benchmarks; name one: .*two.py:first, .*two.py:second",
        "two.py:third": "has no benchmark 'third'",
        "none.py": "holds no benchmark: write NAME = tladapt.bench.Benchmark",
        "broken.py": "cannot be run: ZeroDivisionError",
        "absent.py": "there is no file",
    }.items():
        with pytest.raises(UsageError, match=words):
            find_benchmark(str(tmp_path / name))


def test_a_benchmark_without_problems_or_with_two_of_a_name_is_refused():
    with pytest.raises(UsageError, match="'two' has no problem"):
        dataclasses.replace(TWO, problems=())
    with pytest.raises(UsageError, match="more than one problem 'A>B'"):
        dataclasses.replace(TWO, problems=(TWO.problems[0], TWO.problems[0]))


def test_every_benchmark_that_comes_along_has_a_grid_with_a_baseline():
    find_benchmark("digits")  # registers them
    for name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        for setting in benchmark.settings:
            groups = grid(benchmark, settings=[setting.name])
            names = [cell.name for group in groups for cell in group]
            assert len(set(names)) == len(names)
            assert "source_only" in {cell.method for group in groups for cell in group}, (name, setting.name)
        known = {problem.name for problem in benchmark.problems} | {"mean"}
        rows = {row if isinstance(row, str) else row.name for setting in benchmark.settings for row in setting.rows}
        for published in benchmark.published:
            assert published.problem in known and published.method in rows, published
            assert benchmark.setting(published.setting)
