import numpy as np
import pytest
import rows
from signals import RATE_HZ, noise, pulses, tone

from curation import descriptors
from curation.descriptors import features

TOLERANCE = 1e-4  # of a pattern's share and contrast
P = descriptors.Params.load("features", rows.PARAMS)


def row(sound: np.ndarray) -> np.ndarray:
    return np.concatenate(list(features(sound, P, rate_hz=RATE_HZ).values()))


@pytest.mark.parametrize("gain", [0.5, 0.01, -1.0])
def test_gain_and_polarity_do_not_matter(gain: float) -> None:
    sound = pulses(0.4)
    np.testing.assert_allclose(row(np.float32(gain) * sound), row(sound), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("hops", [(10, 200), (200, 10), (150, 0)])
def test_how_much_silence_is_before_and_after_a_sound_does_not_matter(hops: tuple[int, int]) -> None:
    sound = pulses(0.4, 3.2)
    hop = round(P.hop_s * RATE_HZ)
    little, much = (np.pad(sound, (n * hop, m * hop)) for n, m in [(10, 10), (10 + hops[0], 10 + hops[1])])
    np.testing.assert_allclose(row(much), row(little), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 700, 3000])
def test_zeros_after_a_sound_change_not_a_bit(samples: int) -> None:
    sound = noise(1.01)
    np.testing.assert_array_equal(row(np.pad(sound, (0, samples))), row(sound))


def test_pulses_repeat_at_the_lag_at_which_they_were_made() -> None:
    lags_s = [lags.mean() * P.hop_s for lags in np.array_split(np.arange(4, 188), descriptors.LAGS)]
    for every_s in (0.4, 0.7, 1.1):
        repeats = features(pulses(every_s), P, rate_hz=RATE_HZ)["rhythm"][: descriptors.LAGS]
        assert lags_s[repeats.argmax()] == pytest.approx(every_s, abs=0.07)


def test_slow_and_fast_swelling_are_found_at_their_rate() -> None:
    edges_hz = np.geomspace(descriptors.SLOWEST_HZ, 1 / P.hop_s / 2, descriptors.RATES + 1)
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    for rate_hz in (1.0, 4.0, 9.0):
        swelling = noise(4) * (1 + 0.9 * np.sin(2 * np.pi * rate_hz * time_s)).astype(np.float32)
        power = (
            features(swelling, P, rate_hz=RATE_HZ)["modulation"]
            .reshape(descriptors.RATES, descriptors.BANDS)
            .mean(axis=1)
        )
        low_hz, high_hz = edges_hz[power.argmax() : power.argmax() + 2]
        assert low_hz <= rate_hz < high_hz


def test_the_spectrum_tells_high_from_low_and_tones_from_noise() -> None:
    centroid, flatness = 0, 3
    low, high, hiss = (features(sound, P, rate_hz=RATE_HZ)["spectrum"] for sound in (tone(300), tone(3000), noise(2)))
    assert np.exp(low[centroid]) == pytest.approx(300, rel=0.1)
    assert np.exp(high[centroid]) == pytest.approx(3000, rel=0.1)
    assert hiss[flatness] > max(low[flatness], high[flatness]) + 5


def patterns(mel_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return descriptors.patterns(mel_db, descriptors.DILATIONS, descriptors.KERNELS, seed=descriptors.SEED)


def ridge(low: int = 0) -> np.ndarray:
    """Return a log-mel spectrogram of 200 frames, quiet but for a line that rises by 16 bands from `low` amid them."""
    mel_db = np.full((P.mels, 200), -60, np.float32)
    mel_db[low + np.arange(16), 92 + np.arange(16)] = 0
    return mel_db


def test_the_patterns_tell_a_sound_from_its_mirror_in_time_which_other_blocks_do_not() -> None:
    rising, falling = ridge(), ridge()[:, ::-1]
    np.testing.assert_allclose(descriptors.cepstrum(falling), descriptors.cepstrum(rising), rtol=1e-3, atol=1e-3)
    hop_s = P.hop_s
    np.testing.assert_allclose(
        descriptors.modulation(falling, hop_s=hop_s), descriptors.modulation(rising, hop_s=hop_s), atol=0.05
    )
    for one, other in zip(patterns(rising), patterns(falling), strict=True):
        assert np.abs(one - other).max() > 50 * TOLERANCE


def test_the_patterns_of_a_louder_or_a_later_sound_are_the_same() -> None:
    for other in (ridge() + 12, np.roll(ridge(), 30, axis=1)):
        for one, same in zip(patterns(ridge()), patterns(other), strict=True):
            np.testing.assert_allclose(same, one, rtol=TOLERANCE, atol=TOLERANCE)


def test_slow_patterns_hear_what_three_frames_have_in_common_and_not_their_order() -> None:
    rising = ridge()[:, :198]
    jagged = rising.reshape(P.mels, -1, 3)[:, :, ::-1].reshape(P.mels, -1)
    np.testing.assert_allclose(descriptors.slow(jagged), descriptors.slow(rising), atol=TOLERANCE)
    assert np.abs(patterns(jagged)[0] - patterns(rising)[0]).max() > 50 * TOLERANCE
    assert np.abs(descriptors.slow(rising[:, ::-1]) - descriptors.slow(rising)).max() > 50 * TOLERANCE


@pytest.mark.parametrize("region", range(descriptors.REGIONS))
def test_the_contrast_is_found_in_the_region_of_the_pattern(region: int) -> None:
    _, contrast = patterns(ridge(low=16 * region))
    assert contrast.reshape(-1, descriptors.REGIONS).mean(axis=0).argmax() == region


@pytest.mark.parametrize("sound", [np.zeros(RATE_HZ, np.float32), np.eye(1, 200, dtype=np.float32)[0], noise(0.2)])
def test_silence_a_click_and_the_shortest_clip_are_described_by_finite_numbers(sound: np.ndarray) -> None:
    assert row(sound).shape == row(noise(8)).shape
    assert np.isfinite(row(sound)).all()
