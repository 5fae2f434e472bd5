"""From run folders to one page: `report.html`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tladapt.errors import UsageError
from tladapt.reporting.comparison_page import comparison_page
from tladapt.reporting.folder import RunFiles, read_run, write_whole
from tladapt.reporting.rows import Row
from tladapt.reporting.run_page import run_page
from tladapt.reporting.tables import BASELINE, results_table


def write_report(
    folders: Sequence[str | Path], out: str | Path | None = None, *, against: Sequence[str | Path] = ()
) -> Path:
    """Write one self-contained page about a run, or about several that are compared.

    Args:
      folders: of runs, or folders that hold runs at any depth.
      out: the file; None: `report.html` in the folder, where one is given.
      against: source-only runs, or runs from scratch, to hold a single run against; with several runs, they join the
        comparison.

    Returns:
      The file.

    Raises:
      RunFolderError: for a folder that holds no run, or a file that cannot be written.
      UsageError: for no folder, several folders without `out`, or runs in `against` that cannot be compared with.
      DamagedDataError: for a file of a run that is garbled.
    """
    runs = [read_run(path) for path in _found(folders)]
    base = [read_run(path) for path in _found(against)]
    if not runs:
        raise UsageError("a report needs the folder of at least one run.")
    if out is None:
        if len(folders) != 1:
            raise UsageError(f"{len(folders)} folders have no place of their own for the page; say --out FILE.html.")
        out = Path(folders[0]) / "report.html"
    page = run_page(runs[0], row=_held_against(runs[0], base)) if len(runs) == 1 else comparison_page([*runs, *base])
    return write_whole(Path(out), page.encode())


def _found(folders: Sequence[str | Path]) -> list[Path]:
    """Return the folders of runs: those given, or those inside them."""
    found: list[Path] = []
    for folder in map(Path, folders):
        inside = [folder] if (folder / "config.json").is_file() else []
        if not inside and folder.is_dir():
            files = sorted(folder.glob("**/config.json"))
            inside = [file.parent for file in files if file.parent.name != "model"]
        if not inside:
            read_run(folder)  # says what is wrong with it
        found += [path for path in inside if path not in found]
    return found


def _held_against(run: RunFiles, base: Sequence[RunFiles]) -> Row | None:
    """Return the run's row of a table with source-only runs or runs from scratch, or None where there are none."""
    if not base:
        return None
    for row in results_table([run, *base]).rows:
        if str(run.path) in row.folders and (row.gain or row.transfer) is not None:
            return row
    named = ", ".join(str(one.path) for one in base)
    raise UsageError(
        f"{run.path} cannot be held against {named}: a finished {BASELINE} run was expected, of the same scenario,"
        " recipe, network, number of steps and seed, with a labelled test set; or, for a run that starts from trained"
        " parameters (--weights, --init), the same run without them."
    )
