import numpy as np
import pytest
from scipy import signal

from curation import acoustics, sounds

MODELS = [model for models in sounds.KINDS.values() for model in models]
RATE_HZ = 16_000
CHUNK = 320  # samples


def record(model: sounds.Model, *, source: int = 1, take: int = 1, rate_hz: int = RATE_HZ, channels: int = 1):
    return sounds.record(model, source=(source,), take=(take,), duration_s=2, rate_hz=rate_hz, channels=channels)


def spectrum(sound: np.ndarray) -> np.ndarray:
    _, power = signal.welch(sound[:, 0], RATE_HZ, nperseg=1024)
    return np.log(power + 1e-12)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("rate_hz", [8_000, 48_000])
def test_a_recording_is_finite_within_full_scale_and_not_silent(model: sounds.Model, rate_hz: int) -> None:
    sound = record(model, rate_hz=rate_hz, channels=2)
    assert sound.shape == (2 * rate_hz, 2)
    assert 0.1 < np.abs(sound).max() < 0.9


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_same_seeds_are_the_same_samples_and_others_are_not(model: sounds.Model) -> None:
    first = record(model)
    np.testing.assert_array_equal(first, record(model))
    assert not np.allclose(first, record(model, take=2))
    assert not np.allclose(first, record(model, source=2))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_takes_of_one_source_are_more_alike_than_takes_of_different_sources(model: sounds.Model) -> None:
    shapes = np.array([[spectrum(record(model, source=s, take=10 * s + t)) for t in range(2)] for s in range(1, 6)])
    shapes -= shapes.mean(axis=2, keepdims=True)  # gain
    within = np.linalg.norm(shapes[:, 0] - shapes[:, 1], axis=1).mean()
    between = np.linalg.norm(shapes[:, 0] - np.roll(shapes[:, 1], 1, axis=0), axis=1).mean()
    assert within < between


def test_a_siren_sweeps_and_a_piezo_alarm_stays_on_its_pitch() -> None:
    n = 4 * RATE_HZ
    for model, spread in ((sounds.siren, 300), (sounds.alarm, 40)):
        widths = [pitch_range_hz(model(rng(seed), rng(seed + 100), n, RATE_HZ)) for seed in range(8)]
        assert (np.median(widths) > spread) == (model is sounds.siren)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def pitch_range_hz(sound: np.ndarray) -> float:
    """Return how far the loudest frequency of the loud frames wanders."""
    hz, _, power = signal.spectrogram(sound, RATE_HZ, nperseg=1024)
    loud = power.sum(axis=0) > 0.3 * power.sum(axis=0).max()
    peaks = hz[power[:, loud].argmax(axis=0)]
    return float(np.subtract(*np.percentile(peaks, [90, 10])))


def test_between_gunshots_it_is_quiet_but_rain_goes_on() -> None:
    def quiet_share(model: sounds.Model) -> float:
        chunks = [model(rng(seed), rng(seed + 100), 2 * RATE_HZ, RATE_HZ).reshape(-1, CHUNK) for seed in range(5)]
        power = np.square(chunks).mean(axis=2)
        return float(np.median(np.quantile(power, 0.2, axis=1) / power.mean(axis=1)))

    assert quiet_share(sounds.gunshot) < 1e-3 < 0.05 < quiet_share(sounds.rain)


def test_pulses_come_at_their_frequency_and_a_tone_has_its_partials() -> None:
    frequency_hz = np.full(RATE_HZ, 100.0)
    assert acoustics.pulses(frequency_hz, RATE_HZ).sum() == pytest.approx(100, abs=1)
    levels = np.abs(np.fft.rfft(acoustics.tone(frequency_hz, [1, 0, 0.5], RATE_HZ))) / (RATE_HZ / 2)
    np.testing.assert_allclose(levels[[100, 200, 300, 400]], [1, 0, 0.5, 0], atol=1e-6)


def test_partials_above_the_audible_band_are_left_out_instead_of_folding_back() -> None:
    frequency_hz = np.full(8_000, 3_000.0)
    levels = np.abs(np.fft.rfft(acoustics.tone(frequency_hz, [1, 1, 1], 8_000))) / 4_000
    assert levels[3_000] == pytest.approx(1)
    assert levels[[1_000, 2_000]].max() < 1e-6


@pytest.mark.parametrize(("slope", "fall_db"), [(0, 0), (0.5, 10), (1, 20)])
def test_coloured_noise_falls_by_its_slope_a_decade(slope: float, fall_db: float) -> None:
    sound = acoustics.coloured(rng(0), 10 * RATE_HZ, RATE_HZ, slope)
    hz, power = signal.welch(sound, RATE_HZ, nperseg=4096)
    band_db = [10 * np.log10(power[(hz > 0.8 * centre) & (hz < 1.25 * centre)].mean()) for centre in (200, 2000)]
    assert band_db[0] - band_db[1] == pytest.approx(fall_db, abs=1)


def test_a_resonance_is_loudest_at_its_peak() -> None:
    hz, power = signal.welch(acoustics.resonate(rng(0).normal(0, 1, 10 * RATE_HZ), [1500], [100], RATE_HZ), RATE_HZ)
    assert hz[power.argmax()] == pytest.approx(1500, abs=70)
