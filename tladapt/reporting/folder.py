"""A run's folder, read: its configuration, its log, its summary and its outputs. Files only."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.errors import DamagedDataError, RunFolderError


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """What a run wrote.

    Attributes:
      path: the folder.
      config: `config.json`.
      rows: the lines of `metrics.jsonl`, in the order written.
      summary: `summary.json`; None while the run is not finished.
    """

    path: Path
    config: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...] = ()
    summary: Mapping[str, Any] | None = None

    def of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the rows of one kind ("train" or "eval"), in the order of their steps."""
        return sorted((row for row in self.rows if row.get("kind") == kind), key=lambda row: row["step"])

    def record(self, name: str) -> dict[str, Any]:
        """Read another JSON file of the folder ("environment.json", "data.json"); empty where the run has none.

        Raises:
          DamagedDataError: for a file that is no JSON object.
        """
        file = self.path / name
        return _read_json(file) if file.is_file() else {}

    def outputs(self) -> dict[str, np.ndarray]:
        """Read `outputs.npz` (logits, labels, features before and after); empty where the run has none.

        Raises:
          DamagedDataError: for a file that is not a readable npz.
        """
        file = self.path / "outputs.npz"
        if not file.exists():
            return {}
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DamagedDataError(
                f"{file} cannot be read ({error}). It is written when a run ends: train again, into another folder."
            ) from error


def read_run(folder: str | Path, *, finished: bool = False) -> RunFiles:
    """Read a run's folder, outputs left on disk until they are asked for.

    A last line of the log that was cut off while it was written is left out.

    Args:
      folder: what `tladapt train --out` wrote.
      finished: refuse a run without `summary.json`.

    Raises:
      RunFolderError: for a folder that is missing or not a run's, or not finished where that is asked.
      DamagedDataError: for a file that is there and garbled.
    """
    path = Path(folder)
    if not path.is_dir():
        raise RunFolderError(
            f"there is no folder {path}. Give the folder of a run, as written by `tladapt train --out`."
        )
    if not (path / "config.json").is_file():
        inside = sorted(child.name for child in path.iterdir() if (child / "config.json").is_file())
        hint = f" These folders inside it look like runs: {', '.join(inside[:5])}." if inside else ""
        raise RunFolderError(
            f"{path} is not a run's folder: it has no config.json.{hint} `tladapt train --out` writes such a folder."
        )
    config = _read_json(path / "config.json")
    rows = _read_rows(path / "metrics.jsonl")
    summary = _read_json(path / "summary.json") if (path / "summary.json").is_file() else None
    if finished and summary is None:
        reached = f"its log ends at step {rows[-1]['step']}" if rows else "it has logged nothing"
        raise RunFolderError(
            f"the run in {path} is not finished: there is no summary.json, and {reached} of {config.get('steps', '?')}"
            " steps. Go on with the command that started it and --resume."
        )
    return RunFiles(path, config, rows, summary)


def write_whole(file: Path, content: bytes) -> Path:
    """Write a file whole or not at all, and return it.

    Raises:
      RunFolderError: where it cannot be written; what was there before stays.
    """
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(content)
        os.replace(half, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink()
        raise RunFolderError(f"{file} cannot be written ({error.strerror or error}).") from error
    return file


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedDataError(f"{file} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise DamagedDataError(f"{file} must hold a JSON object, got a {type(content).__name__}.")
    return content


def _read_rows(file: Path) -> tuple[Mapping[str, Any], ...]:
    if not file.is_file():
        return ()
    lines = file.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # no line end after it: the writer was stopped within the line
                break
            raise DamagedDataError(f"{file}, line {number}: not a JSON object ({error}).") from error
        if not isinstance(row, dict) or "step" not in row:
            raise DamagedDataError(f"{file}, line {number}: expected an object with a 'step', got {line[:60]!r}.")
        rows.append(row)
    return tuple(rows)
