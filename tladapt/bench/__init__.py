"""Grids of runs with their tables: benchmarks by one command."""

from tladapt.bench.benchmark import BENCHMARKS, Benchmark, Problem, Published, Row, Setting, find_benchmark
from tladapt.bench.outcomes import Outcome, read_csv, read_failures, read_outcomes, write_csv
from tladapt.bench.run import bench
from tladapt.bench.search.result import SearchResult
from tladapt.bench.search.search import tune
from tladapt.bench.tables.records import BenchTable
from tladapt.bench.tables.table import table_of, tabulate
from tladapt.bench.tables.written import draw_tables, show_table, to_csv, to_latex, to_markdown, to_text, write_tables

__all__ = [
    "BENCHMARKS",
    "BenchTable",
    "Benchmark",
    "Outcome",
    "Problem",
    "Published",
    "Row",
    "SearchResult",
    "Setting",
    "bench",
    "draw_tables",
    "find_benchmark",
    "read_csv",
    "read_failures",
    "read_outcomes",
    "show_table",
    "table_of",
    "tabulate",
    "to_csv",
    "to_latex",
    "to_markdown",
    "to_text",
    "tune",
    "write_csv",
    "write_tables",
]
