import math

import pytest

from tladapt.reporting.bench_figures import GainRow, gain_figure, rank_figure
from tladapt.reporting.style import save_figure, style

NONE = (math.nan, math.nan)


def texts(axes):
    return [one.get_text().strip() for one in axes.texts]


def test_ranks_are_drawn_to_scale(tmp_path):
    with style():
        figure = rank_figure(("a", "b", "c"), (2.0, 1.2, 2.8), difference=0.9, groups=((1, 0), (0, 2)))
        save_figure(figure, tmp_path / "ranks.png")
    [axes] = figure.axes
    assert {"critical difference 0.90", "b (1.20)", "a (2.00)", "c (2.80)", "1", "2", "3"} == set(texts(axes))
    lines = [tuple(map(float, line.get_xdata())) for line in axes.lines]
    assert (1.0, 1.9) in lines and [line for line in lines if line == pytest.approx((1.2 - 0.036, 2.0 + 0.036))]
    assert (tmp_path / "ranks.png").stat().st_size > 5000


def test_a_difference_wider_than_the_axis_ends_with_it():
    with style():
        [axes] = rank_figure(("a", "b"), (1.5, 1.5), difference=9.0, groups=((0, 1),)).axes
    assert (1.0, 2.0) in [tuple(map(float, line.get_xdata())) for line in axes.lines]


def test_gains_show_every_problem_and_both_intervals(tmp_path):
    rows = [
        GainRow("dann", (1.0, 3.0, math.nan), 2.0, (1.5, 2.5), (-400.0, 404.0)),
        GainRow("mmd", (0.0, 1.0, 2.0), 1.0, NONE, NONE),
    ]
    with style():
        figure = gain_figure(rows, baseline="source_only", problems=3)
        save_figure(figure, tmp_path / "gains.png")
    [axes] = figure.axes
    lines = [tuple(map(float, line.get_xdata())) for line in axes.lines]
    assert {(1.0, 3.0), (0.0, 1.0, 2.0), (1.5, 2.5), (2.0,), (1.0,)} <= set(lines)
    low, high = axes.get_xlim()
    assert -10 < low < 0 and 3 < high < 12  # not as wide as the widest interval
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dann", "mmd"]
    [legend] = figure.legends
    named = ["a problem", "95 % over seeds", "95 % over problems", "mean gain"]
    assert [one.get_text() for one in legend.get_texts()] == named
    assert "source_only" in axes.get_xlabel()


def test_one_problem_has_no_interval_over_problems():
    with style():
        figure = gain_figure([GainRow("dann", (1.0,), 1.0, (0.5, 1.5), NONE)], baseline="source_only", problems=1)
    [legend] = figure.legends
    assert [one.get_text() for one in legend.get_texts()] == ["95 % over seeds", "mean gain"]
