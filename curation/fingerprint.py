"""Landmarks: a fingerprint that survives gain, shift, codec, resampling, noise and cropping, and a search for it."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from tqdm import tqdm

from curation.audio import Samples

Fingerprint: TypeAlias = NDArray[np.uint32]  # shape (n_landmarks, 2): the landmark, and when it was heard in hops
Integers: TypeAlias = NDArray[np.int64]

WINDOW_S = 0.064  # of a spectrum
HOP_S = 0.016  # from spectrum to spectrum
PEAK_S, PEAK_HZ = 0.1, 250  # a peak is the largest value within so much time and frequency on both sides
PEAKS_PER_S = 20  # the strongest are kept, on average so many
PEAKS_OF_SHORT = 40  # or, in clips so short that this is more, so many in all
RANGE_DB = 70  # what lies further below the clip's largest value is silence
STEP_HZ = 31.25  # to which frequencies are rounded
FAN = 20  # with how many of the next peaks a peak is paired
HOPS, STEPS = 64, 64  # bounds of the time and of the interval between the peaks of a pair
NEXT = 64  # with how many of the next equal landmarks a landmark is compared
SPAN = 2**20  # more than any lag


def fingerprint(samples: Samples, rate_hz: int) -> Fingerprint:
    """Return the landmarks of mono `samples` (n,), sorted: pairs of spectral peaks, and when they are heard.

    A landmark packs the frequency of a peak, the interval to another and the time between them into one number. Two
    clips have a sound in common when many landmarks of one are in the other, all at the same lag. Silence has none.

    After A. Wang, An industrial-strength audio search algorithm, ISMIR 2003.
    """
    frames, bins = _peaks(_power(samples, round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)))
    steps = np.rint(bins / (WINDOW_S * STEP_HZ)).astype(np.int64)
    first = np.arange(len(frames))[:, None]
    second = np.minimum(first + np.arange(1, FAN + 1), len(frames) - 1)
    hops, interval = frames[second] - frames[first], steps[second] - steps[first]
    near = (hops > 0) & (hops < HOPS) & (np.abs(interval) < STEPS)
    landmark = (steps[first] * 2 * STEPS + interval + STEPS) * HOPS + hops
    heard = np.broadcast_to(frames[first], near.shape)
    rows = np.unique(landmark[near] << 32 | heard[near])
    return np.column_stack([rows >> 32, rows & 0xFFFFFFFF]).astype(np.uint32)


def _power(samples: Samples, window: int, hop: int) -> Samples:
    """Return the power spectrogram, shape (n_frames, n_bins); zeros around the sound make one frame at least."""
    padded = np.pad(samples, window // 2)
    spectrum = scipy.fft.rfft(
        np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window).astype(np.float32)
    )
    power: Samples = spectrum.real**2 + spectrum.imag**2
    return power


def _peaks(power: Samples) -> tuple[Integers, Integers]:
    """Return the frames and the bins of the strongest local maxima, in order of time."""
    around = _running_max(_running_max(power, round(PEAK_S / HOP_S)).T, round(PEAK_HZ * WINDOW_S)).T
    frames, bins = np.nonzero((power == around) & (power > power.max() * 10 ** (-RANGE_DB / 10)))
    most = max(PEAKS_OF_SHORT, round(PEAKS_PER_S * HOP_S * len(power)))
    strongest = np.sort(np.argsort(-power[frames, bins], kind="stable")[:most])
    return frames[strongest], bins[strongest]


def _running_max(values: Samples, reach: int) -> Samples:
    """Return the maximum of each row and the `reach` rows on both sides; scipy.ndimage takes four times as long."""
    width = 2 * reach + 1
    highest = np.pad(values, ((reach, reach), (0, 0)))
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        highest = np.maximum(highest[:-step], highest[step:])
        covered += step
    return highest


def candidates(prints: Sequence[Fingerprint], *, min_landmarks: int) -> Integers:
    """Return the pairs of clips with `min_landmarks` or more in common at one lag, those with the most first.

    Each landmark is compared with the next `NEXT` equal ones only, in the order of `prints`: the cost grows with the
    number of clips, not of pairs, and the copies of one sound, however many, are still linked, each to the next ones.

    Returns:
        Shape (n_pairs, 3): the places i < j in `prints`, and how many hops later the sound is heard in j.
    """
    sizes = [len(rows) for rows in prints]
    rows = np.concatenate([np.empty((0, 2), np.uint32), *prints]).astype(np.int64)
    clip = np.repeat(np.arange(len(prints)), sizes)
    order = np.lexsort((clip, rows[:, 0]))
    index = np.concatenate([np.column_stack([rows, clip])[order], np.full((NEXT, 3), -1)])  # landmark, hop, clip
    places = np.split(np.argsort(order), np.cumsum(sizes)[:-1])
    each = (_vote(index, place, min_landmarks) for place in tqdm(places, "search", unit="clip", disable=None))
    found = np.concatenate([np.empty((0, 4), np.int64), *each])
    return found[np.lexsort((found[:, 2], found[:, 1], -found[:, 0])), 1:]


def _vote(index: Integers, place: Integers, min_landmarks: int) -> Integers:
    """Return votes, clip, later clip and lag: the best lag of each clip with enough of the landmarks at `place`."""
    landmark, hop, clip = index[place, None].transpose(2, 0, 1)  # each of shape (n, 1)
    later = index[place[:, None] + np.arange(1, NEXT + 1)]
    same = (later[..., 0] == landmark) & (later[..., 2] > clip)
    ballots, votes = np.unique((later[..., 2] * SPAN + later[..., 1] - hop + SPAN // 2)[same], return_counts=True)
    best = np.lexsort((-votes, ballots // SPAN))
    best = best[np.unique(ballots[best] // SPAN, return_index=True)[1]]
    best = best[votes[best] >= min_landmarks]
    other, lag = np.divmod(ballots[best], SPAN)
    return np.column_stack([votes[best], np.repeat(clip[:1, 0], len(best)), other, lag - SPAN // 2])
