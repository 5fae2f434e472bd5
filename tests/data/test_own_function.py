"""Own data by a function in a Python file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.toy import call
from tladapt.data import entry_type, load
from tladapt.errors import MissingDataError, UnknownNameError, UsageError

FILE = '''
from __future__ import annotations

import dataclasses

import numpy as np

import tladapt


@dataclasses.dataclass
class Cloud:
    n: int


def cloud(offset):
    y = np.arange(12) % 3
    return np.stack([y + offset, y - offset], axis=1).astype(np.float32), y


def domains(offset: float = 0.5, names: tuple[str, ...] = ("a", "b-c", "d")):
    """Return three clouds."""
    return {name: tladapt.Domain(*cloud(place * offset)) for place, name in enumerate(names)}


def listed():
    return [tladapt.Domain(*cloud(place), name=name) for place, name in enumerate("ab")]


def problem(*, pair: str = "a-b", data_dir=None, seed=3, tag=None):
    source, target = pair.split("-")
    made = [tladapt.Domain(*cloud(seed), name=name) for name in (source, target)]
    return tladapt.Scenario(*made, classes=["x", "y", "z"], name=f"{pair} {data_dir} {tag}", origin={"notes": ["own"]})


def one():
    return tladapt.Scenario(*listed())


def nameless():
    return [tladapt.Domain(*cloud(0)), tladapt.Domain(*cloud(1))]


def needs(offset: float):
    return domains(offset)


def wrong():
    return 3


def numbers():
    return {"a": 1, "b": 2}


def alone():
    return {"a": tladapt.Domain(*cloud(0))}


def starred(*offsets):
    return domains()


def named(path="x"):
    return domains()


def moved(shift=1):
    return domains()


CONSTANT = 5
'''


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my_data.py"
    path.write_text(FILE)
    return path


def test_each_ordered_pair_of_the_domains_is_a_problem(file):
    scenario = load(f"{file}:domains:a-b-c")
    assert (scenario.source[0].name, scenario.target.name) == ("a", "b-c")
    assert scenario.name == "my_data.py:domains:a-b-c" and scenario.target.y is None
    np.testing.assert_array_equal(scenario.test.x[:3, 0], [0.5, 1.5, 2.5])  # the default offset of 0.5
    back = load(f"{file}:domains", pair="b-c-a")
    np.testing.assert_array_equal(back.source[0].x, scenario.test.x)
    assert [domain.name for domain in (*load(f"{file}:listed:b-a").source,)] == ["b"]
    assert list(scenario.origin["files"]) == [str(file)] and scenario.origin["options"]["offset"] == 0.5


def test_options_are_the_functions_parameters_read_as_their_types(file):
    scenario = load(f"{file}:domains:u-v?offset=2", names="u,v")
    np.testing.assert_array_equal(scenario.test.x[0], [2, -2])
    again = load(scenario.origin["name"], **json.loads(json.dumps(scenario.origin["options"])))
    np.testing.assert_array_equal(again.test.x, scenario.test.x)
    np.testing.assert_array_equal(load(f"{file}:problem", seed="7").source[0].x[0], [7, -7])
    assert {"path", "function", "pair", "seed", "tag"} == {
        field.name for field in dataclasses.fields(entry_type(f"{file}:problem"))
    }
    with pytest.raises(UsageError, match=r"no option 'ofset'.*'offset'.*Options: path, function, pair, offset, names"):
        load(f"{file}:domains:a-d", ofset=1)
    with pytest.raises(UsageError, match=r"'offset'.*must be a number, got 'much'"):
        load(f"{file}:domains:a-d", offset="much")
    with pytest.raises(UsageError, match=r"needs option 'offset': a number"):
        load(f"{file}:needs:a-d")


def test_a_function_that_returns_a_scenario_may_take_the_pair_and_the_data_directory(file, tmp_path):
    scenario = load(f"{file}:problem:u-v", tmp_path, tag="t")
    assert scenario.name == f"u-v {tmp_path} t" and scenario.classes == ("x", "y", "z")
    assert scenario.origin["notes"] == ["own"]
    assert load(f"{file}:problem").name == "a-b None None"
    assert load(f"{file.name}:one", tmp_path).source[0].name == "a"  # found in the data directory


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("my_data.py", UsageError, "say which function in it makes the data"),
        ("nothing.py:make", MissingDataError, "no Python file 'nothing.py'"),
        ("my_data.py:domain:a-b", UsageError, "has no function 'domain'. Did you mean 'domains'"),
        ("my_data.py:CONSTANT", UsageError, "'CONSTANT' in .* is no function but int"),
        ("my_data.py:domains", UsageError, "returns 3 domains; say which pair: my_data.py:domains:a-b-c"),
        ("my_data.py:domains:a-z", UnknownNameError, "no pair 'a-z': it is SOURCE-TARGET, two of a, b-c, d"),
        ("my_data.py:one:a-b", UsageError, "returns one problem"),
        ("my_data.py:nameless:a-b", UsageError, "no name tells apart"),
        ("my_data.py:wrong", UsageError, "must return a tladapt.Scenario, or .*; it returned int"),
        ("my_data.py:numbers", UsageError, "it returned a int among them"),
        ("my_data.py:alone:a-b", UsageError, "returns 1 domain"),
        ("my_data.py:starred:a-d", UsageError, r"the parameter '\*offsets' cannot be an option"),
        ("my_data.py:named:a-d", UsageError, "the parameter 'path='x'' cannot be an option"),
        ("my_data.py:moved:a-d", UsageError, "the parameter 'shift=1' cannot be an option"),
    ],
)
def test_mistakes_in_words(file, monkeypatch, name, error, words):
    monkeypatch.chdir(file.parent)
    with pytest.raises(error, match=words):
        load(name)


def test_a_file_that_cannot_be_imported_says_why(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    with pytest.raises(UsageError, match=r"broken.py cannot be imported \(ModuleNotFoundError: .*no_such_package"):
        load(f"{tmp_path / 'broken.py'}:make")


def test_the_command_line_takes_a_function_and_its_options(file):
    said = call("doctor", "--data", f"{file}:domains:a-d", "--data.offset", "0.25", "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["scenario"] == "my_data.py:domains:a-d"
    said = call("doctor", "--data", f"{file}:domains:a-d", "--data.ofset", "0.25")
    assert said.status == 2 and "Did you mean 'offset'" in said.err
