"""A run's folder: what is written where, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tladapt.errors import RunFolderError


def jsonable(value: Any) -> Any:
    """Return a value that JSON has a word for: NumPy scalars as numbers, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by atomic rename: a reader sees the old content or the new, never half of it.

    Raises:
      RunFolderError: when it cannot be written; what was there before stays.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path} could not be written: {error.strerror or error}. Free some space, make the folder writable,"
            " or choose another one with --out."
        ) from error


class RunFolder:
    """The files of one run, written by the run and read by everything else.

    Args:
      path: the folder; made on the first write.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def write_json(self, name: str, record: Any) -> None:
        """Write a JSON file whole."""
        text = json.dumps(jsonable(record), indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(self.path / name, (text + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Return a JSON file.

        Raises:
          RunFolderError: when it is missing or not JSON.
        """
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            raise RunFolderError(
                f"{self.path} is not a run's folder: it has no {name}. A folder made by"
                " 'tladapt train --out' was expected."
            ) from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.path / name} cannot be read: {error}") from error

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write an `.npz` file whole."""
        import io

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{key: np.asarray(value) for key, value in arrays.items()})  # type: ignore[arg-type]
        write_whole(self.path / name, buffer.getvalue())

    # ---- the log -------------------------------------------------------------------------------------------------

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Append lines to `metrics.jsonl` in one write, which is on the disk before a checkpoint that counts on it.

        Raises:
          RunFolderError: when it cannot be written.
        """
        text = "".join(json.dumps(jsonable(row), allow_nan=False) + "\n" for row in rows)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(self.path / "metrics.jsonl", "ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunFolderError(
                f"{self.path / 'metrics.jsonl'} could not be written: {error.strerror or error}. Free some space or"
                " make the folder writable, then go on with --resume."
            ) from error

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines of `metrics.jsonl`; a half-written or garbled one is left out."""
        found: list[dict[str, Any]] = []
        if not (self.path / "metrics.jsonl").is_file():
            return found
        for line in (self.path / "metrics.jsonl").read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("step"), int) and "kind" in row:
                    found.append(row)
        return found

    def cut_back(self, step: int) -> list[dict[str, Any]]:
        """Drop the lines of later steps, and return those that stay."""
        kept = [row for row in self.rows() if row["step"] <= step]
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in kept)
        write_whole(self.path / "metrics.jsonl", text.encode())
        return kept


def environment() -> dict[str, Any]:
    """Return what a number may depend on beside the config: versions, device, commit."""
    import importlib.metadata

    import jax

    import tladapt

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")
    devices = jax.devices()
    return {
        "tladapt": tladapt.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "devices": [str(device.device_kind) for device in devices[:8]],
        "backend": jax.default_backend(),
        "commit": _commit(),
        "arguments": sys.argv,
    }


def _commit() -> str | None:
    """Return the commit of the checkout that tladapt is run from, or None where it is installed without one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def checksum(arrays: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the training data as it is in memory: name, shape, type and bytes of each array."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        if not isinstance(array, np.ndarray):
            found.update(f"{name} {len(array)} examples read on demand ".encode())
            continue
        found.update(f"{name} {array.dtype} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
