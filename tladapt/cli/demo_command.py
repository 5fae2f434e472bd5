"""`tladapt demo`: adaptation against no adaptation, on data that is embedded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

METHODS = ("source_only", "dann", "mmd")
STEPS = 1500


@click.command(name="demo", short_help="Train source-only, DANN and MK-MMD on the embedded scenario, and compare them.")
@click.option("--out", default="runs/demo", show_default=True, metavar="DIR", help="Where the run folders go.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="How many seeds each.")
@click.option("--steps", default=STEPS, show_default=True, type=click.IntRange(min=1), help="Steps of each run.")
@click.option("--data-seed", default=0, show_default=True, type=click.IntRange(min=0), help="Which scans and photo patches.")
@click.option("--methods", default=",".join(METHODS), show_default=True, help="Methods, separated by commas.")
@click.option("--no-figures", is_flag=True, help="Leave the figures out.")
def command(out: str, seeds: int, steps: int, data_seed: int, methods: str, no_figures: bool) -> None:
    """Train each method on digits-photo (scans to digits on photographs), and print an honest table.

    Finished runs in the folder are kept, unfinished ones go on.
    """
    import time

    import tladapt
    from tladapt.cli.progress import Progress
    from tladapt.training.folder import RunFolder

    names = [name.strip() for name in methods.split(",") if name.strip()]
    scenario = tladapt.load("digits-photo", seed=data_seed)
    data = {"name": "digits-photo", "options": {"seed": data_seed}}
    folders: list[Path] = []
    started = time.perf_counter()
    for seed in range(seeds):
        for name in names:
            config = tladapt.Config(method=name, steps=steps)
            folder = Path(out) / f"data{data_seed}" / f"{name}-seed{seed}"
            folders.append(folder)
            with Progress(f"{name}, seed {seed}") as progress:
                resume = (RunFolder(folder).path / "config.json").is_file()
                tladapt.run(config, scenario, seed=seed, out=folder, callbacks=(progress,), resume=resume, data=data)
    minutes = (time.perf_counter() - started) / 60
    _show(folders, no_figures)
    click.echo(f"Trained in {minutes:.1f} minutes. The contrast of digits-photo was chosen with target labels in sight, on other data seeds.")
    click.echo(f"Run folders with figures: {Path(out).resolve()}")


def _show(folders: list[Path], no_figures: bool) -> None:
    from rich.console import Console

    from tladapt.reporting import read_run, results_table, to_rich, write_figures

    console: Any = Console(highlight=False)
    if not no_figures:
        with console.status("drawing figures"):
            for folder in folders:
                if not (folder / "figures").is_dir():
                    write_figures(folder)
    console.print(to_rich(results_table([read_run(folder) for folder in folders])))
