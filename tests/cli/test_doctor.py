"""`tladapt doctor` and `tladapt report`, as typed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.image import imread

from tests.cli.toy import call


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    """Two .npz of small pictures: one healthy, one in two ranges."""
    folder = tmp_path_factory.mktemp("pixels")
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(60, 8, 8, 1)).astype(np.float32), np.arange(60) % 3
    target = rng.uniform(size=(50, 8, 8, 1)).astype(np.float32)
    np.savez(folder / "fine.npz", source_x=x, source_y=y, target_x=target, classes=["ant", "bee", "cat"])
    np.savez(folder / "apart.npz", source_x=x, source_y=y, target_x=255 * target)
    return folder


def test_doctor_speaks_in_words_and_draws(pixels, tmp_path):
    said = call("doctor", "--data", pixels / "fine.npz", "--out", tmp_path / "samples.png")
    assert said.status == 0, said
    words = " ".join(said.out.split())
    assert "Source examples of each class: ant: 20, bee: 20, cat: 20" in words
    assert "note: The domains can hardly be told apart" in words and "Nothing stands in the way of a run." in words
    assert "8x8x1" in words and "0 to 1" in words
    assert imread(tmp_path / "samples.png")[..., :3].std() > 0.05


def test_doctor_stops_what_must_not_be_trained_on(pixels, tmp_path):
    said = call("doctor", "--data", pixels / "apart.npz")
    words = " ".join(said.out.split())
    assert said.status == 2 and "stop: The domains are in different ranges" in words and "divide by 255" in words
    said = call("train", "--data", pixels / "apart.npz", "--out", tmp_path / "run")
    assert (
        said.status == 2 and "the data of apart cannot be trained on: The domains are in different ranges" in said.err
    )
    assert not (tmp_path / "run").exists()


def test_doctor_for_programs(toy):
    said = call("doctor", "--data", toy, "--json")
    record = json.loads(said.out)
    assert said.status == 0 and record["scenario"] == "toy" and record["shift"]["proxy_a_distance"] > 0
    assert [domain["role"] for domain in record["domains"]] == ["source", "target", "test"]
    assert {finding["severity"] for finding in record["findings"]} <= {"warn", "note"}


def test_doctor_draws_vectors_as_a_map(toy, tmp_path):
    said = call("doctor", "--data", toy, "--out", tmp_path / "map.png")
    assert said.status == 0 and imread(tmp_path / "map.png")[..., :3].std() > 0.05


def test_a_run_has_its_page_and_report_writes_another(run, tmp_path):
    assert "dann on toy" in (run.folder / "report.html").read_text()
    said = call("report", run.folder, "--out", tmp_path / "page.html")
    assert (said.status, said.out) == (0, f"Page: {tmp_path / 'page.html'}\n")
    assert "ant" in (tmp_path / "page.html").read_text()
    record = json.loads(call("report", run.folder, "--out", tmp_path / "page.html", "--json").out)
    assert record == {"page": str(tmp_path / "page.html"), "bytes": (tmp_path / "page.html").stat().st_size}
