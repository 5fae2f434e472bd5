"""Heart disease: small files of the released layout, and the real ones where TLADAPT_DATA names them."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from tladapt.data import load
from tladapt.data.catalogue.heart import Heart
from tladapt.data.catalogue.heart_files import ATTRIBUTES, COMMON, DOMAINS, SIZES, Treatment, read_hospital
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError

REAL = os.environ.get("TLADAPT_DATA", "")
real = pytest.mark.skipif(
    not Path(REAL, "heart/processed.va.data").exists() if REAL else True,
    reason=f"TLADAPT_DATA ({REAL or 'unset'}) has no heart/",
)

# age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num
CLEVELAND = """\
40.0,1.0,4.0,120.0,200.0,0.0,0.0,150.0,0.0,1.0,1.0,0.0,3.0,0
50.0,1.0,4.0,140.0,240.0,0.0,2.0,130.0,1.0,2.0,2.0,?,?,2
60.0,0.0,3.0,?,0.0,1.0,2.0,110.0,1.0,3.0,2.0,2.0,7.0,1
"""
VA = """\
70,1,1,0,?,?,1,90,0,-0.5,?,?,?,4

30,0,4,130,220,0,2,190,0,0,3,1,6,0
"""


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "heart").mkdir()
    (tmp_path / "heart/processed.cleveland.data").write_text(CLEVELAND)
    (tmp_path / "heart/processed.va.data").write_text(VA)
    return tmp_path


def column(scenario, domain, name: str) -> list[float]:
    return domain.x[:, scenario.origin["inputs"].index(name)].tolist()


def test_missing_values_become_the_sources_and_categories_become_inputs(root):
    scenario = load("heart:cleveland-va", root, verify=False, standardize="none")
    (source,), target = scenario.source, scenario.target
    # cp=1, cp=2 and restecg=1 never occur in the source, so the target's ones are not read either.
    assert scenario.origin["inputs"] == [
        *("age", "sex", "cp=3", "cp=4", "trestbps", "fbs", "restecg=0", "restecg=2", "thalach", "exang", "oldpeak")
    ]
    assert scenario.origin["notes"] == ["Inputs that never vary in cleveland are left out: cp=1, cp=2, restecg=1."]
    assert source.x.dtype == np.float32
    assert column(scenario, source, "trestbps") == [120, 140, 130]  # "?": the median of 120 and 140
    assert column(scenario, target, "trestbps") == [130, 130]  # a pressure of 0, filled by the source's median
    assert column(scenario, target, "fbs") == [0, 0]  # "?": the source's most frequent
    assert column(scenario, target, "restecg=2") == [0, 1] and column(scenario, target, "oldpeak") == [-0.5, 0]
    assert source.y.tolist() == [0, 1, 1] and scenario.test.y.tolist() == [1, 0] and target.y is None
    assert scenario.classes == ("healthy", "diseased") and len(scenario.origin["files"]) == 2
    json.dumps(scenario.origin)


def test_quantities_are_standardised_by_the_source_alone(root):
    scenario = load("heart", root, pair="cleveland-va", verify=False)
    (source,), target = scenario.source, scenario.target
    deviation = math.sqrt(200 / 3)
    np.testing.assert_allclose(column(scenario, source, "age"), np.array([-10, 0, 10]) / deviation, rtol=1e-6)
    np.testing.assert_allclose(column(scenario, target, "age"), np.array([20, -20]) / deviation, rtol=1e-6)
    assert column(scenario, source, "sex") == [1, 1, 0] and column(scenario, source, "cp=4") == [1, 1, 0]
    # Another target changes nothing about the source.
    (root / "heart/processed.va.data").write_text("99,1,1,99,99,1,1,99,0,9,1,1,6,0\n")
    again = load("heart:cleveland-va", root, verify=False)
    np.testing.assert_array_equal(again.source[0].x, source.x)


def test_all_columns_and_what_was_missing(root):
    scenario = load("heart:cleveland-va", root, verify=False, columns="all", indicators=True, standardize="none")
    inputs = scenario.origin["inputs"]
    assert [name for name in inputs if name.endswith("missing")] == [
        *("trestbps missing", "chol missing", "ca missing", "thal missing")
    ]
    assert column(scenario, scenario.source[0], "chol") == [200, 240, 220]
    assert column(scenario, scenario.source[0], "chol missing") == [0, 0, 1]
    assert column(scenario, scenario.target, "chol missing") == [1, 0]
    assert {"slope=1", "slope=2", "thal=3", "thal=7"} <= set(inputs) and "slope=3" not in inputs
    # What a hospital never took is no input at all: here chol of a source whose patients all have 0.
    treatment = Treatment(attributes=ATTRIBUTES, standardize=True, indicators=True)
    table = read_hospital(root / "heart/processed.cleveland.data")[0]
    table[:, ATTRIBUTES.index("chol")] = 0
    fitted = treatment.fit(table)
    assert "chol" in map(str, fitted.left_out) and "chol missing" in map(str, fitted.left_out)
    assert np.isfinite(fitted.apply(table)).all()


def test_the_most_frequent_category_is_the_lowest_of_equals():
    table = np.full((4, len(ATTRIBUTES)), np.nan)
    table[:, ATTRIBUTES.index("cp")] = [4, 2, np.nan, 1]
    fitted = Treatment(attributes=("cp",), standardize=True, indicators=False).fit(table)
    assert [str(name) for name in fitted.columns] == ["cp=1", "cp=2", "cp=4"]
    np.testing.assert_array_equal(fitted.apply(table)[2], [1, 0, 0])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,1,1,1,1,1,1,1,1,1,1,1,1", "13 values in line 4"),
        ("high,1,1,1,1,1,1,1,1,1,1,1,3,0", "'high' for age in line 4; expected a number"),
        ("50,1,-9,1,1,1,1,1,1,1,1,1,3,0", "-9 for cp in line 4; expected one of 1, 2, 3, 4"),
        ("50,1,1,1,1,1,1,1,1,inf,1,1,3,0", "inf for oldpeak in line 4; expected a finite number"),
        ("50,1,1,1,1,1,1,1,1,1,1,1,3,5", "5 for num in line 4"),
        ("50,1,1,1,1,1,1,1,1,1,1,1,3,?", "no diagnosis in line 4"),
    ],
)
def test_a_bad_row_is_told(root, line, words):
    path = root / "heart/processed.cleveland.data"
    path.write_text(CLEVELAND + line + "\n")
    with pytest.raises(DamagedDataError, match=words) as caught:
        load("heart:cleveland-va", root, verify=False)
    assert str(path) in str(caught.value)


def test_other_missing_and_empty_files_are_told(root):
    with pytest.raises(DamagedDataError, match=r"expected sha256 a74b7efa.*verify=False"):
        load("heart:cleveland-va", root)
    with pytest.raises(MissingDataError, match=r"processed.hungarian.data\n.*archive.ics.uci.edu"):
        load("heart:va-hungarian", root)
    with pytest.raises(UnknownNameError, match="Did you mean 'va-cleveland'"):
        load("heart:va-clevland", root)
    (root / "heart/processed.va.data").write_text("")
    with pytest.raises(DamagedDataError, match="no patient"):
        load("heart:cleveland-va", root, verify=False)


@real
def test_real_hospitals():
    assert len(Heart.pairs()) == 12
    diseased = {"cleveland": 0.459, "hungarian": 0.361, "switzerland": 0.935, "va": 0.745}
    for source, target in (("cleveland", "hungarian"), ("switzerland", "va")):
        for columns in ("common", "all"):
            scenario = load(f"heart:{source}-{target}", REAL, columns=columns, indicators=True)
            for domain in (scenario.source[0], scenario.test):
                assert len(domain) == SIZES[domain.name] and np.isfinite(domain.x).all()
                assert abs(domain.y.mean() - diseased[domain.name]) < 5e-4


@real
def test_real_tables_give_the_known_accuracies_of_a_logistic_regression():
    """Accuracies found with the files when they were collected, to the third digit.

    9 attributes as numbers, zeros as they are, gaps filled by the mean, all standardised.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    expected = {
        "cleveland": (None, 0.823, 0.732, 0.770),
        "hungarian": (0.769, None, 0.585, 0.730),
        "switzerland": (0.472, 0.361, None, 0.740),
        "va": (0.776, 0.827, 0.780, None),
    }
    use = [ATTRIBUTES.index(name) for name in COMMON]
    read = {name: read_hospital(Path(REAL, f"heart/processed.{name}.data")) for name in DOMAINS}
    for source, row in expected.items():
        x, y = read[source]
        model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(x[:, use], y > 0)
        for target, known in zip(DOMAINS, row, strict=True):
            if known is not None:
                assert abs(model.score(read[target][0][:, use], read[target][1] > 0) - known) < 6e-4, (source, target)
