import numpy as np
import pytest
from numpy.random import default_rng

from curation import fingerprint

RATE_HZ = 16000
HOP = round(fingerprint.HOP_S * RATE_HZ)


def noise(seed: int, seconds: float = 3) -> np.ndarray:
    return (0.1 * default_rng(seed).normal(size=round(seconds * RATE_HZ))).astype(np.float32)


def prints(*sounds: np.ndarray) -> list[np.ndarray]:
    return [fingerprint.fingerprint(sound, RATE_HZ) for sound in sounds]


def pairs(*sounds: np.ndarray) -> list[list[int]]:
    return fingerprint.candidates(prints(*sounds), min_landmarks=5).tolist()


def two_beeps(first_hz: float, second_hz: float, gap_s: float) -> np.ndarray:
    sound = np.zeros(2 * RATE_HZ, np.float32)
    t = np.arange(1600) / RATE_HZ
    for start_s, pitch_hz in ((0.5, first_hz), (0.5 + gap_s, second_hz)):
        start = round(start_s * RATE_HZ)
        sound[start : start + len(t)] = np.hanning(len(t)) * np.sin(2 * np.pi * pitch_hz * t)
    return sound


def test_a_landmark_packs_a_frequency_an_interval_and_a_time() -> None:
    sound = two_beeps(1000, 1500, 0.32)
    landmarks, hops = prints(sound)[0].T
    wanted = ((1000 / 31.25 * 2 + 1) * 64 + 500 / 31.25) * 64 + 0.32 / fingerprint.HOP_S
    heard = hops[landmarks == wanted]
    assert (heard * fingerprint.HOP_S).tolist() == pytest.approx([0.55], abs=fingerprint.HOP_S)  # the beep's middle


def test_gain_and_polarity_do_not_count() -> None:
    sound = noise(0)
    assert np.array_equal(*prints(sound, np.float32(-0.25) * sound))


def test_a_shift_by_whole_hops_moves_the_times_only() -> None:
    sound = noise(0)
    early, late = prints(sound, np.concatenate([np.zeros(10 * HOP, np.float32), sound]))
    moved = set(map(tuple, (early + np.array([0, 10])).tolist()))
    assert len(moved & set(map(tuple, late.tolist()))) > 0.9 * len(early)


def test_the_rate_does_not_count() -> None:
    beeps = two_beeps(1000, 1500, 0.32)
    spectrum = np.fft.rfft(beeps)
    doubled = 2 * np.fft.irfft(np.pad(spectrum, (0, len(spectrum) - 1)))  # band-limited
    slow, fast = fingerprint.fingerprint(beeps, RATE_HZ), fingerprint.fingerprint(doubled.astype("f4"), 2 * RATE_HZ)
    assert len(slow)
    assert set(slow[:, 0].tolist()) <= set(fast[:, 0].tolist())


@pytest.mark.parametrize("sound", [np.zeros(RATE_HZ), np.zeros(0), np.zeros(1), np.ones(1)])
def test_silence_and_next_to_nothing_have_no_landmark(sound: np.ndarray) -> None:
    assert prints(sound.astype(np.float32))[0].shape == (0, 2)


def test_what_is_too_short_for_a_window_has_a_fingerprint_of_its_type() -> None:
    (rows,) = prints(noise(0, 0.02))
    assert rows.dtype == np.uint32
    assert rows.shape[1] == 2


def test_a_candidate_names_the_later_clip_and_its_lag() -> None:
    sound = noise(0)
    late = np.concatenate([noise(1, 20 * HOP / RATE_HZ), sound])
    assert pairs(noise(2), sound, noise(3), late) == [[1, 3, 20]]
    assert pairs(late, sound) == [[0, 1, -20]]


def test_the_pair_with_more_in_common_comes_first() -> None:
    sound = noise(0, 4)
    assert pairs(sound, sound[: 2 * RATE_HZ], sound)[0] == [0, 2, 0]


def test_two_takes_of_noise_are_no_candidates() -> None:
    assert pairs(*(noise(seed) for seed in range(20))) == []


def test_more_copies_than_are_compared_are_still_linked_in_one_chain() -> None:
    copies = [prints(noise(0))[0]] * (3 * fingerprint.NEXT)
    found = fingerprint.candidates(copies, min_landmarks=5)
    following = {(i, j) for i, j, _ in found.tolist()}
    assert {(i, i + 1) for i in range(len(copies) - 1)} <= following
    assert len(found) < fingerprint.NEXT * len(copies)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_clips_without_landmarks_make_no_pair(count: int) -> None:
    assert fingerprint.candidates(prints(*[np.zeros(100, np.float32)] * count), min_landmarks=2).shape == (0, 3)
