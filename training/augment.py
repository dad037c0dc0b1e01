"""Vary the training clips: start, speed, pitch, room, noise, codec, masks. All draws come from the generator given."""

from collections.abc import Callable, Iterable, Mapping

import librosa
import numpy as np
import torch
from torch import Tensor

from curation import audio
from curation.audio import Samples
from training import degrade

PEAK = 0.5  # of a waveform that goes through a codec, so that nothing clips on the way


def repeat(x: Tensor, lengths: Tensor, n: int) -> Tensor:
    """Return the first `n` steps of each clip, its sound repeated without pause where it is shorter.

    So a model never sees the padding, and how much of it there was tells it nothing.

    Args:
        x: of shape (clips, ..., time).
        lengths: how much of the time is sound, shape (clips,).
        n: length of the result.
    """
    return _at(x, torch.arange(n, device=x.device) % lengths[:, None])


def crop(x: Tensor, lengths: Tensor, n: int, *, speed: float, rng: np.random.Generator) -> Tensor:
    """Return `n` steps of each clip from a random start on, its sound going round, played faster or slower.

    Args:
        x: of shape (clips, ..., time).
        lengths: how much of the time is sound, shape (clips,).
        n: length of the result.
        speed: the largest change of speed: each clip's factor is drawn evenly from 1 - `speed` to 1 + `speed`. On
            samples this changes tempo and pitch, on spectrograms the tempo alone.
        rng: source of the draws.
    """
    start = _even(0, 1, x, rng)[:, None] * lengths[:, None]
    pace = _even(1 - speed, 1 + speed, x, rng)[:, None]
    place = (start + pace * torch.arange(n, device=x.device)) % lengths[:, None]
    before = torch.minimum(place.long(), lengths[:, None] - 1)
    if speed == 0:
        return _at(x, before)
    after = (before + 1) % lengths[:, None]
    share = (place - before).view(len(x), *[1] * (x.ndim - 2), n).to(x.dtype)
    return torch.lerp(_at(x, before), _at(x, after), share)


def at_speed(samples: Tensor, lengths: Tensor, speed: float) -> tuple[Tensor, Tensor]:
    """Return clips played at another speed, tempo and pitch together, and how many samples of each are sound then.

    Args:
        samples: int16 of shape (clips, samples), as is the result: what goes beyond it is cut off.
        lengths: how many of each are sound, shape (clips,).
        speed: 2 halves the length and doubles each frequency.
    """
    played, sounds = torch.zeros_like(samples), torch.zeros_like(lengths)
    for row, (clip, n) in enumerate(zip(samples.numpy(), lengths.tolist(), strict=True)):
        sound = audio.at_speed(clip[:n].astype(np.float32) / audio.FULL_SCALE, speed)[: len(clip)]
        played[row, : len(sound)] = torch.from_numpy(audio.to_16_bit(sound))
        sounds[row] = max(len(sound), 1)
    return played, sounds


def stretch(samples: Tensor, n: int, *, tempo: float, pitch: float, rng: np.random.Generator) -> Tensor:
    """Return `n` samples of each waveform, played faster or slower at its pitch, and higher or lower at its tempo.

    A phase vocoder changes the tempo, and reading on at another rate both.

    Args:
        samples: of shape (clips, time), at least `n` * (1 + `tempo`) of them.
        n: length of the result.
        tempo: the largest change of tempo: each clip's factor is drawn evenly from 1 - `tempo` to 1 + `tempo`.
        pitch: the same of the frequencies.
        rng: source of the draws.
    """
    tempos, pitches = (rng.uniform(1 - most, 1 + most, len(samples)) for most in (tempo, pitch))

    def change(sound: Samples, faster: float, higher: float) -> Samples:
        read = sound[: round(n * faster)]
        longer = librosa.effects.time_stretch(read, rate=faster / higher)
        return librosa.util.fix_length(librosa.resample(longer, orig_sr=higher, target_sr=1), size=n)

    return _each(samples, change, tempos, pitches)


def reverberate(samples: Tensor, *, decay_s: tuple[float, float], rate_hz: int, rng: np.random.Generator) -> Tensor:
    """Return each waveform, shape (clips, time), in a room that dies by 60 dB in a time drawn from `decay_s`."""
    rooms = rng.uniform(*decay_s, len(samples))
    return _each(
        samples, lambda sound, drawn_s: degrade.reverberant(sound, decay_s=drawn_s, rate_hz=rate_hz, rng=rng), rooms
    )


def coded(samples: Tensor, *, kbps: Mapping[str, tuple[int, int]], rate_hz: int, rng: np.random.Generator) -> Tensor:
    """Return each waveform, shape (clips, time), after a round trip through one of the codecs, as loud as it was.

    Args:
        samples: of any level.
        kbps: least and most bitrate by codec, one of `degrade.ENCODERS`; each is as likely.
        rate_hz: sample rate.
        rng: source of the draws.
    """
    codecs = rng.choice(list(kbps), len(samples))
    bitrates = [int(rng.integers(*kbps[codec], endpoint=True)) for codec in codecs]

    def change(sound: Samples, codec: str, bitrate: float) -> Samples:
        scale = PEAK / max(np.abs(sound).max(), np.finfo(np.float32).tiny)
        decoded: Samples = degrade.coded(sound * scale, codec, kbps=bitrate, rate_hz=rate_hz) / scale
        return decoded

    return _each(samples, change, codecs, bitrates)


def gain(samples: Tensor, *, gain_db: float, rng: np.random.Generator) -> Tensor:
    """Return each waveform, shape (clips, time), at a gain drawn evenly up to `gain_db` either way."""
    return samples * 10 ** (_even(-gain_db, gain_db, samples, rng)[:, None] / 20)


def add_noise(samples: Tensor, *, snr_db: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """Return the samples, shape (clips, time), with white noise at a ratio drawn from `snr_db` for each clip."""
    noise = torch.from_numpy(rng.standard_normal(samples.shape, dtype=np.float32)).to(samples.device)
    ratio_db = _even(*snr_db, samples, rng)
    level = samples.square().mean(dim=1).sqrt() * 10 ** (-ratio_db / 20)
    return samples + level[:, None] * noise


def shift_bands(spectra: Tensor, centres_hz: Tensor, *, pitch: float, rng: np.random.Generator) -> Tensor:
    """Return spectra, shape (clips, bands, frames), of sounds that are higher or lower at the same tempo.

    A frequency f goes to f times the clip's factor, which is drawn evenly from 1 - `pitch` to 1 + `pitch`: that is read
    from between the bands. What would come from beyond the outermost band is as that band.
    """
    factor = _even(1 - pitch, 1 + pitch, spectra, rng)[:, None].cpu().numpy()
    known = centres_hz.numpy()
    place = torch.from_numpy(np.interp(known / factor, known, np.arange(len(known))).astype(np.float32))
    below = place.long().clamp_max(len(known) - 2)
    share = (place - below).to(spectra.device)[:, :, None]
    low, high = (spectra.gather(1, (below + step).to(spectra.device)[:, :, None].expand_as(spectra)) for step in (0, 1))
    return torch.lerp(low, high, share.to(spectra.dtype))


def level(spectra: Tensor, *, gain_db: float, tilt_db: float, rng: np.random.Generator) -> Tensor:
    """Return spectra in dB, shape (clips, bands, frames), of clips that are louder or softer and duller or brighter.

    Each clip's gain is drawn evenly up to `gain_db` either way, and so is its tilt: the gain of the highest band and
    the loss of the lowest, a straight line between them.
    """
    gain = _even(-gain_db, gain_db, spectra, rng)[:, None, None]
    tilt = _even(-tilt_db, tilt_db, spectra, rng)[:, None, None]
    return spectra + gain + tilt * torch.linspace(-1, 1, spectra.shape[1], device=spectra.device)[:, None]


def add_noise_power(spectra: Tensor, *, snr_db: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """Return spectra in dB with the power of white noise added, at a ratio drawn from `snr_db` for each clip.

    White noise has the same power in every band of Slaney's norm, and from frame to frame that of a periodogram, an
    exponential variate. Powers add where sound and noise have nothing in common.
    """
    power = 10 ** (spectra / 10)
    noise = torch.from_numpy(rng.standard_exponential(spectra.shape, dtype=np.float32)).to(spectra.device)
    ratio = 10 ** (-_even(*snr_db, spectra, rng) / 10)
    return 10 * (power + (power.mean(dim=(1, 2)) * ratio)[:, None, None] * noise).log10()


def spec_augment(spectra: Tensor, *, bands: int, frames: int, rng: np.random.Generator) -> Tensor:
    """Return the spectra with a run of up to `bands` bands and one of up to `frames` frames set to the clip's mean.

    Park et al., SpecAugment, Interspeech 2019, doi 10.21437/Interspeech.2019-2680.
    """
    mean = spectra.mean(dim=(1, 2), keepdim=True)
    hidden_bands = _run(spectra, spectra.shape[1], bands, rng)[:, :, None]
    hidden_frames = _run(spectra, spectra.shape[2], frames, rng)[:, None, :]
    return torch.where(hidden_bands | hidden_frames, mean, spectra)


def mixup(
    x: Tensor, targets: Tensor, weights: Tensor, *, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each clip mixed with another of the batch, in a share drawn from Beta(`alpha`, `alpha`).

    Zhang et al., mixup, ICLR 2018, arXiv 1710.09412. The targets are mixed by share and weight, so that the loss of a
    mixture is the mixture of the weighted losses, and still sum to 1. `alpha` 0 mixes nothing.
    """
    if alpha == 0:
        return x, targets, weights
    share = torch.from_numpy(rng.beta(alpha, alpha, len(x)).astype(np.float32)).to(x.device)
    other = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    own, others = share * weights, (1 - share) * weights[other]
    total = (own + others).clamp_min(torch.finfo(own.dtype).tiny)
    mixed = (own[:, None] * targets + others[:, None] * targets[other]) / total[:, None]
    return torch.lerp(x[other], x, share.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)), mixed, own + others


def _at(x: Tensor, place: Tensor) -> Tensor:
    index = place.view(len(x), *[1] * (x.ndim - 2), -1)
    return x.gather(-1, index.expand(*x.shape[:-1], -1))


def _each(x: Tensor, change: Callable[..., Samples], *draws: Iterable[object]) -> Tensor:
    changed = [change(*row) for row in zip(x.cpu().numpy(), *draws, strict=True)]
    return torch.from_numpy(np.stack(changed)).to(x.device)


def _even(low: float, high: float, x: Tensor, rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.uniform(low, high, len(x)).astype(np.float32)).to(x.device)


def _run(x: Tensor, n: int, longest: int, rng: np.random.Generator) -> Tensor:
    length = (_even(0, longest + 1, x, rng)[:, None]).floor().clamp_max(min(longest, n))
    start = (_even(0, 1, x, rng)[:, None] * (n - length + 1)).floor()
    place = torch.arange(n, device=x.device)
    return (place >= start) & (place < start + length)
