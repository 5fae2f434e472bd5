"""All figures of a run, drawn from its folder alone."""

from __future__ import annotations

from pathlib import Path

from tladapt.reporting.confusion import confusion_figure
from tladapt.reporting.curves import curves_figure
from tladapt.reporting.embedding import embedding_figure
from tladapt.reporting.folder import read_run
from tladapt.reporting.projection import mapped, save_maps
from tladapt.reporting.style import save_figure, style


def write_figures(run_dir: str | Path) -> list[Path]:
    """Draw `figures/curves.png`, `confusion.png` and `embedding.png` into a run's folder.

    The maps of the features, which take the longest, are kept beside them (`figures/maps.npz`) for the page.

    A figure whose data the run does not have (no labelled test set, no features kept, nothing logged yet) is left out.

    Args:
      run_dir: a run's folder; the run may be unfinished.

    Returns:
      The files written.

    Raises:
      RunFolderError: for a folder that is not a run's, or that cannot be written to.
      DamagedDataError: for a file in it that is garbled.
      MissingPackageError: where matplotlib is not installed.
    """
    run = read_run(run_dir)
    written = []
    with style():
        maps = mapped(run.outputs())
        figures = {
            "curves": curves_figure(run),
            "confusion": confusion_figure(run),
            "embedding": embedding_figure(run, maps=maps),
        }
        for name, figure in figures.items():
            if figure is not None:
                written.append(save_figure(figure, run.path / "figures" / f"{name}.png"))
    if maps:
        save_maps(run, maps)
    return written
