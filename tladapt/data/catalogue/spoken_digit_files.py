"""Reader of the Free Spoken Digit Dataset: wav files named DIGIT_SPEAKER_INDEX.wav, in a folder or an archive."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import lzma
import os
import re
import tarfile
import wave
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from tladapt.data.audio import LogMel
from tladapt.data.catalogue.files import Release, cached_arrays, damaged, sha256

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RATE = 8000
FIRST = "0_george_0.wav"
FSDD = Release(
    title="Free Spoken Digit Dataset",
    files={
        "any": (
            "fsdd_recordings.tar.xz",
            f"recordings/{FIRST}",
            f"free-spoken-digit-dataset-master/recordings/{FIRST}",
            FIRST,
            *("free-spoken-digit-dataset-master.tar.gz", "v1.0.10.tar.gz"),
        )
    },
    folders=("fsdd", "free-spoken-digit-dataset", "free-spoken-digit-dataset-master", "."),
    obtain="https://github.com/Jakobovski/free-spoken-digit-dataset (its folder recordings/, 3,000 wav files)",
)
FSDD_SHA256 = "0fbe6612aaa20a80ef4371894a46e060038337a518fe3d4728cb7eee7caa013c"
"""Of the names and contents of the 3,000 recordings, in the order of the names."""
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
"""Digit, speaker, and number of the recording."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recordings:
    """Log-mel pictures of the recordings, in the order of speaker, digit and index.

    Attributes:
      x: float32 `[n, frames, mels]`.
      digit: int64 `[n]`.
      speaker: names `[n]`.
      index: number of the recording among those of a digit and a speaker, int64 `[n]`.
      digest: sha256 of the names and contents of all files.
    """

    x: np.ndarray
    digit: np.ndarray
    speaker: np.ndarray
    index: np.ndarray
    digest: str


def wav_files(path: Path) -> dict[str, bytes]:
    """Return the content of the recordings by file name.

    Args:
      path: the archive, or any file in the folder recordings/.

    Raises:
      DamagedDataError: for an archive that cannot be read, or has none.
    """
    if not path.name.endswith((".xz", ".gz")):
        return {file.name: file.read_bytes() for file in path.parent.iterdir() if NAME.fullmatch(file.name)}
    out: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                file = archive.extractfile(member) if member.isfile() and NAME.fullmatch(name) else None
                if file is not None:
                    out[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as problem:
        raise damaged(path, f"is truncated or not a tar archive ({problem})") from None
    if not out:
        raise damaged(path, "has no recording DIGIT_SPEAKER_INDEX.wav in it")
    return out


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the sha256 of names and contents, in the order of the names: `FSDD_SHA256` of the released ones."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()


def _key(path: Path) -> str:
    """Return what the recordings depend on: the archive's sha256, or the folder's names, sizes and times."""
    if path.name.endswith((".xz", ".gz")):
        return sha256(path)
    digest = hashlib.sha256()
    for entry in sorted(os.scandir(path.parent), key=lambda entry: entry.name):
        if NAME.fullmatch(entry.name):
            status = entry.stat()
            digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def read_wav(content: bytes, *, called: str) -> np.ndarray:
    """Return the samples of a wav file of 8 kHz, one channel, 16 bits: float32 `[n]` in [-1, 1); see `samples`."""
    return samples(content, called=called).astype(np.float32) / np.float32(32768)


def samples(content: bytes, *, called: str) -> np.ndarray:
    """Return the samples of a wav file of 8 kHz, one channel, 16 bits as they are: int16 `[n]`.

    Raises:
      DamagedDataError: for any other file.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            expected, data = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as problem:
        raise damaged(called, f"is not a wav file, or is truncated ({problem})") from None
    if form != (RATE, 1, 2):
        raise damaged(called, f"has {form[0]} Hz, {form[1]} channels, {form[2]} bytes a sample; expected {RATE}, 1, 2")
    if len(data) != 2 * expected or expected == 0:
        raise damaged(called, f"is truncated: its header says {expected} samples, it holds {len(data) // 2}")
    return np.frombuffer(data, "<i2").astype(np.int16)


def _made(path: Path, log_mel: LogMel) -> dict[str, np.ndarray]:
    files = wav_files(path)
    rows = []
    for name, content in files.items():
        digit, speaker, index = NAME.fullmatch(name).groups()  # type: ignore[union-attr]
        picture = log_mel(read_wav(content, called=f"{name} in {path}"), RATE)
        rows.append((speaker, int(digit), int(index), picture))
    rows.sort(key=lambda row: row[:3])
    speaker, digit, index, x = zip(*rows, strict=True)
    return {
        "x": np.stack(x),
        "digit": np.array(digit),
        "speaker": np.array(speaker),
        "index": np.array(index),
        "digest": np.array(digest_of(files)),
    }


def read_recordings(path: Path, log_mel: LogMel) -> Recordings:
    """Return the log-mel pictures of all recordings.

    This takes a few seconds, once: the pictures are kept in the cache directory (TLADAPT_CACHE), by the files and by
    the choices of `log_mel`.

    Source: Jackson, Souza, Flaks, Pan, Nicolas, Thite, "Free Spoken Digit Dataset", v1.0.8, 2018,
      doi:10.5281/zenodo.1342401.

    Args:
      path: the archive of the recordings, or any file in the folder recordings/.
      log_mel: how sound becomes a picture.

    Raises:
      DamagedDataError: for files that are something else.
    """
    choices = "-".join(str(value) for value in dataclasses.asdict(log_mel).values())
    names = [field.name for field in dataclasses.fields(Recordings)]
    arrays = cached_arrays(f"fsdd-{_key(path)[:20]}-{choices}-v1", names, lambda: _made(path, log_mel))
    return Recordings(**{**arrays, "digest": str(arrays["digest"])})  # type: ignore[arg-type]
