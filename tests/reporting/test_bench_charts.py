import math
import re
from xml.etree import ElementTree

import pytest

from tladapt.reporting.bench_charts import Choices, Span, choice_chart, gain_chart, rank_chart
from tladapt.reporting.charts import Scale


def drawing(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure[figure.index("<svg") : figure.rindex("</svg>") + 6].split("</ul>")[-1])


def circles(svg: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(one.get("cx")), float(one.get("cy"))) for one in svg.iter("circle")]


def inside(svg: ElementTree.Element) -> bool:
    _, _, width, height = map(float, svg.get("viewBox").split())
    return all(0 <= x <= width and 0 <= y <= height for x, y in circles(svg))


def test_ranks_stand_to_scale_with_their_groups():
    names, ranks = ("a", "b", "c<d", "e"), (2.5, 1.0, 4.0, 2.5)
    figure = rank_chart("Ranks", names, ranks, difference=1.5, groups=((1, 0, 3), (0, 3, 2)))
    svg = drawing(figure)
    found = dict(zip(("b", "a", "e", "c<d"), [x for x, _ in circles(svg)], strict=True))  # in the order of ranks
    assert found["a"] == found["e"] == pytest.approx((found["b"] + found["c<d"]) / 2)
    unit = (found["c<d"] - found["b"]) / 3
    lines = [(float(one.get("x1")), float(one.get("x2")), one.get("style") or "") for one in svg.iter("line")]
    [ruler] = [(a, b) for a, b, look in lines if "alarm" in look and a != b]
    assert ruler[1] - ruler[0] == pytest.approx(1.5 * unit, abs=0.2)
    bars = [(a, b) for a, b, look in lines if "stroke-width:4" in look]
    assert bars[0] == pytest.approx((found["b"] - 4, found["e"] + 4), abs=0.2)
    assert bars[1] == pytest.approx((found["a"] - 4, found["c<d"] + 4), abs=0.2)
    texts = [one.text for one in svg.iter("text")]
    assert "critical difference 1.50" in texts and "c<d (4.00)" in texts and inside(svg)
    assert "Not told apart: b, a, e; a, e, c&lt;d." in figure


def test_a_difference_wider_than_the_axis_ends_with_it():
    svg = drawing(rank_chart("Ranks", ("a", "b"), (1.2, 1.8), difference=7.0, groups=((0, 1),)))
    _, _, width, _ = map(float, svg.get("viewBox").split())
    assert all(float(one.get("x2")) <= width for one in svg.iter("line"))


def test_gains_are_filled_where_the_interval_leaves_out_zero():
    spans = [Span("B>D", 2.0, 1.0, 3.0), Span("K>E", 1.0, -1.0, 3.0), Span("x", math.nan, math.nan, math.nan),
             Span("one", -1.0, math.nan, math.nan), Span("wide", 2.0, -90.0, 90.0)]  # fmt: skip
    svg = drawing(gain_chart("dann", spans, slot=1, ends=(-4.0, 6.0)))
    looks = [one.get("style") for one in svg.iter("circle")]
    assert ["fill:var(--s1)" in look for look in looks] == [True, False, False, False]
    assert len(looks) == 4 and "–" in [one.text for one in svg.iter("text")] and inside(svg)
    tips = [one.text for one in svg.iter("title")]
    assert "B>D: +2.0 [1.0, 3.0]" in tips and "one: -1.0" in tips
    _, _, width, _ = map(float, svg.get("viewBox").split())
    assert all(0 <= float(one.get(side)) <= width for one in svg.iter("line") for side in ("x1", "x2"))


def test_choices_show_what_is_known_and_name_the_kinds():
    rows = [
        Choices("source_only", Span("", 70.0, 68.0, 72.0), 69.0, 73.0, [(71.0, "last"), (75.0, "unknown")]),
        Choices("dann", Span("", math.nan, math.nan, math.nan), math.nan, math.nan),
    ]
    figure = choice_chart("Choices", rows, x_label="accuracy (%)")
    assert "published, last" in figure and "published, kind unknown" in figure and "published, oracle" not in figure
    assert "last 70.0, chosen 69.0, oracle 73.0, published 71.0 (last), published 75.0 (unknown)" in figure
    svg = drawing(figure)
    [(x, _)] = circles(svg)
    strokes = [float(one.get("x1")) for one in svg.iter("line") if "--s2" in (one.get("style") or "")]
    triangles = [one.get("d") for one in svg.iter("path") if "--s4" in one.get("style")]
    top = float(re.match(r"M([\d.]+)", triangles[0])[1])
    # 69 < 70 < 73, to scale
    scale = Scale(69, 73, strokes[0], top)
    assert x == pytest.approx(scale(70), abs=0.2) and len(triangles) == 1
    assert choice_chart("none", [rows[1]], x_label="") == ""
