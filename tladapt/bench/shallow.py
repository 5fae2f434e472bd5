"""A run of a classical method, with a folder that says what a network's run says, as far as it applies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.data import Domain, Scenario, examples
from tladapt.errors import UsageError
from tladapt.evaluation import classification_metrics
from tladapt.methods.shallow import ShallowMethod
from tladapt.training.config import describe
from tladapt.training.folder import RunFolder, environment
from tladapt.training.keeper import data_checksums


def run_shallow(method: ShallowMethod, scenario: Scenario, out: Path, seed: int = 0) -> dict[str, Any]:
    """Fit a classical method and write its folder: config, environment, and, last, the summary.

    Args:
      method: what is fitted.
      scenario: the problem; inputs are flattened, 8-bit images as [0, 1].
      out: the run's folder.
      seed: of the cell; nothing is drawn from it.

    Returns:
      The summary: metrics on the target's test set.

    Raises:
      UsageError: for texts or token ids, which are no vectors.
    """
    started = time.perf_counter()
    if scenario.target.is_text or scenario.target.holds_indices:
        raise UsageError(f"{method.name} reads vectors, and {scenario.name} has texts.")
    sources = scenario.source if scenario.validation is None else (*scenario.source, scenario.validation)
    x = np.concatenate([_vectors(domain) for domain in sources])
    y = np.concatenate([np.asarray(domain.y) for domain in sources])
    fitted = method.fit(x, y, _vectors(scenario.target), classes=len(scenario.classes))
    summary: dict[str, Any] = {"method": method.name, "scenario": scenario.name, "seed": seed}
    if scenario.test is not None:
        scores = np.nan_to_num(fitted.scores(_vectors(scenario.test)), neginf=-1e30)
        found = classification_metrics(scores, scenario.test.y, scenario.classes, groups=scenario.test.groups)
        summary |= {f"target/{name}": value for name, value in found.items()}
    folder = RunFolder(out)
    folder.write_json("config.json", {"shallow": describe(method), "seed": seed, "scenario": {"name": scenario.name}})
    facts = {**environment(), "data": data_checksums(scenario), "seconds": round(time.perf_counter() - started, 3)}
    folder.write_json("environment.json", facts)
    folder.write_json("summary.json", summary)
    return summary


def _vectors(domain: Domain) -> np.ndarray:
    """Return the inputs of a domain as float32 `[n, d]`."""
    x = examples(domain, np.arange(len(domain)))
    return (x / np.float32(255) if x.dtype == np.uint8 else x).reshape(len(x), -1)
