import numpy as np
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st
from signals import RATE_HZ, noise, tone

from curation import descriptors
from curation.audio import at_speed
from curation.variations import in_noise, variations

FEATURES = descriptors.Params.load("features", rows.PARAMS)
P = FEATURES.variations.model_copy(update={"speeds": (0.8, 1.25), "part_share": 0.75})


@pytest.mark.parametrize("speed", [0.85, 1.18])
def test_a_tone_that_is_played_faster_is_as_much_higher_and_shorter(speed: float) -> None:
    played = at_speed(tone(1000, 2), speed)
    peak_hz = np.abs(np.fft.rfft(played)).argmax() * RATE_HZ / len(played)
    assert len(played) / RATE_HZ == pytest.approx(2 / speed, abs=1e-3)
    assert peak_hz == pytest.approx(1000 * speed, abs=1)
    assert np.std(played) == pytest.approx(np.std(tone(1000, 2)), rel=0.01)


def test_a_sound_in_noise_is_the_sound_and_white_noise_as_far_below_it_as_asked_for() -> None:
    sound = tone(440) + 0.01
    added = in_noise(sound, 20) - sound
    assert 10 * np.log10(np.square(sound).mean() / np.square(added).mean()) == pytest.approx(20, abs=0.01)
    power = np.square(np.abs(np.fft.rfft(added))).reshape(-1)[1:]
    low, high = (half.mean() for half in np.array_split(power, 2))
    assert low == pytest.approx(high, rel=0.1)


def test_a_sound_is_varied_by_speeds_by_what_it_begins_and_ends_with_and_by_noise() -> None:
    sound = noise(2)
    slower, faster, first, last, noisy = variations(sound, P, silence_db=60)
    np.testing.assert_array_equal(slower, at_speed(sound, 0.8))
    np.testing.assert_array_equal(faster, at_speed(sound, 1.25))
    np.testing.assert_array_equal(first, sound[: round(1.5 * RATE_HZ)])
    np.testing.assert_array_equal(last, sound[round(0.5 * RATE_HZ) :])
    np.testing.assert_array_equal(noisy, in_noise(sound, P.snr_db))


@pytest.mark.parametrize(("rest_db", "silent"), [(-np.inf, True), (-70, True), (-50, False)])
def test_a_silent_part_is_no_variation_and_the_whole_sound_stands_in_its_place(rest_db: float, silent: bool) -> None:
    sound = np.concatenate([tone(440, 0.2), 10 ** (rest_db / 20) * tone(440, 1.8)]).astype(np.float32)
    *_, first, last, _ = variations(sound, P, silence_db=60)
    assert first.tolist() == sound[: len(first)].tolist()
    assert len(first) == 0.75 * len(sound)
    assert (len(last) == len(sound)) == silent


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40))
def test_of_any_sound_there_are_as_many_variations_all_of_which_can_be_described(values: list[float]) -> None:
    sound = np.array(values, np.float32)
    varied = variations(sound, P, silence_db=60)
    assert len(varied) == 5
    for one, again in zip(varied, variations(sound, P, silence_db=60), strict=True):
        np.testing.assert_array_equal(one, again)
        for block in descriptors.features(one, FEATURES, rate_hz=RATE_HZ).values():
            assert np.isfinite(block).all()
