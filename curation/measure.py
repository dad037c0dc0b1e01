"""Measure a sound: level, loudness, clipping, silence, noise, bandwidth, channels. Arrays in, numbers out."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyloudnorm
from numpy.typing import NDArray
from scipy import fft

from curation.audio import FULL_SCALE, Samples

FRAME_S = 0.02  # over which a level is taken
REST_S = 0.1  # over which a mean is taken: two periods of the lowest audible tone
LOWEST_DBFS = -200.0  # the level of digital silence
QUANTISATION = 1 / FULL_SCALE**2 / 12  # power of the noise that rounding to 16 bits adds, full scale 1
FLAT_FROM = 0.1  # peak, full scale 1: below, runs of equal samples come from coarse rounding
FLAT_SAMPLES = 3  # in a row: what a clipped peak has and a rounded one seldom
BAND_DB = 60  # how far the spectrum must fall below its maximum to end
BAND_OVER_NOISE_DB = 20  # how far it must be above 16-bit noise
BAND_FFT = 512  # samples
CANCELLED = -0.95  # correlation of neighbouring channels


def peak_dbfs(sound: Samples) -> float:
    """Return the largest absolute sample of `sound` (n,), in dB of full scale."""
    return _db(float(np.abs(sound).max()) ** 2)


def rms_dbfs(sound: Samples) -> float:
    """Return the root mean square of `sound` (n,), in dB of full scale: a full-scale square wave has 0."""
    return _db(float(np.dot(sound, sound)) / len(sound))


def loudness_lufs(sound: Samples, rate_hz: int) -> float:
    """Return the loudness of `sound` (n,) after ITU-R BS.1770-4; NaN: shorter than 0.4 s, or below its gate."""
    meter = _meter(rate_hz)
    if len(sound) < meter.block_size * rate_hz:
        return math.nan
    loudness = float(meter.integrated_loudness(sound))
    return loudness if math.isfinite(loudness) else math.nan


@lru_cache(maxsize=1)
def _meter(rate_hz: int) -> pyloudnorm.Meter:
    return pyloudnorm.Meter(rate_hz)


def dc_offset(sound: Samples, rate_hz: int) -> float:
    """Return where `sound` (n,) rests, full scale 1: the median of the means of frames of `REST_S`.

    The mean of the whole would take a bang, whose pressure is one-sided, for an offset of the recorder.
    """
    frame = min(len(sound), round(REST_S * rate_hz))
    means = sound[: len(sound) // frame * frame].reshape(-1, frame).mean(axis=1, dtype=np.float64)
    return float(np.median(means))


def clipped_share(sound: Samples) -> float:
    """Return the share of `sound` (n,), at its source's rate, in flat runs at its peak.

    The peak need not be full scale: a recording that was clipped and then attenuated is found too. What exceeds full
    scale counts as clipped, for it will be.
    """
    peak = min(1.0, max(float(sound.max()), -float(sound.min())))
    if peak < FLAT_FROM:
        return 0.0
    edge = peak - 1 / FULL_SCALE
    return (_in_runs(sound >= edge) + _in_runs(sound <= -edge)) / len(sound)


def _in_runs(at_peak: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(at_peak)
    runs = np.diff(np.flatnonzero(np.diff(places, prepend=-2, append=-2) != 1))
    return int(runs[runs >= FLAT_SAMPLES].sum())


@dataclass(frozen=True)
class Silence:
    """Where a sound is silent."""

    share: float  # of its frames; 1: all of it
    leading_s: float  # before the first frame that is not
    trailing_s: float  # after the last frame that is not


def silence(sound: Samples, rate_hz: int, *, below_dbfs: float) -> Silence:
    """Return where frames of 20 ms of `sound` (n,), its mean taken off, stay below `below_dbfs`."""
    is_loud = 10 * np.log10(_powers(sound, rate_hz)) >= below_dbfs
    length_s = len(sound) / rate_hz
    if not is_loud.any():
        return Silence(1.0, length_s, length_s)
    first, last = np.flatnonzero(is_loud)[[0, -1]]
    return Silence(float(1 - is_loud.mean()), first * FRAME_S, max(0.0, length_s - (last + 1) * FRAME_S))


def snr_db(sound: Samples, rate_hz: int) -> float:
    """Return the power of the loud frames over that of the quiet ones, an estimate of signal to noise, in dB.

    Quiet and loud are the 10th and the 95th percentile of the powers of 20 ms frames, after subtracting the quiet from
    the loud. A steady sound has no quiet frames and thus a low value; no frame is held quieter than 16-bit noise.
    """
    noise, both = np.percentile(_powers(sound, rate_hz), [10, 95])
    return _db(both - noise) - _db(max(noise, QUANTISATION))


def bandwidth_hz(sound: Samples, rate_hz: int) -> float:
    """Return the highest frequency of `sound` (n,) at which there is sound.

    There, the mean power spectrum (Welch 1967, doi 10.1109/TAU.1967.1161901) is within 60 dB of its maximum and 20 dB
    above 16-bit noise. A sound resampled from 8 kHz has at most 4000, whatever `rate_hz` is now.
    """
    padded = np.pad(sound, (0, max(0, BAND_FFT - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, BAND_FFT)[:: BAND_FFT // 2]
    window = np.hanning(BAND_FFT).astype(np.float32)
    powers = np.square(np.abs(fft.rfft(frames * window))).mean(axis=0) / np.square(window).sum()
    floor = max(powers.max() * 10 ** (-BAND_DB / 10), QUANTISATION * 10 ** (BAND_OVER_NOISE_DB / 10))
    return float(np.flatnonzero(powers >= floor).max(initial=0) * rate_hz / BAND_FFT)


def dead_channels(powers: NDArray[np.float64]) -> int:
    """Return how many channels are digital silence while another is not, from the powers (channels,)."""
    return int((powers == 0).sum()) if powers.any() else 0


def inverted(powers: NDArray[np.float64], products: NDArray[np.float64]) -> bool:
    """Return whether two neighbouring channels cancel each other when mixed.

    Args:
        powers: (channels,), the sum of squares of each.
        products: (channels - 1,), the sum of products of each and the next.
    """
    return bool((products < CANCELLED * np.sqrt(powers[:-1] * powers[1:])).any())


def _powers(sound: Samples, rate_hz: int) -> NDArray[np.float64]:
    """Return the mean square of each frame of `sound` (n,) without its mean, never 0; the last may be shorter."""
    frame = round(FRAME_S * rate_hz)
    starts = np.arange(0, len(sound), frame)
    squares = np.square(sound - sound.mean(), dtype=np.float64)
    powers: NDArray[np.float64] = np.add.reduceat(squares, starts) / np.diff(starts, append=len(sound))
    return np.maximum(powers, 10 ** (LOWEST_DBFS / 10))


def _db(power: float) -> float:
    return 10 * math.log10(max(power, 10 ** (LOWEST_DBFS / 10)))
