import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from tests.bench.toy_grid import PROBLEMS, outcome, outcomes
from tladapt.bench import Benchmark, Problem, Published, Setting, read_csv, write_csv
from tladapt.bench.tables.records import BenchTable, TableRow
from tladapt.bench.tables.table import table_of, tabulate
from tladapt.errors import UsageError
from tladapt.training.config import Config


def row(table: BenchTable, method: str) -> TableRow:
    [one] = table.settings
    return next(row for row in one.rows if row.method == method)


def published(method, problem, value, kind="last", source="a paper"):
    return Published(method=method, problem=problem, value=value, kind=kind, source=source)


def test_cells_and_means_by_hand():
    table = tabulate(outcomes())
    [one] = table.settings
    assert (table.benchmark, one.setting, one.problems, one.seeds) == ("toy", "common", PROBLEMS, 3)
    dann = row(table, "dann")
    # 75, 76, 80: mean 77, s = sqrt(7), half = 4.302653 s / sqrt(3)
    cell = dann.entries["A>B"]
    assert tuple(cell.last) == pytest.approx((77, 77 - 6.57241, 77 + 6.57241, 3))
    assert (cell.chosen.mean, cell.oracle.mean) == (pytest.approx(76), pytest.approx(79))
    assert (cell.seeds, cell.asked, cell.failed, cell.collapsed) == (3, 3, 0, 0)
    # by seed 68, 69.5, 72.5: mean 70, s = sqrt(5.25)
    assert tuple(dann.mean.last) == pytest.approx((70, 70 - 5.69188, 70 + 5.69188, 3))
    assert row(table, "source_only").mean.last.mean == pytest.approx(66.5)
    assert dann.seconds == 6


def test_gains_by_hand():
    gain = row(tabulate(outcomes()), "dann").gain
    assert gain is not None
    # A>B: 5, 4, 6; B>A: 1, 2, 3; by seed 3, 3, 4.5 (s = sqrt(0.75)); by problem 5, 2 (s = sqrt(4.5))
    assert tuple(gain.over_seeds) == pytest.approx((3.5, 3.5 - 2.151327, 3.5 + 2.151327, 3))
    assert tuple(gain.over_problems) == pytest.approx((3.5, 3.5 - 19.059307, 3.5 + 19.059307, 2))
    # t = 3.5 / 1.5 with one degree of freedom: Cauchy's distribution; one comparison, nothing to correct
    assert gain.p == pytest.approx(1 - 2 * math.atan(3.5 / 1.5) / math.pi) == gain.corrected
    first, second = (gain.by_problem[problem] for problem in PROBLEMS)
    # two degrees of freedom: p = 1 - t / sqrt(t^2 + 2), t = 5 sqrt(3) and 2 sqrt(3)
    assert first.p == pytest.approx(1 - math.sqrt(75 / 77)) and second.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert (first.corrected, second.corrected) == (pytest.approx(2 * first.p), pytest.approx(second.p))
    assert tuple(first.over_seeds) == pytest.approx((5, 5 - 2.484138, 5 + 2.484138, 3))


def test_ranks_and_the_place_of_oracles():
    [one] = tabulate(outcomes()).settings
    assert [row.method for row in one.rows] == ["source_only", "dann", "target_only"]
    assert [row.is_oracle for row in one.rows] == [False, False, True]
    assert [row.rank for row in one.rows[:2]] == [2, 1] and math.isnan(one.rows[2].rank)
    assert one.rows[0].gain is None and one.rows[2].gain is None
    assert one.ranks is not None and one.ranks.methods == ("source_only", "dann")
    assert one.ranks.difference == pytest.approx(1.960 * math.sqrt(2 * 3 / (6 * 2)), abs=0.001)
    assert one.ranks.groups == ((1, 0),)  # two problems tell nothing apart


def test_a_missing_seed_is_left_out_on_both_sides():
    found = [one for one in outcomes() if (one.method, one.problem, one.seed) != ("dann", "B>A", 1)]
    dann = row(tabulate(found), "dann")
    assert (dann.entries["B>A"].seeds, dann.entries["B>A"].asked, dann.mean.seeds) == (2, 3, 2)
    assert dann.mean.last.mean == pytest.approx((68 + 72.5) / 2)
    assert dann.gain is not None and dann.gain.over_seeds.n == 2
    assert dann.gain.over_seeds.mean == pytest.approx((3 + 4.5) / 2) == dann.gain.over_problems.mean
    assert dann.gain.by_problem["A>B"].over_seeds.n == 3  # a problem by itself has all its seeds


def test_a_missing_problem_leaves_no_mean():
    found = [one for one in outcomes() if (one.method, one.problem) != ("dann", "B>A")]
    failed = [{"benchmark": "toy", "setting": "common", "problem": "B>A", "method": "dann", "seed": 0, "error": "x"}]
    dann = row(tabulate(found, failures=failed), "dann")
    assert dann.mean.seeds == 0 and math.isnan(dann.mean.last.mean) and math.isnan(dann.rank)
    assert dann.gain is not None and math.isnan(dann.gain.over_seeds.mean) and math.isnan(dann.gain.corrected)
    assert list(dann.gain.by_problem) == ["A>B"] and dann.entries["B>A"].failed == 1
    # A column that was asked for and has no run yet leaves no mean either.
    asked = [{"setting": "common", "problem": name, "method": "dann", "seed": 0} for name in (*PROBLEMS, "A>C")]
    dann = row(tabulate(outcomes(), asked=asked), "dann")
    assert dann.mean.seeds == 0 and (dann.entries["A>C"].seeds, dann.entries["A>C"].asked) == (0, 1)


def test_a_method_that_only_failed_has_a_row():
    failed = [{"benchmark": "toy", "setting": "common", "problem": "A>B", "method": "mcd", "seed": 1, "error": "x"}]
    mcd = row(tabulate(outcomes(), failures=failed), "mcd")
    assert mcd.entries["A>B"].failed == 1 and mcd.gain is None and math.isnan(mcd.seconds)
    assert tabulate([], failures=failed).benchmark == "toy"


def test_an_estimator_without_randomness_stands_for_every_seed():
    exact = [outcome("logistic_regression", problem, 0, 75, steps=0) for problem in PROBLEMS]
    found = row(tabulate([*outcomes(), *exact]), "logistic_regression")
    assert (found.entries["A>B"].seeds, found.entries["A>B"].asked) == (1, 1)
    assert found.gain is not None
    # source-only by seed: 65, 66.5, 68
    assert tuple(found.gain.over_seeds) == pytest.approx((8.5, 8.5 - 3.726207, 8.5 + 3.726207, 3))


def test_from_six_problems_on_the_signed_ranks_decide():
    rng = np.random.default_rng(0)
    problems = [f"A>{n}" for n in range(7)]
    values = {method: rng.uniform(50, 70, size=(7, 2)).round(2) for method in ("source_only", "dann", "mmd")}
    found = [outcome(m, p, s, values[m][i, s]) for m in values for i, p in enumerate(problems) for s in range(2)]
    [one] = tabulate(found).settings
    expected = [
        stats.wilcoxon(values[method].mean(axis=1) - values["source_only"].mean(axis=1)).pvalue
        for method in ("dann", "mmd")
    ]
    assert [row.gain.p for row in one.rows if row.gain] == pytest.approx(expected)
    low, high = sorted(expected)
    assert sorted(row.gain.corrected for row in one.rows if row.gain) == pytest.approx(
        [min(1, 2 * low), max(min(1, 2 * low), high)]
    )
    scores = np.stack([values[row.method].mean(axis=1) for row in one.rows], axis=1)
    assert one.ranks is not None
    assert one.ranks.test.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)


def test_equal_gains_are_ties():
    values = [70.1, 63.3, 81.7, 55.9, 91.3, 47.7, 66.1]
    steps = [0.3, 0.3, 0.3, 0.3, -0.3, 0.3, 0.0]
    found = [outcome("source_only", f"A>{n}", 0, value) for n, value in enumerate(values)]
    found += [
        outcome("dann", f"A>{n}", 0, value + step) for n, (value, step) in enumerate(zip(values, steps, strict=True))
    ]
    gain = row(tabulate(found), "dann").gain
    assert gain is not None and gain.p == pytest.approx(stats.wilcoxon([1, 1, 1, 1, -1, 1, 0]).pvalue)


def test_one_problem_is_tested_over_its_seeds():
    [one] = tabulate([one for one in outcomes() if one.problem == "A>B"]).settings
    gain = next(row.gain for row in one.rows if row.method == "dann")
    assert gain is not None and gain.p == pytest.approx(1 - math.sqrt(75 / 77)) and gain.over_problems.n == 1
    assert one.ranks is None


def test_published_numbers_stand_beside_ours_of_their_kind():
    texts = [
        published("dann", "A>B", 80.0),
        published("dann", "B>A", 60.0),
        published("source_only", "A>B", 71.0),
        published("source_only", "B>A", 59.0),
        published("dann", "mean", 75.0, "oracle", "another"),
        published("dann", "A>B", 70.0, "unknown", "a third"),
        published("dann", "A>C", 10.0, "unknown", "a third"),  # no such column here
        published("cdan", "mean", 90.0),  # no such row here
    ]
    beside = row(tabulate(outcomes(), texts), "dann").beside
    found = {(one.problem, one.kind): one for one in beside}
    assert len(beside) == len(found) == 5
    assert found["A>B", "last"].ours == pytest.approx(77) and found["A>B", "last"].published_gain == pytest.approx(9)
    assert found["A>B", "last"].our_gain == pytest.approx(5)
    mean = found["mean", "last"]  # the paper printed none: (80 + 60) / 2, over (71 + 59) / 2
    assert (mean.published, mean.published_gain, mean.our_gain) == (pytest.approx(70), pytest.approx(5), 3.5)
    assert found["mean", "oracle"].ours == pytest.approx(72) and math.isnan(found["mean", "oracle"].published_gain)
    unknown = found["A>B", "unknown"]
    assert (unknown.ours, unknown.our_gain) == (pytest.approx(77), pytest.approx(5)) and math.isnan(unknown.difference)
    assert found["A>B", "last"].difference == pytest.approx(-3)


def test_a_published_mean_is_not_held_against_other_problems():
    texts = [published("dann", "mean", 75.0), published("dann", "A>B", 80.0)]
    half = [one for one in outcomes() if one.problem == "A>B"]
    beside = row(tabulate(half, texts, whole=PROBLEMS), "dann").beside
    assert {one.problem: one.published for one in beside} == {"A>B": 80, "mean": 80}  # the mean of one problem
    beside = row(tabulate(outcomes(), texts, whole=[*PROBLEMS, "A>C"]), "dann").beside
    assert [one.problem for one in beside] == ["A>B"]


def test_settings_have_tables_of_their_own():
    own = [dataclasses.replace(one, setting="paper", last=one.last - 0.1) for one in outcomes()]
    texts = [published("dann", "mean", 75.0), dataclasses.replace(published("dann", "mean", 90.0), setting="paper")]
    common, paper = tabulate([*outcomes(), *own], texts).settings
    assert [row.mean.last.mean for row in common.rows[:2]] == pytest.approx([66.5, 70])
    assert [row.mean.last.mean for row in paper.rows[:2]] == pytest.approx([56.5, 60])
    assert paper.rows[1].gain is not None and paper.rows[1].gain.over_seeds.mean == pytest.approx(3.5)
    assert [one.published for one in paper.rows[1].beside] == [90]


def test_without_a_baseline_there_are_no_gains():
    [one] = tabulate([one for one in outcomes() if one.method != "source_only"]).settings
    assert all(row.gain is None for row in one.rows) and one.ranks is None


def test_a_csv_makes_the_same_table(tmp_path):
    rng = np.random.default_rng(1)
    found = [
        dataclasses.replace(one, last=float(rng.uniform()), chosen=float(rng.uniform()), seconds=1.25)
        for one in outcomes()
    ]
    write_csv(tmp_path / "outcomes.csv", found)
    assert repr(tabulate(read_csv(tmp_path / "outcomes.csv"))) == repr(tabulate(found))


def test_the_table_of_a_benchmark():
    benchmark = Benchmark(
        name="toy",
        title="A toy",
        problems=tuple(Problem(name=name, data="toy") for name in ("B>A", "A>B")),
        settings=(Setting(name="common", config=Config(), rows=("source_only",), note="A note."),),
        published=(published("dann", "mean", 75.0),),
    )
    table = table_of(outcomes(), benchmark)
    [one] = table.settings
    assert (table.title, one.note, one.problems) == ("A toy", "A note.", ("B>A", "A>B"))
    assert row(table, "dann").beside[0].published == 75
    asked = [{"setting": "common", "problem": "A>B", "method": m, "seed": s} for m in ("mcd", "dann") for s in range(4)]
    half = table_of([one for one in outcomes() if one.problem == "A>B"], benchmark, asked=asked)
    assert row(half, "dann").entries["A>B"].asked == 4 and row(half, "mcd").entries["A>B"].seeds == 0
    assert row(half, "dann").beside == ()


def test_what_cannot_be_one_table_is_refused():
    with pytest.raises(UsageError, match="at least one finished run"):
        tabulate([])
    with pytest.raises(UsageError, match="outcomes of toy, other"):
        tabulate([*outcomes(), dataclasses.replace(outcomes()[0], benchmark="other")])
    with pytest.raises(UsageError, match=r"two outcomes of target_only on A>B under common have seed 0: runs/x"):
        tabulate([dataclasses.replace(outcomes()[0], folder="runs/x"), *outcomes()])
