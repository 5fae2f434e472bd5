"""The page of schedules: whole in itself, with every curve, its values, and what the length of a run does."""

import html.parser
import re

import pytest

from tladapt.reporting.schedules_page import Curve, Group, ends, number, page

STEADY = Curve(
    ("ganin2016", "shot"), "p^2 < 1", "", "share of the run", {10: (0, 0.25, 1), 100: (0, 0.25, 1), 1000: (0, 0.25, 1)},
    {0.0: 0.0, 0.5: 0.25, 1.0: 1.0},
)  # fmt: skip
COUNTING = Curve(
    ("steps",), "i / 1000", "Of a <library>.", "steps", {10: (0, 0.005, 0.01), 100: (0, 0.05, 0.1), 1000: (0, 0.5, 1)},
    {0.0: 0.0, 0.5: 0.05, 1.0: 0.1},
)  # fmt: skip
GROUP = Group("Weights", "What is multiplied.", "method.schedule", (STEADY, COUNTING))


class Tags(html.parser.HTMLParser):
    """Checks that tags are closed in order, and keeps their attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text():
    return page((GROUP,), 100, "tladapt schedules --steps 100")


@pytest.fixture(scope="module")
def tags(text):
    found = Tags()
    found.feed(text)
    assert not found.open
    return found.seen


def test_it_needs_no_network_and_nothing_beside_it(text, tags):
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    assert not {"img", "script", "iframe"} & {tag for tag, _ in tags}
    references = [attributes["href"] for tag, attributes in tags if tag != "link" and "href" in attributes]
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    assert references and {reference.removeprefix("#") for reference in references} <= ids


def test_a_curve_that_counts_steps_is_drawn_for_three_lengths_and_another_once(tags):
    lines = [a["class"] for tag, a in tags if tag == "path" and "class" in a]
    assert lines == ["line run", "line short", "line run", "line long"]


def test_lines_are_where_the_values_are(text):
    """From (24, 116), value 0 at the start, over 0.25 in the middle to (264, 6), value 1 at the end."""
    assert 'class="line run" d="M24.0,116.0 144.0,88.5 264.0,6.0"' in text
    assert 'class="line long" d="M24.0,116.0 264.0,6.0"' in text  # a straight line has two points


def test_values_names_and_words_are_on_it(text):
    row = re.search(r'<tr><th scope="row">steps</th>(.*?)</tr>', text).group(1)
    assert re.findall(r"<td[^>]*>(.*?)</td>", row) == ["steps", "0", "0.050", "0.100", "0.010", "1"]
    assert "end of 10<" in text and "end of 1,000<" in text
    assert "= shot" in text and "p^2 &lt; 1" in text and "Of a &lt;library&gt;." in text
    assert "Counts steps: ends at 0.010 after 10 steps, 0.100 after 100 steps and 1 after 1,000 steps." in text
    assert "Follows the share of the run." in text
    assert "--method.schedule" in text and "tladapt schedules --steps 100" in text


def test_numbers_are_rounded_without_saying_more_than_is_true():
    assert [number(v) for v in (0.0, 1.0, 0.9999, 0.46212, 4e-4, 0.001)] == [
        "0",
        "1",
        "1.000",
        "0.462",
        "4e-04",
        "0.001",
    ]
    assert ends(COUNTING).startswith("ends at 0.010 after 10 steps")
