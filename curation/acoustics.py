"""What sound models are made of: tones, pulses, resonances, blows and noise; and the room and microphone around them.

Signals are float64, shape `(n,)`, full scale 1; every random draw comes from the generator given.
"""

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy import fft, signal

Array = NDArray[np.float64]

AUDIBLE = 0.45  # of the sample rate: what lies above is left out instead of folding back
FRAME_S = 0.02  # of the level measure
CUTOFF_HZ = 40  # below it a microphone hears little, and nothing at 0 Hz


def seconds(n: int, rate_hz: int) -> Array:
    """Return the time of each of `n` samples, in s."""
    return np.arange(n) / rate_hz


def decay(n: int, constant_s: float, rate_hz: int) -> Array:
    """Return an envelope that falls to 1/e in `constant_s`."""
    return np.exp(-seconds(n, rate_hz) / constant_s)


def smooth(gate: NDArray[np.bool_], ramp_s: float, rate_hz: int) -> Array:
    """Return an on-off gate as an envelope without clicks."""
    ramp = np.hanning(int(ramp_s * rate_hz) + 3)
    envelope: Array = signal.fftconvolve(gate.astype(float), ramp / ramp.sum(), mode="same")
    return envelope


def drift(rng: Generator, low: float, high: float, n: int) -> Array:
    """Return a straight line between two random levels."""
    begin, end = rng.uniform(low, high, 2)
    return np.linspace(begin, end, n)


def wander(rng: Generator, n: int, rate_hz: int, *, per_s: float) -> Array:
    """Return a slow random walk between 0 and 1 with `per_s` turns a second."""
    turns = int(per_s * n / rate_hz) + 3
    walk: Array = np.interp(np.linspace(0, turns - 1, n), np.arange(turns), rng.uniform(0, 1, turns))
    return walk


def tone(frequency_hz: Array, levels: ArrayLike, rate_hz: int) -> Array:
    """Return partials 1, 2, 3 ... of a gliding frequency at these levels."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / rate_hz
    top_hz = np.max(frequency_hz, initial=1.0)
    total = np.zeros(len(phase))
    below: Array = np.zeros(len(phase))
    partial: Array = np.sin(phase)
    double = 2 * np.cos(phase)
    for number, level in enumerate(np.asarray(levels), 1):
        if number * top_hz < AUDIBLE * rate_hz:
            total += level * partial
            below, partial = partial, double * partial - below  # sin(k + 1)x = 2 cos x sin kx - sin(k - 1)x
    return total


def pulses(frequency_hz: Array, rate_hz: int) -> Array:
    """Return one impulse a period, shared between the two samples nearest to it."""
    step = frequency_hz / rate_hz
    phase = np.cumsum(step)
    at = np.flatnonzero(np.diff(np.floor(phase))) + 1
    late = (phase[at] % 1) / step[at]
    train = np.zeros(len(phase))
    np.add.at(train, at, 1 - late)
    np.add.at(train, at - 1, late)
    return train


def resonate(sound: Array, peaks_hz: ArrayLike, widths_hz: ArrayLike, rate_hz: int) -> Array:
    """Return `sound` through parallel two-pole resonators, each a little weaker than the one below."""
    total = np.zeros(len(sound))
    for number, (peak_hz, width_hz) in enumerate(np.broadcast(np.asarray(peaks_hz), np.asarray(widths_hz))):
        if peak_hz < AUDIBLE * rate_hz:
            radius, angle = np.exp(-np.pi * width_hz / rate_hz), 2 * np.pi * peak_hz / rate_hz
            poles = [1, -2 * radius * np.cos(angle), radius**2]
            total += signal.lfilter([(1 - radius) * 0.6**number], poles, sound)
    return total


def strike(rng: Generator, partials_hz: Array, decays_s: Array, rate_hz: int) -> Array:
    """Return damped partials of random level and phase: something hit."""
    at = seconds(int(4 * decays_s.max() * rate_hz) + 1, rate_hz)
    levels = rng.uniform(0.2, 1, len(partials_hz)) * (partials_hz < AUDIBLE * rate_hz) / np.sqrt(len(partials_hz))
    phases = 2 * np.pi * (partials_hz[:, None] * at + rng.uniform(0, 1, (len(partials_hz), 1)))
    ringing: Array = levels @ (np.sin(phases) * np.exp(-at / decays_s[:, None]))
    return ringing


def noise(rng: Generator, n: int, rate_hz: int, low_hz: float, high_hz: float) -> Array:
    """Return band-limited noise with a root mean square of about 1."""
    high_hz = min(high_hz, AUDIBLE * rate_hz)
    low_hz = min(low_hz, high_hz / 2)
    band = signal.butter(2, [low_hz, high_hz], btype="bandpass", fs=rate_hz, output="sos")
    filtered: Array = signal.sosfilt(band, rng.normal(0, np.sqrt(rate_hz / 2 / (high_hz - low_hz)), n))
    return filtered


def coloured(rng: Generator, n: int, rate_hz: int, slope: float) -> Array:
    """Return noise whose amplitude falls as frequency to the power of `slope`: 0 white, 0.5 pink, 1 brown."""
    size = fft.next_fast_len(n, real=True)
    shape = np.maximum(fft.rfftfreq(size, 1 / rate_hz), 20.0) ** -slope
    sound: Array = fft.irfft(fft.rfft(rng.normal(0, 1, size)) * shape, size)[:n]
    sound /= np.sqrt(np.mean(sound**2))
    return sound


def voice(rng: Generator, pitch_hz: Array, formants_hz: Array, rate_hz: int, *, breath: float) -> Array:
    """Return glottal pulses and breath through formants: a vowel."""
    jittered = pitch_hz * (1 + 0.02 * rng.normal(0, 1, len(pitch_hz)).cumsum() / np.sqrt(len(pitch_hz)))
    train = pulses(jittered, rate_hz) * np.sqrt(rate_hz / pitch_hz)
    return resonate(train + breath * rng.normal(0, 1, len(train)), formants_hz, [90, 120, 180], rate_hz)


def motor(rng: Generator, firing_hz: Array, body_hz: Array, rate_hz: int, *, hiss: float) -> Array:
    """Return the uneven explosions of a motor in its housing, with hiss."""
    uneven = firing_hz * (1 + 0.1 * wander(rng, len(firing_hz), rate_hz, per_s=20))
    train = pulses(uneven, rate_hz) * np.sqrt(rate_hz / firing_hz) * rng.uniform(0.7, 1.3, len(firing_hz))
    return resonate(train + hiss * rng.normal(0, 1, len(train)), body_hz, 0.4 * body_hz, rate_hz)


def starts(rng: Generator, n: int, rate_hz: int, *, gap_s: float, jitter: float = 0.4) -> Iterator[int]:
    """Yield when events begin, in samples; the first is early enough to be heard in a short recording."""
    at = rng.uniform(0, min(gap_s, 0.4 * n / rate_hz))
    while (start := int(at * rate_hz)) < n:
        yield start
        at += gap_s * rng.uniform(1 - jitter, 1 + jitter)


def add(sound: Array, start: int, event: Array) -> None:
    """Add `event` to `sound` in place, from sample `start`; what sticks out is cut."""
    start = max(start, 0)
    event = event[: max(len(sound) - start, 0)]
    sound[start : start + len(event)] += event


def level(sound: Array, rate_hz: int) -> float:
    """Return the root mean square of the loud half of the frames, so that pauses do not count."""
    frame = int(FRAME_S * rate_hz)
    power = np.mean(sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    loud = power >= np.quantile(power, 0.5)
    return float(np.sqrt(power[loud].mean()))


def place(sound: Array, source: Generator, take: Generator, rate_hz: int, channels: int) -> Array:
    """Return `sound` as recorded, shape `(n, channels)`: reverberant, over background noise, at some gain.

    What the place is comes from `source`, the distance and the gain from `take`.
    """
    reverb_s, wet, slope = source.uniform(0.08, 0.4), source.uniform(0.05, 0.2), source.uniform(0.3, 0.7)
    hum_hz, hum, snr_db = source.choice([50, 60]), source.uniform(0, 0.5), source.uniform(24, 40)
    tail = take.normal(0, 1, int(reverb_s * rate_hz)) * decay(int(reverb_s * rate_hz), reverb_s / 4, rate_hz)
    echoes = signal.oaconvolve(sound, tail / np.sqrt(np.sum(tail**2)))[: len(sound)]
    heard = (1 - wet) * sound + wet * echoes
    heard /= max(level(heard, rate_hz), 1e-9)
    buzz = hum * tone(np.full(len(sound), float(hum_hz)), [1, 0.3, 0.5, 0.1, 0.2], rate_hz)
    floor = 10 ** (-(snr_db + take.uniform(-3, 3)) / 20)
    background = coloured(take, len(sound), rate_hz, slope)
    sides = []
    for side in range(channels):
        near = np.roll(heard, side * take.integers(0, rate_hz // 2000)) * (1 - 0.3 * side * take.uniform())
        sides.append(near + floor * (np.roll(background, side * rate_hz) + buzz))
    recorded: Array = signal.sosfilt(signal.butter(1, CUTOFF_HZ, "highpass", fs=rate_hz, output="sos"), sides).T
    recorded *= 10 ** (take.uniform(-7, -1.5) / 20) / np.abs(recorded).max()
    return recorded
