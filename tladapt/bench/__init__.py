"""Grids of runs with their tables: benchmarks by one command."""

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Published, Row, Setting, find_benchmark
from tladapt.bench.outcomes import Outcome, read_csv, read_failures, read_outcomes, write_csv
from tladapt.bench.run import bench
from tladapt.bench.search import tune
from tladapt.bench.search_result import SearchResult

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Outcome",
    "Problem",
    "Published",
    "Row",
    "SearchResult",
    "Setting",
    "bench",
    "find_benchmark",
    "read_csv",
    "read_failures",
    "read_outcomes",
    "tune",
    "write_csv",
]
