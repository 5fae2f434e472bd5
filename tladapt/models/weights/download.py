"""Files from https addresses: resumed where they broke off, checked, and there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from io import BufferedRandom
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tladapt.errors import DamagedDataError, MissingDataError, UsageError
from tladapt.models.weights.places import bring, sha256_in_name

_BLOCK = 2**18
_ATTEMPTS = 3
_TIMEOUT = 30.0  # seconds without a byte
_LOCAL = ("localhost", "127.0.0.1", "::1")


def name_of(url: str) -> str:
    """Return the name of the file that an address ends in.

    Raises:
      UsageError: for one that is not https, or ends in no name.

    >>> name_of("https://download.pytorch.org/models/resnet18-f37072fd.pth?download=true")
    'resnet18-f37072fd.pth'
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise UsageError(f"Weights are fetched from https addresses, got {url!r}. Fetch it yourself and give its path.")
    name = PurePosixPath(unquote(parts.path)).name
    if not name or name != Path(name).name or name in (".", ".."):
        raise UsageError(f"The address {url!r} ends in no name of a file. Give the address of the weight file itself.")
    return name


def download(url: str, folder: Path, *, sha256: str = "") -> Path:
    """Return the file of an address in `folder`, fetched unless it is there.

    What has come is kept in `NAME.part`, beside its place, and only renamed when it is whole and its checksum is right.
    Where the checksum is known, a download that broke off goes on from there, now or the next time; without one it
    begins anew, since the two halves could be of different files.

    Args:
      url: an https address.
      folder: where to keep the file; made if needed.
      sha256: its checksum, or the first digits of it; empty: what the name says ("resnet18-f37072fd.pth"), if anything.

    Raises:
      UsageError: for an address that cannot be used.
      MissingDataError: the file cannot be had; names what to bring and where to put it.
      DamagedDataError: what comes is not what the checksum says.
    """
    name = name_of(url)
    sha256 = (sha256 or sha256_in_name(name)).lower()
    target = folder / name
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{name}.part") as part:
        if target.exists():  # another process fetched it meanwhile
            return target
        if not sha256:
            part.truncate(0)
        _fetch(url, part, name, sha256)
        got = _sha256(part)
        if not got.startswith(sha256):
            part.truncate(0)
            raise DamagedDataError(
                f"{url} gave another file than its name says: expected sha256 {sha256}{'...' * (len(sha256) < 64)}, got"
                f" {got}. It was thrown away. {bring(name, url, sha256=sha256)}"
            )
        part.flush()
        os.fsync(part.fileno())
        os.replace(folder / f"{name}.part", target)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[BufferedRandom]:
    """Open a file to read and append, alone: another process that fetches the same file waits."""
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _fetch(url: str, part: BufferedRandom, name: str, sha256: str) -> None:
    """Append to `part` until it is whole; a connection that breaks is made again while more keeps coming."""
    reason = ""
    for attempt in range(_ATTEMPTS):
        begun = part.seek(0, os.SEEK_END)
        if attempt and not sha256:
            part.truncate(0)
        try:
            if _receive(url, part, name):
                return
            reason = "the connection broke"
        except urllib.error.HTTPError as problem:
            problem.close()
            if problem.code == 416 and begun:  # nothing comes after what is there: too much of it, or all
                if sha256 and _sha256(part).startswith(sha256):
                    return
                part.truncate(0)
                continue
            reason = f"the server says {problem.code} {problem.reason}"
            if problem.code < 500:
                break
        except (OSError, http.client.HTTPException) as problem:  # URLError and timeouts among them
            reason = str(getattr(problem, "reason", "") or problem) or type(problem).__name__
        if attempt and part.seek(0, os.SEEK_END) <= begun:
            break
    kept = part.seek(0, os.SEEK_END)
    on = f" {kept:,} bytes are kept, and the same call goes on from there." if kept and sha256 else ""
    raise MissingDataError(
        f"{name} is not here and could not be fetched: {reason}.{on} {bring(name, url, sha256=sha256)}"
    )


def _receive(url: str, part: BufferedRandom, name: str) -> bool:
    """Append what one connection gives, and return whether that is all."""
    begin = part.seek(0, os.SEEK_END)
    headers = {"User-Agent": "tladapt", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers | ({"Range": f"bytes={begin}-"} if begin else {}))
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        name_of(response.url)  # where it was sent on to has to be https, too
        if begin and not (
            response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {begin}-")
        ):
            begin = 0  # the server knows no ranges: it begins anew
            part.truncate(0)
        length = response.headers.get("Content-Length", "")
        total = begin + int(length) if length.isdigit() else None
        with _bar(name, begin, total) as advance:
            while block := _block(response):
                part.write(block)
                advance(len(block))
        part.flush()
        return total is None or part.tell() == total


def _block(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except http.client.IncompleteRead as broken:
        return broken.partial


def _sha256(file: BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _bar(name: str, begin: int, total: int | None) -> Iterator[Callable[[int], Any]]:
    """Show how much has come, on stderr: a bar on a terminal, one line elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        size = "" if total is None else f", {total:,} bytes"
        since = f", from byte {begin:,} on" if begin else ""
        console.print(f"fetching {name}{size}{since}", markup=False, soft_wrap=True)
    columns = (BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}", markup=False), *columns, console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(name, total=total, completed=begin)
        yield lambda size: bar.advance(task, size)
