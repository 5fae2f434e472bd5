"""Synthetic run folders: what a run writes, with numbers that look like those of a digits scenario."""

import json
import math
from pathlib import Path

import numpy as np
import pytest


def write_run(
    folder: Path,
    *,
    method: str = "dann",
    seed: int = 0,
    data_seed: int | None = None,
    steps: int = 3000,
    last: float = 0.84,
    chosen: float | None = None,
    oracle: float | None = None,
    source: float = 0.98,
    recipe: str = "digits",
    scenario: str = "digits-photo",
    validator: str = "im",
    classes: tuple[str, ...] = tuple("0123456789"),
    labelled: bool = True,
    finished: bool = True,
    outputs: bool = True,
    fields: dict | None = None,
    config: dict | None = None,
    log_every: int = 50,
) -> Path:
    """Write a run's folder and return it; `last` is its target accuracy at the last step."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed + 1000 * (data_seed or 0))
    options = {} if data_seed is None else {"seed": data_seed}
    content = {
        "method": {"name": method, **(fields or {})},
        "backbone": {"name": "digits_cnn", "width": 32},
        "recipe": {"name": recipe, "learning_rate": 0.01, "batch_size": 64, "hash": f"{abs(hash(recipe)):012x}"},
        "scenario": {"name": scenario, "oracle": method == "target_only", "data": scenario, "options": options},
        "steps": steps,
        "seed": seed,
        "validator": {"name": validator},
        "batchnorm": "joint",
        "command": f"tladapt train --data {scenario} --method {method} --seed {seed} --out {folder.name}",
        **(config or {}),
    }
    (folder / "config.json").write_text(json.dumps(content))
    adversarial = method == "dann"
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(log_every, steps + 1, log_every):
            p = step / steps
            noise = rng.normal(size=6)
            row = {"kind": "train", "step": step, "seconds": 0.02 * step}
            row["loss/classification"] = 2.2 * math.exp(-7 * p) * (1 + 0.1 * noise[0]) + 0.02
            row["weight/classification"] = 1.0
            row["gradient/classification"] = 0.9 * math.exp(-4 * p) * (1 + 0.1 * noise[1]) + 0.01
            row["learning_rate"] = 0.01 * (1 + 10 * p) ** -0.75
            row["source/batch_accuracy"] = min(1.0, 1 - 0.9 * math.exp(-7 * p))
            if method != "source_only":
                term = "adversarial" if adversarial else "discrepancy"
                row[f"loss/{term}"] = (0.69 - 0.3 * math.exp(-((p - 0.2) ** 2) / 0.02)) * (1 + 0.03 * noise[2])
                row[f"weight/{term}"] = row["lambda"] = 2 / (1 + math.exp(-10 * p)) - 1
                row[f"gradient/{term}"] = row["lambda"] * 0.08 * (1 + 0.2 * noise[3]) + 1e-4
            if adversarial:
                row["discriminator/accuracy"] = 0.52 + 0.4 * math.exp(-((p - 0.2) ** 2) / 0.03) + 0.015 * noise[4]
            file.write(json.dumps(row) + "\n")
            if step % (6 * log_every) == 0:
                grown = 1 - math.exp(-5 * p)
                row = {
                    "kind": "eval",
                    "step": step,
                    "source/accuracy": source * grown + 0.02 * (1 - grown),
                    "validator/im": 2.25 * (1 - math.exp(-6 * p)) - 0.3 * p + 0.02 * noise[5],
                    "validator/entropy": -2.2 * math.exp(-6 * p),
                    "validator/source_accuracy": source * grown,
                    "collapsed": "every target example is predicted as class 3" if step == 6 * log_every else False,
                }
                if labelled:
                    row["target/accuracy"] = last * grown + 0.1 * (1 - grown) + 0.01 * noise[1]
                file.write(json.dumps(row) + "\n")
    if outputs:
        size = len(classes)
        labels = rng.integers(0, size, size=900)
        guess = np.where(rng.random(900) < last, labels, (labels + rng.integers(1, size + 1, size=900) // 2 + 1) % size)
        logits = rng.normal(size=(900, size)) + 6 * np.eye(size)[guess]
        centres = rng.normal(size=(size, 64)) * 1.2
        m = 400
        source_labels, target_labels = rng.integers(0, size, size=(2, m))
        shift = rng.normal(size=64)
        noise = rng.normal(size=(4, m, 64))
        arrays = {
            "before_source": 0.3 * centres[source_labels] + 0.6 * noise[0],
            "before_target": 0.25 * centres[target_labels] + 0.6 * noise[1] + 0.6 * shift,
            "after_source": centres[source_labels] + 0.8 * noise[2],
            "after_target": 0.8 * centres[target_labels] + noise[3] + 0.15 * shift,
            "source_labels": source_labels.astype(np.int32),
        }
        arrays["target_labels"] = target_labels.astype(np.int32) if labelled else np.full(m, -1, np.int32)
        if labelled:
            arrays |= {"test_logits": logits.astype(np.float32), "test_labels": labels.astype(np.int32)}
        np.savez(folder / "outputs.npz", **arrays)
    if finished:
        summary = {
            "source/accuracy": source,
            "chosen/step": steps - 6 * log_every,
            "validator/im": 1.9,
            "seconds": 41.0,
            "method": method,
            "scenario": scenario,
            "seed": seed,
            "recipe": recipe,
            "classes": list(classes),
            "warnings": [],
            "oracle_run": method == "target_only",
        }
        if labelled:
            summary |= {
                "target/accuracy": last,
                "target/interval": [last - 0.02, last + 0.02],
                "chosen/target/accuracy": last - 0.01 if chosen is None else chosen,
                "oracle/target/accuracy": last + 0.01 if oracle is None else oracle,
                "oracle/step": steps,
            }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def make_run(tmp_path):
    """Return `make_run(name, **options) -> folder`, which writes a synthetic run under the test's own folder."""

    def make(name: str = "run", **options) -> Path:
        return write_run(tmp_path / name, **options)

    return make


def add_pictures(folder: Path) -> Path:
    """Add what a run on images writes for its page: pictures, the data doctor's record, the surroundings."""
    rng = np.random.default_rng(0)
    with np.load(folder / "outputs.npz") as outputs:
        arrays = dict(outputs)
    if "test_logits" in arrays:
        wrong = np.flatnonzero(arrays["test_logits"].argmax(1) != arrays["test_labels"])[:5]
        arrays |= {"mistakes": wrong, "mistakes_pictures": rng.integers(0, 256, (len(wrong), 8, 8, 3), np.uint8)}
    arrays |= {f"pictures_{role}": rng.integers(0, 256, (4, 8, 8, 1), np.uint8) for role in ("source", "target")}
    arrays["pictures_source_labels"] = np.arange(4)
    np.savez(folder / "outputs.npz", **arrays)
    domain = {"role": "source", "name": "scans", "examples": 800, "shape": [8, 8, 1], "dtype": "uint8"}
    numbers = {"minimum": 0.0, "maximum": 1.0, "mean": 0.3, "deviation": 0.2}
    data = {"domains": [{**domain, **numbers}], "classes": {"0": 400, "1": 400}}
    before, after = ({"distance": d, "error": 0.5 - d / 4, "examples": 500} for d in (1.9, 0.4))
    data["features"] = {"before": before, "after": after}
    (folder / "data.json").write_text(json.dumps(data))
    facts = {
        "tladapt": "0.1.0",
        "packages": {"jax": "0.10.2"},
        "devices": ["cpu"],
        "seconds": 90.0,
        "arguments": ["/usr/bin/tladapt", "train", "--data", "own data.npz"],
    }
    (folder / "environment.json").write_text(json.dumps(facts))
    return folder
