"""The tables on forgetting, from lines of forgetting.csv and forgetting_chain.csv; `tables.py` writes them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tladapt.evaluation import mean_and_interval, spread

Runs = list[dict[str, str]]
KINDS = ("none", "ewc", "l2sp")


def key(run: dict[str, str]) -> tuple[int, float]:
    """Return by what the rows of a table are ordered."""
    return KINDS.index(run["penalty"]), float(run["weight"])


def called(kind: str, weight: float) -> str:
    """Return a penalty in words."""
    return "no penalty" if kind == "none" else f"{kind}, weight {weight:g}"


def by_seed(runs: Runs, column: str) -> dict[str, float]:
    """Return a column in percent by seed."""
    return {run["seed"]: 100 * float(run[column]) for run in runs}


def level(values: Iterable[float]) -> str:
    """Return mean and sample standard deviation."""
    values = list(values)
    return f"{np.mean(values):.1f} ± {spread(values):.1f}"


def apart(these: dict[str, float], those: dict[str, float]) -> str:
    """Return the mean difference over shared seeds, with its 95 % t-interval, in points."""
    mean, low, high = mean_and_interval([these[seed] - those[seed] for seed in these if seed in those])[:3]
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def curve_rows(runs: Runs) -> Iterable[str]:
    """Yield the lines of the table of trade-offs: one a scenario, penalty and weight."""
    yield "| | source | source lost | kept by the penalty | target | target gained | cost of the penalty | runs |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    runs = [run for run in runs if (run["method"], run["statistics"]) == ("shot", "frozen")]
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        here = [run for run in runs if run["scenario"] == scenario]
        none = [run for run in here if run["penalty"] == "none"]
        source, target = by_seed(none, "source_before"), by_seed(none, "target_before")
        yield (
            f"| {scenario} before adaptation | {level(source.values())} | | | {level(target.values())} | | |"
            f" {len(none)} |"
        )
        for place in sorted({key(run) for run in here}):
            all_of_it = [run for run in here if key(run) == place]
            mine = [run for run in all_of_it if run["source"]]
            broken = f"{len(all_of_it) - len(mine)} of {len(all_of_it)} diverged"
            if len(mine) < 2:
                yield f"| {scenario} {called(KINDS[place[0]], place[1])} | | | | | | | {broken} |"
                continue
            after, won = by_seed(mine, "source"), by_seed(mine, "target")
            plain = mine[0]["penalty"] == "none"
            kept, cost = (
                "" if plain else apart(now, by_seed(none, name)) for name, now in (("source", after), ("target", won))
            )
            yield (
                f"| {scenario} {called(KINDS[place[0]], place[1])} | {level(after.values())} | {apart(after, source)} |"
                f" {kept} | {level(won.values())} | {apart(won, target)} | {cost} |"
                f" {len(mine)}{f', {broken}' if len(mine) < len(all_of_it) else ''} |"
            )


def aside_rows(runs: Runs) -> Iterable[str]:
    """Yield the lines of the table of other ways to adapt: moving statistics, and a method that sees the source."""
    yield "| | source before | source | source lost | target before | target | target gained | runs |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    names = {("shot", "shared"): "shot, statistics moving", ("dann", "frozen"): "dann, statistics frozen"}
    for (method, statistics), name in names.items():
        here = [run for run in runs if (run["method"], run["statistics"]) == (method, statistics)]
        for place in sorted({key(run) for run in here}):
            mine = [run for run in here if key(run) == place]
            found = {column: by_seed(mine, column) for column in ("source_before", "source", "target_before", "target")}
            cells = [level(values.values()) for values in found.values()]
            lost, won = (apart(found[domain], found[f"{domain}_before"]) for domain in ("source", "target"))
            shown = [*cells[:2], lost, *cells[2:], won, str(len(mine))]
            yield f"| {name}, {called(KINDS[place[0]], place[1])} | {' | '.join(shown)} |"


def chain_rows(runs: Runs) -> Iterable[str]:
    """Yield the lines of the table of the chain: one a penalty and number of targets seen, a column a domain."""
    domains = ["source", *sorted({run["domain"] for run in runs} - {"source"})]
    yield f"| | {' | '.join(domains)} |"
    yield f"| --- |{' ---: |' * len(domains)}"

    def scores(kind: str, seen: int, domain: str) -> dict[str, float]:
        wanted = (kind, str(seen), domain)
        found = [run for run in runs if (run["penalty"], run["targets_seen"], run["domain"]) == wanted]
        return by_seed(found, "accuracy")

    last = max(int(run["targets_seen"]) for run in runs)
    yield f"| source model | {' | '.join(level(scores('none', 0, domain).values()) for domain in domains)} |"
    for seen in range(1, last + 1):
        for kind in ("none", "ewc"):
            name = "no penalty" if kind == "none" else "online EWC"
            cells = [level(scores(kind, seen, domain).values()) for domain in domains]
            cells[seen] = f"**{cells[seen]}**"  # the target just adapted to
            yield f"| after {domains[seen]}, {name} | {' | '.join(cells)} |"
    cells = [apart(scores("ewc", last, domain), scores("none", last, domain)) for domain in domains]
    yield f"| at the end, online EWC against no penalty | {' | '.join(cells)} |"
