"""The skeleton of a page, and the charts on it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tladapt.reporting.charts import Series, line_chart, ticks
from tladapt.reporting.page import Markup, document, facts, paragraph, picture, render, section, table, tag
from tladapt.reporting.plots import Cloud, dot_chart, reliability_chart, scatter_chart

VOID = {"meta", "link", "img", "br"}


class Checker(HTMLParser):
    """Refuses elements that are not closed in order, and counts what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


def checked(page: str) -> Checker:
    """Return what a page holds, after a look at its form."""
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    names = [name for name, _ in checker.seen]
    assert names.count("h1") <= 1
    identities = [attributes["id"] for _, attributes in checker.seen if "id" in attributes]
    assert len(identities) == len(set(identities))
    for name, attributes in checker.seen:
        if name == "img":
            assert attributes["src"].startswith("data:image/png;base64,") and attributes["alt"]
        if name == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden")
        assert name not in ("script", "iframe", "object")
        assert not any(key.startswith("on") for key in attributes)
        for key in ("href", "src"):
            assert attributes.get(key, "#")[:1] == "#" or attributes[key].startswith("data:")
    assert "http://" not in page and "https://" not in page and "url(" not in page
    return checker


def test_a_page_is_whole_and_asks_for_nothing():
    parts = [section(title, paragraph("word")) for title in ("One", "Two & more", "Three")]
    page = document("a <b> title", render(*parts), eyebrow="kind", lead=paragraph("lead"), foot=paragraph("end"))
    seen = [name for name, _ in checked(page).seen]
    assert seen.count("section") == 3 and seen.count("nav") == 1
    assert "a &lt;b&gt; title" in page and "<b>" not in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page and 'name="viewport"' in page
    assert 'href="#two-more"' in page and 'id="two-more"' in page
    assert "default-src 'none'" in page


def test_text_is_escaped_wherever_it_enters():
    evil = '<script>alert("1")</script>'
    clouds = [Cloud(np.zeros((1, 2)), "red", False)]
    parts = [
        paragraph(evil),
        tag("p", "x", title=evil),
        table([evil, evil], [[evil, evil]], caption=evil),
        facts([(evil, evil)]),
        picture(np.zeros((2, 2, 3), np.uint8), alt=evil),
        line_chart(evil, [Series(evil, [0, 1], [0, 1], 0)], rules=[(0.5, evil)], marks=[(0.5, evil)], y_label=evil),
        dot_chart(evil, [(evil, [1.0], None)]),
        reliability_chart(evil, [(0.5, 0.5, 1.0)]),
        scatter_chart(evil, clouds, [(0, 0, evil)], said=evil),
        section(evil, evil),
    ]
    page = document(evil, render(*parts), eyebrow=evil, heading=evil, lead=evil, foot=evil)
    checked(page)
    assert "<script" not in page


def test_only_markup_passes_as_it_is():
    assert render(Markup("<i>"), "<i>", 3) == "<i>&lt;i&gt;3"
    assert tag("a", class_="b", aria_label="c", style=None) == '<a class="b" aria-label="c"></a>'


def test_a_table_can_be_read_without_eyes():
    found = checked(table(["method", "last"], [["dann", "84.0"], ["mmd", Markup("<td>90</td>")]], caption="What it is"))
    cells = [(name, attributes.get("scope")) for name, attributes in found.seen if name in ("th", "td")]
    assert cells == [("th", "col")] * 2 + [("th", "row"), ("td", None)] * 2
    [region] = [attributes for name, attributes in found.seen if name == "div"]
    assert region["role"] == "region" and region["tabindex"] == "0" and region["aria-label"] == "What it is"


def numbers(drawing: str) -> list[float]:
    """Return all coordinates of a drawing."""
    found = re.findall(r'\b(?:d|x|y|cx|cy|x1|x2|y1|y2)="([^"]*)"', drawing)
    return [float(number) for text in found for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_a_curve_is_where_its_numbers_are():
    drawing = line_chart("t", [Series("a", [0, 50, 100], [0.0, 1.0, 0.5], 1)], y_range=(0.0, 1.0))
    [path] = re.findall(r'<path d="(M[^"]*)" class="line"', drawing)
    points = np.array([float(number) for number in re.findall(r"[\d.]+", path)]).reshape(3, 2)
    assert points[1, 0] == pytest.approx(points[[0, 2], 0].mean(), abs=0.11)
    assert points[2, 1] == pytest.approx(points[[0, 1], 1].mean(), abs=0.11)
    assert points[1, 1] < points[0, 1]  # the page's y grows downwards
    assert "a: 0 at step 0, 0.5 at step 100" in drawing and "var(--s1)" in drawing


def test_charts_stay_within_their_frame_and_bear_anything():
    rng = np.random.default_rng(0)
    long = Series("long", np.arange(5000), rng.normal(size=5000), 0)
    charts = [
        line_chart("gaps", [Series("a", [0, 1, 2, 3], [1.0, None, float("nan"), 2.0], 0, dots=True)]),
        line_chart("long", [long]),
        line_chart("one", [Series("a", [5], [3.0], 0, dots=True)]),
        line_chart("flat", [Series("a", [0, 1], [0.0, 0.0], 0)]),
        line_chart("log", [Series("a", [0, 9], [1e-6, 10.0], 0)], log=True),
        line_chart("narrow log", [Series("a", [0, 9], [1.0, 1.5], 0)], log=True),
        line_chart("cross", [Series("a", [0, 9], [1.0, 2.0], 0)], crosses=[(9, 2.0)], cross_label="refused"),
    ]
    for drawing in charts:
        assert "nan" not in drawing and "inf" not in drawing
        values = numbers(drawing)
        assert values and min(values) >= -10 and max(values) <= 350
    assert len(charts[1]) < 9000
    assert charts[0].count("M") >= 2 and charts[0].count("<circle") == 2
    assert line_chart("nothing", []) == "" and line_chart("nothing", [Series("a", [], [], 0)]) == ""


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (0.3, 0.31, False), (-5, 12345, False), (1e-7, 3, True), (2, 3, True)]
)
def test_ticks_are_few_and_inside(low, high, log):
    found = ticks(low, high, log=log)
    assert 2 <= len(found) <= 9 and low <= min(found) and max(found) <= high * (1 + 1e-9)
    assert ticks(1.0, 1.0) == [1.0]
