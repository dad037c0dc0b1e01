import math

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from curation import measure
from curation.audio import Samples

RATE_HZ = 16_000
HALF = 0.5  # -6.02 dBFS


def tone(hz: float = 1000, *, amplitude: float = HALF, s: float = 2, rate_hz: int = RATE_HZ) -> Samples:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(s * rate_hz)) / rate_hz)).astype(np.float32)


def noise(*, rms: float = 0.1, s: float = 2, rate_hz: int = RATE_HZ) -> Samples:
    return (rms * np.random.default_rng(0).standard_normal(round(s * rate_hz))).astype(np.float32)


def test_the_levels_of_a_sine_at_half_of_full_scale() -> None:
    assert measure.peak_dbfs(tone()) == pytest.approx(-6.02, abs=0.01)
    assert measure.rms_dbfs(tone()) == pytest.approx(-9.03, abs=0.01)
    assert measure.dc_offset(tone(), RATE_HZ) == pytest.approx(0, abs=1e-6)


def test_digital_silence_has_the_lowest_level_and_not_minus_infinity() -> None:
    assert measure.peak_dbfs(np.zeros(100, np.float32)) == measure.LOWEST_DBFS
    assert measure.rms_dbfs(np.zeros(100, np.float32)) == measure.LOWEST_DBFS


def test_a_dc_offset_is_where_the_sound_rests() -> None:
    assert measure.dc_offset(tone() + np.float32(0.1), RATE_HZ) == pytest.approx(0.1, abs=1e-4)
    assert measure.dc_offset(np.full(7, 0.1, np.float32), RATE_HZ) == pytest.approx(0.1, abs=1e-4)


def test_a_one_sided_bang_is_no_dc_offset() -> None:
    bang = np.zeros(2 * RATE_HZ, np.float32)
    bang[RATE_HZ // 2 : RATE_HZ] = 0.8
    assert bang.mean() == pytest.approx(0.2)
    assert measure.dc_offset(bang, RATE_HZ) == 0


@settings(max_examples=20)
@given(st.floats(-40, 0))
def test_a_gain_moves_levels_and_loudness_by_its_decibels(gain_db: float) -> None:
    quieter = tone() * np.float32(10 ** (gain_db / 20))
    assert measure.peak_dbfs(quieter) - measure.peak_dbfs(tone()) == pytest.approx(gain_db, abs=0.01)
    assert measure.rms_dbfs(quieter) - measure.rms_dbfs(tone()) == pytest.approx(gain_db, abs=0.01)
    change = measure.loudness_lufs(quieter, RATE_HZ) - measure.loudness_lufs(tone(), RATE_HZ)
    assert change == pytest.approx(gain_db, abs=0.01)


def test_a_full_scale_sine_at_997_hz_has_the_loudness_of_the_standard() -> None:
    """ITU-R BS.1770-4, annex 1: -3.01 LKFS in one channel."""
    assert measure.loudness_lufs(tone(997, amplitude=1), RATE_HZ) == pytest.approx(-3.01, abs=0.1)


def test_loudness_is_nan_below_the_gate_and_for_less_than_a_block() -> None:
    assert math.isnan(measure.loudness_lufs(tone(amplitude=1e-5), RATE_HZ))
    assert math.isnan(measure.loudness_lufs(tone(s=0.3), RATE_HZ))


@pytest.mark.parametrize("gain", [1, 0.3])
def test_the_clipped_share_of_a_clipped_sine_is_known_even_after_attenuation(gain: float) -> None:
    clipped = np.clip(tone(100, amplitude=2), -1, 1) * np.float32(gain)
    share = 1 - 2 * np.arcsin(0.5) / np.pi  # of the time, a sine is above half of its amplitude
    assert measure.clipped_share(clipped) == pytest.approx(share, abs=0.01)


def test_what_exceeds_full_scale_counts_as_clipped() -> None:
    share = 1 - 2 * np.arcsin(0.5) / np.pi
    assert measure.clipped_share(tone(100, amplitude=2)) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("sound", [noise(), tone(1000, amplitude=1), tone(60, amplitude=0.001), np.zeros(99, "f4")])
def test_noise_a_whole_sine_a_faint_hum_and_silence_are_not_clipped(sound: Samples) -> None:
    assert measure.clipped_share((sound * 2**15).round().astype(np.float32) / 2**15) == 0


def test_silence_before_and_after_a_sound_is_measured() -> None:
    quiet = np.zeros(RATE_HZ, np.float32)
    sound = np.concatenate([quiet, tone(s=2), quiet[: RATE_HZ // 2]])
    found = measure.silence(sound, RATE_HZ, below_dbfs=-60)
    assert found.leading_s == pytest.approx(1, abs=measure.FRAME_S)
    assert found.trailing_s == pytest.approx(0.5, abs=measure.FRAME_S)
    assert found.share == pytest.approx(1.5 / 3.5, abs=0.02)


@pytest.mark.parametrize("sound", [np.zeros(999, "f4"), np.full(999, 0.1, "f4"), noise(rms=10**-3.2)])
def test_zeros_a_constant_and_noise_below_the_threshold_are_silent(sound: Samples) -> None:
    found = measure.silence(sound, RATE_HZ, below_dbfs=-60)
    length_s = len(sound) / RATE_HZ
    assert found == measure.Silence(1.0, length_s, length_s)


def test_a_sound_above_the_threshold_has_no_silence() -> None:
    assert measure.silence(noise(rms=10**-2.8), RATE_HZ, below_dbfs=-60) == measure.Silence(0, 0, 0)


@pytest.mark.parametrize("snr_db", [0, 10, 20, 40])
def test_the_snr_of_tone_bursts_in_noise_is_found(snr_db: float) -> None:
    bursts = tone(amplitude=np.sqrt(2) * 10 ** (snr_db / 20) * 0.005, s=4)
    bursts[: len(bursts) // 2] = 0
    assert measure.snr_db(bursts + noise(rms=0.005, s=4), RATE_HZ) == pytest.approx(snr_db, abs=1.5)


def test_the_snr_over_digital_silence_is_that_over_16_bit_noise() -> None:
    sound = np.concatenate([np.zeros(RATE_HZ, np.float32), tone(amplitude=1)])
    assert measure.snr_db(sound, RATE_HZ) == pytest.approx(-3.01 + 6.02 * 15 + 10.79, abs=0.1)


def at_44100_and_back(sound: Samples, rate_hz: int) -> Samples:
    return soxr.resample(soxr.resample(sound, rate_hz, 44_100), 44_100, RATE_HZ)


def test_white_noise_has_the_whole_band() -> None:
    assert measure.bandwidth_hz(noise(), RATE_HZ) == RATE_HZ / 2


def test_the_band_of_a_sound_upsampled_from_8_khz_ends_at_4_khz() -> None:
    upsampled = at_44100_and_back(noise(rate_hz=8000), 8000)
    rounded = (upsampled * 2**15).round().astype(np.float32) / 2**15
    assert measure.bandwidth_hz(rounded, RATE_HZ) == pytest.approx(4000, abs=150)


def test_the_band_of_a_low_passed_sound_ends_there() -> None:
    taps = signal.firwin(501, 3000, fs=44_100)
    low = np.convolve(noise(rate_hz=44_100), taps, "same").astype(np.float32)
    assert measure.bandwidth_hz(soxr.resample(low, 44_100, RATE_HZ), RATE_HZ) == pytest.approx(3000, abs=200)


def test_a_faint_sound_has_no_band_in_its_rounding_noise() -> None:
    faint = tone(500, amplitude=20 / 2**15)
    rounded = (faint * 2**15 + np.random.default_rng(1).uniform(-0.5, 0.5, len(faint))).round() / 2**15
    assert measure.bandwidth_hz(rounded.astype(np.float32), RATE_HZ) == pytest.approx(500, abs=100)


def test_silence_has_no_band_and_a_click_has_one() -> None:
    assert measure.bandwidth_hz(np.zeros(RATE_HZ, np.float32), RATE_HZ) == 0
    click = np.zeros(300, np.float32)
    click[150] = 1
    assert measure.bandwidth_hz(click, RATE_HZ) == RATE_HZ / 2


@pytest.mark.parametrize(("powers", "dead"), [([1, 0], 1), ([1, 2], 0), ([0, 0], 0), ([0], 0), ([3, 0, 0], 2)])
def test_a_channel_is_dead_when_it_is_silent_and_another_is_not(powers: list[float], dead: int) -> None:
    assert measure.dead_channels(np.array(powers, float)) == dead


@pytest.mark.parametrize(
    ("right", "expected"), [(-1.0, True), (-0.5, True), (1.0, False), (0.0, False)], ids=lambda value: str(value)
)
def test_two_channels_with_opposite_polarity_are_inverted(right: float, expected: bool) -> None:
    left = noise().astype(np.float64)
    powers = np.array([left @ left, right**2 * (left @ left)])
    assert measure.inverted(powers, np.array([right * (left @ left)])) is expected


def test_independent_channels_and_one_channel_are_not_inverted() -> None:
    assert not measure.inverted(np.array([1.0, 1.0]), np.array([-0.1]))
    assert not measure.inverted(np.array([1.0]), np.array([]))
