"""Spoken digits: small wav files of the released layout, and the real ones where TLADAPT_DATA names them."""

from __future__ import annotations

import io
import os
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest

from tladapt.data import load
from tladapt.data.audio import LogMel
from tladapt.data.catalogue.spoken_digit_files import SPEAKERS, read_wav
from tladapt.data.catalogue.spoken_digits import SpokenDigits
from tladapt.errors import DamagedDataError, MissingDataError, UnknownNameError, UsageError

REAL = os.environ.get("TLADAPT_DATA", "")
real = pytest.mark.skipif(
    not Path(REAL, "fsdd/fsdd_recordings.tar.xz").exists() if REAL else True,
    reason=f"TLADAPT_DATA ({REAL or 'unset'}) has no fsdd/fsdd_recordings.tar.xz",
)
RNG = np.random.default_rng(0)


def wav(samples: np.ndarray, *, rate: int = 8000, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


SOUNDS = {
    f"{digit}_{speaker}_{index}.wav": RNG.integers(-9000, 9000, 500 + 100 * index)
    for speaker in SPEAKERS
    for digit in (0, 1)
    for index in (3, 10, 4, 5)
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TLADAPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path) -> Path:
    """A data directory with the archive."""
    (tmp_path / "fsdd").mkdir()
    with tarfile.open(tmp_path / "fsdd/fsdd_recordings.tar.xz", "w:xz") as archive:
        for name, content in [*((name, wav(x)) for name, x in SOUNDS.items()), ("notes.txt", b"none")]:
            info = tarfile.TarInfo(f"recordings/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return tmp_path


def test_one_speaker_is_left_out(root, cache):
    scenario = load("spoken-digits:theo", root, verify=False, mels=16, frames=8)
    (source,), target = scenario.source, scenario.target
    assert source.name == "george+jackson+lucas+nicolas+yweweler" and target.name == "theo" == scenario.test.name
    assert source.x.shape == (40, 8, 16, 1) and source.x.dtype == np.float32 and len(target) == 8
    assert source.y[:8].tolist() == [0, 0, 0, 0, 1, 1, 1, 1] and target.y is None  # by speaker, digit and index
    expected = LogMel(mels=16, frames=8)(SOUNDS["1_lucas_10.wav"] / 32768, 8000)
    np.testing.assert_allclose(source.x[2 * 8 + 7, :, :, 0], expected, atol=1e-5)
    assert len(scenario.origin["files"]) == 1
    again = load("spoken-digits:theo", root, verify=False, mels=16, frames=8)
    assert len(list(cache.glob("fsdd-*.npz"))) == 1  # decoded once
    np.testing.assert_array_equal(again.source[0].x, source.x)
    load("spoken-digits:theo", root, verify=False, mels=20, frames=8)
    assert len(list(cache.glob("fsdd-*.npz"))) == 2


def test_pairs_and_speakers_apart(root):
    scenario = load("spoken-digits:lucas-theo", root, verify=False, mels=8)
    assert [domain.name for domain in scenario.source] == ["lucas"] and len(scenario.source[0]) == 8
    apart = load("spoken-digits", root, pair="theo", sources="apart", verify=False, mels=8)
    assert [domain.name for domain in apart.source] == ["george", "jackson", "lucas", "nicolas", "yweweler"]
    assert SpokenDigits.pairs() == list(SPEAKERS) and len(SpokenDigits.further_pairs()) == 30
    with pytest.raises(UnknownNameError, match=r"TARGET \(the five others .* Did you mean 'jackson'"):
        load("spoken-digits:jakson", root)


def test_the_official_split_goes_by_index(root):
    scenario = load("spoken-digits:george", root, split="official", verify=False, mels=8)
    counts = [len(d) for d in (scenario.source[0], scenario.target, scenario.test, scenario.validation)]
    assert counts == [20, 4, 4, 20]  # indices 5 and 10, and 3 and 4, of two digits
    pictures = {row.tobytes() for row in scenario.target.x} & {row.tobytes() for row in scenario.test.x}
    assert not pictures and scenario.test.name == "george test"


def test_a_folder_reads_the_same(root):
    expected = load("spoken-digits:george", root, verify=False, mels=8)
    (root / "fsdd/fsdd_recordings.tar.xz").unlink()
    folder = root / "fsdd/recordings"
    folder.mkdir()
    for name, x in SOUNDS.items():
        (folder / name).write_bytes(wav(x))
    with pytest.raises(MissingDataError, match=r"fsdd_recordings.tar.xz\n.*Jakobovski"):
        load("spoken-digits:george", root)
    (folder / "0_george_0.wav").write_bytes(wav(SOUNDS["0_george_3.wav"]))
    scenario = load("spoken-digits:george", root, verify=False, mels=8)
    np.testing.assert_array_equal(scenario.source[0].x, expected.source[0].x)
    np.testing.assert_array_equal(scenario.target.x[1:], expected.target.x)
    with pytest.raises(DamagedDataError, match=r"49 recordings that are not the released ones.*verify=False"):
        load("spoken-digits:george", root, mels=8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"RIFF", "not a wav file, or is truncated"),
        (wav(np.zeros(10), rate=16000), "16000 Hz"),
        (wav(np.zeros(10), width=1), "1 bytes a sample"),
        (wav(np.zeros(10))[:-6], "header says 10 samples, it holds 7"),
        (wav(np.zeros(0)), "0 samples"),
    ],
)
def test_damaged_sounds_are_told(content, words):
    with pytest.raises(DamagedDataError, match=words):
        read_wav(content, called="x.wav")


def test_samples_are_fractions_of_full_scale():
    x = read_wav(wav(np.array([-32768, 0, 16384])), called="x.wav")
    assert x.dtype == np.float32 and x.tolist() == [-1.0, 0.0, 0.5]


def test_damaged_archives_and_impossible_choices_are_told(root):
    path = root / "fsdd/fsdd_recordings.tar.xz"
    with pytest.raises(UsageError, match="500 mel bands are too many"):
        load("spoken-digits:george", root, verify=False, mels=500)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DamagedDataError, match="truncated or not a tar archive"):
        load("spoken-digits:george", root, verify=False)
    with tarfile.open(path, "w:xz"):
        pass
    with pytest.raises(DamagedDataError, match="has no recording"):
        load("spoken-digits:george", root, verify=False)


@real
def test_real_recordings():
    scenario = load("spoken-digits:george", REAL)
    (source,) = scenario.source
    assert (len(source), len(scenario.target), source.shape) == (2500, 500, (40, 32, 1))
    assert np.bincount(source.y).tolist() == [250] * 10 and np.bincount(scenario.test.y).tolist() == [50] * 10
    assert np.isfinite(source.x).all()
    pair = load("spoken-digits:theo-lucas", REAL, split="official")
    assert [len(d) for d in (pair.source[0], pair.target, pair.test, pair.validation)] == [450, 450, 50, 50]
