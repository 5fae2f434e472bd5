"""What a file is by its first bytes, and what to say of those that are no weights at all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tladapt.errors import DamagedDataError, UsageError
from tladapt.models.weights.archives import open_archive

_KNOWN = ".safetensors, .pth/.pt/.th/.bin of torch.save, .npz, or .h5 of Keras"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = 0x80  # opcode PROTO, with which every pickle since protocol 2 begins


def file_format(path: Path) -> Literal["safetensors", "torch", "npz", "keras"]:
    """Return what a file is by its content; its name decides only where the content says nothing.

    Raises:
      DamagedDataError: for what a failed download leaves: nothing, a web page, a Git LFS pointer, a server's message.
      UsageError: for other kinds of files, with how to make weights of them.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(1024)
    if size == 0:
        raise DamagedDataError(f"{path} is empty: 0 bytes, so its download or copy failed. Fetch it again.")
    _refuse_text(path, head, size)
    if head.startswith(_HDF5):
        return "keras"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path)
    if head[257:262] == b"ustar":
        raise UsageError(
            f"{path} is a tar archive: torch.save before torch 0.1.10, or a packed folder. Unpack it (tar xf),"
            " or load it with torch where it is from and save it again: torch.save(model.state_dict(), 'weights.pth')."
        )
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        raise UsageError(f"{path} is a compressed archive. Unpack it, and give the weight file in it ({_KNOWN}).")
    if (int.from_bytes(head[:8], "little") < 2**40 and head[8:9] == b"{") or path.suffix == ".safetensors":
        return "safetensors"
    if head[0] == _PICKLE or path.suffix in (".pth", ".pt", ".th", ".bin", ".pkl"):
        return "torch"
    raise UsageError(
        f"{path} ({size:,} bytes, beginning with {head[:16]!a}) is no known weight file. Expected {_KNOWN}."
    )


def _refuse_text(path: Path, head: bytes, size: int) -> None:
    """Raise where the file is text: weights are binary."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = text.lower()
    if text.startswith(b"version https://git-lfs.github.com/spec"):
        sizes = [line.removeprefix(b"size ") for line in text.splitlines() if line.startswith(b"size ")]
        real = f" of {int(sizes[0]):,} bytes" if sizes and sizes[0].isdigit() else ""
        raise DamagedDataError(
            f"{path} is a Git LFS pointer of {size:,} bytes and not the file{real} that it stands for. Fetch that with"
            " 'git lfs pull' in its repository, or download the file itself."
        )
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise DamagedDataError(
            f"{path} is a web page of {size:,} bytes saved under the name of weights: the download met a page (an"
            " error, a login, 'view file' in place of 'raw'). Open it in a browser to see which, and fetch the"
            " file itself."
        )
    if size <= len(head) and head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        shown = ascii(text.decode("ascii").strip()[:100])
        raise DamagedDataError(
            f"{path} is a text of {size:,} bytes, {shown}, and not weights: perhaps a server's message. Fetch it again."
        )


def _kind_of_zip(path: Path) -> Literal["torch", "npz"]:
    """Return which writer made a zip archive."""
    with open_archive(path) as (_, names):
        pass
    if "model.weights.h5" in names:
        raise UsageError(
            f"{path} is a whole Keras model: a zip archive with the weights in it. Unpack them, and give that file:"
            f" unzip {path.name} model.weights.h5"
        )
    return "npz" if names and any(name.endswith(".npy") for name in names) else "torch"
