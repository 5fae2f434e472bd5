"""`tladapt schedules`: the table, the record for programs, and the page."""

import json

import pytest

from tests.cli.toy import call
from tladapt.losses import LAMBDA_SCHEDULES, LEARNING_RATE_SCHEDULES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "new" / "schedules.html"
    said = call("schedules", "--steps", "1000", "--out", str(file), "--json")
    assert said.status == 0 and not said.err
    return json.loads(said.out), file


def test_every_schedule_is_there_once_with_the_option_that_takes_it(made):
    record, _ = made
    for option, table in (("--method.schedule", LAMBDA_SCHEDULES), ("--recipe.schedule", LEARNING_RATE_SCHEDULES)):
        names = [name for entry in record["schedules"] if entry["option"] == option for name in entry["names"]]
        assert sorted(names) == sorted(table)
    assert all(
        entry["formula"] and set(entry["values"]) == {"0", "0.1", "0.25", "0.5", "1"} for entry in made[0]["schedules"]
    )


def test_values_are_those_of_the_run(made):
    entries = {(entry["option"], entry["names"][0]): entry for entry in made[0]["schedules"]}
    ganin, thuml = entries["--method.schedule", "ganin2016"], entries["--method.schedule", "thuml"]
    assert ganin["values"]["0.1"] == pytest.approx(0.46212, abs=1e-5)  # 2 / (1 + e^-1) - 1
    assert thuml["names"] == ["thuml", "tllib", "cdan"]
    assert thuml["values"]["1"] == pytest.approx(0.46212, abs=1e-5)  # the same number after 1,000 steps
    assert thuml["ends"]["100"] == pytest.approx(0.04996, abs=1e-5)
    assert entries["--recipe.schedule", "thuml"]["values"]["1"] == pytest.approx(2**-0.75, abs=1e-5)


def test_what_moves_each_is_found(made):
    counts = {(entry["option"], entry["names"][0]): entry["counts"] for entry in made[0]["schedules"]}
    for name, wanted in (
        ("ganin2016", "share of the run"),
        ("thuml", "steps"),
        ("adatime", "steps"),
        ("adapt-update", "steps"),
        ("cdan-digits", "share of the run and steps"),
        ("constant", "nothing"),
        ("adapt", "nothing"),
        ("pykale", "share of the run"),
    ):
        assert counts["--method.schedule", name] == wanted
    for name, wanted in (
        ("uan", "steps"),
        ("bsp", "steps"),
        ("thuml-step", "share of the run"),
        ("constant", "nothing"),
    ):
        assert counts["--recipe.schedule", name] == wanted


def test_the_page_is_written(made):
    text = made[1].read_text()
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert "Schedules over a run of 1,000 steps" in text
    assert len(text) < 200_000
    for name in (*LAMBDA_SCHEDULES, *LEARNING_RATE_SCHEDULES):
        assert name in text


def test_the_table_fits_a_terminal_and_says_how_to_go_on():
    said = call("schedules")
    assert said.status == 0
    lines = said.out.splitlines()
    assert max(len(line.rstrip()) for line in lines if not line.startswith("  --")) <= 80
    assert "over 3000 steps: --method.schedule NAME" in said.out
    assert "--recipe.schedule thuml: ends at 0.821 after 300 steps, 0.354 after 3,000 steps and 0.076" in said.out
    assert "tladapt schedules --steps 3000 --out schedules.html" in said.out


def test_mistakes_are_told(tmp_path):
    said = call("schedules", "--steps", "9")  # a tenth of it would be no run
    assert said.status == 2 and "at least 10" in said.err
    said = call("schedules", "--out", str(tmp_path))
    assert said.status == 2 and "name a file such as schedules.html" in said.err
