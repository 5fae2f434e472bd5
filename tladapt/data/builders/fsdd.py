"""The Free Spoken Digit Dataset for TFDS, by speaker: TFDS's own `spoken_digit` does not say who speaks."""

from __future__ import annotations

import functools
import io
import lzma
import re
import tarfile
import wave
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tladapt.data.builders.released import Part, Released
from tladapt.data.catalogue.files import Release, damaged

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RATE = 8000
TEST = 5
"""Recordings 0 to 4 of each digit and speaker are the official test set."""
PER_DIGIT = 50
"""Recordings of each digit by each speaker, as released."""
RECORDINGS = Release(
    title="Free Spoken Digit Dataset",
    files={"recordings": ("recordings", "fsdd_recordings.tar.xz", "v1.0.10.tar.gz")},
    folders=("fsdd", "free-spoken-digit-dataset", "free-spoken-digit-dataset-master", "."),
    obtain="https://github.com/Jakobovski/free-spoken-digit-dataset (its folder recordings/, 3,000 wav files)",
)
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")


class Recording(NamedTuple):
    """What the name DIGIT_SPEAKER_NUMBER.wav says, and the file's content."""

    digit: int
    number: int
    content: bytes


@functools.lru_cache(maxsize=1)
def _unpacked(path: Path, changed: int) -> dict[str, bytes]:
    """Return the content of the archive by file name; read once for all speakers. `changed`: when the file was."""
    del changed
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if _NAME.fullmatch(name) and (file := archive.extractfile(member)) is not None:
                    files[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as problem:
        raise damaged(path, f"is truncated or not a tar archive ({problem})") from None
    return files


def _recordings(path: Path, speaker: str) -> list[Recording]:
    """Return the recordings of one speaker, by digit and number."""
    if path.is_dir():
        files = {file.name: file.read_bytes() for file in path.glob(f"*_{speaker}_*.wav")}
    else:
        files = _unpacked(path, path.stat().st_mtime_ns)
    named = [(match, content) for name, content in files.items() if (match := _NAME.fullmatch(name))]
    return sorted(Recording(int(match[1]), int(match[3]), content) for match, content in named if match[2] == speaker)


def _samples(content: bytes, *, called: str) -> np.ndarray:
    """Return the samples of a wav file, int16 `[n]`."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            expected, data = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as problem:
        raise damaged(called, f"is not a wav file, or is truncated ({problem})") from None
    if form != (RATE, 1, 2) or len(data) != 2 * expected:
        raise damaged(called, f"is no wav file of {RATE} Hz, one channel and 16 bits, or is truncated")
    return np.frombuffer(data, "<i2").astype(np.int16)


class Fsdd(Released):
    """Free Spoken Digit Dataset: ten digits in English, one speaker a config, 8 kHz.

    Each of six speakers said each digit 50 times. "audio" is the waveform as recorded, int16 of any length (0.14 to
    2.28 s); "number" tells the recordings of a digit apart. The official split: 0 to 4 are "test" (50), the others
    "train" (450).

    Source: Jackson, Souza, Flaks, Pan, Nicolas, Thite, "Free Spoken Digit Dataset", 2018, doi:10.5281/zenodo.1342401.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = RECORDINGS.obtain
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in SPEAKERS]  # noqa: RUF012 (as TFDS has it)
    keys = ("audio", "label")
    licence = "CC BY-SA 4.0."

    def needs(self) -> Release:
        return RECORDINGS

    def features(self) -> dict[str, Any]:
        return {
            # Not tfds.features.Audio, which needs TensorFlow.
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding=tfds.features.Encoding.ZLIB),
            "label": tfds.features.ClassLabel(names=tuple("0123456789")),
            "speaker": tfds.features.ClassLabel(names=SPEAKERS),
            "number": tfds.features.Scalar(np.int32),
        }

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        path, speaker = paths["recordings"], self.builder_config.name
        found = _recordings(path, speaker)
        counts = np.bincount([one.digit for one in found], minlength=10)
        if not found or (self.verify and (counts != PER_DIGIT).any()):
            raise damaged(
                path,
                f"is not the released set: {speaker} has {counts.tolist()} recordings of the digits, not {PER_DIGIT} of"
                " each",
            )
        split = {
            "train": [one for one in found if one.number >= TEST],
            "test": [one for one in found if one.number < TEST],
        }
        return {name: Part(len(some), self._spoken(some, path, speaker)) for name, some in split.items()}

    @staticmethod
    def _spoken(some: Sequence[Recording], path: Path, speaker: str) -> Iterator[dict[str, Any]]:
        for digit, number, content in some:
            audio = _samples(content, called=f"{digit}_{speaker}_{number}.wav in {path}")
            yield {"audio": audio, "label": digit, "speaker": speaker, "number": number}
