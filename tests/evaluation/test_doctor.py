"""The doctor at full length: what the shift looks like, without a label."""

from __future__ import annotations

import numpy as np
import pytest

import tladapt
from tladapt.data import Domain, Scenario
from tladapt.evaluation.doctor import flattened, measure_shift


def vectors(n: int, shift: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 6)) + shift).astype(np.float32)


def problem(shift: float) -> Scenario:
    return Scenario(Domain(vectors(300, 0.0, 0), np.arange(300) % 3), Domain(vectors(300, shift, 1)))


@pytest.mark.parametrize(
    ("shift", "words"), [(0.0, "can hardly be told apart"), (0.5, "moderate shift"), (4.0, "easily told apart")]
)
def test_the_shift_is_said_in_words(shift, words):
    report = tladapt.doctor(problem(shift))
    [note] = [finding for finding in report.findings if finding.about == "shift"]
    assert note.severity == "note" and words in note.text
    assert report.record()["shift"] == report.shift
    assert (report.shift["mmd_p"] < 0.05) == (shift > 0)
    assert (report.shift["mmd"] > report.shift["mmd_without_shift"]) == (shift > 0)


def test_labels_of_the_target_play_no_part():
    source = Domain(vectors(200, 0.0, 0), np.arange(200) % 3)
    given = [
        Scenario(source, Domain(vectors(90, 1.0, 1), np.random.default_rng(i).permutation(90) % 3)) for i in (0, 1)
    ]
    assert measure_shift(given[0]) == measure_shift(given[1])


def test_the_unit_of_an_input_plays_no_part_and_the_bandwidth_is_of_the_source():
    factors = np.array([1, 1e3, 1e-3, 1, 5, 1], np.float32)
    scenario = problem(0.5)
    scaled = Scenario(Domain(scenario.source[0].x * factors, scenario.source[0].y), Domain(scenario.target.x * factors))
    first, second = measure_shift(scenario), measure_shift(scaled)
    assert first["mmd"] == pytest.approx(second["mmd"], rel=1e-3) and first["mmd_bandwidth"] == 12.0


def test_large_images_are_averaged_down():
    x = np.random.default_rng(0).uniform(size=(4, 50, 33, 3)).astype(np.float32)
    small = flattened(Domain(x), 10)
    assert small.shape == (4, 16 * 16 * 3)
    assert small.reshape(4, 16, 16, 3).mean(axis=(1, 2)) == pytest.approx(x.mean(axis=(1, 2)), abs=0.03)
    whole = (255 * x[:, :9, :9]).astype(np.uint8)
    assert flattened(Domain(whole), 10).max() <= 1.0
    assert flattened(Domain(np.ones((3, 4000))), 10).shape[1] <= 1024


def test_an_image_scenario_is_measured_whole():
    rng = np.random.default_rng(0)
    source, target = rng.uniform(size=(80, 8, 8, 1)), rng.uniform(size=(60, 8, 8, 1)) * 0.3
    report = tladapt.doctor(Scenario(Domain(source, np.arange(80) % 2), Domain(target)))
    assert report.shift["proxy_a_distance"] > 1.8 and report.shift["width"] == 64


def test_what_cannot_be_measured_is_left_out():
    broken = vectors(90, 0.0, 1)
    broken[0, 0] = np.nan
    report = tladapt.doctor(Scenario(Domain(vectors(90, 0.0, 0), np.arange(90) % 3), Domain(broken)))
    assert report.shift == {} and report.findings[0].severity == "stop"
    tiny = tladapt.doctor(Scenario(Domain(vectors(3, 0.0, 0), np.arange(3)), Domain(vectors(3, 0.0, 1))))
    assert tiny.shift == {}
