"""Grids of runs with their tables: benchmarks by one command."""

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Published, Row, Setting, find_benchmark
from tladapt.bench.outcomes import Outcome, read_csv, read_failures, read_outcomes, write_csv
from tladapt.bench.run import bench

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Outcome",
    "Problem",
    "Published",
    "Row",
    "Setting",
    "bench",
    "find_benchmark",
    "read_csv",
    "read_failures",
    "read_outcomes",
    "write_csv",
]
