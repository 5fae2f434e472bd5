"""Gains over a baseline, paired by problem and seed, with tests that are corrected for how many there are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tladapt.evaluation.statistics import Interval, holm, mean_and_interval, paired_test

Values = Mapping[str, Mapping[int, float]]  # by problem and seed, in percent


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProblemGain:
    """The gain on one problem, in points."""

    over_seeds: Interval
    """Mean difference over the seeds that both have, with its 95 % t-interval."""
    p: float
    """Of the paired t-test over these seeds."""
    corrected: float
    """The same after Holm's correction for all methods and problems of the table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """The gain in the mean over all problems of the table, in points: two questions, two intervals.

    With `d_ps` the difference on problem p and seed s, over the seeds for which both methods have every problem:
    """

    over_seeds: Interval
    """Mean over s of `mean_p d_ps`: on these very problems, how sure is the gain under other seeds?"""
    over_problems: Interval
    """Mean over p of `mean_s d_ps`: the same number, but how sure is a gain on another problem like these? Pairs of
    domains share domains, so problems are not fully independent and the interval is rather too narrow."""
    p: float
    """Two-sided, with the problem as the unit: Wilcoxon's signed-rank test from 6 problems on, the paired t-test for 2
    to 5, where Wilcoxon's cannot reach 0.05; with one problem, the paired t-test over seeds."""
    corrected: float
    """The same after Holm's correction for the methods of the table."""
    by_problem: Mapping[str, ProblemGain]
    """Of the problems on which both have a seed in common."""


def gains(methods: Mapping[str, Values], baseline: Values, problems: Sequence[str]) -> dict[str, Gain]:
    """Return the gain of each method over a baseline.

    Args:
      methods: values of each, by problem and seed, in percent.
      baseline: values of the baseline.
      problems: those that a gain in the mean has to be over.

    Returns:
      By method; those that share no seed of any problem with the baseline are left out.
    """
    differences = {
        method: {
            problem: _differences(found[problem], baseline[problem])
            for problem in problems
            if problem in found and problem in baseline
        }
        for method, found in methods.items()
    }
    differences = {
        method: {problem: by_seed for problem, by_seed in found.items() if by_seed}
        for method, found in differences.items()
        if any(found.values())
    }
    tests = {
        (method, problem): paired_test(list(by_seed.values()), np.zeros(len(by_seed)))
        for method, found in differences.items()
        for problem, by_seed in found.items()
    }
    corrected = dict(zip(tests, holm([test.p for test in tests.values()]).tolist(), strict=True))
    overall = {method: _overall(found, problems) for method, found in differences.items()}
    overall_corrected = holm([p for _, _, p in overall.values()]).tolist()
    return {
        method: Gain(
            over_seeds=over_seeds,
            over_problems=over_problems,
            p=p,
            corrected=holm_p,
            by_problem={
                problem: ProblemGain(
                    over_seeds=tests[method, problem].difference,
                    p=tests[method, problem].p,
                    corrected=corrected[method, problem],
                )
                for problem in differences[method]
            },
        )
        for (method, (over_seeds, over_problems, p)), holm_p in zip(overall.items(), overall_corrected, strict=True)
    }


def _differences(found: Mapping[int, float], base: Mapping[int, float]) -> dict[int, float]:
    # Rounding makes equal differences equal, which tests by rank have to see.
    return {seed: round(found[seed] - base[seed], 9) for seed in sorted(found) if seed in base}


def _overall(differences: Values, problems: Sequence[str]) -> tuple[Interval, Interval, float]:
    shared = [set(differences.get(problem, {})) for problem in problems]
    seeds = sorted(set.intersection(*shared))
    if not seeds:
        unknown = Interval(math.nan, math.nan, math.nan, 0)
        return unknown, unknown, math.nan
    d = np.array([[differences[problem][seed] for seed in seeds] for problem in problems])  # [problems, seeds]
    by_seed, by_problem = d.mean(axis=0).round(9), d.mean(axis=1).round(9)
    if len(problems) == 1:
        return mean_and_interval(by_seed), mean_and_interval(by_problem), paired_test(by_seed, np.zeros(len(seeds))).p
    test = paired_test(by_problem, np.zeros(len(problems)))
    p = test.p if math.isnan(test.wilcoxon_p) else test.wilcoxon_p
    return mean_and_interval(by_seed), test.difference, p
