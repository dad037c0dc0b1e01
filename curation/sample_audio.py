"""Render and encode the recordings of the demonstration corpus, the sound ones and the faulty ones."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

import av
import numpy as np
import soundfile
import soxr
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile

from curation import sounds
from curation.acoustics import Array

Change: TypeAlias = Callable[[Array, int, Generator], Array]

PCM_BITS = {"PCM_16": 16, "PCM_24": 24}


@dataclass(frozen=True)
class Container:
    """How samples are stored."""

    suffix: str
    codec: str  # libsndfile's subtype, or FFmpeg's encoder


WAV, WAV24, WAV_FLOAT = Container("wav", "PCM_16"), Container("wav", "PCM_24"), Container("wav", "FLOAT")
FLAC, FLAC24 = Container("flac", "PCM_16"), Container("flac", "PCM_24")
OGG, MP3, M4A = Container("ogg", "libopus"), Container("mp3", "MPEG_LAYER_III"), Container("m4a", "aac")
LOSSLESS = (WAV, WAV24, WAV_FLOAT, FLAC, FLAC24)
BY_FFMPEG = {OGG: "ogg", M4A: "mp4"}  # libsndfile knows no AAC, and puts a random number into an Ogg


@dataclass(frozen=True)
class Audio:
    """What is heard in a file: a sound, what was done to it, and how it is stored."""

    model: sounds.Model
    source: tuple[int, ...]  # seed of what the takes of one source share
    take: tuple[int, ...]  # seed of the rest
    duration_s: float
    rate_hz: int  # at which it is recorded
    channels: int
    container: Container
    stored_hz: int  # the file's sample rate
    change: str = ""  # one of CHANGES or DAMAGES; empty: none


def content(audio: Audio) -> bytes:
    """Return the file."""
    samples = sounds.record(
        audio.model,
        source=audio.source,
        take=audio.take,
        duration_s=audio.duration_s,
        rate_hz=audio.rate_hz,
        channels=audio.channels,
    )
    rng = np.random.default_rng((*audio.take, 1))
    if audio.change in CHANGES:
        samples = CHANGES[audio.change](samples, audio.rate_hz, rng)
    if audio.stored_hz != audio.rate_hz:
        samples = soxr.resample(samples, audio.rate_hz, audio.stored_hz)
    data = encode(samples, audio.stored_hz, audio.container)
    return DAMAGES[audio.change](data, rng) if audio.change in DAMAGES else data


def encode(samples: Array, rate_hz: int, container: Container) -> bytes:
    """Return a file of `samples`, shape `(n, channels)`; the same samples are the same bytes."""
    target = io.BytesIO()
    if container == WAV_FLOAT:  # libsndfile would write the time into it
        wavfile.write(target, rate_hz, samples.astype(np.float32))
    elif container not in BY_FFMPEG:
        whole = _quantised(samples, PCM_BITS[container.codec]) if container.codec in PCM_BITS else samples
        soundfile.write(target, whole, rate_hz, format=container.suffix.upper(), subtype=container.codec)
    else:
        _encode_by_ffmpeg(samples, rate_hz, container, target)
    return target.getvalue()


def _quantised(samples: Array, bits: int) -> NDArray[np.int32]:
    levels: NDArray[np.int32] = np.rint(samples * (2 ** (bits - 1) - 1)).astype(np.int32)
    return levels << (32 - bits)


def _encode_by_ffmpeg(samples: Array, rate_hz: int, container: Container, target: io.BytesIO) -> None:
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(target, "w", format=BY_FFMPEG[container], container_options={"fflags": "+bitexact"}) as out:
        stream = cast("av.AudioStream", out.add_stream(container.codec, rate=rate_hz, layout=layout))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T, dtype="float32"), "fltp", layout)
        frame.sample_rate = rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)


def _overdriven(samples: Array, _rate_hz: int, _rng: Generator) -> Array:
    limit = max(np.quantile(np.abs(samples), 0.95), 0.1 * np.abs(samples).max())
    clipped: Array = np.clip(samples, -limit, limit) * 0.99 / limit
    return clipped


def _shifted_zero(samples: Array, _rate_hz: int, _rng: Generator) -> Array:
    return 0.7 * samples + 0.12


def _one_side_dead(samples: Array, _rate_hz: int, _rng: Generator) -> Array:
    return samples * [1, 0]


def _one_side_inverted(samples: Array, _rate_hz: int, _rng: Generator) -> Array:
    return samples[:, :1] * [1, -0.95]


def _buried(samples: Array, _rate_hz: int, rng: Generator) -> Array:
    noisy = samples + rng.normal(0, 3 * np.sqrt(np.mean(samples**2)), samples.shape)
    noisy *= 0.7 / np.abs(noisy).max()
    return noisy


def _gated(samples: Array, rate_hz: int, _rng: Generator) -> Array:
    """Keep 0.15 s around the loudest sample: a recorder with a noise gate."""
    loudest = int(np.abs(samples[:, 0]).argmax())
    heard = np.abs(np.arange(len(samples)) - loudest) < 0.075 * rate_hz
    gated: Array = samples * heard[:, None]
    return gated


def _muffled(samples: Array, rate_hz: int, _rng: Generator) -> Array:
    filtered: Array = signal.sosfilt(signal.cheby2(10, 70, 3600, fs=rate_hz, output="sos"), samples, axis=0)
    return filtered


def _hissing(samples: Array, _rate_hz: int, rng: Generator) -> Array:
    return samples + rng.normal(0, 0.05 * np.sqrt(np.mean(samples**2)), samples.shape)


def _cropped(samples: Array, rate_hz: int, _rng: Generator) -> Array:
    return samples[rate_hz // 2 : -rate_hz]


def _torn(samples: Array, _rate_hz: int, _rng: Generator) -> Array:
    samples[len(samples) // 3 : len(samples) // 3 + 100] = np.nan
    return samples


def _left_running(samples: Array, rate_hz: int, _rng: Generator) -> Array:
    return np.concatenate([samples, np.zeros((16 * 60 * rate_hz, samples.shape[1]))])


def _test_tone(samples: Array, rate_hz: int, _rng: Generator) -> Array:
    at = np.arange(len(samples))[:, None] / rate_hz
    return np.broadcast_to(0.3 * np.sin(2 * np.pi * 1000 * at), samples.shape)


def _data_burst(samples: Array, rate_hz: int, rng: Generator) -> Array:
    """Put the two tones of a 300-baud modem in the place of the sound."""
    bits = rng.integers(0, 2, len(samples) * 300 // rate_hz + 1).repeat(rate_hz // 300 + 1)[: len(samples)]
    wave = 0.3 * np.sin(2 * np.pi * np.cumsum(1070 + 200 * bits) / rate_hz)
    return np.broadcast_to(wave[:, None], samples.shape)


CHANGES: dict[str, Change] = {
    "overdriven": _overdriven,
    "shifted zero": _shifted_zero,
    "one side dead": _one_side_dead,
    "one side inverted": _one_side_inverted,
    "buried in noise": _buried,
    "gated": _gated,
    "muffled": _muffled,
    "softer": lambda samples, _rate_hz, _rng: 0.35 * samples,
    "started later": lambda samples, rate_hz, _rng: samples[int(0.35 * rate_hz) :],
    "light hiss": _hissing,
    "cropped": _cropped,
    "all zeros": lambda samples, _rate_hz, _rng: 0 * samples,
    "nearly silent": lambda samples, _rate_hz, _rng: 2e-4 * samples / np.abs(samples).max(),
    "a click": lambda samples, rate_hz, _rng: samples[: rate_hz // 12],
    "no samples": lambda samples, _rate_hz, _rng: samples[:0],
    "not numbers": _torn,
    "left running": _left_running,
    "test tone": _test_tone,
    "data burst": _data_burst,
}
DAMAGES: dict[str, Callable[[bytes, Generator], bytes]] = {
    "broken off": lambda data, _rng: data[: len(data) // 2],
    "no bytes": lambda _data, _rng: b"",
    "a web page": lambda _data, _rng: b"<!DOCTYPE html><title>404 Not Found</title>\n",
    "garbage": lambda data, rng: data[:4] + rng.bytes(4000),
}
