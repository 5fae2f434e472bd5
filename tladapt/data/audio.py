"""Sound as pictures: power spectra of frames, mel bands, decibels, a fixed number of frames. NumPy alone."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal

import numpy as np

from tladapt.errors import UsageError

_QUIETEST = 1e-10  # power that counts as silence: -100 dB
_RANGE = 80.0  # decibels below an utterance's loudest cell beyond which nothing is told apart


def hertz_to_mel(frequency: Any) -> np.ndarray:
    """Return frequencies (Hz) on the mel scale of Slaney: linear up to 1,000 Hz, logarithmic above.

    `m(f) = 3 f / 200` for f < 1000, `m(f) = 15 + 27 ln(f / 1000) / ln 6.4` from there on.

    Source: Slaney, "Auditory Toolbox, version 2", Interval Research technical report 1998-010.

    >>> hertz_to_mel([0.0, 500.0, 1000.0, 6400.0]).tolist()
    [0.0, 7.5, 15.0, 42.0]
    """
    f = np.asarray(frequency, np.float64)
    return np.where(f < 1000.0, 3.0 * f / 200.0, 15.0 + 27.0 * np.log(np.maximum(f, 1000.0) / 1000.0) / math.log(6.4))


def mel_to_hertz(mel: Any) -> np.ndarray:
    """Return the frequencies (Hz) of values on the mel scale; the inverse of `hertz_to_mel`."""
    m = np.asarray(mel, np.float64)
    return np.where(m < 15.0, 200.0 * m / 3.0, 1000.0 * np.exp((np.maximum(m, 15.0) - 15.0) * math.log(6.4) / 27.0))


@functools.lru_cache(maxsize=8)
def mel_filterbank(mels: int, *, rate: int, size: int) -> np.ndarray:
    """Return the weights of triangular mel bands over the bins of a Fourier transform, float64 `[mels, size // 2 + 1]`.

    Band b rises from edge e_b to e_{b+1} and falls to e_{b+2}; the edges are evenly spaced in mel from 0 to rate / 2.
    `w_b(f) = 2 / (e_{b+2} - e_b) * max(0, min((f - e_b) / (e_{b+1} - e_b), (e_{b+2} - f) / (e_{b+2} - e_{b+1})))`: each
    triangle has area 1, so that noise of equal power at all frequencies has the same power in all bands.

    Args:
      mels: number of bands, at least 1.
      rate: samples a second.
      size: length of the transform in samples, even.

    Raises:
      UsageError: where a band is so narrow that no bin lies in it.

    Source: as `hertz_to_mel`.
    """
    edges = mel_to_hertz(np.linspace(0.0, float(hertz_to_mel(rate / 2)), mels + 2))  # [mels + 2]
    bins = np.arange(size // 2 + 1) * (rate / size)  # [bins]
    low, middle, high = (edges[start : start + mels, None] for start in range(3))  # [mels, 1]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)  # [mels, bins]
    weights = np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low))
    empty = np.flatnonzero(weights.max(axis=1) == 0)
    if len(empty):
        raise UsageError(
            f"{mels} mel bands are too many for {size} samples at {rate} Hz: no frequency lies in band {empty[0]}."
            " Take fewer bands or a longer window."
        )
    weights.setflags(write=False)
    return weights


def power_spectrogram(signal: Any, *, window: int, hop: int) -> np.ndarray:
    """Return the power of each frame at each frequency, `|sum_t h_t x_{k hop + t} exp(-2 pi i f t / N)|^2`.

    h is the periodic Hann window, `h_t = (1 - cos(2 pi t / window)) / 2`. Frames lie wholly within the signal; the rest
    at its end is left out, and a signal that is shorter than one frame is filled up with zeros. N is the smallest
    power of two from `window` on; the frames are filled up with zeros to it.

    Args:
      signal: samples `[n]`.
      window: length of a frame in samples.
      hop: samples from one frame to the next.

    Returns:
      float64 `[frames, N // 2 + 1]`, frames = 1 + (n - window) // hop.
    """
    x = np.asarray(signal, np.float64)
    x = np.pad(x, (0, max(0, window - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop]  # [frames, window]
    hann = 0.5 - 0.5 * np.cos(2.0 * math.pi * np.arange(window) / window)
    return np.abs(np.fft.rfft(frames * hann, fft_size(window), axis=1)) ** 2


def fft_size(window: int) -> int:
    """Return the smallest power of two from `window` on.

    >>> fft_size(200), fft_size(256)
    (256, 256)
    """
    return 1 << (window - 1).bit_length()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMel:
    """Sound as a picture of fixed size: decibels of mel bands over time, `[n] -> [frames, mels]`.

    `10 log10(power)` of each band in each frame; what is 80 dB below the loudest cell, or below 1e-10, is cut off
    there. Then the values are normalised over the whole utterance, and as many frames as are asked for are taken from
    its middle; a shorter one is filled up on both sides with the quietest value of each band.
    """

    mels: int = 32
    """Number of mel bands."""
    frames: int = 40
    """Number of frames."""
    window_ms: float = 32.0
    """Length of a frame in milliseconds."""
    hop_ms: float = 20.0
    """Time from one frame to the next in milliseconds."""
    normalize: Literal["utterance", "bands", "none"] = "utterance"
    """utterance: minus the mean over the deviation of all its values, so that loudness goes; bands: the same for each
    band by itself, so that the colour of voice and microphone goes, too; none: decibels."""

    def __post_init__(self) -> None:
        for name in ("mels", "frames", "window_ms", "hop_ms"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} of a spectrogram must be above 0, got {getattr(self, name)!r}.")

    def __call__(self, signal: Any, rate: int) -> np.ndarray:
        """Return the picture of samples in [-1, 1], taken `rate` times a second, as float32 `[frames, mels]`.

        Raises:
          UsageError: for a window or a hop of less than one sample, or too many bands for the window.
        """
        window, hop = (round(milliseconds * rate / 1000.0) for milliseconds in (self.window_ms, self.hop_ms))
        if window < 2 or hop < 1:
            raise UsageError(
                f"window_ms={self.window_ms:g} and hop_ms={self.hop_ms:g} are {window} and {hop} samples at {rate} Hz;"
                " at least 2 and 1 are needed."
            )
        power = power_spectrogram(signal, window=window, hop=hop)
        bands = power @ mel_filterbank(self.mels, rate=rate, size=fft_size(window)).T  # [any, mels]
        level = 10.0 * np.log10(np.maximum(bands, _QUIETEST))
        level = np.maximum(level, level.max() - _RANGE)
        if self.normalize != "none":
            axis = 0 if self.normalize == "bands" else None
            deviation = level.std(axis=axis, keepdims=True)
            level = (level - level.mean(axis=axis, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
        return self._fitted(level).astype(np.float32)

    def _fitted(self, level: np.ndarray) -> np.ndarray:
        """Return `[any, mels]` as `[frames, mels]`."""
        spare = len(level) - self.frames
        if spare >= 0:
            return level[spare // 2 : spare // 2 + self.frames]
        before = -spare // 2
        out = np.tile(level.min(axis=0), (self.frames, 1))
        out[before : before + len(level)] = level
        return out
