"""From run folders to figures and tables: reads files only, and needs neither JAX nor the rest of tladapt."""

from tladapt.reporting.figures import write_figures
from tladapt.reporting.folder import RunFiles, read_run
from tladapt.reporting.render import to_csv, to_latex, to_markdown, to_rich
from tladapt.reporting.report import write_report
from tladapt.reporting.rows import Table
from tladapt.reporting.tables import results_table

__all__ = [
    "RunFiles",
    "Table",
    "read_run",
    "results_table",
    "to_csv",
    "to_latex",
    "to_markdown",
    "to_rich",
    "write_figures",
    "write_report",
]
