"""`tladapt predict`: classes and probabilities for new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tladapt.cli.compiled import keep_compiled


@click.command(name="predict")
@click.argument("folder", metavar="DIR")
@click.argument("inputs", metavar="INPUTS")
@click.option("--out", required=True, metavar="FILE", help="Where to write the predictions: .csv or .npz.")
@click.option("--which", default="last", show_default=True, help="last, chosen, oracle, or a step with a checkpoint.")
def command(folder: str, inputs: str, out: str, which: str) -> None:
    """Predict INPUTS with the run in DIR.

    INPUTS is an image, a folder of images (subfolders included), an .npz with an array x, a .csv with one example a
    line, or, for a run on texts, a .txt with one text a line. Images are resized, and cut out, as the run's were.

    A .csv gets the columns name, class (an index), label (its name) and one probability a class; an .npz gets the
    arrays name, class, label, probabilities and classes.
    """
    keep_compiled()
    import tladapt
    from tladapt.cli.inputs import as_trained, read_inputs
    from tladapt.cli.parts import step_or_word
    from tladapt.errors import UsageError
    from tladapt.training.folder import RunFolder, write_whole

    if Path(out).suffix.lower() not in (".csv", ".npz"):
        raise UsageError(f"--out must end in .csv or .npz, got {out!r}.")
    where = step_or_word(which)
    about = RunFolder(folder).read_json("config.json")["scenario"]
    names, x = read_inputs(Path(inputs), tuple(about["shape"]), **as_trained(about))
    result = tladapt.open_run(folder, which=where)
    probabilities = result.predict_proba(x)
    content = _csv if Path(out).suffix.lower() == ".csv" else _npz
    write_whole(Path(out), content(names, probabilities, result.classes))
    click.echo(f"{len(names)} predictions in {out} ({_counts(probabilities.argmax(axis=1), result.classes)})")


def _counts(chosen: Any, classes: tuple[str, ...], shown: int = 5) -> str:
    """Return how many inputs each of the most frequent classes got."""
    from collections import Counter

    found = Counter(classes[index] for index in chosen).most_common()
    return ", ".join(f"{name}: {count}" for name, count in found[:shown]) + (", ..." if len(found) > shown else "")


def _csv(names: list[str], probabilities: Any, classes: tuple[str, ...]) -> bytes:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "class", "label", *(f"p({name})" for name in classes)])
    for name, row in zip(names, probabilities, strict=True):
        index = int(row.argmax())
        writer.writerow([name, index, classes[index], *(f"{p:.6g}" for p in row)])
    return text.getvalue().encode()


def _npz(names: list[str], probabilities: Any, classes: tuple[str, ...]) -> bytes:
    import io

    import numpy as np

    buffer, chosen = io.BytesIO(), probabilities.argmax(axis=1)
    arrays = {
        "name": np.asarray(names),
        "class": chosen.astype(np.int32),
        "label": np.asarray(classes)[chosen],
        "probabilities": probabilities,
        "classes": np.asarray(classes),
    }
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
