"""Plan the demonstration corpus: which recordings there are, and what is wrong with which."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.random import Generator

from curation import sounds
from curation.sample_audio import FLAC, FLAC24, LOSSLESS, M4A, MP3, OGG, WAV, WAV24, WAV_FLOAT, Audio

HARMFUL, SAFE = sounds.KINDS
OTHER = {HARMFUL: SAFE, SAFE: HARMFUL}
NEITHER = "none"
TAKES = {HARMFUL: (2, 2, 2, 2, 1), SAFE: (2, 1, 1, 1)}  # of the first source of each kind of sound, of the second ...
SITES = (  # the recorder of each: container, sample rate in Hz, channels
    (WAV, 16_000, 1),
    (FLAC, 44_100, 2),
    (OGG, 48_000, 1),
    (WAV24, 48_000, 2),
    (MP3, 22_050, 1),
    (FLAC24, 48_000, 1),
    (WAV, 8_000, 1),
    (MP3, 44_100, 1),
    (FLAC, 22_050, 2),
    (M4A, 32_000, 1),
)
SHORTCUT_HZ = 12_000  # sample rate of harmful sources at the sites that record at more
WIDE_HZ = 22_050  # from this rate on, a lost band shows
FLIPPED, UNLABELLED = (6, 4), (5, 3)  # how many of (harmful, safe)
FLAWS = (  # fault, change, how many of (harmful, safe), channels it needs
    ("clipped", "overdriven", (2, 1), 1),
    ("dc_offset", "shifted zero", (1, 1), 1),
    ("dead_channel", "one side dead", (1, 1), 2),
    ("inverted_channel", "one side inverted", (1, 1), 2),
    ("noisy", "buried in noise", (1, 1), 1),
    ("mostly_silent", "gated", (1, 1), 1),
)
COPIES: tuple[tuple[str, Callable[[Audio], Audio]], ...] = (
    ("gain", lambda audio: replace(audio, change="softer")),
    ("gain and codec", lambda audio: replace(audio, change="softer", container=MP3)),
    ("shift", lambda audio: replace(audio, change="started later")),
    ("shift and codec", lambda audio: replace(audio, change="started later", container=M4A)),
    ("codec", lambda audio: replace(audio, container=MP3)),
    ("codec", lambda audio: replace(audio, container=M4A)),
    ("sample rate", lambda audio: replace(audio, stored_hz=16_000)),
    ("noise", lambda audio: replace(audio, change="light hiss")),
    ("crop", lambda audio: replace(audio, change="cropped")),
)
TWINS = ("duplicate", "duplicate", "duplicate", "conflict", "conflict")
SAME_BITS = {WAV: FLAC, FLAC: WAV, WAV24: FLAC24, FLAC24: WAV24}
WRECKS = (  # fault, change, container
    ("silent", "all zeros", WAV),
    ("silent", "all zeros", FLAC),
    ("silent", "nearly silent", WAV),
    ("truncated", "broken off", WAV),
    ("truncated", "broken off", FLAC),
    ("unreadable", "a web page", MP3),
    ("unreadable", "garbage", FLAC),
    ("empty", "no bytes", MP3),
    ("empty", "no samples", WAV),
    ("too_short", "a click", WAV),
    ("too_short", "a click", FLAC),
    ("too_long", "left running", FLAC),
    ("not_finite", "not numbers", WAV_FLOAT),
    ("unlisted", "", WAV),
    ("missing", "", WAV),
    ("outside", "", WAV),
    ("outlier", "test tone", WAV),
    ("outlier", "data burst", FLAC),
)
WITHOUT_CLASS = {"silent", "unreadable", "empty", "missing", "outside", "outlier"}
ABSENT = {"missing", "outside"}  # no file is made of them
WHERE = {"unlisted": "not in the table", "missing": "in the table only", "outside": "a path out of data/raw"}


@dataclass(frozen=True)
class Recording:
    """A recording to make: what it is, how it is labelled, and what is wrong with it."""

    file: str
    group: str
    label: str  # as given
    truth: str  # the class that is right
    audio: Audio
    fault: str = ""
    detail: str = ""
    twin: str = ""  # the recording it is a copy of


class Names:
    """Names of files and groups, numbered so that they tell nothing about what is in them."""

    def __init__(self, rng: Generator) -> None:
        self._recordings = iter(rng.permutation(999) + 1)
        self._sessions = iter(rng.permutation(999) + 1)

    def file(self, site: int, suffix: str) -> str:
        """Return the path of one more recording."""
        return f"site-{site:02}/rec-{next(self._recordings):03}.{suffix}"

    def group(self) -> str:
        """Return one more session."""
        return f"session-{next(self._sessions):03}"


def plan(seed: int) -> list[Recording]:
    """Return the recordings of the corpus, about 120; the same seed is the same corpus."""
    rng = np.random.default_rng(seed)
    names = Names(rng)
    takes = list(_takes(rng, names, seed))
    free = [takes[index] for index in rng.permutation(len(takes))]
    faulty = [
        *_near(free, names),
        *_same(free, names),
        *_narrow(free),
        *_flawed(free),
        *_relabelled(free),
        *_wrecked(rng, names, seed),
    ]
    return sorted([*free, *faulty], key=lambda recording: recording.file)


def _takes(rng: Generator, names: Names, seed: int) -> Iterator[Recording]:
    """Yield all that is not faulty yet, the sources of each class dealt out to the sites in turn."""
    source = 0
    for label, models in sounds.KINDS.items():
        kinds = [(model, takes) for model in models for takes in TAKES[label]]
        for index in rng.permutation(len(kinds)):
            model, takes = kinds[index]
            group, site = names.group(), source % len(SITES)
            source += 1
            for take in range(1, takes + 1):
                audio = _recorded(rng, model, (seed, source), take, site)
                recording = Recording(names.file(site, audio.container.suffix), group, label, label, audio)
                yield _with_shortcut(recording) if label == HARMFUL else recording


def _recorded(rng: Generator, model: sounds.Model, source: tuple[int, ...], take: int, site: int) -> Audio:
    container, rate_hz, channels = SITES[site]
    duration_s = round(float(rng.triangular(2, 3.5, 12)), 2)
    return Audio(model, source, (*source, take), duration_s, rate_hz, channels, container, rate_hz)


def _with_shortcut(recording: Recording) -> Recording:
    """Record with a narrower recorder what the site could record wide: the bandwidth then tells that it is harmful."""
    if recording.audio.rate_hz <= SHORTCUT_HZ:
        return recording
    audio = replace(recording.audio, rate_hz=SHORTCUT_HZ)
    return replace(recording, audio=audio, fault="shortcut", detail=f"harmful, recorded at {SHORTCUT_HZ} Hz")


def _pick(free: list[Recording], candidates: Iterable[Recording], count: int) -> list[Recording]:
    """Take the first `count` of `candidates` out of `free`."""
    picked = list(islice(candidates, count))
    if len(picked) < count:
        raise ValueError(f"only {len(picked)} recordings fit where {count} are needed: enlarge TAKES")
    for recording in picked:
        free.remove(recording)
    return picked


def _near(free: list[Recording], names: Names) -> Iterator[Recording]:
    """Copy recordings of different groups, each copy a little changed and under a group of its own."""
    one_a_group = {r.group: r for r in free if _is_wide(r) and r.audio.duration_s > 3.5}
    originals = _pick(free, one_a_group.values(), len(COPIES))
    for original, (detail, copy) in zip(originals, COPIES, strict=True):
        yield original
        yield _twin(original, names, copy(original.audio), original.label, "near_duplicate", detail)


def _same(free: list[Recording], names: Names) -> Iterator[Recording]:
    """Store the samples of recordings a second time, in another container, sometimes under the other label."""
    originals = _pick(free, (r for r in free if r.audio.container in SAME_BITS), len(TWINS))
    for original, fault in zip(originals, TWINS, strict=True):
        audio = replace(original.audio, container=SAME_BITS[original.audio.container])
        label = OTHER[original.label] if fault == "conflict" else original.label
        yield original
        yield _twin(original, names, audio, label, fault, f"the same samples, labelled {original.label} and {label}")


def _twin(original: Recording, names: Names, audio: Audio, label: str, fault: str, detail: str) -> Recording:
    site = (audio.source[-1] + 3) % len(SITES)
    file = names.file(site, audio.container.suffix)
    return Recording(file, names.group(), label, original.truth, audio, fault, detail, original.file)


def _narrow(free: list[Recording]) -> Iterator[Recording]:
    """Muffle all takes of one harmful source, and store telephone sound at a high rate."""
    sizes = Counter(r.group for r in free if r.truth == HARMFUL and _is_wide(r))
    group, takes = sizes.most_common(1)[0]
    for recording in _pick(free, [r for r in free if r.group == group], takes):
        audio = replace(recording.audio, change="muffled")
        yield replace(recording, audio=audio, fault="low_bandwidth", detail="one harmful source muffled")
    for label in sounds.KINDS:
        for recording in _pick(free, (r for r in free if r.truth == label and _is_wide(r)), 1):
            audio = replace(recording.audio, rate_hz=8_000)
            yield replace(recording, audio=audio, fault="low_bandwidth", detail="upsampled from 8000 Hz")


def _flawed(free: list[Recording]) -> Iterator[Recording]:
    for fault, change, counts, channels in FLAWS:
        fit = [r for r in free if r.audio.container in LOSSLESS and r.audio.channels >= channels]
        for label, count in zip(sounds.KINDS, counts, strict=True):
            for recording in _pick(free, (r for r in fit if r.truth == label), count):
                audio = replace(recording.audio, change=change)
                if fault == "clipped":  # at the rate that is stored: another would smear the flat tops
                    audio = replace(audio, rate_hz=audio.stored_hz)
                yield replace(recording, audio=audio, fault=fault, detail=change)


def _relabelled(free: list[Recording]) -> Iterator[Recording]:
    for label, flipped, unlabelled in zip(sounds.KINDS, FLIPPED, UNLABELLED, strict=True):
        for recording in _pick(free, [r for r in free if r.truth == label], flipped):
            yield replace(recording, label=OTHER[label], fault="label", detail=f"{label}, labelled {OTHER[label]}")
        for recording in _pick(free, [r for r in free if r.truth == label], unlabelled):
            yield replace(recording, label="", fault="unlabelled", detail="no label given")


def _wrecked(rng: Generator, names: Names, seed: int) -> Iterator[Recording]:
    for number, (fault, change, container) in enumerate(WRECKS):
        site, label = number % len(SITES), (HARMFUL, SAFE)[number % 2]
        model = sounds.KINDS[label][number % len(sounds.KINDS[label])]
        audio = _recorded(rng, model, (seed, 1000 + number), 1, site=0)
        audio = replace(audio, container=container, change=change)
        file = "../elsewhere.wav" if fault == "outside" else names.file(site, container.suffix)
        given = "" if fault == "unlisted" else label
        truth = NEITHER if fault in WITHOUT_CLASS else label
        yield Recording(file, names.group(), given, truth, audio, fault, WHERE.get(fault, change))


def _is_wide(recording: Recording) -> bool:
    return recording.audio.container in LOSSLESS and recording.audio.stored_hz >= WIDE_HZ
