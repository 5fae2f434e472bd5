"""The picture of forgetting.csv and forgetting_chain.csv:  python experiments/forgetting_figure.py"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from forgetting_tables import Runs, by_seed, key

from tladapt.evaluation import mean_and_interval
from tladapt.reporting.style import BLACK, BLUE, ORANGE, new_figure, save_figure, style

RESULTS = Path(__file__).resolve().parent / "results"
LOOKS = {"ewc": (BLUE, "o", "-", "EWC"), "l2sp": (ORANGE, "s", "--", "L2-SP")}


def read(name: str) -> Runs:
    """Return the lines of a CSV of results."""
    with open(RESULTS / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def bars(values: dict[str, float]) -> tuple[float, float]:
    """Return the mean over seeds and half the length of its 95 % interval."""
    mean, low, high = mean_and_interval(list(values.values()))[:3]
    return mean, (high - low) / 2


def draw_curve(axes: Any, runs: Runs, name: str) -> None:
    """Draw target against source accuracy over the strength of each penalty."""
    every = [run for run in runs if run["scenario"] == name]
    here = [run for run in every if run["source"]]  # the others diverged
    none = [run for run in here if run["penalty"] == "none"]
    free = [bars(by_seed(none, column)) for column in ("source", "target")]
    first = [bars(by_seed(none, column)) for column in ("source_before", "target_before")]
    for kind, (colour, marker, line, label) in LOOKS.items():
        places = sorted({key(run) for run in here if run["penalty"] == kind})
        points = [free]
        for place in places:
            mine = [run for run in here if key(run) == place]
            points.append([bars(by_seed(mine, column)) for column in ("source", "target")])
        x, y = (np.array([point[axis] for point in points]) for axis in (0, 1))  # [strengths, (mean, half)]
        axes.plot(x[:, 0], y[:, 0], line, color=colour, zorder=2)
        axes.errorbar(
            x[1:, 0], y[1:, 0], y[1:, 1], x[1:, 1], marker, color=colour, ms=4.5, lw=0.8, label=label, zorder=3
        )
        for place, across, up in zip(places, x[1:, 0], y[1:, 0], strict=True):
            done, all_of_it = (sum(key(run) == place for run in found) for found in (here, every))
            axes.annotate(
                f"{place[1]:g}" + ("" if done == all_of_it else f"\n({done} of {all_of_it})"),
                (across, up),
                (4, 4) if kind == "ewc" else (-4, -10),
                textcoords="offset points",
                ha="left" if kind == "ewc" else "right",
                color=colour,
                fontsize=7,
            )
    for (x, y), marker, label in ((free, "D", "no penalty"), (first, "*", "before adaptation")):
        axes.errorbar(
            x[0], y[0], y[1], x[1], marker, color=BLACK, ms=9 if marker == "*" else 5, lw=0.8, label=label, zorder=4
        )
    axes.set(title=name, xlabel="source accuracy after (%)", ylabel="target accuracy after (%)")


def draw_chain(axes: Any, runs: Runs) -> None:
    """Draw source accuracy, and the mean over the targets seen so far, against the number of targets."""
    last = max(int(run["targets_seen"]) for run in runs)
    contrasts = sorted({run["domain"] for run in runs} - {"source"})
    for kind, colour, label in (("none", BLACK, "no penalty"), ("ewc", BLUE, "online EWC")):
        for line, marker, of in (("-", "o", "source"), (":", "^", "targets so far")):
            points = []
            for seen in range(last + 1):
                domains = ["source"] if of == "source" else contrasts[:seen]
                wanted = "none" if seen == 0 else kind
                found = [
                    by_seed(
                        [r for r in runs if (r["penalty"], r["targets_seen"], r["domain"]) == (wanted, str(seen), d)],
                        "accuracy",
                    )
                    for d in domains
                ]
                if found:
                    points.append(
                        (seen, *bars({seed: float(np.mean([one[seed] for one in found])) for seed in found[0]}))
                    )
            x, mean, half = np.array(points).T
            shift = 0.03 if kind == "ewc" else -0.03
            axes.errorbar(
                x + shift,
                mean,
                half,
                color=colour,
                ls=line,
                marker=marker,
                ms=4.5,
                lw=1.3,
                elinewidth=0.8,
                label=f"{of}, {label}",
            )
    axes.set(
        title="Three targets in a row",
        xlabel="targets adapted to (contrast 0.2, 0.4, 0.6)",
        ylabel="accuracy (%)",
        xticks=range(last + 1),
    )


def main() -> None:
    """Draw both benchmarks and the chain beside each other."""
    curves, chain = read("forgetting"), read("forgetting_chain")
    curves = [run for run in curves if (run["method"], run["statistics"]) == ("shot", "frozen")]
    names = list(dict.fromkeys(run["scenario"] for run in curves))
    with style():
        figure = new_figure(3.6 * (len(names) + 1), 3.9)
        panels = figure.subplots(1, len(names) + 1)
        for axes, name in zip(panels, names, strict=False):
            draw_curve(axes, curves, name)
        drawn = {
            label: handle
            for axes in panels[:-1]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            drawn.values(),
            drawn.keys(),
            loc="outside lower left",
            ncols=len(drawn),
            title="left and middle: mean over 5 seeds, 95 % intervals; numbers are weights",
        )
        draw_chain(panels[-1], chain)
        panels[-1].legend(loc="lower left")
        print(save_figure(figure, RESULTS / "forgetting.png"))


if __name__ == "__main__":
    main()
