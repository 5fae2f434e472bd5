from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys

import pytest

import tladapt.data
from tladapt.data import SCENARIOS, entry_type, load
from tladapt.errors import MissingDataError, UnknownNameError, UsageError


def test_names():
    assert set(SCENARIOS) >= {"digits-photo", "mnist-usps", "usps-mnist", "mnist-mnistm"}
    for name in tladapt.data.__all__:
        assert getattr(tladapt.data, name) is not None


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_entries_say_what_people_ask(name):
    kind = SCENARIOS[name]
    assert kind.summary and len(kind.domains) >= 2 and kind.classes and kind.licence and kind.__doc__
    assert kind.metric in ("accuracy", "mean_class_accuracy", "macro_f1") and kind.protocol.endswith(".")
    assert set(kind.sizes) in (set(), set(kind.domains)) and all(size > 0 for size in kind.sizes.values())
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in inspect.signature(kind).parameters.values())
    assert entry_type(name) is kind


def test_unknown_names_list_the_close_ones_and_say_how_own_data_goes():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'mnist-usps'.*FILE\.npz"):
        load("mnist-upsp")
    with pytest.raises(UnknownNameError, match=r"Known: .*digits-photo"):
        load("zzz")
    with pytest.raises(MissingDataError, match="no file or folder"):
        load("some/where/data.npz")


def test_unknown_options_list_the_entrys_own():
    with pytest.raises(UsageError, match=r"no option 'sed'.*'seed'.*Options: seed, contrast"):
        load("digits-photo", sed=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": "one"}, "'seed'.*must be a whole number, got 'one'"),
        ({"seed": 1.5}, "must be a whole number"),
        ({"seed": True}, "must be a whole number"),
        ({"contrast": "much"}, "must be a number"),
        ({"seed": None}, "must be a whole number"),
    ],
)
def test_values_of_another_type_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        load("digits-photo", **options)


def test_text_is_read_as_the_type_of_its_option_and_the_origin_is_kept():
    scenario = load("digits-photo", seed="4", contrast="1")
    assert scenario.origin["name"] == "digits-photo"
    assert scenario.origin["options"] == {"seed": 4, "contrast": 1.0}
    json.dumps(scenario.origin)


def test_looking_at_the_catalogue_loads_nothing_heavy():
    program = (
        "import sys; import tladapt.data as d; print([d.SCENARIOS[n].summary for n in d.SCENARIOS] and"
        " [m for m in ('jax', 'sklearn', 'PIL', 'h5py', 'tensorflow_datasets') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
