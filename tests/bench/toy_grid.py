"""Outcomes of a small grid, made by hand: three methods, two problems, three seeds."""

from tladapt.bench import Outcome

PROBLEMS = ("A>B", "B>A")
# method: problem: last step of seeds 0, 1, 2, in percent
LAST = {
    "source_only": {"A>B": (70, 72, 74), "B>A": (60, 61, 62)},
    "dann": {"A>B": (75, 76, 80), "B>A": (61, 63, 65)},
    "target_only": {"A>B": (95, 96, 97), "B>A": (94, 94, 94)},
}


def outcome(method: str, problem: str, seed: int, last: float, **given) -> Outcome:
    """Return an outcome whose chosen is 1 point below its last and whose oracle is 2 above."""
    fields = {
        "benchmark": "toy",
        "setting": "common",
        "metric": "accuracy",
        "source": 0.9,
        "steps": 100,
        "seconds": 6.0,
    }
    fields |= {"chosen": last / 100 - 0.01, "oracle": last / 100 + 0.02, "is_oracle": method == "target_only"}
    fields |= {"jax": "0.10.0", "tladapt": "0.1.0", "commit": "abc", "cores": 2, "recipe": "common", "backbone": "mlp"}
    return Outcome(method=method, problem=problem, seed=seed, last=last / 100, **(fields | given))


def outcomes() -> list[Outcome]:
    """Return those of the grid, the oracle first: the table has to put it last."""
    return [
        outcome(method, problem, seed, value)
        for method in ("target_only", "dann", "source_only")
        for problem, values in LAST[method].items()
        for seed, value in enumerate(values)
    ]
