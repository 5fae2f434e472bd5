"""Which form of the word counts and which learning rate the table of amazon-reviews uses, asked of the source alone.

python experiments/amazon_recipe.py --data-dir DIR        # or set TLADAPT_DATA; minutes on 2 cores

Source-only networks are trained on each of the four domains under every setting, three seeds that no table has, and the
accuracy on their held-out source reviews, a tenth, is compared. Nothing of any target is looked at, labels or reviews.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

RESULT = Path(__file__).resolve().parent / "results" / "amazon_recipe.csv"
PAIRS = ("books-dvd", "dvd-electronics", "electronics-kitchen", "kitchen-books")  # each domain is the source once
TRANSFORMS, RATES, SEEDS = ("none", "log", "sqrt", "binary", "tfidf"), (0.0003, 0.001), (100, 101, 102)
COLUMNS = ("transform", "learning_rate", "source", "seed", "source_accuracy", "steps", "jax", "commit")


def recipe_rows(lines: list[dict[str, str]]) -> Iterable[str]:
    """Yield the lines of a Markdown table; the setting with the highest accuracy stands out."""
    settings = list(dict.fromkeys((line["transform"], line["learning_rate"]) for line in lines))
    found: dict[tuple[str, str], list[float]] = {setting: [] for setting in settings}
    for line in lines:
        found[line["transform"], line["learning_rate"]].append(100 * float(line["source_accuracy"]))
    best = max(settings, key=lambda setting: float(np.mean(found[setting])))
    yield "| counts | rate | held-out source accuracy | runs |"
    yield "| --- | ---: | ---: | ---: |"
    for setting, values in found.items():
        mark = "**" if setting == best else ""
        yield f"| {setting[0]} | {setting[1]} | {mark}{np.mean(values):.1f}{mark} | {len(values)} |"


def main() -> None:
    """Train, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    given = parser.parse_args()
    import tladapt
    from tladapt.bench import find_benchmark
    from tladapt.training.folder import environment
    from tladapt.training.recipe import RECIPES

    common = find_benchmark("amazon-reviews").setting("common").config
    facts = environment()
    lines = []
    for transform, pair in itertools.product(TRANSFORMS, PAIRS):
        scenario = tladapt.load(f"amazon-reviews:{pair}", given.data_dir, transform=transform)
        for rate in RATES:
            fields = {"method": "source_only", "evaluations": 1}
            recipe = {**vars(RECIPES["adam"]), "learning_rate": rate, "name": "adam*"}
            config = tladapt.Config(
                backbone=common.backbone, steps=common.steps, recipe=tladapt.Recipe(**recipe), **fields
            )
            for seed, result in zip(SEEDS, tladapt.run_seeds(config, scenario, SEEDS), strict=True):
                lines.append(
                    {
                        "transform": transform,
                        "learning_rate": rate,
                        "source": pair.split("-")[0],
                        "seed": seed,
                        "source_accuracy": round(result.metrics["source/accuracy"], 6),
                        "steps": config.steps,
                        "jax": facts["packages"]["jax"],
                        "commit": facts["commit"],
                    }
                )
            print(transform, pair, rate, [line["source_accuracy"] for line in lines[-3:]], flush=True)
    lines.sort(key=lambda line: (TRANSFORMS.index(str(line["transform"])), line["learning_rate"]))
    with open(RESULT, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    print("\n".join(recipe_rows([{name: str(value) for name, value in line.items()} for line in lines])))


if __name__ == "__main__":
    main()
