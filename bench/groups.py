"""Plant copies of clips and see which are found, beside what people use instead: similar embeddings.

python bench/groups.py [--data FOLDER] [--out FILE]      FOLDER: ESC-10, with clips.csv and audio/
"""

import io
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import av
import click
import librosa
import numpy as np
import pandas as pd
import scipy.fft
import scipy.signal
import soundfile
import soxr
from cleanlab import Datalab
from numpy.random import Generator

from curation import files
from curation.fingerprint import candidates, fingerprint
from curation.groups import Params, near_duplicates

RATE_HZ, CLIP_S = 16000, 8
COPIED = 60  # clips of a corpus of which copies are made
TAKES = 10  # of each kind of synthetic sound
COSINE = 0.99  # embeddings closer than this are called duplicates
SAME = 0.9  # correlation of the waveforms of two originals from which on they are one sound, whatever their names say

Sound: TypeAlias = np.ndarray
Copy: TypeAlias = Callable[[Sound, int, Generator], tuple[Sound, int]]  # samples, rate in Hz


@dataclass(frozen=True)
class Clip:
    """An original: its name, the recording it is from, and its sound."""

    name: str
    recording: str
    sound: Sound
    rate_hz: int


# Copies


def coded(codec: str, container: str, bit_rate: int, code_hz: int) -> Copy:
    """Return what encodes a sound with FFmpeg and decodes it again."""

    def copy(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
        stored = io.BytesIO()
        with av.open(stored, "w", format=container) as out:
            stream = out.add_stream(codec, rate=code_hz, layout="mono", bit_rate=bit_rate)
            samples = soxr.resample(np.clip(sound, -1, 1), rate_hz, code_hz).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = code_hz
            fitting = av.AudioResampler(stream.codec_context.format.name, "mono", code_hz)
            for piece in [*fitting.resample(frame), *fitting.resample(None), None]:
                out.mux(stream.encode(piece))
        stored.seek(0)
        to_float = av.AudioResampler("flt", "mono")
        with av.open(stored) as back:
            pieces = [piece for block in back.decode(audio=0) for piece in to_float.resample(block)]
        return np.concatenate([piece.to_ndarray()[0] for piece in pieces]), pieces[0].sample_rate

    return copy


def vorbis(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
    """Encode with libsndfile's Vorbis at medium quality."""
    stored = io.BytesIO()
    soundfile.write(stored, sound, rate_hz, format="OGG", subtype="VORBIS", compression_level=0.6)
    stored.seek(0)
    return soundfile.read(stored, dtype="float32")


def via(code_hz: int) -> Copy:
    """Return what takes away everything above `code_hz` / 2."""
    return lambda sound, rate_hz, rng: (
        soxr.resample(soxr.resample(sound, rate_hz, code_hz), code_hz, rate_hz),
        rate_hz,
    )


def gain(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
    """Change the level by up to 12 dB; what is too loud is clipped."""
    return np.clip(sound * 10 ** (rng.uniform(-12, 12) / 20), -1, 1), rate_hz


def padded(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
    """Put up to 2 s of silence before it."""
    return np.concatenate([np.zeros(int(rng.uniform(0.03, 2) * rate_hz), np.float32), sound]), rate_hz


def trimmed(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
    """Take up to 2 s from its start, 30 % at most, and not the sound itself."""
    most = min(2 * rate_hz, 0.3 * len(sound), np.argmax(np.abs(sound) > 0.5 * np.abs(sound).max()))
    return sound[int(rng.uniform(0, most)) :], rate_hz


def noisy(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
    """Add white noise 20 dB below it."""
    return sound + rng.normal(scale=0.1 * np.sqrt(np.mean(sound**2)), size=len(sound)), rate_hz


def cropped(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
    """Keep 2 s to 80 % of it, around its loudest moment."""
    length = int(rng.uniform(2 * rate_hz, max(2 * rate_hz, 0.8 * len(sound))))
    loudest = int(np.argmax(np.abs(sound)))
    start = rng.integers(max(0, loudest - length + 1), max(0, min(loudest, len(sound) - length)) + 1)
    return sound[start : start + length], rate_hz


def then(*steps: Copy) -> Copy:
    """Return what does one after the other."""

    def copy(sound: Sound, rate_hz: int, rng: Generator) -> tuple[Sound, int]:
        for step in steps:
            sound, rate_hz = step(sound, rate_hz, rng)
        return sound, rate_hz

    return copy


MP3, OPUS = coded("libmp3lame", "mp3", 64_000, 44_100), coded("libopus", "ogg", 24_000, 48_000)
COPIES: dict[str, Copy] = {
    "gain": gain,
    "shift, padded": padded,
    "shift, trimmed": trimmed,
    "mp3 64 kbit/s": MP3,
    "mp3 32 kbit/s": coded("libmp3lame", "mp3", 32_000, 22_050),
    "vorbis": vorbis,
    "opus 24 kbit/s": OPUS,
    "aac 64 kbit/s": coded("aac", "adts", 64_000, 44_100),
    "via 8 kHz": via(8000),
    "via 11 kHz": via(11_025),
    "via 22 kHz": via(22_050),
    "noise 20 dB": noisy,
    "crop": cropped,
    "crop, gain, mp3": then(cropped, gain, MP3),
    "trim, 8 kHz, noise": then(trimmed, via(8000), noisy),
    "pad, gain, opus": then(padded, gain, OPUS),
}


# Originals


def esc10(folder: Path) -> Iterator[Clip]:
    """Yield the clips of ESC-10."""
    for row in pd.read_csv(folder / "clips.csv", dtype=str).itertuples():
        yield Clip(row.file, row.recording, *soundfile.read(folder / "audio" / row.file, dtype="float32"))


def families(rng: Generator) -> Iterator[Clip]:
    """Yield takes of nine kinds of sound: alike to the ear, but each a sound of its own."""
    for kind in (white, brown, rain, melody, one_note, clicks, siren, hum, burst):
        for take in range(TAKES):
            seconds = rng.uniform(0.5, 2) if kind is burst else rng.uniform(3, CLIP_S)
            sound = kind(np.arange(int(seconds * RATE_HZ)) / RATE_HZ, rng)
            name = f"{kind.__name__} {take}"
            yield Clip(name, name, (0.5 * sound / np.abs(sound).max()).astype(np.float32), RATE_HZ)


def white(t: Sound, rng: Generator) -> Sound:
    """Return white noise."""
    return rng.normal(size=len(t))


def brown(t: Sound, rng: Generator) -> Sound:
    """Return low noise, as of wind."""
    return scipy.signal.lfilter([1], [1, -0.95], white(t, rng))


def rain(t: Sound, rng: Generator) -> Sound:
    """Return drops, all of one shape, on a bed of noise."""
    drop = np.exp(-np.arange(160) / 20) * np.sin(np.arange(160) * 1.3)
    drops = rng.exponential(size=len(t)) * (rng.random(len(t)) < 60 / RATE_HZ)
    return np.convolve(drops, drop)[: len(t)] + 0.1 * white(t, rng)


def _note(t: Sound, start_s: float, pitch_hz: float) -> Sound:
    since = np.maximum(t - start_s, 0)
    partials = sum(np.sin(2 * np.pi * pitch_hz * h * since) / h for h in range(1, 8))
    return (t >= start_s) * np.exp(-4 * since) * partials


def melody(t: Sound, rng: Generator) -> Sound:
    """Return notes of one synthesiser in another order."""
    pitches = [220, 247, 262, 294, 330, 392, 440]
    return sum(_note(t, start, rng.choice(pitches)) for start in rng.uniform(0, t[-1], int(2 * t[-1])))


def one_note(t: Sound, rng: Generator) -> Sound:
    """Return one note of one synthesiser at other times."""
    return sum(_note(t, start, 440) for start in rng.uniform(0, t[-1], rng.integers(3, 7)))


def clicks(t: Sound, rng: Generator) -> Sound:
    """Return one click, repeated at another pace."""
    click_ = np.exp(-np.arange(400) / 60) * np.sin(np.arange(400) * 0.7)
    beats = np.zeros(len(t))
    beats[(np.arange(rng.uniform(0, 0.3), t[-1], rng.uniform(0.3, 0.6)) * RATE_HZ).astype(int)] = 1
    return np.convolve(beats, click_)[: len(t)] + 0.002 * white(t, rng)


def siren(t: Sound, rng: Generator) -> Sound:
    """Return a siren whose sweep is 2 % off in pitch and 5 % in pace."""
    low_hz, high_hz, pace_hz = rng.normal([600, 1200, 0.4], [12, 24, 0.02])
    sweep = 0.5 + 0.5 * np.sin(2 * np.pi * pace_hz * t + rng.uniform(0, 2 * np.pi))
    phase = 2 * np.pi * np.cumsum(low_hz + (high_hz - low_hz) * sweep) / RATE_HZ
    return sum(np.sin(h * phase) / h**1.5 for h in range(1, 4)) + 0.005 * white(t, rng)


def hum(t: Sound, rng: Generator) -> Sound:
    """Return mains hum of 50 Hz with some noise."""
    return sum(np.sin(2 * np.pi * 50 * h * t + rng.uniform(0, 6)) / h for h in range(1, 6)) + 0.15 * white(t, rng)


def burst(t: Sound, rng: Generator) -> Sound:
    """Return a short cry, as of a dog, in a little noise."""
    return np.exp(-8 * t) * siren(t * rng.uniform(3, 6), rng) + 0.005 * white(t, rng)


def as_clip(sound: Sound, rate_hz: int) -> Sound:
    """Return a sound as ingest would store it, without padding."""
    sound = soxr.resample(sound, rate_hz, RATE_HZ)[: CLIP_S * RATE_HZ]
    return (np.clip(np.rint(sound * 2**15), -(2**15), 2**15 - 1) / 2**15).astype(np.float32)


# Finders: sounds in, pairs of places out


def by_earmark(sounds: list[Sound], prints: list[np.ndarray], p: Params) -> set[tuple[int, int]]:
    """Return the pairs that the stage joins."""
    clips = pd.DataFrame({"clip_id": [f"{i:06}" for i in range(len(sounds))]})
    pairs = near_duplicates(
        clips.assign(group=clips["clip_id"]),
        dict(zip(clips["clip_id"], prints, strict=True)),
        lambda clip_id: sounds[int(clip_id)],
        p,
        rate_hz=RATE_HZ,
    )
    return {(int(one), int(other)) for one, other in pairs}


def embed(sound: Sound) -> Sound:
    """Return mean and deviation of MFCC and chroma."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_fft=.* is too large")
        mfcc = librosa.feature.mfcc(y=sound, sr=RATE_HZ)
        chroma = librosa.feature.chroma_stft(y=sound, sr=RATE_HZ, tuning=0.0)
    return np.concatenate([part for frames in (mfcc, chroma) for part in (frames.mean(1), frames.std(1))])


def by_cosine(vectors: Sound) -> set[tuple[int, int]]:
    """Return the pairs of embeddings, standardised, above the usual threshold."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return {(int(i), int(j)) for i, j in np.argwhere(np.triu(unit @ unit.T > COSINE, 1))}


def by_datalab(vectors: Sound) -> set[tuple[int, int]]:
    """Return the pairs that cleanlab's Datalab calls near-duplicates, with its defaults."""
    lab = Datalab(data={"clip": list(range(len(vectors)))}, verbosity=0)
    lab.find_issues(features=vectors, issue_types={"near_duplicate": {}})
    sets = lab.get_info("near_duplicate")["near_duplicate_sets"]
    return {(min(i, int(j)), max(i, int(j))) for i, near in enumerate(sets) for j in near}


# Judgement


def correlation(one: Sound, other: Sound) -> float:
    """Return the normalised correlation of two waveforms at their best lag."""
    n = scipy.fft.next_fast_len(len(one) + len(other), real=True)
    product = scipy.fft.irfft(scipy.fft.rfft(one, n) * scipy.fft.rfft(other, n).conj(), n)
    return float(np.abs(product).max() / np.sqrt(np.sum(one**2) * np.sum(other**2)))


def judge(found: Iterable[tuple[int, int]], origin: list[int], root: list[str]) -> dict[str, float]:
    """Return recall of the planted copies and precision of the pairs found that are not of one recording."""
    planted = {(source, i) for i, source in enumerate(origin) if source != i}
    known = [root[source] for source in origin]
    right = planted & set(found)
    wrong = [pair for pair in found if known[pair[0]] != known[pair[1]]]
    return {
        "copies": len(planted),
        "recall": len(right) / len(planted),
        "precision": len(right) / (len(right) + len(wrong)) if right or wrong else math.nan,
        "false_pairs": len(wrong),
    }


def same_sound(originals: list[Clip], found: set[tuple[int, int]], sounds: list[Sound]) -> tuple[list[str], list[str]]:
    """Return the recording of each original, copies in the set itself counted as one, and a line on each of those."""
    root, lines = [clip.recording for clip in originals], []
    for i, j in sorted(found):
        if root[i] != root[j]:
            much = correlation(sounds[i], sounds[j])
            lines.append(f"{originals[i].name} and {originals[j].name}: correlation of the waveforms {much:.3f}")
            if much >= SAME:
                root = [root[i] if name == root[j] else name for name in root]
    return root, lines


def run(originals: list[Clip], p: Params, rng: Generator) -> tuple[pd.DataFrame, list[str], list[np.ndarray]]:
    """Return a row a kind of copy and finder, what the set itself holds, and the fingerprints of the originals."""
    sounds = [as_clip(clip.sound, clip.rate_hz) for clip in originals]
    prints = [fingerprint(sound, RATE_HZ) for sound in sounds]
    vectors = [embed(sound) for sound in sounds]
    root, lines = same_sound(originals, by_earmark(sounds, prints, p), sounds)
    chosen = sorted(rng.permutation(len(originals))[:COPIED].tolist())
    origin, rows = [*range(len(originals)), *chosen], []
    for kind, copy in COPIES.items():
        copies = [as_clip(*copy(originals[i].sound, originals[i].rate_hz, rng)) for i in chosen]
        every = np.array(vectors + [embed(sound) for sound in copies])
        every = (every - every.mean(0)) / (every.std(0) + 1e-9)
        began = time.process_time()
        found = by_earmark(sounds + copies, prints + [fingerprint(sound, RATE_HZ) for sound in copies], p)
        rows.append(
            {"copy": kind, "finder": "earmark", "cpu_s": time.process_time() - began, **judge(found, origin, root)}
        )
        for name, peer in (("cosine", by_cosine), ("datalab", by_datalab)):
            rows.append({"copy": kind, "finder": name, **judge(peer(every), origin, root)})
    return pd.DataFrame(rows), lines, prints


def scale(prints: list[np.ndarray], n: int, p: Params, rng: Generator) -> dict[str, float]:
    """Return what the search costs for `n` clips whose landmarks are drawn from real ones, at random times."""
    pool = np.concatenate(prints)[:, 0]
    sizes = rng.choice([len(rows) for rows in prints], n)
    drawn = [np.column_stack([rng.choice(pool, size), rng.integers(0, 500, size)]).astype(np.uint32) for size in sizes]
    began = time.process_time()
    found = candidates(drawn, min_landmarks=p.min_landmarks)
    return {
        "clips": n,
        "landmarks": int(sizes.sum()),
        "pairs_to_compare": len(found),
        "cpu_s": time.process_time() - began,
    }


@click.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="ESC-10; else made sounds only."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the figures go, as JSON.")
@click.option("--seed", default=0, show_default=True, help="Of the copies and of the made sounds.")
def main(data: Path | None, out: Path | None, seed: int) -> None:
    """Print recall and precision of the near-duplicates found, for each kind of copy."""
    p, rng = Params.load("groups"), np.random.default_rng(seed)
    corpora = {"made": list(families(rng))} | ({"ESC-10": list(esc10(data))} if data else {})
    report: dict[str, files.Json] = {"params": p.model_dump(), "seed": seed}
    for name, originals in corpora.items():
        table, lines, prints = run(originals, p, rng)
        wide = table.pivot_table(index="copy", columns="finder", values=["recall", "precision"]).reindex(list(COPIES))
        total = table.groupby("finder")[["copies", "false_pairs", "cpu_s"]].sum()
        sizes = [scale(prints, n, p, rng) for n in (1000, 10_000)]
        click.echo(f"\n{name}: {len(originals)} clips\n{wide.round(3)}\n\n{wide.mean().round(4)}\n\n{total.round(1)}")
        click.echo(
            "\n".join(["", "In the set itself:", *(lines or ["nothing"]), "", f"{pd.DataFrame(sizes).round(1)}"])
        )
        report[name] = {"rows": table.to_dict("records"), "in_the_set_itself": lines, "scale": sizes}
    if out:
        files.write_json(report, out)


if __name__ == "__main__":
    main()
