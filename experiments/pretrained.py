"""Adaptation on cached features of published networks: all pairs of a benchmark, by method and seed, as a CSV.

python experiments/pretrained.py office --network mobilenetv2_100     # also mobilenetv2_035, squeezenet1_1
python experiments/pretrained.py text --network all-MiniLM-L6-v2
python experiments/pretrained.py show                                 # the tables, as text

Lines that are in the CSV already are kept, so that a stopped command goes on where it was. One recipe for all methods,
`thuml`, and the methods' own defaults; nothing was tried before, and no label of the target chose anything.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import tladapt
from tladapt.evaluation import mean_and_interval
from tladapt.training.folder import environment

RESULTS = Path(__file__).resolve().parent / "results"
METHODS = ("source_only", "dann", "cdan", "mmd", "coral", "mcc", "shot")
STEPS, SEEDS = 1000, (0, 1, 2)
BENCHMARKS = {
    "office": ("office-caltech10", ("amazon", "caltech10", "dslr", "webcam"), "office_caltech10"),
    "text": ("amazon-text", ("books", "dvd", "electronics", "kitchen"), "amazon_text"),
}
WEIGHTS = {
    "mobilenetv2_100": "tensorflow/mobilenetv2_100",
    "mobilenetv2_035": "tensorflow/mobilenetv2_035",
    "squeezenet1_1": "forresti/squeezenet1_1",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
OPTIONS = {"squeezenet1_1": {"size": 227}}  # what its weights were trained to read
COLUMNS = (
    "scenario", "pair", "network", "method", "recipe", "steps", "seed",
    "last", "chosen", "oracle", "source", "chosen_step", "im", "seconds", "jax", "tladapt", "commit",
)  # fmt: skip
Lines = list[dict[str, str]]


def read(file: Path) -> Lines:
    """Return the lines of a CSV; none where there is no file."""
    if not file.is_file():
        return []
    with open(file, newline="") as opened:
        return list(csv.DictReader(opened))


def add(file: Path, lines: list[dict[str, Any]]) -> None:
    """Append lines to a CSV."""
    new = not file.is_file()
    with open(file, "a", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(lines)


def runs(benchmark: str, network: str, method: str, pair: tuple[str, str], scenario: Any) -> list[dict[str, Any]]:
    """Train one method on one pair for all seeds, and return its lines."""
    options = {} if benchmark == "office" else {"evaluations": 2}
    config = tladapt.Config(
        method=method, backbone=network, weights=WEIGHTS[network], steps=STEPS, **{"evaluations": 5, **options}
    )
    started = time.perf_counter()
    results = tladapt.run_seeds(config, scenario, SEEDS)
    seconds = (time.perf_counter() - started) / len(SEEDS)
    facts = environment()
    return [
        {
            "scenario": BENCHMARKS[benchmark][0],
            "pair": "-".join(pair),
            "network": network,
            "method": method,
            "recipe": result.metrics["recipe"],
            "steps": STEPS,
            "seed": seed,
            "last": round(result.metrics["target/accuracy"], 6),
            "chosen": round(result.metrics["chosen/target/accuracy"], 6),
            "oracle": round(result.metrics["oracle/target/accuracy"], 6),
            "source": round(result.metrics["source/accuracy"], 6),
            "chosen_step": result.metrics["chosen/step"],
            "im": round(result.metrics["validator/im"], 6),
            "seconds": round(seconds, 1),
            "jax": jax.__version__,
            "tladapt": tladapt.__version__,
            "commit": facts["commit"],
        }
        for seed, result in zip(SEEDS, results, strict=True)
    ]


def train(benchmark: str, network: str, data_dir: str | None) -> None:
    """Fill the CSV of a benchmark with what it lacks."""
    name, domains, stem = BENCHMARKS[benchmark]
    file = RESULTS / f"{stem}.csv"
    done = {(line["pair"], line["network"], line["method"]) for line in read(file)}
    for pair in itertools.permutations(domains, 2):
        missing = [method for method in METHODS if ("-".join(pair), network, method) not in done]
        if not missing:
            continue
        scenario = tladapt.load(f"{name}:{'-'.join(pair)}", data_dir, **OPTIONS.get(network, {}))
        for method in missing:
            lines = runs(benchmark, network, method, pair, scenario)
            add(file, lines)
            shown = ", ".join(f"{100 * line['last']:.1f}" for line in lines)
            print(f"{'-'.join(pair)} {network} {method}: {shown} ({lines[0]['seconds']} s a run)", flush=True)
        jax.clear_caches()


def over_seeds(lines: Lines, column: str = "last") -> dict[str, float]:
    """Return the mean over seeds by pair, in percent."""
    pairs = dict.fromkeys(line["pair"] for line in lines)
    return {
        pair: 100 * float(np.mean([float(line[column]) for line in lines if line["pair"] == pair])) for pair in pairs
    }


def gain(after: dict[str, float], before: dict[str, float]) -> str:
    """Return the mean gain over the pairs with its 95 % t-interval, in points.

    A pair is the mean of its seeds: pairs differ more than seeds do.
    """
    mean, low, high, _ = mean_and_interval([after[pair] - before[pair] for pair in after])
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def by_network(lines: Lines) -> dict[str, dict[str, Lines]]:
    """Return the lines of each network by method."""
    return {
        network: {
            method: [line for line in lines if (line["network"], line["method"]) == (network, method)]
            for method in dict.fromkeys(line["method"] for line in lines if line["network"] == network)
        }
        for network in dict.fromkeys(line["network"] for line in lines)
    }


def pair_rows(lines: Lines) -> Iterable[str]:
    """Yield a Markdown table: a row a network and method, a column a pair, the mean, the gain over source-only."""
    pairs = list(dict.fromkeys(line["pair"] for line in lines))
    short = [">".join(part[0].upper() for part in pair.split("-")) for pair in pairs]
    yield f"| | {' | '.join(short)} | mean | gain over source-only | chosen (im) | seeds |"
    yield "| --- |" + " ---: |" * (len(pairs) + 4)
    for network, methods in by_network(lines).items():
        before = over_seeds(methods["source_only"])
        for method, own in methods.items():
            after, chosen = over_seeds(own), np.mean(list(over_seeds(own, "chosen").values()))
            cells = " | ".join(f"{after[pair]:.1f}" if pair in after else "" for pair in pairs)
            won = "" if method == "source_only" else gain(after, before)
            seeds = len({line["seed"] for line in own})
            mean = np.mean(list(after.values()))
            yield f"| {network} {method} | {cells} | **{mean:.1f}** | {won} | {chosen:.1f} | {seeds} |"


def mean_rows(lines: Lines) -> Iterable[str]:
    """Yield a Markdown table of means over the pairs: a row a benchmark and network, a column a method."""
    yield f"| | {' | '.join(METHODS)} |"
    yield "| --- |" + " ---: |" * len(METHODS)
    for scenario in dict.fromkeys(line["scenario"] for line in lines):
        for network, methods in by_network([line for line in lines if line["scenario"] == scenario]).items():
            before = over_seeds(methods["source_only"])
            cells = []
            for method in METHODS:
                after = over_seeds(methods.get(method, []))
                won = "" if method == "source_only" or not after else f" ({gain(after, before)})"
                cells.append(f"{np.mean(list(after.values())):.1f}{won}" if after else "")
            yield f"| {scenario}, {network} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "show"])
    parser.add_argument("--network", choices=WEIGHTS, default="mobilenetv2_100")
    parser.add_argument("--data-dir")
    given = parser.parse_args()
    if given.benchmark != "show":
        train(given.benchmark, given.network, given.data_dir)
        return
    for _, _, stem in BENCHMARKS.values():
        print("\n".join(pair_rows(read(RESULTS / f"{stem}.csv"))), end="\n\n")


if __name__ == "__main__":
    main()
