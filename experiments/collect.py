"""Run folders to a CSV, a line a run.

python experiments/collect.py runs/mnist_usps/* --out experiments/results/mnist_usps.csv
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

COLUMNS = (
    "scenario", "data_seed", "method", "settings", "backbone", "recipe", "recipe_hash", "steps", "seed",
    "last", "chosen", "oracle", "source", "chosen_step", "oracle_step", "minutes", "cores", "jax", "tladapt", "commit",
)  # fmt: skip


def line(folder: Path) -> dict[str, Any]:
    """Return what a finished run's files say, as one line; accuracies are fractions."""
    config, environment, summary = (
        json.loads((folder / name).read_text()) for name in ("config.json", "environment.json", "summary.json")
    )
    method = dict(config["method"])
    return {
        "scenario": summary["scenario"],
        "data_seed": config["scenario"]["options"].get("seed", ""),
        "method": method.pop("name"),
        "settings": json.dumps(method, sort_keys=True),
        "backbone": config["backbone"]["name"],
        "recipe": config["recipe"]["name"],
        "recipe_hash": config["recipe"]["hash"],
        "steps": config["steps"],
        "seed": config["seed"],
        "last": summary["target/accuracy"],
        "chosen": summary["chosen/target/accuracy"],
        "oracle": summary["oracle/target/accuracy"],
        "source": summary["source/accuracy"],
        "chosen_step": summary["chosen/step"],
        "oracle_step": summary["oracle/step"],
        "minutes": round(environment["seconds"] / 60, 2),
        "cores": environment["cores"],
        "jax": environment["packages"]["jax"],
        "tladapt": environment["tladapt"],
        "commit": environment["commit"],
    }


def main() -> None:
    """Write the CSV; lines are in the order of scenario, method, data seed and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    lines = [line(folder) for folder in given.folders if (folder / "summary.json").is_file()]
    lines.sort(key=lambda row: (row["scenario"], row["recipe"], row["method"], str(row["data_seed"]), row["seed"]))
    with open(given.out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    print(f"{len(lines)} runs in {given.out}")


if __name__ == "__main__":
    main()
