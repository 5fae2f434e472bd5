"""The selection report: numbers by hand on made-up candidates, and a tiny grid of real runs."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tladapt
from tests.cli.toy import call
from tests.training import problems
from tladapt.bench.selection import scores as selection_scores
from tladapt.bench.selection.report import SelectionReport, compare, selection_report, summarise
from tladapt.bench.selection.show import HEADER, as_csv, as_markdown, as_text, cells, selection_section
from tladapt.data import Scenario
from tladapt.errors import RunFolderError, UsageError
from tladapt.evaluation import VALIDATORS
from tladapt.evaluation.comparison import Candidate

FREE = ("entropy", "im", "source_accuracy")  # what every run logs
NONE = np.zeros(0, np.int32)


def candidate(run: str, step: int, good: float, bad: float, collapsed: str = "") -> Candidate:
    return Candidate(run, step, {"good": good, "bad": bad}, collapsed, 0.9, NONE, {}, {})


# Accuracies beside the candidates; the best of each run and problem can be read off.
FIRST = [
    (candidate("a", 10, 1.0, 9.0, "one class"), 0.2),
    (candidate("a", 20, 3.0, 2.0), 0.8),
    (candidate("a", 30, 2.0, 3.0), 0.6),
    (candidate("b", 10, 4.0, 1.0), 0.9),
    (candidate("b", 20, 1.5, 1.5), 0.5),
]
SECOND = [
    (candidate("c", 10, 1.0, 5.0, "one class"), 0.3),
    (candidate("c", 20, 2.0, 4.0, "one class"), 0.4),
    (candidate("d", 10, 3.0, 1.0), 0.7),
    (candidate("d", 20, 5.0, 2.0), 0.6),
]


def test_numbers_by_hand() -> None:
    made = [compare(name, *zip(*pairs, strict=True)) for name, pairs in (("A>B", FIRST), ("B>A", SECOND))]
    (good, bad), (last, blind, oracle) = summarise(made)
    assert (good.name, bad.name) == ("good", "bad")
    # within runs: good takes a 20 (best), b 10 (best) | c: nothing passes, so its last step, 0.4 of 0.4; d 20: 0.1
    assert good.regret_within.mean == pytest.approx((0.0 + (0.0 + 0.1) / 2) / 2)
    # bad takes a 30 (0.2 below), b 20 (0.4) | c 20 (0), d 20 (0.1)
    assert bad.regret_within.mean == pytest.approx((0.3 + 0.05) / 2) and bad.regret_within.n == 2
    # of all runs: good takes b 10 (0) | d 20 (0.1); bad a 30 (0.3) | d 20 (0.1)
    assert good.regret.mean == pytest.approx(0.05) and bad.regret.mean == pytest.approx(0.2)
    # without the guard: good the same; bad a 10 (0.7) | c 10 (0.4)
    assert good.unguarded.mean == pytest.approx(0.05) and bad.unguarded.mean == pytest.approx(0.55)
    # ranks over those that pass: good 3, 2, 4, 1.5 with .8, .6, .9, .5: perfect; the second problem has two: unknown
    assert good.rank_correlation.mean == pytest.approx(1.0) and good.rank_correlation.n == 1
    assert bad.rank_correlation.mean == pytest.approx(-0.4)
    # good chooses a collapsed one in c alone, where nothing else is; bad in a (stopped) and in c
    assert (good.collapsed_runs, good.stopped_runs, good.collapsed_problems) == (1, 0, 0)
    assert (bad.collapsed_runs, bad.stopped_runs, bad.collapsed_problems, bad.stopped_problems) == (2, 1, 2, 2)
    # last steps: a 30, b 20 | c 20, d 20
    assert last.regret_within.mean == pytest.approx(((0.2 + 0.4) / 2 + (0.0 + 0.1) / 2) / 2)
    assert last.regret.mean == pytest.approx(((0.9 - 0.55) + (0.7 - 0.5)) / 2)
    assert blind.regret.mean == pytest.approx(((0.9 - 0.6) + (0.7 - 0.5)) / 2)
    assert oracle.regret.mean == oracle.regret_within.mean == 0
    low = 0.175 - 12.7062047 * math.sqrt(((0.3 - 0.175) ** 2) * 2) / math.sqrt(2)  # Student's t, one degree of freedom
    assert bad.regret_within.low == pytest.approx(low)


def test_writers_have_every_line_and_say_oracle() -> None:
    made = tuple(compare(name, *zip(*pairs, strict=True)) for name, pairs in (("A>B", FIRST), ("B>A", SECOND)))
    lines, baselines = summarise(made)
    report = SelectionReport(out=Path("grid"), problems=made, lines=lines, baselines=baselines, notes=("Left <out>.",))
    rows = {row[0]: row[1:] for row in cells(report)}
    assert list(rows) == ["good", "bad", "last step", "any step", "oracle"]
    assert rows["good"][-1] == "0 of 1 runs" and rows["bad"][-1] == "1 of 2 runs, 2 of 2 problems"
    assert rows["good"][0].startswith("2.5 [") and rows["good"][3] == "1.00"
    text, markdown = as_text(report), as_markdown(report)
    for words in ("Oracle: all numbers here know", "2 problems", "4 runs, 9", "guard refuses 3 of 9", "Left <out>."):
        assert words in text and words in markdown
    assert markdown.splitlines()[0].count("|") == len(HEADER) + 1
    records = list(csv.DictReader(as_csv(report).splitlines()))
    assert [(row["problem"], row["validator"]) for row in records[:5]] == [
        ("A>B", "good"), ("A>B", "bad"), ("B>A", "bad"), ("B>A", "good"), ("mean", "good")
    ]  # fmt: skip
    assert float(records[5]["oracle/regret"]) == pytest.approx(0.2) and records[2]["oracle/rank_correlation"] == ""
    page = selection_section(report)
    assert page.startswith('<section id="choosing-without-labels">') and "<svg" in page
    assert "Left &lt;out&gt;." in page and page.count('<th scope="row">') == 5


# ---- real runs -------------------------------------------------------------------------------------------------------


def other() -> Scenario:
    plain = problems.scenario(seed=1)
    return Scenario(plain.source, plain.target, plain.test, classes=plain.classes, name="other")


SCENARIOS = {"toy": problems.scenario(), "other": other()}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two problems, on one of them two methods and two seeds; a run that was stopped, and an oracle's."""
    out = tmp_path_factory.mktemp("grid")
    for name, scenario in SCENARIOS.items():
        for method, seed in (("source_only", 0), ("mcc", 0), ("mcc", 1))[: 3 if name == "toy" else 1]:
            folder = out / "runs" / f"{name}-{method}-seed{seed}-0123456789ab"
            tladapt.run(problems.config(method, steps=10, evaluations=2), scenario, seed, folder)
            cell = {"problem": {"toy": "T>O", "other": "O>T"}[name], "metric": "mean_class_accuracy"}
            (out / "cells").mkdir(exist_ok=True)
            (out / "cells" / f"{folder.name}.json").write_text(json.dumps(cell))
    for name in ("half", "upper"):
        shutil.copytree(folder, out / "runs" / name)
    (out / "runs" / "half" / "summary.json").unlink()
    record = json.loads((folder / "config.json").read_text())
    record["scenario"]["oracle"] = True  # as a run on labels of the target says
    (out / "runs" / "upper" / "config.json").write_text(json.dumps(record))
    return out


@pytest.fixture(scope="module")
def whole(grid: Path) -> SelectionReport:
    return selection_report(grid, scenarios=SCENARIOS)


def test_problems_are_told_apart_by_their_data_and_called_as_the_grid_calls_them(whole: SelectionReport) -> None:
    assert sorted(problem.name for problem in whole.problems) == ["O>T", "T>O"]
    assert whole.runs == 4 and whole.checkpoints == 8
    assert {line.name for line in whole.lines} == set(VALIDATORS)
    notes = " ".join(whole.notes)
    assert "upper is an oracle run" in notes and "half has not finished" in notes


def test_scores_are_those_of_select_and_values_the_official_metric(grid: Path, whole: SelectionReport) -> None:
    (problem,) = (problem for problem in whole.problems if problem.name == "T>O")
    direct = tladapt.select(sorted((grid / "runs").glob("toy-*")), SCENARIOS["toy"])
    theirs = {(one.run, one.step): one for one in direct.candidates}
    for place, mine in enumerate(problem.candidates):
        same = theirs[mine.run, mine.step]
        assert mine.scores == pytest.approx(dict(same.scores), rel=1e-4, abs=1e-5)
        assert mine.collapsed == same.collapsed
        (row,) = (
            row
            for row in tladapt.open_run(grid / "runs" / mine.run).history
            if row["kind"] == "eval" and row["step"] == mine.step
        )
        assert problem.judgement.accuracies[place] == row["target/mean_class_accuracy"]


def test_what_the_logs_have_needs_no_model_and_no_data(grid: Path, whole: SelectionReport, monkeypatch: Any) -> None:
    monkeypatch.setattr(selection_scores, "evaluator_of", lambda *_: pytest.fail("a model was loaded"))
    told: list[Any] = []
    free = selection_report(grid, validators=FREE, watcher=lambda *words: told.append(words))
    assert [words[:2] for words in told] == [(done, 4) for done in range(1, 5)]
    by_name = {line.name: line for line in whole.lines}
    for line in free.lines:
        assert line.regret_within == by_name[line.name].regret_within and line.regret == by_name[line.name].regret
    # and the others are on the disk since the first report
    again = selection_report(grid, scenarios=SCENARIOS)
    assert str(again.lines) == str(whole.lines)  # NaN is not equal to itself


def test_another_validator_of_a_name_is_computed_anew(grid: Path, whole: SelectionReport) -> None:
    warmer = VALIDATORS["snd"](temperature=0.5)
    found = selection_report(grid, validators=[warmer, "im"], scenarios=SCENARIOS)
    scores = [one.scores["snd"] for problem in found.problems for one in problem.candidates]
    before = [one.scores["snd"] for problem in whole.problems for one in problem.candidates]
    assert scores != before
    kept = json.loads((grid / "selection" / "toy-mcc-seed0-0123456789ab.json").read_text())
    assert kept["validators"]["snd"]["temperature"] == 0.5 and "dev" in kept["validators"]


def rewrite(runs: Path, change: Callable[[str, Any], Any]) -> None:
    """Change the numbers in the logs of some runs."""
    for file in runs.glob("*/metrics.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        changed = [{name: change(name, value) for name, value in row.items()} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in changed))


def test_other_test_labels_change_no_choice(grid: Path, whole: SelectionReport, tmp_path: Path) -> None:
    shutil.copytree(grid / "runs", tmp_path / "runs")
    rewrite(tmp_path / "runs", lambda name, value: 1 - value if name.startswith("target/") else value)
    found = selection_report(tmp_path, validators=FREE)
    for one, two in zip(found.problems, whole.problems, strict=True):
        assert all(one.picks[name] == two.picks[name] for name in FREE)
    assert found.lines != whole.lines


def test_the_command_groups_a_grid_by_problem(grid: Path, tmp_path: Path) -> None:
    said = call(
        "select",
        grid / "runs",
        "--validators",
        ",".join(FREE),
        "--out",
        tmp_path / "s.md",
        "--html",
        tmp_path / "s.html",
    )
    assert said.status == 0, said.err
    assert "Validators over" in said.out and "2 problems" in said.out and "last step" in said.out
    assert (tmp_path / "s.md").read_text().startswith("|") and "<svg" in (tmp_path / "s.html").read_text()
    record = json.loads(call("select", grid, "--validators", "im", "--json").out)
    assert set(record["oracle"]) == {"im", "last step", "any step", "oracle"} and record["runs"] == 4
    said = call("select", grid / "runs" / "toy-mcc-seed0-0123456789ab", "--html", "x.html")
    assert said.status == 2 and "--html writes the report of a grid" in said.err


def test_mistakes(grid: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was made from Python"):
        selection_report(grid, validators=[VALIDATORS["snd"](temperature=0.7)])
    with pytest.raises(UsageError, match=r"is not what .* was trained on"):
        wrong = {"toy": SCENARIOS["other"], "other": SCENARIOS["other"]}
        selection_report(grid, validators=[VALIDATORS["snd"](temperature=0.7)], scenarios=wrong)
    with pytest.raises(UsageError, match="Unknown validator 'sdn'"):
        selection_report(grid, validators=["sdn"])
    shutil.copytree(grid / "runs" / "other-source_only-seed0-0123456789ab", tmp_path / "runs" / "blind")
    rewrite(tmp_path / "runs", lambda name, value: None if name.startswith("target/") else value)
    with pytest.raises(RunFolderError, match="no checkpoint with an accuracy on a labelled test set"):
        selection_report(tmp_path, validators=FREE)
