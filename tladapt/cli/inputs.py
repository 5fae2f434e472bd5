"""What `tladapt predict` reads: images, an .npz with an array x, a .csv of numbers, or a .txt of texts."""

from __future__ import annotations

import csv
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tladapt.errors import DamagedDataError, MissingDataError, UsageError

EXPECTED = "An image, a folder of images, an .npz with an array x, or a .csv of numbers was expected."
TEXTS = "This run takes texts: a .txt with one text a line."


class Inputs(NamedTuple):
    """Names of the inputs, and the inputs as `tladapt.Domain` takes them."""

    names: list[str]
    x: Any


def as_trained(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `read_inputs` for a run, from the scenario in its config."""
    return {
        "pixels": scenario["dtype"] == "uint8",
        "resize": scenario.get("options", {}).get("resize"),
        "texts": bool(scenario.get("texts")),
    }


def read_inputs(
    path: Path, shape: tuple[int, ...], *, pixels: bool = True, resize: int | None = None, texts: bool = False
) -> Inputs:
    """Return the inputs at `path`, each of the shape that a run takes.

    Args:
      path: the file or folder.
      shape: of one input.
      pixels: whether the run was trained on 8-bit images, so that whole numbers from 0 to 255 are pixels.
      resize: the shorter side of pictures before their centre was cut out, where the run's were read so; None: pictures
        are resized to a square.
      texts: whether the run takes texts.

    Raises:
      MissingDataError: there is nothing, or no image in the folder.
      DamagedDataError: the file cannot be read.
      UsageError: it holds something else than inputs of that shape.
    """
    from tladapt.data.catalogue.images import IMAGE_SUFFIXES

    suffix = path.suffix.lower()
    if not path.exists():
        raise MissingDataError(f"There is no file or folder {str(path)!r}. {EXPECTED}")
    if texts:
        return _texts(path)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."]
        if not files:
            raise MissingDataError(f"Folder {str(path)!r} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        return _images(sorted(files), path, shape, resize)
    if suffix in IMAGE_SUFFIXES:
        return _images([path], path, shape, resize)
    if suffix not in (".npz", ".csv"):
        raise UsageError(f"{path} cannot be read by its ending {suffix!r}. {EXPECTED}")
    x = _npz(path, shape) if suffix == ".npz" else _csv(path, shape, pixels)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        first = int(np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))[0])
        raise UsageError(f"{path}: input {first} holds values that are not finite (NaN or infinity).")
    return Inputs([str(index) for index in range(len(x))], x)


def _texts(path: Path) -> Inputs:
    from tladapt.data.texts import Texts

    if path.suffix.lower() != ".txt":
        raise UsageError(f"{path} cannot be read by its ending {path.suffix!r}. {TEXTS}")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DamagedDataError(f"{path} is not a text file that can be read ({problem}).") from None
    kept = [(str(number), line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise UsageError(f"{path} holds no text. {TEXTS}")
    return Inputs([name for name, _ in kept], Texts(line for _, line in kept))


def _images(files: list[Path], path: Path, shape: tuple[int, ...], resize: int | None) -> Inputs:
    from tladapt.data.catalogue.images import ImageFiles

    if len(shape) != 3 or shape[0] != shape[1] or shape[2] not in (1, 3):
        raise UsageError(f"the run takes inputs of shape {shape}, and {path} is images. Give it an .npz or a .csv.")
    return Inputs([str(file) for file in files], ImageFiles(files, shape[0], shape[2], resize))


def _npz(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "x" not in arrays.files:
                raise UsageError(f"{path} has no array 'x' of inputs, only {', '.join(arrays.files) or 'nothing'}.")
            x: np.ndarray = arrays["x"]
    except UsageError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise DamagedDataError(f"{path} is not an .npz file that can be read ({problem}).") from None
    if x.shape == shape:
        x = x[None]
    if len(shape) == 3 and shape[2] == 1 and x.shape[1:] == shape[:2]:
        x = x[..., None]  # grey images without their channel
    if x.shape[1:] != shape or len(x) == 0:
        raise UsageError(
            f"the run takes inputs of shape {shape}: x must be [n, {', '.join(map(str, shape))}], got {x.shape}."
        )
    return x


def _csv(path: Path, shape: tuple[int, ...], pixels: bool) -> np.ndarray:
    """Read one example a line, flattened; a first line without any number is a header.

    With `pixels`, whole numbers from 0 to 255 for an image are read as 8-bit files have them.
    """
    width = math.prod(shape)
    rows: list[list[float]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                    continue
                numbers = [_number(cell) for cell in cells]
                if not rows and all(number is None for number in numbers):
                    continue
                for column, (cell, number) in enumerate(zip(cells, numbers, strict=True), 1):
                    if number is None:
                        raise UsageError(
                            f"{path}, line {reader.line_num}, column {column}: expected a number, got {cell!r}."
                        )
                if len(cells) != width:
                    raise UsageError(
                        f"{path}, line {reader.line_num} has {len(cells)} values; the run takes {width}"
                        f"{'' if len(shape) == 1 else f' (shape {shape}, flattened)'}. Leave out what is no input, such"
                        " as an index or a label."
                    )
                rows.append([number for number in numbers if number is not None])
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DamagedDataError(f"{path} is not a .csv file that can be read ({problem}).") from None
    if not rows:
        raise UsageError(f"{path} holds no line of numbers; expected one example a line, {width} values each.")
    x = np.asarray(rows, np.float32).reshape(-1, *shape)
    if (
        pixels
        and len(shape) == 3
        and x.max() > 1
        and x.min() >= 0
        and x.max() <= 255
        and np.array_equal(x, np.round(x))
    ):
        return x.astype(np.uint8)
    return x


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
