"""Describe a sound by numbers: what the vectors of the clips are made of."""

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import librosa
import numpy as np
import scipy.signal
from numpy.typing import NDArray
from pydantic import Field

from curation import params, variations
from curation.audio import Samples

Array: TypeAlias = NDArray[np.float32]

LOW_HZ = 50  # lower edge of the mel bands
TINY = 1e-6  # keeps quotients and logarithms of silence finite
COEFFICIENTS = 20  # of the mel cepstrum
LAGS_S, LAGS = (0.064, 3.0), 24  # range and number of the lags at which onsets may repeat
BANDS, SLOWEST_HZ, RATES, PERIOD_S = 16, 0.5, 8, 4.0  # of the modulation spectrum: bands, rates, window
KERNELS, BIAS_DB = 4, 10.0  # random convolutions a pair of dilations, and the deviation of their biases
DILATIONS = tuple(itertools.product((1, 2, 4, 8), (1, 2, 4, 8, 16, 32)))  # in mel bands and in frames
SLOW, SLOW_KERNELS = 3, 8  # frames whose mean is one of the slow patterns' frames; their convolutions a pair
SLOW_DILATIONS = tuple(itertools.product((1, 2, 4, 8), (1, 2, 4, 8)))
REGIONS = 4  # of mel bands, each pooled by itself: where a pattern lies matters, but not to a band
SEED = 0  # of the random convolutions


class Params(params.Section):
    """Section `features` of params.yaml."""

    window_s: float = Field(ge=0.01, le=1)  # of a spectrum
    hop_s: float = Field(ge=0.001, le=0.05)  # from spectrum to spectrum
    mels: int = Field(ge=32, le=256, multiple_of=BANDS)  # mel bands
    silence_db: float = Field(gt=0, le=120)  # below the peak: quieter beginnings and ends are left out
    variations: variations.Params  # of the clips, which are described too


def features(sound: Samples, p: Params, *, rate_hz: int) -> dict[str, Array]:
    """Return the blocks of features of a sound of shape (n_samples,), each of shape (n_dimensions,).

    Statistics over time of standard descriptors: `cepstrum` says how it sounds, `spectrum` where its energy lies,
    `rhythm` when it begins and repeats, `modulation` how fast it swells and fades, `share` and `contrast` how often and
    how strongly random patterns occur in it, `slow` how often slower ones do. Gain, polarity, and silence before and
    after the sound do not matter, so that neither level nor padding can become a shortcut.
    """
    sound = sound[: np.flatnonzero(sound).max(initial=0) + 1]  # trimming has frames, which zeros would shift the end of
    window, hop = round(p.window_s * rate_hz), round(p.hop_s * rate_hz)
    trimmed, _ = librosa.effects.trim(
        sound / max(np.abs(sound).max(), TINY), top_db=p.silence_db, frame_length=window, hop_length=hop
    )
    heard = np.pad(trimmed, (0, max(0, window - len(trimmed))))
    magnitude = np.abs(librosa.stft(heard, n_fft=window, hop_length=hop))
    power = librosa.feature.melspectrogram(S=magnitude**2, sr=rate_hz, n_mels=p.mels, fmin=LOW_HZ)
    mel_db = librosa.power_to_db(power, ref=np.max)
    crossings = librosa.feature.zero_crossing_rate(heard, frame_length=window, hop_length=hop)
    share, contrast = patterns(mel_db, DILATIONS, KERNELS, seed=SEED)
    blocks = {
        "cepstrum": cepstrum(mel_db),
        "spectrum": spectrum(magnitude, crossings, rate_hz),
        "rhythm": rhythm(mel_db, hop_s=hop / rate_hz),
        "modulation": modulation(mel_db, hop_s=hop / rate_hz),
        "share": share,
        "contrast": contrast,
        "slow": slow(mel_db),
    }
    return {name: block.astype(np.float32) for name, block in blocks.items()}


def cepstrum(mel_db: Array) -> Array:
    """Return mean and deviation of the mel cepstrum and the deviation of its slope, from shape (n_mels, n_frames)."""
    coefficients = librosa.feature.mfcc(S=mel_db, n_mfcc=COEFFICIENTS)
    slope = librosa.feature.delta(coefficients, mode="nearest")
    return np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1), slope.std(axis=1)])


def spectrum(magnitude: Array, crossings: Array, rate_hz: int) -> Array:
    """Return mean and deviation of the spectrum's shape and chroma.

    Args:
        magnitude: magnitude spectrogram, shape (n_bins, n_frames).
        crossings: zero crossings a sample, shape (1, n_frames).
        rate_hz: sample rate of the sound.
    """
    loudness = librosa.feature.rms(S=magnitude, frame_length=2 * (len(magnitude) - 1))
    rows = np.vstack(
        [
            np.log(librosa.feature.spectral_centroid(S=magnitude, sr=rate_hz) + 1),
            np.log(librosa.feature.spectral_bandwidth(S=magnitude, sr=rate_hz) + 1),
            np.log(librosa.feature.spectral_rolloff(S=magnitude, sr=rate_hz) + 1),
            np.log(librosa.feature.spectral_flatness(S=magnitude)),
            np.log(loudness / max(loudness.max(), TINY) + 1e-4),
            crossings,
            librosa.feature.chroma_stft(S=magnitude**2, sr=rate_hz, tuning=0.0),
        ]
    )
    return np.concatenate([rows.mean(axis=1), rows.std(axis=1)])


def rhythm(mel_db: Array, *, hop_s: float) -> Array:
    """Return how strong onsets are and how much they repeat after each of `LAGS` ranges of lags."""
    onsets = librosa.onset.onset_strength(S=mel_db)
    first, last = (round(lag_s / hop_s) for lag_s in LAGS_S)
    repeats = librosa.autocorrelate(onsets - onsets.mean(), max_size=last)
    repeats = np.pad(repeats / max(repeats[0], TINY), (0, last - len(repeats)))
    strongest = [lags.max() for lags in np.array_split(repeats[first:], LAGS)]
    return np.array([*strongest, onsets.mean(), onsets.std(), onsets.max()])


def modulation(mel_db: Array, *, hop_s: float) -> Array:
    """Return how much `BANDS` bands swell and fade at `RATES` ranges of rates, in log power."""
    bands = mel_db.reshape(BANDS, -1, mel_db.shape[1]).mean(axis=1)
    frames = round(PERIOD_S / hop_s)
    rates_hz, density = scipy.signal.welch(
        bands, 1 / hop_s, nperseg=min(frames, bands.shape[1]), nfft=2 * frames, scaling="spectrum"
    )
    edges = np.searchsorted(rates_hz, np.geomspace(SLOWEST_HZ, rates_hz[-1], RATES + 1))
    means = [density[:, low:high].mean(axis=1) for low, high in itertools.pairwise(edges)]
    swells: Array = np.log(np.concatenate(means) + TINY)
    return swells


def slow(mel_db: Array) -> Array:
    """Return the share of other random convolutions above their bias, on a spectrogram with a third of the frames."""
    frames = mel_db.shape[1] // SLOW * SLOW
    coarse = mel_db[:, :frames].reshape(len(mel_db), -1, SLOW).mean(axis=2) if frames else mel_db
    return patterns(coarse, SLOW_DILATIONS, SLOW_KERNELS, seed=SEED + 1)[0]


def patterns(mel_db: Array, dilations: Sequence[tuple[int, int]], kernels: int, *, seed: int) -> tuple[Array, Array]:
    """Return the share of random convolutions above their bias, and their deviation, in `REGIONS` ranges of mel bands.

    Kernels of 3 bands by 3 frames, spread by their dilation, whose weights sum to 0: they respond to edges, sweeps,
    pulses and harmonics, whatever the level. This is ROCKET in two dimensions, with the deviation in place of the
    maximum, which a single click can decide: Dempster et al. 2020, arXiv:1910.13051.

    Args:
        mel_db: log-mel spectrogram, shape (n_mels, n_frames).
        dilations: of the kernels, in bands and in frames.
        kernels: how many of each dilation.
        seed: of weights and biases.
    """
    rng = np.random.default_rng(seed)
    n_mels, n_frames = mel_db.shape
    shares, contrasts = [], []
    for bands, frames in dilations:
        weights = rng.normal(size=(kernels, 9))
        weights -= weights.mean(axis=1, keepdims=True)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        bias_db = rng.normal(scale=BIAS_DB, size=(kernels, 1, 1))
        padded = np.pad(mel_db, ((bands, bands), (frames, frames)), mode="edge")
        shifted = [
            padded[band : band + n_mels, frame : frame + n_frames]
            for band, frame in itertools.product((0, bands, 2 * bands), (0, frames, 2 * frames))
        ]
        responses = np.tensordot(weights.astype(np.float32), shifted, 1).reshape(kernels, REGIONS, -1)
        shares.append((responses > bias_db).mean(axis=2).ravel())
        contrasts.append(responses.std(axis=2).ravel())
    return np.concatenate(shares), np.concatenate(contrasts)
