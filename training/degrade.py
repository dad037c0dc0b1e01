"""Change a sound as another microphone, room, line or codec would: mono float32 (n,) in, as long out."""

import io
from collections.abc import Mapping
from typing import TypeAlias, cast

import av
import numpy as np
import soundfile
from numpy.random import Generator
from scipy import fft, signal

from curation import audio
from curation.audio import Samples

Condition: TypeAlias = tuple[str, float | None]  # an axis, and how far along it, in the unit that its name ends with

CLEAN: Condition = ("clean", None)
AXES = ("gain_db", "snr_db", "mp3_kbps", "opus_kbps", "bandwidth_hz", "reverberation_s", "crop_s")
ENCODERS: Mapping[str, tuple[str, str]] = {"mp3": ("libmp3lame", "mp3"), "opus": ("libopus", "ogg")}  # and container
CODED_HZ = (8000, 12000, 16000, 24000, 48000)  # sample rates that both encoders take
FRAMES_A_S = 50  # of Opus; libsndfile calls some files malformed that end within one
LOWEST_HZ = 20  # of pink noise: below, nobody hears what would be most of its power


def degrade(sound: Samples, condition: Condition, *, rate_hz: int, rng: Generator) -> Samples:
    """Return `sound` as it is under `condition`; one is a new array, or `sound` itself where nothing changes."""
    axis, severity = condition
    if severity is None:
        return sound
    match axis:
        case "gain_db":
            return gain(sound, gain_db=severity)
        case "snr_db":
            return add_noise(sound, snr_db=severity, rate_hz=rate_hz, rng=rng)
        case "mp3_kbps" | "opus_kbps":
            return coded(sound, axis.removesuffix("_kbps"), kbps=severity, rate_hz=rate_hz)
        case "bandwidth_hz":
            return band_limited(sound, bandwidth_hz=severity, rate_hz=rate_hz)
        case "reverberation_s":
            return reverberant(sound, decay_s=severity, rate_hz=rate_hz, rng=rng)
        case "crop_s":
            return loudest(sound, length_s=severity, rate_hz=rate_hz)
    raise ValueError(f"no such axis: {axis}")


def gain(sound: Samples, *, gain_db: float) -> Samples:
    """Return the sound louder or softer; above full scale it is not clipped, so that nothing but the level changes."""
    return sound * np.float32(10 ** (gain_db / 20))


def add_noise(sound: Samples, *, snr_db: float, rate_hz: int, rng: Generator) -> Samples:
    """Return the sound in pink noise at a ratio of powers of `snr_db`, the sum as loud as the sound was."""
    noise = pink(len(sound), rate_hz=rate_hz, rng=rng)
    return _as_loud(sound + _rms(sound) * np.float32(10 ** (-snr_db / 20)) * noise, sound)


def pink(n: int, *, rate_hz: int, rng: Generator) -> Samples:
    """Return noise (n,) of root mean square 1 whose power falls by 3 dB an octave, from `LOWEST_HZ` on."""
    spectrum = fft.rfft(rng.standard_normal(n, dtype=np.float32))
    frequency_hz = fft.rfftfreq(n, 1 / rate_hz)
    heard = frequency_hz >= min(LOWEST_HZ, frequency_hz[-1])
    shape = np.where(heard, 1 / np.sqrt(np.maximum(frequency_hz, LOWEST_HZ)), 0).astype(np.float32)
    noise: Samples = fft.irfft(spectrum * shape, n)
    return noise / _rms(noise)


def coded(sound: Samples, codec: str, *, kbps: float, rate_hz: int) -> Samples:
    """Return the sound after a round trip through one of `ENCODERS`, in its place: no delay, no padding."""
    coded_hz = next(rate for rate in CODED_HZ if rate >= rate_hz)
    whole = audio.to_rate(sound, rate_hz=rate_hz, to_hz=coded_hz)
    frame = coded_hz // FRAMES_A_S
    file = _encoded(_fitted(whole, -(-len(whole) // frame) * frame), codec, kbps=kbps, rate_hz=coded_hz)
    decoded: Samples = soundfile.read(io.BytesIO(file), dtype="float32")[0]
    return _fitted(audio.to_rate(decoded, rate_hz=coded_hz, to_hz=rate_hz), len(sound))


def _encoded(sound: Samples, codec: str, *, kbps: float, rate_hz: int) -> bytes:
    encoder, container = ENCODERS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format=container, container_options={"fflags": "+bitexact"}) as out:
        stream = cast("av.AudioStream", out.add_stream(encoder, rate=rate_hz, layout="mono"))
        stream.bit_rate = round(1000 * kbps)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None]), "fltp", "mono")
        frame.sample_rate = rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


def band_limited(sound: Samples, *, bandwidth_hz: float, rate_hz: int) -> Samples:
    """Return the sound as a recorder at twice `bandwidth_hz` takes it; below the limit it stays as it was."""
    narrow_hz = min(round(2 * bandwidth_hz), rate_hz)
    narrow = audio.to_rate(sound, rate_hz=rate_hz, to_hz=narrow_hz)
    return _fitted(audio.to_rate(narrow, rate_hz=narrow_hz, to_hz=rate_hz), len(sound))


def reverberant(sound: Samples, *, decay_s: float, rate_hz: int, rng: Generator) -> Samples:
    """Return the sound in a room, as loud as before: after the direct sound as much again, dying by 60 dB in `decay_s`.

    The room is noise that decays exponentially (Jot, Cerveau and Warusfel, AES convention 103, 1997). What rings on
    after the end is cut off.
    """
    time_s = np.arange(1, max(2, round(decay_s * rate_hz))) / rate_hz
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / decay_s)
    response = np.concatenate([[1.0], tail / np.sqrt(np.square(tail).sum())]).astype(np.float32)
    return _as_loud(signal.fftconvolve(sound, response)[: len(sound)], sound)


def loudest(sound: Samples, *, length_s: float, rate_hz: int) -> Samples:
    """Return the stretch of `length_s` with the most energy, its samples as they are; the whole where it is shorter."""
    n = max(1, round(length_s * rate_hz))
    if n >= len(sound):
        return sound
    energy = np.concatenate([[0.0], np.square(sound, dtype=np.float64).cumsum()])
    start = int((energy[n:] - energy[:-n]).argmax())
    return sound[start : start + n]


def _fitted(sound: Samples, n: int) -> Samples:
    return np.pad(sound[:n], (0, max(0, n - len(sound))))


def _as_loud(sound: Samples, model: Samples) -> Samples:
    """Return `sound` with the level of `model`: the level is the matter of `gain` alone."""
    return sound * np.float32(_rms(model) / max(_rms(sound), np.finfo(np.float32).tiny))


def _rms(sound: Samples) -> np.float32:
    return np.float32(np.sqrt(np.square(sound, dtype=np.float64).mean()))
