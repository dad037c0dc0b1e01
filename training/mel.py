"""Log-mel spectrograms: samples in, decibels out."""

from typing import Self

import click
import librosa
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

from curation import params

FLOOR_DB = -80.0  # of full scale; digital silence is no quieter than this
BLOCK = 64  # clips transformed at once


class Params(params.Section):
    """Section `mel` of params.yaml."""

    window_s: float = Field(gt=0, le=0.2)  # length of the Hann window, and of the FFT
    hop_s: float = Field(gt=0, le=0.1)  # from one frame to the next
    bands: int = Field(ge=16, le=256, multiple_of=4)  # LiteCNN looks at a quarter of them at a time
    min_hz: float = Field(ge=0)
    max_hz: float = Field(gt=0)  # at most half of data.rate_hz

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.min_hz >= self.max_hz:
            raise ValueError("`min_hz` must be below `max_hz`")
        return self


def log_mel(samples: Tensor, p: Params, *, rate_hz: int) -> Tensor:
    """Return the mel power spectrogram (Slaney's scale and norm) in dB, not below `FLOOR_DB`.

    Frame t is centred on sample `t * hop`; what lies beyond the ends counts as zero.

    Args:
        samples: int16 of shape (clips, samples).
        p: the resolution in time and frequency.
        rate_hz: sample rate.

    Returns:
        float32 of shape (clips, bands, 1 + samples // hop).

    Raises:
        click.ClickException: the highest frequency is above half the sample rate.
    """
    if p.max_hz > rate_hz / 2:
        raise click.ClickException(
            f"`mel.max_hz` in params.yaml is {p.max_hz:g}, above half of `data.rate_hz`: lower it to {rate_hz / 2:g}."
        )
    spectrogram = MelSpectrogram(
        sample_rate=rate_hz,
        n_fft=round(p.window_s * rate_hz),
        hop_length=hop(p, rate_hz=rate_hz),
        n_mels=p.bands,
        f_min=p.min_hz,
        f_max=p.max_hz,
        pad_mode="constant",
        norm="slaney",
        mel_scale="slaney",
    )
    power = torch.cat([spectrogram(block / 32768) for block in torch.split(samples, BLOCK)])
    return 10 * power.clamp_min(10 ** (FLOOR_DB / 10)).log10()


def centres_hz(p: Params) -> Tensor:
    """Return the centre frequencies of the bands."""
    return torch.from_numpy(librosa.mel_frequencies(p.bands + 2, fmin=p.min_hz, fmax=p.max_hz)[1:-1])


def hop(p: Params, *, rate_hz: int) -> int:
    """Return the number of samples from one frame to the next."""
    return round(p.hop_s * rate_hz)


def frames(samples: Tensor, p: Params, *, rate_hz: int) -> Tensor:
    """Return how many frames are centred within the first `samples` samples."""
    return (samples - 1) // hop(p, rate_hz=rate_hz) + 1


def band_passes(n: int, length: int, p: Params, *, rate_hz: int) -> Tensor:
    """Return `n` Gabor filters of unit energy, their centres evenly spaced in mel, shape (n, length).

    Each is as narrow as the distance to its neighbour, or as `length` samples allow.
    """
    edges = torch.from_numpy(librosa.mel_frequencies(n + 2, fmin=p.min_hz, fmax=p.max_hz)).float()
    centre_hz, width_hz = edges[1:-1, None], (edges[2:, None] - edges[:-2, None]) / 2
    time_s = (torch.arange(length) - (length - 1) / 2) / rate_hz
    envelope = torch.exp(-((torch.pi * width_hz * time_s) ** 2) / 2) * torch.hann_window(length, periodic=False)
    filters = envelope * torch.cos(2 * torch.pi * centre_hz * time_s)
    return torch.nn.functional.normalize(filters, dim=1)
