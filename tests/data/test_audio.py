"""Spectra against closed forms and SciPy, mel bands against their formula, pictures of fixed size."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as scipy_signal

from tladapt.data.audio import (
    LogMel,
    fft_size,
    hertz_to_mel,
    mel_filterbank,
    mel_to_hertz,
    power_spectrogram,
)
from tladapt.errors import UsageError

RATE = 8000
NOISE = np.random.default_rng(0).normal(size=3000) * 0.1


def sine(frequency: float, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


def test_mel_scale_is_slaneys():
    mel = np.linspace(0, 40, 81)
    np.testing.assert_allclose(hertz_to_mel(mel_to_hertz(mel)), mel, atol=1e-10)
    np.testing.assert_allclose(mel_to_hertz([0, 3, 15, 42]), [0, 200, 1000, 6400])
    step = np.diff(mel_to_hertz(mel))
    assert (np.diff(step) > -1e-9).all()  # ever wider, and no jump where the two halves meet


def test_power_of_a_sine_lies_where_its_closed_form_says():
    """Amplitude 1 in bin k: Hann's transform gives (N / 4)^2 there, (N / 8)^2 beside it, and nothing elsewhere."""
    power = power_spectrogram(sine(1000), window=256, hop=100)
    assert power.shape == (1 + (4000 - 256) // 100, 129)
    expected = np.zeros(129)
    expected[31:34] = (256 / 8) ** 2, (256 / 4) ** 2, (256 / 8) ** 2  # 1000 Hz is bin 32 of 31.25 Hz
    np.testing.assert_allclose(power, np.tile(expected, (len(power), 1)), atol=1e-6)


@pytest.mark.parametrize(("window", "hop"), [(256, 128), (200, 77), (255, 300)])
def test_parseval_and_scipy(window, hop):
    power = power_spectrogram(NOISE, window=window, hop=hop)
    hann = scipy_signal.get_window("hann", window)
    for k, row in enumerate(power):
        energy = np.square(NOISE[k * hop : k * hop + window] * hann).sum()
        whole = (row[0] + 2 * row[1:-1].sum() + row[-1]) / fft_size(window)
        np.testing.assert_allclose(whole, energy, rtol=1e-10)
    if hop < window:
        _, _, theirs = scipy_signal.stft(
            NOISE, nperseg=window, noverlap=window - hop, nfft=fft_size(window), boundary=None, padded=False
        )  # divided by the sum of the window
        np.testing.assert_allclose(power, np.abs(theirs.T * hann.sum()) ** 2, rtol=1e-8, atol=1e-12)


def test_a_signal_shorter_than_a_frame_is_filled_up_with_zeros():
    short = NOISE[:100]
    expected = power_spectrogram(np.pad(short, (0, 156)), window=256, hop=128)
    np.testing.assert_array_equal(power_spectrogram(short, window=256, hop=128), expected)
    assert expected.shape == (1, 129)


def test_bands_have_area_one_and_share_what_lies_between_them():
    weights = mel_filterbank(32, rate=RATE, size=4096)
    assert weights.shape == (32, 2049) and not weights.flags.writeable
    np.testing.assert_allclose(weights.sum(axis=1) * RATE / 4096, 1.0, atol=1e-3)
    edges = mel_to_hertz(np.linspace(0, hertz_to_mel(4000), 34))
    triangles = weights * ((edges[2:] - edges[:-2]) / 2)[:, None]
    bins = np.arange(2049) * RATE / 4096
    inside = (bins >= edges[1]) & (bins <= edges[-2])
    np.testing.assert_allclose(triangles.sum(axis=0)[inside], 1.0)  # neighbours rise as the others fall
    assert (np.abs(bins[weights.argmax(axis=1)] - edges[1:-1]) <= RATE / 4096).all()
    with pytest.raises(UsageError, match="200 mel bands are too many for 256 samples"):
        mel_filterbank(200, rate=RATE, size=256)


@pytest.mark.parametrize("frequency", [300.0, 1100.0, 3000.0])
def test_a_sine_is_loudest_in_its_band_and_decibels_follow_loudness(frequency):
    log_mel = LogMel(normalize="none", frames=20)
    loud, soft = log_mel(sine(frequency), RATE), log_mel(0.1 * sine(frequency), RATE)
    assert loud.shape == (20, 32) and loud.dtype == np.float32
    edges = mel_to_hertz(np.linspace(0, hertz_to_mel(4000), 34))
    best = int(np.abs(edges[1:-1] - frequency).argmin())
    assert abs(int(loud.mean(axis=0).argmax()) - best) <= 1
    np.testing.assert_allclose(loud - soft, 20.0, atol=1e-3)
    np.testing.assert_allclose(loud.max() - loud.min(), 80.0, atol=1e-4)  # what is below is cut off


def test_normalisation_takes_loudness_away_and_by_bands_the_microphone():
    long = LogMel(frames=len(power_spectrogram(NOISE, window=256, hop=160)))
    np.testing.assert_allclose(long(NOISE, RATE), long(0.03 * NOISE, RATE), atol=1e-4)
    assert abs(long(NOISE, RATE).mean()) < 1e-5 and abs(long(NOISE, RATE).std() - 1) < 1e-5
    coloured = np.convolve(NOISE, [1.0, -0.9])[: len(NOISE)]
    bands = LogMel(frames=long.frames, normalize="bands")
    by_bands = bands(coloured, RATE)
    np.testing.assert_allclose(by_bands.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(by_bands.std(axis=0), 1, atol=1e-4)
    assert np.corrcoef(by_bands.ravel(), bands(NOISE, RATE).ravel())[0, 1] > 0.95
    assert np.isfinite(LogMel()(np.zeros(900), RATE)).all()  # nothing was said


def test_the_middle_of_long_sounds_is_taken_and_short_ones_are_filled_up_on_both_sides():
    options = {"normalize": "none", "window_ms": 32, "hop_ms": 16}
    whole = LogMel(frames=22, **options)(NOISE, RATE)  # 1 + (3000 - 256) // 128
    np.testing.assert_array_equal(LogMel(frames=10, **options)(NOISE, RATE), whole[6:16])
    more = LogMel(frames=27, **options)(NOISE, RATE)
    np.testing.assert_array_equal(more[2:24], whole)
    np.testing.assert_array_equal(more[[0, 1, 24, 26]], np.tile(whole.min(axis=0), (4, 1)))


@pytest.mark.parametrize("options", [{"mels": 0}, {"frames": -1}, {"hop_ms": 0.0}, {"window_ms": 0.1}])
def test_impossible_choices_are_told(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        LogMel(**options)(NOISE, RATE)
