"""Released files: where they are looked for, whether they are what they claim to be, and what to say when not."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tladapt.errors import DamagedDataError, MissingDataError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """A data set as its authors released it."""

    title: str
    """How messages call it."""
    files: Mapping[str, tuple[str, ...]]
    """Key -> the names under which the file is known; the first is the released one."""
    folders: tuple[str, ...]
    """Where the files are looked for, relative to the data directory; the first is where messages put them."""
    obtain: str
    """Where to get them."""
    tfds: str = ""
    """The set's name in TensorFlow Datasets, where that has it."""


def data_directory(data_dir: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder of downloaded data: the argument, else the variable TLADAPT_DATA, else None.

    Raises:
      MissingDataError: where the folder that is named does not exist.
    """
    given, how = data_dir, "data_dir"
    if given is None:
        given, how = os.environ.get("TLADAPT_DATA") or None, "TLADAPT_DATA"
    if given is None:
        return None
    path = Path(given).expanduser()
    if not path.is_dir():
        raise MissingDataError(f"{how} names {str(path)!r}, and there is no such folder. Make it, or name another.")
    return path


def find(release: Release, root: Path | None) -> dict[str, Path]:
    """Return key -> path of those files of a release that are below `root`, the first of each that is there."""
    have: dict[str, Path] = {}
    for key, names in release.files.items():
        places = (Path(folder, name) for folder in release.folders for name in names)
        hit = root and next((root / place for place in places if (root / place).exists()), None)
        if hit:
            have[key] = hit
    return have


def locate(
    releases: Sequence[Release], data_dir: str | os.PathLike[str] | None, *, called: str
) -> list[dict[str, Path]]:
    """Return, for each release, key -> path of the file that was found first.

    Args:
      releases: what is needed.
      data_dir: the data directory; None: the variable TLADAPT_DATA.
      called: the scenario, for messages.

    Raises:
      MissingDataError: names all that is missing, where to get it, where to put it and where it was looked for.
    """
    root = data_directory(data_dir)
    found: list[dict[str, Path]] = []
    complaints: list[str] = []
    for release in releases:
        have = find(release, root)
        found.append(have)
        missing = [names[0] for key, names in release.files.items() if key not in have]
        if missing:
            also = f"\n    TFDS has it, too: prepared as array_record, it is read as tfds:{release.tfds}"
            complaints.append(
                f"  {release.title}: {', '.join(missing)}\n"
                f"    get it from: {release.obtain}\n"
                f"    put it into: {(root or Path('DATA_DIR')) / release.folders[0]}\n"
                f"    {'looked in' if root else 'or into'}: "
                f"{', '.join(release.folders)} (in the data directory)"
                f"{also if release.tfds else ''}"
            )
    if not complaints:
        return found
    if root is None:
        head = (
            f"{called} needs files, and no data directory was named: give --data-dir DIR (data_dir= in Python) or set"
            " TLADAPT_DATA=DIR. What it needs in there:"
        )
    else:
        head = f"{called} needs files that are not in {str(root)!r}:"
    raise MissingDataError("\n".join([head, *complaints]))


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(path: Path) -> str:
    """Return the sha256 of a file; of a folder, that of the names and checksums of the files below it."""
    if path.is_file():
        return sha256(path)
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {sha256(file)}\n".encode())
    return digest.hexdigest()


def damaged(path: Path | str, what: str) -> DamagedDataError:
    """Return the error for a file that is there and cannot be trusted."""
    return DamagedDataError(f"{path} {what}. Fetch it again, or remove it if it is something else.")


def check_sha256(path: Path, expected: Sequence[str], *, content: bytes | None = None) -> None:
    """Raise `DamagedDataError` unless the file (or its unpacked content) has one of the known checksums."""
    got = sha256(path)
    if got in expected or (content is not None and hashlib.sha256(content).hexdigest() in expected):
        return
    raise damaged(
        path,
        f"can be read but is not the released file: expected sha256 {expected[0]}, got {got}"
        " (verify=False takes it as it is)",
    )


def check_md5(path: Path, expected: str) -> None:
    """Raise `DamagedDataError` unless the file has the md5 that its authors, or those who mirror it, state."""
    with open(path, "rb") as file:
        got = hashlib.file_digest(file, "md5").hexdigest()
    if got != expected:
        raise damaged(
            path,
            f"is not the released file: expected md5 {expected}, got {got} (verify=False takes it as it is)",
        )


def cache_directory() -> Path:
    """Return where decoded data is kept: TLADAPT_CACHE, else XDG_CACHE_HOME/tladapt, else ~/.cache/tladapt."""
    if own := os.environ.get("TLADAPT_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tladapt"


def cached_arrays(stem: str, names: Sequence[str], make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return `make()`, or what an earlier call with the same `stem` left in the cache.

    The file is written beside its place and renamed, so that it is whole or absent; one that is damaged all the same
    (its zip has a checksum for each array) is made again. A cache that cannot be written costs time only, and is
    logged.

    Args:
      stem: the file's name without its ending; holds whatever the arrays depend on.
      names: the arrays that `make` returns.
      make: does the work.
    """
    path = cache_directory() / f"{stem}.npz"
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        log.warning("The cache file %s is damaged (%s); it is made again.", path, problem)
    arrays = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".part", delete=False) as part:
            try:
                np.savez(part, **{name: arrays[name] for name in names})  # type: ignore[arg-type]
                part.close()
                os.replace(part.name, path)
            except BaseException:
                os.unlink(part.name)
                raise
    except OSError as problem:
        log.warning("Decoded data could not be kept in %s (%s); the next run decodes it again.", path, problem)
    return arrays
