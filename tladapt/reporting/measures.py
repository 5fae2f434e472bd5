"""Numbers that a page takes from a run's logits and log; the rest it reads from the summary."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tladapt.reporting.folder import RunFiles

BINS = 15  # as the calibration error in the summary


class ClassScore(NamedTuple):
    """One class on the test set: its examples, the share that was found (recall), precision and F1; NaN: no such."""

    name: str
    examples: int
    recall: float
    precision: float
    f1: float


def tested(run: RunFiles) -> tuple[np.ndarray, np.ndarray] | None:
    """Return logits `[n, C]` and labels `[n]` of the test set, or None where the run has none."""
    outputs = run.outputs()
    if "test_logits" not in outputs or "test_labels" not in outputs or len(outputs["test_labels"]) == 0:
        return None
    return outputs["test_logits"].astype(np.float64), outputs["test_labels"].astype(np.int64)


def names_of(run: RunFiles, size: int) -> list[str]:
    """Return the class names, or their indices."""
    names = [str(name) for name in (run.summary or {}).get("classes", [])]
    return names if len(names) == size else [str(index) for index in range(size)]


def confusion(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return counts `[C, C]`: true class by predicted class."""
    size = logits.shape[1]
    return np.bincount(labels * size + logits.argmax(axis=1), minlength=size * size).reshape(size, size)


def class_scores(counts: np.ndarray, names: list[str]) -> list[ClassScore]:
    """Return what a confusion matrix says of each class."""
    scores = []
    for index, name in enumerate(names):
        right, examples, predicted = counts[index, index], counts[index].sum(), counts[:, index].sum()
        recall, precision = (right / n if n else math.nan for n in (examples, predicted))
        f1 = 2 * right / (examples + predicted) if examples + predicted else math.nan
        scores.append(ClassScore(name, int(examples), float(recall), float(precision), float(f1)))
    return scores


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return softmax of logits `[n, C]`."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def reliability(logits: np.ndarray, labels: np.ndarray) -> tuple[list[tuple[float, float, float]], float]:
    """Return mean confidence, accuracy and share of each bin of confidence that has examples, and the ECE.

    Source: Guo, Pleiss, Sun, Weinberger, ICML 2017, arXiv 1706.04599; bins of equal width, 15.
    """
    confidence = probabilities(logits).max(axis=1)
    right = logits.argmax(axis=1) == labels
    which = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(int)
    bins = []
    for place in range(BINS):
        inside = which == place
        if inside.any():
            bins.append((float(confidence[inside].mean()), float(right[inside].mean()), float(inside.mean())))
    return bins, float(sum(share * abs(accuracy - sure) for sure, accuracy, share in bins))


def named(run: RunFiles, key: str, default: str = "?") -> str:
    """Return the name of a part of the config."""
    entry = run.config.get(key, (run.summary or {}).get(key))
    entry = entry.get("name") if isinstance(entry, Mapping) else entry
    return default if entry is None else str(entry)


def fields_of(entry: Any, *, leave_out: tuple[str, ...] = ("name", "hash", "own")) -> str:
    """Return the fields of a part of the config in one line.

    >>> fields_of({"name": "dann", "weight": 1.0, "hidden": [100]})
    'weight 1.0, hidden 100'
    """
    if not isinstance(entry, Mapping):
        return ""

    def shown(value: Any) -> str:
        if isinstance(value, list):
            return "none" if not value else "×".join(map(str, value)) if _plain(value) else json.dumps(value)
        if isinstance(value, Mapping):
            return f"({fields_of(value, leave_out=())})"
        if value is None or isinstance(value, bool):
            return {None: "none", True: "yes", False: "no"}[value]
        return str(value)

    return ", ".join(f"{key.replace('_', ' ')} {shown(value)}" for key, value in entry.items() if key not in leave_out)


def _plain(values: list[Any]) -> bool:
    return all(isinstance(value, (int, float)) for value in values)


def command_of(run: RunFiles) -> str | None:
    """Return the command that made a run, as one could type it again; None where it is not known."""
    arguments = run.record("environment.json").get("arguments")
    if not isinstance(arguments, list) or not arguments:
        return None
    first, *rest = map(str, arguments)
    path = Path(first)
    if path.name == "tladapt" or (path.name == "__main__.py" and path.parent.name == "tladapt"):
        return shlex.join(["tladapt", *rest])
    return shlex.join(["python", first, *rest])
