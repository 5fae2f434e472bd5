"""Where weight files are looked for and kept, what their checksums are, and what to say of one that is not here."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from tladapt.errors import DamagedDataError, MissingDataError

_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z0-9]+$")


def weights_folder() -> Path | None:
    """Return the folder of weights that people bring: the variable TLADAPT_WEIGHTS, else None.

    Raises:
      MissingDataError: where the folder that is named does not exist.
    """
    named = os.environ.get("TLADAPT_WEIGHTS")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise MissingDataError(
            f"TLADAPT_WEIGHTS names {str(folder)!r}, and there is no such folder. Make it, or name another."
        )
    return folder


def cache_folder() -> Path:
    """Return where downloads are kept: weights/ in TLADAPT_CACHE, else in XDG_CACHE_HOME/tladapt, ~/.cache/tladapt."""
    if own := os.environ.get("TLADAPT_CACHE"):
        return Path(own).expanduser() / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tladapt" / "weights"


def bring(file: str, address: str, *, folder: str = "", sha256: str = "") -> str:
    """Return in words which file to bring, from where, and where to put it.

    Args:
      file: its name.
      address: where it can be had.
      folder: where it belongs within the folder of weights.
      sha256: its checksum, or the first digits; empty: not known.
    """
    named = weights_folder()
    place = str((named or Path("FOLDER")) / folder)
    how = "" if named else ", with TLADAPT_WEIGHTS=FOLDER set"
    checksum = f" (sha256 {sha256}{'...' if len(sha256) < 64 else ''})" if sha256 else ""
    return f"Bring {file}{checksum} from {address} and put it into {place}{how}; or give its path in place of the name."


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_in_name(name: str) -> str:
    """Return the first digits of the sha256 that torch's hub writes into names; empty: there are none.

    >>> sha256_in_name("resnet18-f37072fd.pth"), sha256_in_name("model.safetensors")
    ('f37072fd', '')
    """
    found = _IN_NAME.search(name)
    return found.group(1) if found else ""


def check_sha256(path: Path, expected: str) -> None:
    """Raise `DamagedDataError` unless the sha256 of a file begins with `expected`."""
    if expected and not (got := file_sha256(path)).startswith(expected.lower()):
        raise DamagedDataError(
            f"{path} is not the file that it should be: expected sha256 {expected}{'...' * (len(expected) < 64)}, got"
            f" {got}. Remove it, and fetch it again."
        )
