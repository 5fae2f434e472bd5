"""The runs of digits_recipe.sh to a CSV, and its table:  python experiments/digits_recipe.py RUNS... --out FILE.csv"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable
from pathlib import Path

SETTING = ("backbone", "learning_rate", "standardize", "augment")
COLUMNS = (*SETTING, "steps", "seed", "im", "collapsed", "source", "target", "jax", "commit")


def line(folder: Path) -> dict[str, object]:
    """Return what a finished run's files say, as one line; accuracies are fractions."""
    config, environment, summary = (
        json.loads((folder / name).read_text()) for name in ("config.json", "environment.json", "summary.json")
    )
    last = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()][-1]
    recipe = config["recipe"]
    return {
        "backbone": config["backbone"]["name"],
        **{name: recipe[name] for name in SETTING[1:]},
        "steps": config["steps"],
        "seed": config["seed"],
        "im": summary["validator/im"],
        "collapsed": last["collapsed"] or "",
        "source": summary["source/accuracy"],
        "target": summary["target/accuracy"],
        "jax": environment["packages"]["jax"],
        "commit": environment["commit"],
    }


def recipe_rows(runs: list[dict[str, str]]) -> Iterable[str]:
    """Yield the lines of a Markdown table, a setting a line; the one that IM takes for each network stands out."""
    yield "| network | rate | inputs | augmented | IM | source | oracle: target |"
    yield "| --- | ---: | --- | --- | ---: | ---: | ---: |"
    for network in dict.fromkeys(run["backbone"] for run in runs):
        here = [run for run in runs if run["backbone"] == network]
        sound = [run for run in here if not run["collapsed"]]
        taken = max(sound, key=lambda run: float(run["im"]))
        for run in here:
            im = f"**{float(run['im']):.3f}**" if run is taken else f"{float(run['im']):.3f}"
            inputs = {"none": "as they are", "domain": "standardised by domain"}[run["standardize"]]
            augment = "no" if run["augment"] == "none" else run["augment"]
            source, target = (f"{100 * float(run[name]):.1f}" for name in ("source", "target"))
            yield f"| {network} | {run['learning_rate']} | {inputs} | {augment} | {im} | {source} | {target} |"


def main() -> None:
    """Write the CSV, in the order of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    lines = [line(folder) for folder in given.folders if (folder / "summary.json").is_file()]
    lines.sort(key=lambda row: tuple(str(row[name]) for name in SETTING))
    with open(given.out, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
