"""Sound models: harmful and safe sources, the room around them and the noise below them, all by code.

A model takes two random generators: `source` for what the takes of one source share (a pitch, a room) and `take` for
what differs between them (when, how loud). The same two seeds are the same samples.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from curation import acoustics
from curation.acoustics import (
    Array,
    add,
    coloured,
    decay,
    drift,
    motor,
    noise,
    pulses,
    resonate,
    seconds,
    smooth,
    starts,
    strike,
    tone,
    voice,
    wander,
)

Model = Callable[[Generator, Generator, int, int], Array]


def siren(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return a wail, a yelp or a two-tone horn, passing by."""
    low_hz, ratio, horn_hz = source.uniform(450, 750), source.uniform(1.5, 2.4), source.uniform(900, 1600)
    law = source.choice(["wail", "yelp", "two-tone"])
    period_s = source.uniform(0.25, 0.5) if law == "yelp" else source.uniform(1, 3)
    turn = seconds(n, rate_hz) / (period_s * take.uniform(0.9, 1.1)) + take.uniform()
    sweep = {"wail": (1 - np.cos(2 * np.pi * turn)) / 2, "yelp": turn % 1, "two-tone": (turn % 1 < 0.5) * 1.0}[law]
    passing = drift(take, 0.97, 1.03, n)  # Doppler
    sound = resonate(pulses(low_hz * ratio**sweep * passing, rate_hz), [horn_hz], [500], rate_hz)
    return sound * drift(take, 0.3, 1, n)


def alarm(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return the beeps of a smoke detector, a buzzer or a reversing lorry."""
    piezo = source.uniform() < 0.8
    tone_hz = source.uniform(2400, 3300) if piezo else source.uniform(700, 1200)
    on_s, off_s = source.uniform(0.2, 0.5), source.uniform(0.1, 0.4)
    beeps, pause_s = source.integers(1, 5), source.uniform(0.1, 1.2)
    levels = [1, 0.5, 0.3] if piezo else [1, 0.1, 0.5, 0.05, 0.3]
    turn = (seconds(n, rate_hz) + take.uniform(0, 1)) % (beeps * (on_s + off_s) + pause_s)
    gate = (turn % (on_s + off_s) < on_s) & (turn < beeps * (on_s + off_s))
    return tone(np.full(n, tone_hz), levels, rate_hz) * smooth(gate, 0.004, rate_hz)


def glass(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return panes that break: a blow, many short inharmonic modes, shards that fall."""
    lowest_hz, modes = source.uniform(1200, 2200), source.integers(20, 45)
    shards, sharp = source.integers(8, 30), source.uniform(0.2, 0.8)
    sound = np.zeros(n)
    for start in starts(take, n, rate_hz, gap_s=take.uniform(1.5, 4)):
        blow = noise(take, int(0.15 * rate_hz), rate_hz, 800, 7000) * decay(int(0.15 * rate_hz), 0.03, rate_hz)
        add(sound, start, sharp * blow)
        add(sound, start, strike(take, lowest_hz * take.uniform(1, 7, modes), take.uniform(0.01, 0.09, modes), rate_hz))
        for later_s in take.exponential(0.3, shards):
            shard = strike(take, lowest_hz * take.uniform(1, 7, 5), take.uniform(0.01, 0.09, 5), rate_hz)
            add(sound, start + int(later_s * rate_hz), take.uniform(0.05, 0.5) * shard)
    return sound


def gunshot(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return shots: a Friedlander blast wave, its echo and a rumbling tail."""
    blast_s, tail_s, edge_hz = source.uniform(5e-4, 2e-3), source.uniform(0.08, 0.25), source.uniform(1500, 3500)
    echo_s, echo, gap_s = source.uniform(0.04, 0.3), source.uniform(0.1, 0.5), source.uniform(0.25, 2.5)
    sound = np.zeros(n)
    for start in starts(take, n, rate_hz, gap_s=gap_s):
        at = seconds(int(5 * tail_s * rate_hz), rate_hz)
        blast = (1 - at / blast_s) * np.exp(-at / blast_s)
        tail = noise(take, len(at), rate_hz, 60, edge_hz) * np.exp(-at / tail_s)
        shot = take.uniform(0.6, 1) * (blast + 0.4 * tail)
        add(sound, start, shot)
        add(sound, start + int(echo_s * rate_hz), echo * shot)
    return sound


def scream(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return screams: a high voice made rough by fast modulation (Arnal et al. 2015, 10.1016/j.cub.2015.06.043)."""
    pitch_hz, rough_hz, depth = source.uniform(550, 1000), source.uniform(40, 120), source.uniform(0.5, 0.9)
    formants_hz = source.uniform([900, 1500, 2800], [1200, 2100, 3500])
    sound = np.zeros(n)
    for start in starts(take, n, rate_hz, gap_s=take.uniform(1, 2.5)):
        length = int(take.uniform(0.5, 1.6) * rate_hz)
        arc = np.sin(np.pi * np.linspace(0.1, 1, length)) ** take.uniform(0.3, 1)
        cry = voice(take, pitch_hz * (0.8 + 0.4 * arc), formants_hz, rate_hz, breath=0.1)
        rough = 1 + depth * np.sin(2 * np.pi * rough_hz * seconds(length, rate_hz) * take.uniform(0.9, 1.1))
        add(sound, start, cry * rough * arc)
    return sound


def chainsaw(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return a two-stroke engine whose throttle is pulled, with its chain."""
    low_hz, high_hz, chain = source.uniform(45, 70), source.uniform(110, 190), source.uniform(0.15, 0.4)
    body_hz = source.uniform([350, 1000, 2400], [600, 1600, 3800])
    throttle = wander(take, n, rate_hz, per_s=source.uniform(0.3, 1.5))
    return motor(take, low_hz * (high_hz / low_hz) ** throttle, body_hz, rate_hz, hiss=chain) * (0.4 + throttle)


def rain(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return rain: a hiss and drops that ring as bubbles do."""
    drops_per_s, hiss = source.uniform(8, 40), source.uniform(0.05, 0.25)
    low_hz, high_hz = source.uniform(600, 1500), source.uniform(3500, 7000)
    sound = hiss * noise(take, n, rate_hz, low_hz, high_hz) * (0.7 + 0.3 * wander(take, n, rate_hz, per_s=0.5))
    for start in take.integers(0, n, int(drops_per_s * n / rate_hz) + 1):
        drop = strike(take, take.uniform(low_hz, high_hz, 1), take.uniform(0.002, 0.02, 1), rate_hz)
        add(sound, start, take.lognormal(-1, 0.8) * drop)
    return sound


def birds(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return a song: one syllable of chirps, repeated and varied."""
    pitch_hz, notes = min(source.uniform(2800, 4500), 0.28 * rate_hz), source.integers(2, 6)
    bends = source.choice([-1, 1], notes) * source.uniform(0.2, 0.6, notes)
    note_s, gap_s = source.uniform(0.04, 0.12), source.uniform(0.5, 1.2)
    sound = np.zeros(n)
    for start in starts(take, n, rate_hz, gap_s=gap_s):
        for number, bend in enumerate(bends):
            length = int(note_s * take.uniform(0.8, 1.2) * rate_hz)
            glide = pitch_hz * (1 + bend * np.linspace(-0.5, 0.5, length)) * take.uniform(0.95, 1.05)
            note = tone(glide, [1, 0.05], rate_hz) * np.hanning(length)
            add(sound, start + int(number * 1.3 * note_s * rate_hz), note)
    return sound


def engine(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return a four-stroke engine at idle, sometimes revved."""
    low_hz, high_hz, fan = source.uniform(18, 40), source.uniform(45, 90), source.uniform(0.05, 0.25)
    body_hz = source.uniform([80, 250, 700], [200, 500, 1400])
    throttle = wander(take, n, rate_hz, per_s=source.uniform(0.1, 1)) ** 2
    return motor(take, low_hz * (high_hz / low_hz) ** throttle, body_hz, rate_hz, hiss=fan) * (0.5 + throttle)


def speech(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return a voice that speaks: syllables with their own formants, hissed consonants, pauses."""
    pitch_hz, breath, rate = source.uniform(90, 280), source.uniform(0.02, 0.15), source.uniform(0.16, 0.3)
    sound = np.zeros(n)
    for start in starts(take, n, rate_hz, gap_s=rate):
        if take.uniform() < 0.15:  # a pause
            continue
        length = int(take.uniform(0.5, 1) * rate * rate_hz)
        contour = pitch_hz * drift(take, 0.8, 1.3, length)
        formants_hz = take.uniform([300, 900, 2300], [850, 2200, 3200])
        add(sound, start, voice(take, contour, formants_hz, rate_hz, breath=breath) * np.hanning(length))
        if take.uniform() < 0.4:
            hiss = noise(take, length // 3, rate_hz, 2000, 7000) * np.hanning(length // 3)
            add(sound, start - length // 4, 0.3 * hiss)
    return sound


def music(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return notes of a pentatonic scale, plucked or held, one or several at once."""
    root_hz, beat_s, voices = source.uniform(200, 380), source.uniform(0.2, 0.5), source.integers(2, 4)
    hold_s, levels = source.uniform(0.15, 0.6), source.uniform(0.2, 1, 6) / np.arange(1, 7)
    scale = np.array([0, 2, 4, 7, 9, 12])
    sound = np.zeros(n)
    for start in range(int(take.uniform(0, beat_s) * rate_hz), n, int(beat_s * rate_hz)):
        for step in (-12, *take.choice(scale, voices)):
            length = int(3 * hold_s * rate_hz)
            note = tone(np.full(length, root_hz * 2 ** (step / 12)), levels, rate_hz)
            add(sound, start, note * decay(length, hold_s, rate_hz) * take.uniform(0.4, 1))
    return sound


def wind(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return wind: low noise in gusts, and a whistle that follows them."""
    slope, whistle_hz, whistle = source.uniform(0.6, 1.4), source.uniform(350, 1600), source.uniform(0.0, 0.6)
    gust = wander(take, n, rate_hz, per_s=source.uniform(0.3, 1.2))
    hum = tone(whistle_hz * (0.8 + 0.4 * gust), [1], rate_hz) * noise(take, n, rate_hz, 2, 40)
    return gust * (coloured(take, n, rate_hz, slope) + whistle * gust * hum)


def footsteps(source: Generator, take: Generator, n: int, rate_hz: int) -> Array:
    """Return steps: a heel's thump and a sole's scuff."""
    pace_s, thump_hz, scuff = source.uniform(0.35, 0.8), source.uniform(60, 250), source.uniform(0.05, 0.6)
    edge_hz = source.uniform(1500, 6000)
    sound = np.zeros(n)
    for start in starts(take, n, rate_hz, gap_s=pace_s, jitter=0.05):
        heel = strike(take, thump_hz * take.uniform(0.8, 3, 4), take.uniform(0.01, 0.05, 4), rate_hz)
        length = int(take.uniform(0.05, 0.15) * rate_hz)
        add(sound, start, heel * take.uniform(0.5, 1))
        add(sound, start + length // 2, scuff * noise(take, length, rate_hz, 500, edge_hz) * np.hanning(length))
    return sound


KINDS: dict[str, tuple[Model, ...]] = {
    "harmful": (siren, alarm, glass, gunshot, scream, chainsaw),
    "safe": (rain, birds, engine, speech, music, wind, footsteps),
}


def record(
    model: Model, *, source: Sequence[int], take: Sequence[int], duration_s: float, rate_hz: int, channels: int = 1
) -> Array:
    """Return a recording of `model`, shape `(n, channels)`; `source` and `take` are seeds."""
    of_source, of_take = np.random.default_rng(source), np.random.default_rng(take)
    sound = model(of_source, of_take, int(duration_s * rate_hz), rate_hz)
    return acoustics.place(sound, of_source, of_take, rate_hz, channels)
