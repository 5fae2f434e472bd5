"""`tladapt predict`: classes and probabilities for new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")


@click.command(name="predict", short_help="Predict classes and probabilities for new inputs.")
@click.argument("folder", metavar="DIR")
@click.argument("inputs", metavar="INPUTS")
@click.option("--out", required=True, metavar="FILE", help="Where to write: .csv or .npz.")
@click.option("--which", default="last", show_default=True, help="last, chosen, oracle, or a step with a checkpoint.")
def command(folder: str, inputs: str, out: str, which: str) -> None:
    """Predict INPUTS (an image, a folder of images, an .npz with array x, or a .csv of numbers) with the run in DIR."""
    import numpy as np

    import tladapt
    from tladapt.errors import UsageError
    from tladapt.training.folder import RunFolder, write_whole

    result = tladapt.open_run(folder, which=int(which) if which.isdigit() else which)
    shape = tuple(RunFolder(folder).read_json("config.json")["scenario"]["shape"])
    if Path(out).suffix.lower() not in (".csv", ".npz"):
        raise UsageError(f"--out must end in .csv or .npz, got {out!r}.")
    names, x = read_inputs(Path(inputs), shape)
    if x.shape[1:] != shape:
        raise UsageError(f"the run in {folder} takes inputs of shape {shape}; {inputs} has {x.shape[1:]}.")
    probabilities = result.predict_proba(x)
    chosen = np.argmax(probabilities, axis=1)
    if Path(out).suffix.lower() == ".npz":
        import io

        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            name=np.asarray(names),
            index=chosen,
            label=np.asarray([result.classes[i] for i in chosen]),
            probabilities=probabilities,
            classes=np.asarray(result.classes),
        )
        write_whole(Path(out), buffer.getvalue())
    else:
        write_whole(Path(out), _csv(names, chosen, probabilities, result.classes).encode())
    click.echo(f"{len(x)} predictions in {out}")


def _csv(names: list[str], chosen: Any, probabilities: Any, classes: tuple[str, ...]) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "class", "label", *(f"p({name})" for name in classes)])
    for name, index, row in zip(names, chosen, probabilities, strict=True):
        writer.writerow([name, int(index), classes[index], *(f"{p:.6g}" for p in row)])
    return text.getvalue()


def read_inputs(path: Path, shape: tuple[int, ...]) -> tuple[list[str], Any]:
    """Return names and inputs `[n, ...]` of an image, a folder of images, an `.npz` (array `x`) or a `.csv` of numbers."""
    import numpy as np

    from tladapt.errors import DamagedDataError, MissingDataError, UsageError

    if not path.exists():
        raise MissingDataError(f"there is no {path}. An image, a folder of images, an .npz or a .csv was expected.")
    if path.is_dir() or path.suffix.lower() in IMAGES:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGES)
        if not files:
            raise MissingDataError(f"folder {path} holds no image ({', '.join(IMAGES)}).")
        if len(shape) != 3:
            raise UsageError(f"the run takes vectors of shape {shape}, not images.")
        from tladapt.data.catalogue.images import decode

        images = [decode(file, size=shape[0], channels=shape[2]) for file in files]
        return [str(file) for file in files], np.stack(images)
    if path.suffix.lower() == ".npz":
        try:
            with np.load(path) as arrays:
                found = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError) as error:
            raise DamagedDataError(f"{path} is not a readable .npz file: {error}") from error
        if "x" not in found:
            raise UsageError(f"{path} needs an array 'x' of inputs; it has {', '.join(sorted(found)) or 'none'}.")
        return [str(i) for i in range(len(found["x"]))], found["x"]
    if path.suffix.lower() == ".csv":
        try:
            rows = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2, comments="#")
        except ValueError:
            try:
                rows = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2, skiprows=1)
            except ValueError as error:
                raise DamagedDataError(f"{path} must hold numbers separated by commas, one example a line: {error}") from None
        return [str(i) for i in range(len(rows))], rows.reshape(len(rows), *shape) if rows.shape[1] == np.prod(shape) else rows
    raise UsageError(f"{path}: an image, a folder of images, an .npz or a .csv was expected.")
