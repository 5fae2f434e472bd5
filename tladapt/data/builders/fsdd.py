"""The Free Spoken Digit Dataset for TFDS, by speaker: TFDS's own `spoken_digit` does not say who speaks."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tladapt.data.builders.released import Part, Released
from tladapt.data.catalogue.files import Release, damaged
from tladapt.data.catalogue.spoken_digit_files import FSDD, FSDD_SHA256, NAME, SPEAKERS, digest_of, samples, wav_files

TEST = 5
"""Recordings 0 to 4 of each digit and speaker are the official test set."""


class Recording(NamedTuple):
    """What the name DIGIT_SPEAKER_NUMBER.wav says, and the file's content."""

    digit: int
    number: int
    content: bytes


@functools.lru_cache(maxsize=1)
def _unpacked(path: Path, changed: int) -> dict[str, bytes]:
    """Return the recordings by file name, read once for all speakers. `changed`: when the file at `path` was."""
    del changed
    return wav_files(path)


class Fsdd(Released):
    """Free Spoken Digit Dataset: ten digits in English, one speaker a config, 8 kHz.

    Each of six speakers said each digit 50 times. "audio" is the waveform as recorded, int16 of any length (0.14 to
    2.28 s); "number" tells the recordings of a digit apart. The official split: 0 to 4 are "test" (50), the others
    "train" (450).

    Source: Jackson, Souza, Flaks, Pan, Nicolas, Thite, "Free Spoken Digit Dataset", 2018, doi:10.5281/zenodo.1342401.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = FSDD.obtain
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=name) for name in SPEAKERS]  # noqa: RUF012 (as TFDS has it)
    keys = ("audio", "label")
    licence = "CC BY-SA 4.0."

    def needs(self) -> Release:
        return FSDD

    def features(self) -> dict[str, Any]:
        return {
            # Not tfds.features.Audio, which needs TensorFlow.
            "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding=tfds.features.Encoding.ZLIB),
            "label": tfds.features.ClassLabel(names=tuple("0123456789")),
            "speaker": tfds.features.ClassLabel(names=SPEAKERS),
            "number": tfds.features.Scalar(np.int32),
        }

    def sources(self, paths: Mapping[str, Path]) -> list[Path]:
        path = paths["any"]
        return [path.parent if path.suffix == ".wav" else path]

    def parts(self, paths: Mapping[str, Path]) -> dict[str, Part]:
        path, speaker = paths["any"], self.builder_config.name
        files = _unpacked(path, path.stat().st_mtime_ns)
        if self.verify and (got := digest_of(files)) != FSDD_SHA256:
            raise damaged(
                path,
                f"has {len(files):,} recordings that are not the released ones: expected sha256 {FSDD_SHA256}, got"
                f" {got} (verify=False takes them as they are)",
            )
        named = [(match, content) for name, content in files.items() if (match := NAME.fullmatch(name))]
        found = sorted(Recording(int(match[1]), int(match[3]), it) for match, it in named if match[2] == speaker)
        if not found:
            raise damaged(path, f"has no recording by {speaker}")
        split = {
            "train": [one for one in found if one.number >= TEST],
            "test": [one for one in found if one.number < TEST],
        }
        return {name: Part(len(some), self._spoken(some, path, speaker)) for name, some in split.items()}

    @staticmethod
    def _spoken(some: Sequence[Recording], path: Path, speaker: str) -> Iterator[dict[str, Any]]:
        for digit, number, content in some:
            audio = samples(content, called=f"{digit}_{speaker}_{number}.wav in {path}")
            yield {"audio": audio, "label": digit, "speaker": speaker, "number": number}
