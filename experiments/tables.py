"""CSV to the tables in README.md and experiments/README.md:  python experiments/tables.py [--check]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; its numbers come from experiments/results/ alone. That
of a benchmark is called bench/NAME, or bench/NAME/SETTING.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from amazon_recipe import recipe_rows as amazon_rows
from digits_recipe import recipe_rows
from forgetting_tables import aside_rows, chain_rows, curve_rows
from pretrained import mean_rows, pair_rows

from tladapt.bench import find_benchmark, read_csv
from tladapt.bench.tables.table import table_of
from tladapt.bench.tables.written import to_markdown
from tladapt.evaluation import mean_and_interval, spread

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
TABLES = {
    "demo": ("digits_photo",),
    "recipe": ("digits_recipe",),
    "digits": ("mnist_usps", "usps_mnist", "mnist_mnistm"),
    "forgetting": ("forgetting",),
    "aside": ("forgetting",),
    "chain": ("forgetting_chain",),
    "office": ("office_caltech10",),
    "text": ("amazon_text",),
    "pretrained": ("office_caltech10", "amazon_text"),
    "amazon_recipe": ("amazon_recipe",),
}
PAGES = (ROOT / "README.md", ROOT / "experiments" / "README.md")
KEY = ("backbone", "recipe", "steps", "method", "settings")
ORDER = ("source_only", "dann", "mmd", "mcd", "shot", "mean_teacher", "target_only")
Runs = list[dict[str, str]]


def read(name: str) -> Runs:
    """Return the lines of a CSV of results."""
    with open(RESULTS / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def percent(runs: Runs, column: str) -> str:
    """Return mean and sample standard deviation in percent."""
    values = [100 * float(run[column]) for run in runs]
    return f"{np.mean(values):.1f} ± {spread(values):.1f}"


def gain(runs: Runs, baseline: Runs) -> str:
    """Return the mean gain of the last step over source-only on the same seeds, with its 95 % interval, in points."""
    before = {(run["data_seed"], run["seed"]): float(run["last"]) for run in baseline}
    differences = [
        100 * (float(run["last"]) - before[run["data_seed"], run["seed"]])
        for run in runs
        if (run["data_seed"], run["seed"]) in before
    ]
    if len(differences) < 2:
        return ""
    mean, low, high = mean_and_interval(differences)[:3]
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def rows(runs: Runs) -> Iterable[str]:
    """Yield the lines of a Markdown table; one a scenario, recipe and method."""
    yield "| | network, recipe | last | gain over source-only | chosen (im) | oracle | source | runs | minutes a run |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        here = [run for run in runs if run["scenario"] == scenario]
        groups: dict[tuple[str, ...], Runs] = {}
        for run in here:
            groups.setdefault(tuple(run[column] for column in KEY), []).append(run)
        for key in sorted(groups, key=lambda key: (key[:3], ORDER.index(key[3]), key[4:])):
            backbone, recipe, steps, method, _ = key
            mine = groups[key]
            base = [run for run in here if tuple(run[column] for column in KEY[:4]) == (*key[:3], "source_only")]
            name = f"{scenario} {method}" + (" (oracle: trained on target labels)" if method == "target_only" else "")
            won = "" if method in ("source_only", "target_only") else gain(mine, base)
            minutes = np.mean([float(run["minutes"]) for run in mine])
            last, chosen, oracle, source = (percent(mine, name) for name in ("last", "chosen", "oracle", "source"))
            yield (
                f"| {name} | {backbone}, {recipe}, {steps} steps | **{last}** | {won} | {chosen} | {oracle} |"
                f" {source} | {len(mine)} | {minutes:.1f} |"
            )


MADE = {
    "recipe": recipe_rows,
    "forgetting": curve_rows,
    "aside": aside_rows,
    "chain": chain_rows,
    "office": pair_rows,
    "text": pair_rows,
    "pretrained": mean_rows,
    "amazon_recipe": amazon_rows,
}


def bench_table(name: str, setting: str) -> str:
    """Return the table of a benchmark under one of its settings; nothing where there are no results."""
    file = RESULTS / "bench" / f"{name}.csv"
    outcomes = [one for one in read_csv(file) if one.setting == setting] if file.is_file() else []
    return to_markdown(table_of(outcomes, find_benchmark(name)), short=setting) + "\n" if outcomes else ""


def render(name: str) -> str:
    """Return a table by name."""
    if name.startswith("bench/"):
        _, benchmark, *setting = name.split("/")
        return bench_table(benchmark, setting[0] if setting else "common")
    runs = [run for part in TABLES[name] if (RESULTS / f"{part}.csv").is_file() for run in read(part)]
    return "\n".join(MADE.get(name, rows)(runs)) + "\n" if runs else ""


def filled(text: str) -> str:
    """Return a page with its tables made anew."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{render(match[1])}<!-- end -->"

    return re.sub(r"<!-- table: ([\w/-]+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def main() -> int:
    """Write the tables, or with --check only say whether they are as the CSV says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    stale = [page for page in PAGES if page.read_text() != filled(page.read_text())]
    if given.check:
        for page in stale:
            print(
                f"{page.relative_to(ROOT)}: the tables are not those of experiments/results; run experiments/tables.py"
            )
        return int(bool(stale))
    for page in stale:
        page.write_text(filled(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
