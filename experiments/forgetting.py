"""What adaptation without the source costs the source, and what a penalty keeps: runs, and a CSV of them.

python experiments/forgetting.py photo usps aside chain --seeds 1 2 3 4 5     # finished runs are kept
python experiments/forgetting.py collect

A source model is trained (SHOT's first stage) and then adapted to the target alone (its second), with BatchNorm
statistics frozen, so that parameters are all that can forget. `aside` has, on the second benchmark, statistics that go
over to the target, and DANN, which sees the source in every step.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import tladapt
from tladapt.errors import DivergenceError
from tladapt.models import DigitsCNN
from tladapt.training import RECIPES

ROOT = Path(__file__).resolve().parents[1]
RUNS, RESULTS = ROOT / "runs" / "forgetting", ROOT / "experiments" / "results"
BACKBONE = DigitsCNN(widths=(16, 32, 64))
RATE = 0.01
# Powers of ten, fixed before the first run; so was the weight of the chain.
STRENGTHS = {"ewc": (1.0, 10.0, 100.0, 1000.0), "l2sp": (0.01, 0.1, 1.0)}
CHAIN_WEIGHT = 100.0
CONTRASTS = (0.2, 0.4, 0.6)  # of the chain's targets, in this order
BENCHMARKS = {  # scenario, its options, recipe, steps for the source and for the target, penalties
    "photo": ("digits-photo", {}, "digits-photo", (600, 400), ("ewc",)),
    "usps": ("mnist-usps", {"size": 16}, "digits", (500, 300), ("ewc", "l2sp")),
}
DIVERGED = "diverged.txt"  # what is written in the place of a summary
CURVE = (
    "scenario", "data_seed", "seed", "method", "statistics", "penalty", "weight",
    "source_before", "source", "target_before", "target", "minutes", "jax", "commit",
)  # fmt: skip
CHAIN = (
    "scenario", "data_seed", "seed", "penalty", "weight", "decay", "targets_seen", "domain", "accuracy",
    "jax", "commit",
)  # fmt: skip


def config(recipe: str, steps: int, method: tladapt.Method | str, **changes: Any) -> tladapt.Config:
    """Return the config of a run; one that starts from another has a smaller learning rate and frozen statistics."""
    own = RECIPES[recipe]
    if "init" in changes:
        own = dataclasses.replace(own, learning_rate=RATE, name=f"{recipe}*")
        changes = {"batchnorm": "frozen", **changes}
    return tladapt.Config(method=method, backbone=BACKBONE, recipe=own, steps=steps, evaluations=1, **changes)


def shot(share: float) -> tladapt.Method:
    """Return SHOT's first stage (share 1) or second (share 0)."""
    made: tladapt.Method = tladapt.methods.shot(source_share=share, refreshes=5)
    return made


def ready(folder: Path, made: tladapt.Config, scenario: tladapt.Scenario, seed: int) -> Path:
    """Run what is not finished yet."""
    if not (folder / "summary.json").is_file() and not (folder / DIVERGED).is_file():
        started = time.perf_counter()
        try:
            metrics = tladapt.run(made, scenario, seed, out=folder, resume=(folder / "config.json").is_file()).metrics
        except DivergenceError as error:
            (folder / DIVERGED).write_text(f"{error}\n")
            print(f"{folder.relative_to(RUNS)}: {error}", flush=True)
            return folder
        shown = {name: round(metrics[name], 4) for name in ("source/accuracy", "target/accuracy")}
        print(f"{folder.relative_to(RUNS)}: {shown}, {time.perf_counter() - started:.0f} s", flush=True)
    return folder


def penalty(name: str, weight: float) -> tladapt.Penalty:
    """Return a penalty of some strength."""
    made: tladapt.Penalty = {"ewc": tladapt.penalties.EWC, "l2sp": tladapt.penalties.L2SP}[name](weight=weight)
    return made


def curve(name: str, seed: int) -> None:
    """Run one seed of a benchmark: the source model, and from it one run without a penalty and one a strength."""
    data, options, recipe, (first, second), kinds = BENCHMARKS[name]
    scenario = tladapt.load(data, **options, **({"seed": seed} if name == "photo" else {}))
    place = RUNS / name / f"seed{seed}"
    source = ready(place / "source", config(recipe, first, shot(1.0)), scenario, seed)
    ready(place / "none", config(recipe, second, shot(0.0), init=source), scenario, seed)
    for kind in kinds:
        for weight in STRENGTHS[kind]:
            made = config(recipe, second, shot(0.0), init=source, penalty=penalty(kind, weight))
            ready(place / f"{kind}-{weight:g}", made, scenario, seed)


def aside(seed: int) -> None:
    """Run one seed of what the curves leave out: moving statistics, and a method that sees the source."""
    data, options, recipe, (first, second), _ = BENCHMARKS["usps"]
    scenario = tladapt.load(data, **options)
    place = RUNS / "usps" / f"seed{seed}"
    shot_source = ready(place / "source", config(recipe, first, shot(1.0)), scenario, seed)
    dann_source = ready(place / "dann-source", config(recipe, first, "source_only"), scenario, seed)
    for arm, held in (("none", None), ("ewc", penalty("ewc", CHAIN_WEIGHT))):
        made = config(recipe, second, shot(0.0), init=shot_source, penalty=held, batchnorm="joint")
        ready(place / f"moving-{arm}", made, scenario, seed)
        made = config(recipe, second, "dann", init=dann_source, penalty=held)
        ready(place / f"dann-{arm}", made, scenario, seed)


def chain(seed: int) -> None:
    """Run one seed of a chain: the source model, then one target after the other, without and with online EWC."""
    _, _, recipe, (first, second), _ = BENCHMARKS["photo"]
    scenarios = [tladapt.load("digits-photo", seed=seed, contrast=contrast) for contrast in CONTRASTS]
    source = ready(RUNS / "photo" / f"seed{seed}" / "source", config(recipe, first, shot(1.0)), scenarios[1], seed)
    for arm, held in (("none", None), ("ewc", tladapt.penalties.EWC(weight=CHAIN_WEIGHT, decay=1.0))):
        before = source
        for place, scenario in enumerate(scenarios):
            folder = RUNS / "chain" / f"seed{seed}" / f"{arm}-{place + 1}"
            before = ready(folder, config(recipe, second, shot(0.0), init=before, penalty=held), scenario, seed)


def lines() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what finished runs came to: lines of the curves, and of the chain, each model on every domain."""
    curves: list[dict[str, Any]] = []
    chains: list[dict[str, Any]] = []
    for folder in sorted(file.parent for file in RUNS.glob("*/seed*/*/config.json")):
        made, facts = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "environment"))
        options = made["scenario"]["options"]
        held = made["penalty"] or {"name": "none", "weight": 0.0}
        common = {
            "scenario": made["scenario"]["name"],
            "data_seed": options.get("seed", ""),
            "seed": made["seed"],
            "method": made["method"]["name"],
            "statistics": made["recipe"]["batchnorm"]["statistics"],
            "penalty": held["name"],
            "weight": held["weight"],
            "jax": facts["packages"]["jax"],
            "commit": facts["commit"],
        }
        part = folder.parents[1].name
        if (folder / DIVERGED).is_file():
            curves.append(common)  # the accuracies stay empty
        if not (folder / "summary.json").is_file():
            continue
        summary = json.loads((folder / "summary.json").read_text())
        if part != "chain" and made["init"] is not None:
            both = {f"{name}_before": summary[f"before/{name}/accuracy"] for name in ("source", "target")}
            both |= {name: summary[f"{name}/accuracy"] for name in ("source", "target")}
            curves.append({**common, **both, "minutes": round(facts["seconds"] / 60, 2)})
        if part == "chain" or (folder.name == "source" and part == "photo"):  # the chains start from the latter
            model = tladapt.open_run(folder)
            tests = {
                f"contrast {c:g}": tladapt.load("digits-photo", seed=options["seed"], contrast=c).test
                for c in CONTRASTS
            }
            scores = {name: float((model.predict(test) == test.y).mean()) for name, test in tests.items()}
            scores["source"] = summary["source/accuracy"]
            seen = 0 if folder.name == "source" else int(folder.name[-1])
            for name, accuracy in scores.items():
                rest = {"decay": held.get("decay", ""), "targets_seen": seen, "domain": name, "accuracy": accuracy}
                chains.append({**common, **rest})
    return curves, chains


def collect() -> None:
    """Write both CSVs."""
    for name, columns, found in zip(("forgetting", "forgetting_chain"), (CURVE, CHAIN), lines(), strict=True):
        with open(RESULTS / f"{name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(found)
        print(f"{len(found)} lines in {name}.csv")


OTHERS = {"aside": aside, "chain": chain}


def main() -> None:
    """Run what is asked for, or collect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*BENCHMARKS, *OTHERS, "collect"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    given = parser.parse_args()
    for seed in given.seeds:
        for part in (part for part in given.parts if part != "collect"):
            OTHERS[part](seed) if part in OTHERS else curve(part, seed)
    if "collect" in given.parts:
        collect()


if __name__ == "__main__":
    main()
