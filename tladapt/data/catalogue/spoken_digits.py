"""Spoken digits, one speaker being the target: log-mel pictures of the Free Spoken Digit Dataset."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from tladapt.data.audio import LogMel
from tladapt.data.catalogue.entry import SCENARIOS
from tladapt.data.catalogue.files import Release, damaged, locate, sha256
from tladapt.data.catalogue.pairs import PairEntry
from tladapt.data.catalogue.spoken_digit_files import FSDD, FSDD_SHA256, SPEAKERS, Recordings, read_recordings
from tladapt.data.domain import Domain, Scenario

_TEST = 5  # recordings 0 to 4 of each digit and speaker are the official test set


@SCENARIOS.register("spoken-digits")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpokenDigits(PairEntry):
    """English digits by one speaker, learnt from the others, or from one other.

    `spoken-digits:george` has the five others as source (leave one speaker out), `spoken-digits:jackson-george` Jackson
    alone. Each of the six speakers said each digit 50 times: 500 recordings, of 0.1 to 2.3 seconds, 8 kHz, all by men
    at their own microphones.

    Source: all recordings of the source's speakers, labelled. Target and test: all 500 of the target's (transductive).
      `split="official"` keeps the recordings 0 to 4 of each digit and speaker apart: 450 of the target's are adapted
      to and 50 tested on, which is few; the source's 50 a speaker are its validation set. The official split
      itself mixes speakers; that by speakers has no standard.
    Inputs: float32 `[frames, mels, 1]`, log-mel pictures (`tladapt.data.audio.LogMel`).

    Source: `read_recordings`.
    """

    pair: str = "george"
    """The target's speaker, of george, jackson, lucas, nicolas, theo and yweweler, all others being the source; or
    SOURCE-TARGET. "spoken-digits:theo" and "spoken-digits:lucas-theo" say it, too."""
    sources: Literal["together", "apart"] = "together"
    """together: the source's speakers are one domain; apart: one domain each, of which a batch takes equal counts (its
    size is then a multiple of their number)."""
    split: Literal["all", "official"] = "all"
    """all: train on all recordings and test on all of the target's; official: recordings 0 to 4 are for testing."""
    mels: int = 32
    """Number of mel bands."""
    frames: int = 40
    """Number of frames: the middle of longer recordings is taken, shorter ones are filled up with silence."""
    window_ms: float = 32.0
    """Length of a frame in milliseconds."""
    hop_ms: float = 20.0
    """Time from one frame to the next in milliseconds."""
    normalize: Literal["utterance", "bands", "none"] = "utterance"
    """By its own mean and deviation, each recording (loudness goes), each of its bands (microphone and voice go, too),
    or nothing (decibels)."""
    verify: bool = True
    """Refuse recordings that are not the 3,000 released ones."""

    summary: ClassVar[str] = "spoken digits, log-mel 40 x 32, 6 speakers: five -> the other (or any pair), tested on it"
    domains: ClassVar[tuple[str, ...]] = SPEAKERS
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    form: ClassVar[str] = "TARGET (the five others are the source) or SOURCE-TARGET, of"
    metric: ClassVar[str] = "accuracy"
    protocol: ClassVar[str] = (
        "Leave one speaker out: all recordings of five are the source, all 500 of the sixth the target and the test"
        " set; no official split by speakers."
    )
    sizes: ClassVar[Mapping[str, int]] = dict.fromkeys(SPEAKERS, 500)
    licence: ClassVar[str] = "CC BY-SA 4.0."
    obtain: ClassVar[str] = FSDD.obtain
    releases: ClassVar[tuple[Release, ...]] = (FSDD,)

    @classmethod
    def pairs(cls) -> list[str]:
        """Return the six speakers, each of them a target."""
        return list(cls.domains)

    @classmethod
    def further_pairs(cls) -> list[str]:
        """Return every pair of two speakers, "source-target"."""
        return super().pairs()

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> Scenario:
        """Read the recordings as float32 `[n, frames, mels, 1]`; the pictures are made once and kept in the cache."""
        called = f"spoken-digits:{self.pair}"
        choices = {field.name: getattr(self, field.name) for field in dataclasses.fields(LogMel)}
        log_mel = LogMel(**choices)
        (paths,) = locate((FSDD,), data_dir, called=called)
        path = paths["any"]
        read = read_recordings(path, log_mel)
        if self.verify and read.digest != FSDD_SHA256:
            raise damaged(
                path,
                f"has {len(read.x):,} recordings that are not the released ones: expected sha256 {FSDD_SHA256}, got"
                f" {read.digest} (verify=False takes them as they are)",
            )
        source, _, target = self.pair.rpartition("-")
        speakers = [source] if source else [speaker for speaker in self.domains if speaker != target]
        groups = [speakers] if self.sources == "together" else [[speaker] for speaker in speakers]
        official = self.split == "official"
        parts: tuple[bool | None, bool | None] = (False, True) if official else (None, None)
        origin = {"files": {str(path): sha256(path)} if path.suffix != ".wav" else {}}
        return Scenario(
            [_domain(read, group, parts[0]) for group in groups],
            _domain(read, [target], parts[0]),
            _domain(read, [target], True) if official else None,
            validation=_domain(read, speakers, True) if official else None,
            classes=self.classes,
            name=called,
            origin=origin,
        )


def _domain(read: Recordings, speakers: list[str], test: bool | None) -> Domain:
    """Return the recordings of some speakers: those of the test set, the others, or (None) all."""
    chosen = np.isin(read.speaker, speakers)
    if test is not None:
        chosen &= (read.index < _TEST) == test
    if not chosen.any():
        raise damaged("the folder of recordings", f"has none by {', '.join(speakers)}")
    name = "+".join(speakers) + (" test" if test else "")
    return Domain(read.x[chosen][..., None], read.digit[chosen], name=name)
