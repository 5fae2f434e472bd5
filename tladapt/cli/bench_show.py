"""What `tladapt bench` leaves when it has trained: figures on demand, tables, and a word about what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def show(benchmark: Any, place: Any, groups: Any, as_json: bool, *, whole: bool, figures: bool) -> int:
    """Write and print the table, and say what failed; return the exit status.

    Tasks of a job array, which have a part of the grid, end at the same time: they leave the table to a call without
    a shard.
    """
    import dataclasses

    from tladapt.bench.outcomes import read_failures, read_outcomes, reason, write_csv
    from tladapt.bench.tables.written import draw_tables, show_table, write_tables

    outcomes = read_outcomes(place.out)
    if whole:
        write_csv(place.out / "outcomes.csv", outcomes)
    asked = {cell.name for group in groups for cell in group}
    failures = {name: failure for name, failure in read_failures(place.out).items() if name in asked}
    if as_json:
        from tladapt.cli.show import print_json

        print_json({"outcomes": [dataclasses.asdict(outcome) for outcome in outcomes], "failures": failures})
        return 1 if failures else 0
    if not whole:
        finished = sum(map(place.is_finished, asked))
        click.echo(f"{finished} of the shard's {len(asked)} runs are finished; a call without --shard shows the table.")
    elif outcomes or failures:
        written = write_tables(place.out, outcomes, benchmark)
        show_table(place.out, outcomes, benchmark)
        if figures:
            written += [*draw_tables(place.out, outcomes, benchmark), *_run_figures(place, groups)]
        click.echo(f"wrote {', '.join(str(path.relative_to(place.out)) for path in written)} in {place.out}", err=True)
    for name, failure in failures.items():
        click.echo(f"failed: {name}: {reason(failure['error'])}", err=True)
    if failures:
        click.echo(
            f"{len(failures)} runs failed; each one's folder in {place.out / 'failed'} has an error.txt. Try them again"
            " with the same command and --retry-failed.",
            err=True,
        )
    return 1 if failures else 0


def _run_figures(place: Any, groups: Any) -> list[Path]:
    """Draw figures and page of each finished run that has none, and return the folders of the figures."""
    from tladapt.reporting import write_figures, write_report

    drawn = []
    for cell in (cell for group in groups for cell in group):
        folder = place.run(cell.name)
        has_outputs = place.is_finished(cell.name) and (folder / "outputs.npz").is_file()
        if has_outputs and not (folder / "figures").is_dir():
            write_figures(folder)
            write_report([folder])
            drawn.append(folder / "figures")
    return drawn
