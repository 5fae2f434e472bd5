"""`tladapt demo`: adaptation against no adaptation, on data that is embedded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled
from tladapt.cli.options import Whole, as_json, whole

METHODS = ("source_only", "dann", "mmd")
STEPS = 1000  # with the network and the recipe below, fixed on data seeds 100 to 102 of digits-photo


@click.command(name="demo")
@click.option("--out", default="runs/demo", show_default=True, metavar="DIR", help="Where the run folders go.")
@whole("--seeds", 3, "How many seeds each.")
@whole("--steps", STEPS, "Steps of each run.")
@click.option(
    "--data-seed", default=0, show_default=True, type=Whole(0), metavar="N", help="Which scans and photo patches."
)
@click.option(
    "--methods", default=",".join(METHODS), show_default=True, metavar="NAMES", help="Methods, separated by commas."
)
@click.option("--shift", metavar="NAME[:OPTION=VALUE,...]", help="Synthetic shift on top: 'tladapt list shifts'.")
@click.option("--no-figures", is_flag=True, help="Leave the figures out.")
@as_json()
def command(
    out: str, seeds: int, steps: int, data_seed: int, methods: str, shift: str | None, no_figures: bool, as_json: bool
) -> None:
    """Train each method on digits-photo (scans to digits on photographs), and print an honest table.

    Finished runs in the folder are kept, unfinished ones go on.
    """
    import time

    keep_compiled()
    import tladapt
    from tladapt.cli.progress import Progress
    from tladapt.cli.train_command import draw, file_name
    from tladapt.reporting import write_report

    configs = _configs(methods, steps)
    scenario = tladapt.load("digits-photo", seed=data_seed, shift=shift)
    place = Path(out) / f"data{data_seed}-steps{steps}{file_name(scenario.name.removeprefix('digits-photo'))}"
    folders: list[Path] = []
    training = 0.0
    for name, config in configs.items():
        started = time.perf_counter()
        with Progress(name, quiet=as_json) as progress:
            results = _run(config, scenario, range(seeds), place / name, callbacks=(progress,))
        training += time.perf_counter() - started
        folders += [result.folder for result in results]
        for seed, folder in zip(range(seeds), folders[-seeds:], strict=True):
            if not no_figures and not (folder / "figures").is_dir():
                draw(folder, progress, seed)
            write_report([folder])
    page = write_report(folders, place / "report.html")
    _show(folders, as_json)
    if not as_json:
        click.echo(f"\nTrained in {training / 60:.1f} minutes. Contrast, network and recipe were fixed")
        click.echo("with target labels in sight, on data seeds 100 to 102 of digits-photo.")
        click.echo(f"Run folders{'' if no_figures else ' with figures'}: {place.resolve()}")
        click.echo(f"The comparison as a page: {page.resolve()}")


def _configs(methods: str, steps: int) -> dict[str, Any]:
    """Return a config for each named method; a misspelt name is told before anything is trained."""
    import tladapt
    from tladapt.errors import UsageError
    from tladapt.models import DigitsCNN

    names = [name.strip() for name in methods.split(",") if name.strip()]
    if not names:
        raise UsageError("--methods names no method, such as --methods source_only,dann.")
    backbone = DigitsCNN(widths=(16, 32, 64))
    return {name: tladapt.Config(method=name, backbone=backbone, recipe="digits-photo", steps=steps) for name in names}


def _run(config: Any, scenario: Any, seeds: range, out: Path, **rest: Any) -> list[Any]:
    import tladapt
    from tladapt.errors import UsageError

    there = any((out / f"seed{seed}" / "config.json").is_file() for seed in seeds)
    try:
        return tladapt.run_seeds(config, scenario, seeds, out, resume=there, **rest)
    except UsageError as error:
        if not there:
            raise
        raise UsageError(f"{error}\nChoose another folder with --out, or remove that one.") from None
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(str(stop) or "interrupted. The same command goes on from here.") from None


def _show(folders: list[Path], as_json: bool) -> None:
    from tladapt.reporting import read_run, results_table, to_rich

    table = results_table([read_run(folder) for folder in folders])
    if as_json:
        import dataclasses

        from tladapt.cli.show import print_json

        rows = [dataclasses.asdict(row) for row in table.rows]
        print_json({"rows": rows, "notes": table.notes, "folders": [str(folder) for folder in folders]})
        return
    from rich.console import Console

    Console(highlight=False).print(to_rich(table))
