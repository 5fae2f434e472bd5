import csv
import dataclasses
import io
import re

import pytest

from tests.bench.toy_grid import PROBLEMS, outcome, outcomes
from tladapt.bench import Published
from tladapt.bench.tables.table import tabulate
from tladapt.bench.tables.written import to_csv, to_latex, to_markdown, to_text
from tladapt.errors import UsageError

FAILED = {
    "benchmark": "toy",
    "setting": "common",
    "problem": "A>B",
    "method": "mcd",
    "seed": 1,
    "error": "Traceback (most recent call last):\nb: c\n",
}


@pytest.fixture(scope="module")
def table():
    found = [one for one in outcomes() if (one.method, one.problem, one.seed) != ("dann", "B>A", 1)]
    found.append(outcome("coral", "A>B", 0, 50, collapsed=True))
    texts = [
        Published(method="dann", problem="mean", value=71.04, kind="last", source="First et al."),
        Published(method="dann", problem="A>B", value=79.0, kind="oracle", source="Second et al."),
        Published(method="source_only", problem="mean", value=66.0, kind="unknown", source="Third et al."),
    ]
    return tabulate(found, texts, failures=[FAILED])


def words(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_text_shows_what_there_is_and_what_is_missing(table):
    text = to_text(table)
    lines = [words(line) for line in text.split("\n")]
    assert ["dann", "77.0 ±6.6", "63.0 ±25.4 (2/3)", "70.2 ±28.6 (2/3)", "1.0"] in lines
    assert ["coral", "50.0! (1/3)", "–", "–", "–"] in lines
    assert ["mcd", "–", "–", "–", "–"] in lines
    assert ["target_only (oracle)", "96.0 ±2.5", "94.0 ±0.0", "95.0 ±1.2", "–"] in lines
    assert ["dann", "70.2 ±28.6 (2/3)", "69.2 ±28.6", "72.2 ±28.6"] in lines
    assert ["dann", "+3.8 [-5.8, 13.3]", "[-18.5, 26.0]", "0.278"] in lines
    assert ["mcd", "A>B", "1", "common", "b: c"] in lines
    for note in ("(2/3): of 3 seeds, 2 are there", "!: the collapse guard", "–: no run is finished", "paired t-test"):
        assert note in text


def test_published_numbers_are_held_against_their_like_only(table):
    lines = [words(line) for line in to_text(table).split("\n")]
    assert ["dann", "mean", "71.0 last", "70.2 last", "-0.8", "–", "+3.8", "[2]"] in lines
    assert ["dann", "A>B", "79.0 oracle", "79.0 oracle", "+0.0", "–", "+5.0", "[3]"] in lines  # no mean of that kind
    assert ["source_only", "mean", "66.0 ?", "66.5 last", "–", "–", "–", "[1]"] in lines
    assert ["published, oracle [3]", "79.0", "–", "–"] in lines


def test_every_format_says_oracle_where_target_labels_were_used(table):
    for text in (to_text(table), to_markdown(table), to_latex(table)):
        rows = [line for line in text.split("\n") if "only" in line and "target" in line and "95.0" in line]
        assert rows and all("oracle" in row for row in rows)
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert {line["oracle_run"] for line in lines if line["method"] == "target_only"} == {"1"}
    assert "oracle_uses_test_labels_mean" in lines[0]


def test_csv_has_the_numbers(table):
    lines = {(line["method"], line["problem"]): line for line in csv.DictReader(io.StringIO(to_csv(table)))}
    assert len(lines) == 5 * (len(PROBLEMS) + 1)
    mean, cell = lines["dann", "mean"], lines["dann", "A>B"]
    assert float(mean["last_mean"]) == pytest.approx(70.25) and float(mean["gain_mean"]) == pytest.approx(3.75)
    assert (mean["seeds"], mean["asked"], mean["rank"], mean["published_last"]) == ("2", "3", "1", "71.04")
    assert float(cell["gain_low"]) == pytest.approx(5 - 2.484138) and cell["gain_over_problems_low"] == ""
    assert lines["mcd", "A>B"]["failed"] == "1" and lines["mcd", "A>B"]["last_mean"] == ""
    assert lines["coral", "A>B"]["collapsed"] == "1"


def test_the_short_form_for_a_readme(table):
    text = to_markdown(table, short="common")
    assert "| method | A>B | B>A | mean | gain | chosen | published |\n" in text
    assert "| dann | 77.0 | 63.0 (2/3) | 70.2 ±28.6 (2/3) | +3.8 [-5.8, 13.3] | 69.2 | 71.0 (last) |\n" in text
    with pytest.raises(UsageError, match="no setting 'paper', only common"):
        to_markdown(table, short="paper")


def test_one_problem_has_no_mean_and_several_settings_say_their_names():
    one = [one for one in outcomes() if one.problem == "A>B"]
    text = to_text(tabulate(one))
    assert words(text.split("\n")[2]) == ["method", "A>B"] and "toy: A>B" in text and "paired t-test over seeds" in text
    both = tabulate([*one, *(dataclasses.replace(two, setting="paper") for two in one)])
    assert "toy, setting common: last step" in to_text(both) and "toy, setting paper: last step" in to_text(both)


def test_latex_rows_have_the_columns_of_their_table(table):
    for part in to_latex(table).split(r"\begin{table}")[1:]:
        [columns] = re.findall(r"\\begin\{tabular\}\{(\w+)\}", part)
        body = part[part.index(r"\toprule") : part.index(r"\bottomrule")]
        rows = [line for line in body.split("\n") if line.endswith(r"\\")]
        assert len(rows) > 1
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}
        assert part.count("{") - part.count(r"\{") == part.count("}") - part.count(r"\}")
