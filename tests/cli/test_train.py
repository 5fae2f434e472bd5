"""`train`, `eval` and `demo` from the first word to the last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import tladapt
from tests.cli.toy import CLASSES, FAST, SMALL, TRAIN, call


def config(folder):
    return json.loads((folder / "config.json").read_text())


def test_options_reach_the_run(run):
    record = config(run.folder)
    assert record["method"] == {
        "name": "dann",
        "weight": 0.5,
        "schedule": "ganin2016",
        "hidden": [8, 8],
        "batch_norm": False,
    }
    assert record["backbone"]["widths"] == [16, 8]
    assert record["recipe"]["name"] == "ganin2016*"  # the star: not the recipe as it is registered
    assert record["recipe"]["learning_rate"] == 0.003
    assert record["recipe"]["batchnorm"]["forward"] == "separate"
    assert record["penalty"]["weight"] == 0.1
    assert (record["seed"], record["steps"]) == (1, 12)


def test_the_end_is_a_table_in_words(run):
    out = run.said.out
    assert out.startswith("dann on toy, seed 1")
    for words in ("last", "chosen by im", "oracle (best on test labels)", "95 % interval", f"Run folder: {run.folder}"):
        assert words in out
    assert "\x1b" not in out
    assert all(len(line) <= 80 for line in out.splitlines() if "Run folder" not in line)


def test_progress_without_a_terminal_is_one_line_an_evaluation_and_nothing_else(run):
    lines = [line for line in run.said.err.splitlines() if "random parameters" not in line]
    assert lines[0] == "dann on toy, seed 1: 12 steps"
    assert [line.split(",")[1] for line in lines[1:]] == [" seed 1: step 6 of 12", " seed 1: step 12 of 12"]


def test_several_seeds_are_several_folders_and_one_table(toy, tmp_path):
    command = ["train", "--data", toy, *TRAIN, *FAST, "--seeds", "2", "--seed", "3", "--out", tmp_path / "runs"]
    said = call(*command)
    assert said.status == 0, said.err
    for seed in (3, 4):
        record = json.loads((tmp_path / "runs" / f"seed{seed}" / "summary.json").read_text())
        assert record["seed"] == seed
        assert f"Run folder: {tmp_path / 'runs' / f'seed{seed}'}" in said.out
        assert f"dann on toy, seed {seed}: step 12 of 12" in said.err
    assert "±" in said.out or "[" in said.out, said.out
    records = json.loads(call(*command, "--resume", "--json").out)
    assert [record["seed"] for record in records] == [3, 4]


def test_a_run_over_devices_says_so_in_its_folder(toy, tmp_path):
    said = call("train", "--data", toy, *TRAIN, *FAST, "--devices", "all", "--out", tmp_path / "run")
    assert said.status == 0, said.err
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["layout"] == "batches over 8 devices"


def test_resuming_a_finished_run_says_so_and_shows_it(run):
    said = call(*run.command, "--resume")
    assert said.status == 0 and said.out == run.said.out
    assert said.err.splitlines() == [f"dann on toy, seed 1: the run in {run.folder} had finished before"]


def test_eval_repeats_the_runs_own_numbers(run):
    summary = json.loads((run.folder / "summary.json").read_text())
    found = json.loads(call("eval", str(run.folder), "--json").out)
    assert found["accuracy"] == summary["target/accuracy"]
    assert found["examples"] == 45
    early = json.loads(call("eval", str(run.folder), "--which", "6", "--json").out)
    rows = [row for row in tladapt.open_run(run.folder).history if row["kind"] == "eval"]
    assert early["accuracy"] == rows[0]["target/accuracy"]
    assert "accuracy" in call("eval", "--which", "chosen", str(run.folder)).out


def test_a_run_starts_from_another_ones_weights_as_json(toy, run, tmp_path):
    # With a learning rate of 0 the model stays what it was given.
    still = ["--recipe.learning_rate", "0", *TRAIN, *FAST, "--steps", "2", "--seed", "5"]
    said = call("train", "--data", str(toy), *still, "--init", str(run.folder), "--out", str(tmp_path / "a"), "--json")
    metrics = json.loads(said.out)
    assert said.err == "" and metrics["folder"] == str(tmp_path / "a")
    before = tladapt.open_run(run.folder)
    x = np.load(toy)["test_x"]
    np.testing.assert_allclose(tladapt.open_run(tmp_path / "a").logits(x), before.logits(x), rtol=1e-6)
    assert metrics["before/source/accuracy"] == metrics["source/accuracy"]
    weights = str(run.folder / "model" / "model.safetensors")
    assert call("train", "--data", str(toy), *still, "--weights", weights, "--out", str(tmp_path / "b")).status == 0
    after = tladapt.open_run(tmp_path / "b")
    np.testing.assert_allclose(after.features(x), before.features(x), rtol=1e-6)
    assert not np.allclose(after.logits(x), before.logits(x))  # the classifier is a new one


def test_divergence_ends_in_words_and_debugging_shows_where(toy, tmp_path):
    wild = ["--recipe.learning_rate", "1e38", *SMALL, "--steps", "6", "--log-every", "2", "--no-figures"]
    said = call("train", "--data", str(toy), *wild, "--out", str(tmp_path / "a"))
    assert said.status == 1 and said.out == ""
    assert "Error: training diverged at step " in said.err and "Traceback" not in said.err
    said = call("train", "--data", str(toy), *wild, "--debug", "--out", str(tmp_path / "b"))
    assert said.status == 1 and "Traceback" in said.err and "Error: training diverged" in said.err.splitlines()[-1]


def test_debugging_a_sound_run_finds_nothing(toy, run, tmp_path):
    command = [*run.command, "--debug"]
    command[-2] = str(tmp_path / "run")
    said = call(*command, "--steps", "2", "--log-every", "1")
    assert said.status == 0, said.err


def picture(rng, label):
    pixels = rng.integers(0, 60, (8, 8, 3), dtype=np.uint8)
    pixels[..., label] += 150
    return Image.fromarray(pixels)


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for domain in ("amazon", "webcam"):
        lines = []
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "pictures" / domain / name
            folder.mkdir(parents=True)
            for i in range(8):
                picture(rng, label).save(folder / f"{i}.png")
                lines.append(f"pictures/{domain}/{name}/{i}.png {name}\n")
        (tmp_path / f"{domain}.txt").write_text("".join(lines))
    return tmp_path


def test_an_own_folder_of_images(pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    options = ["--data.source", "amazon", "--data.target", "webcam", "--data.size", "8"]
    said = call("train", "--data", "pictures", *options, *SMALL, *FAST)
    assert said.status == 0, said.err
    folder = pictures / "runs" / "amazon-webcam-source_only-seed0"
    assert f"Run folder: {folder.relative_to(pictures)}" in said.out
    record = config(folder)["scenario"]
    assert record["data"] == "pictures" and record["options"]["size"] == 8  # a number, not the text
    assert record["classes"] == list(CLASSES)
    assert call("eval", str(folder)).status == 0

    said = call("predict", str(folder), "pictures/webcam/cat/0.png", "--out", "one.csv")
    assert said.out.startswith("1 predictions in one.csv")
    said = call("predict", str(folder), "pictures/webcam", "--out", "all.npz")
    assert said.out.startswith("24 predictions in all.npz")
    with np.load("all.npz") as found:
        assert found["name"][0] == "pictures/webcam/ant/0.png"
        np.testing.assert_allclose(found["probabilities"].sum(1), 1, rtol=1e-5)
        scenario = tladapt.load("pictures", source="amazon", target="webcam", size=8)
        expected = tladapt.open_run(folder).predict(scenario.target)
        assert found["class"].tolist() == expected.tolist()


def test_own_list_files(pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    options = ["--data", "amazon.txt", "--data.target", "webcam.txt", "--data.size=8"]
    said = call("train", *options, *SMALL, *FAST, "--out", "lists", "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["classes"] == list(CLASSES)


def test_target_only_says_oracle(toy, tmp_path):
    arrays = dict(np.load(toy))
    labelled = tmp_path / "toy.npz"
    np.savez(labelled, **{**arrays, "target_y": np.arange(60) % 3})
    out = str(tmp_path / "run")
    said = call("train", "--data", str(labelled), "--method", "target_only", *SMALL, *FAST, "--out", out)
    assert said.status == 0 and "(oracle: trained on the target's labels)" in said.out


def test_without_target_labels_the_accuracy_is_unknown(toy, tmp_path):
    arrays = dict(np.load(toy))
    path = tmp_path / "bare.npz"
    np.savez(path, **{name: arrays[name] for name in ("source_x", "source_y", "target_x")})
    said = call("train", "--data", str(path), *SMALL, *FAST, "--out", str(tmp_path / "run"))
    assert said.status == 0, said.err
    assert "its accuracy is not known" in said.out
    said = call("eval", str(tmp_path / "run"))
    assert said.status == 2 and "no labelled test set" in said.err


def test_what_a_run_began_with_is_printed(run, capsys):
    from tladapt.cli.show import show_run

    before = {"before/source/accuracy": 0.991, "before/target/accuracy": 0.5, "source/accuracy": 0.975}
    result = tladapt.open_run(run.folder)
    result.metrics.update(before)
    show_run(result)
    out = capsys.readouterr().out
    assert "Source accuracy: 99.1 % before, 97.5 % after (-1.6 points)." in out
    (row,) = [line for line in out.splitlines() if "before (--init)" in line]
    assert row.split() == ["before", "(--init)", "0", "99.1", "%", "50.0", "%"]
    assert "before" not in run.said.out


def test_warnings_of_a_run_are_printed(run, capsys):
    from tladapt.cli.show import show_run

    result = tladapt.open_run(run.folder)
    result.metrics["warnings"] = ["the model has collapsed: [one] class is predicted."]
    show_run(result)
    assert "Warning: the model has collapsed: [one] class is predicted." in capsys.readouterr().out


def test_ctrl_c_saves_and_says_how_to_go_on(toy, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tladapt", "train", "--data", str(toy), *SMALL, "--out", str(out)]
    command += ["--steps", "200000", "--log-every", "20", "--evaluations", "10000", "--no-figures"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"}
    )
    try:
        deadline = time.monotonic() + 300
        while not any((out / "checkpoints").glob("*/")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said, words = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, words
    assert said == "" and "Traceback" not in words
    last = words.rstrip().splitlines()[-1]
    assert last.startswith("interrupted after step ") and last.endswith("with the same command and --resume.")
    assert "log" not in words.lower().replace("catalogue", "")  # no remark of JAX or absl
    step = int(last.split()[3])
    assert (out / "checkpoints" / str(step)).is_dir()


def test_demo_prints_the_table_and_keeps_what_is_finished(tmp_path):
    command = [
        "demo",
        "--methods",
        "source_only",
        "--seeds",
        "1",
        "--steps",
        "4",
        "--no-figures",
        "--out",
        str(tmp_path),
    ]
    said = call(*command)
    assert said.status == 0, said.err
    assert "digits-photo" in said.out and "source_only" in said.out
    assert "with target labels in sight" in said.out
    assert str(tmp_path / "data0-steps4") in said.out
    table = json.loads(call(*command, "--json").out)
    assert table["rows"][0]["method"] == "source_only"
    assert 0 < table["rows"][0]["last"]["mean"] < 100
    assert len(table["folders"]) == 1
