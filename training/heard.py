"""What a model hears of a clip, as a grid of time and frequency whose cells can be hidden."""

from collections.abc import Callable
from dataclasses import dataclass

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import augment, mel

BANDS, WINDOW_S, HOP_S, LOW_HZ = 64, 0.064, 0.016, 50  # of the grid over a waveform
NOISE_DB = 30  # of what is heard in a hidden cell of a waveform, below the clip: training adds as much
BATCH = 16  # grids a model hears at once


@dataclass(frozen=True)
class Heard:
    """A clip as a grid, bands from low to high evenly spaced in mel, and a model that hears such grids."""

    x: Tensor  # of shape (1, bands, frames): the sound without its padding
    hidden: float  # what stands in a cell of which the model hears nothing
    logits: Callable[[Tensor], Tensor]  # of shape (grids, classes), of grids of shape (grids, bands, frames)
    model: nn.Module
    length: int  # frames that the model hears: those of the sound, repeated
    edges_hz: NDArray[np.float64]  # of the bands, shape (bands + 1,)
    hop_s: float  # from one frame to the next; the first is centred on the start

    def log_odds(self, grids: Tensor, said: int) -> Tensor:
        """Return the log-odds of class number `said`, shape (grids,)."""
        logits = self.logits(grids)
        others = torch.cat([logits[:, :said], logits[:, said + 1 :]], dim=1)
        return logits[:, said] - others.logsumexp(dim=1)

    def probability(self, grids: Tensor, said: int) -> Tensor:
        """Return the probability of class number `said`, shape (grids,)."""
        with torch.inference_mode():
            return torch.cat([self.log_odds(batch, said) for batch in torch.split(grids, BATCH)]).sigmoid()

    def without(self, hidden: Tensor) -> Tensor:
        """Return the grids in which the cells are hidden that are true in `hidden`, shape (grids, bands, frames)."""
        return torch.where(hidden, self.hidden, self.x)


def spectrogram(model: nn.Module, x: Tensor, length: int, p: mel.Params) -> Heard:
    """Return what LiteCNN hears of a log-mel spectrogram.

    A hidden cell has the clip's mean, as in training (`augment.spec_augment`).

    Args:
        model: a trained one.
        x: of shape (bands, frames), padded.
        length: frames that are sound.
        p: the resolution of the spectrogram.
    """
    sound = x[None, :, :length]

    def logits(grids: Tensor) -> Tensor:
        found: Tensor = model(augment.repeat(grids, _all(length, grids), x.shape[-1]))
        return found

    return Heard(sound, float(sound.mean()), logits, model, x.shape[-1], mel_edges_hz(p), p.hop_s)


def waveform(model: nn.Module, x: Tensor, length: int, *, rate_hz: int) -> Heard:
    """Return what Wav2Vec 2.0 hears of a waveform, seen through a short-time Fourier transform and back.

    The grid is a gain for every cell: 1 leaves the sound as it is, 0 puts faint white noise in its place. Silence would
    not do: the model normalises the level, so it says of a sound on its way to silence the same until the very end. So
    whatever is said of cells is said of the waveform: Vielhaben et al., virtual inspection layers, Pattern Recognition
    2024, doi 10.1016/j.patcog.2024.110309.

    Args:
        model: a trained one.
        x: of shape (samples,), padded.
        length: samples that are sound.
        rate_hz: sample rate.
    """
    size, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    window = torch.hann_window(size)
    spectrum, quiet = (
        torch.stft(one, size, hop, window=window, pad_mode="constant", return_complex=True)
        for one in (x[:length], _noise(length) * 10 ** (-NOISE_DB / 20))
    )
    edges_hz = librosa.mel_frequencies(BANDS + 1, fmin=LOW_HZ, fmax=rate_hz / 2)
    band = torch.from_numpy(np.searchsorted(edges_hz[1:-1], librosa.fft_frequencies(sr=rate_hz, n_fft=size)))

    def logits(grids: Tensor) -> Tensor:
        gains = grids[:, band]
        sound = torch.istft(gains * spectrum + (1 - gains) * quiet, size, hop, window=window, length=length)
        found: Tensor = model(augment.repeat(sound, _all(length, grids), len(x)))
        return found

    gains = torch.ones(1, BANDS, spectrum.shape[-1])
    frames = round(len(x) / length * spectrum.shape[-1])
    return Heard(gains, 0.0, logits, model, frames, edges_hz, hop / rate_hz)


def mel_edges_hz(p: mel.Params) -> NDArray[np.float64]:
    """Return the edges of the bands of a log-mel spectrogram, halfway in mel between their centres."""
    edges: NDArray[np.float64] = librosa.mel_frequencies(2 * p.bands + 3, fmin=p.min_hz, fmax=p.max_hz)[1:-1:2]
    return edges


def _noise(length: int) -> Tensor:
    """Return white noise of variance 1, always the same, shape (length,)."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal(length, dtype=np.float32))


def _all(length: int, grids: Tensor) -> Tensor:
    return torch.full((len(grids),), length)
