import numpy as np
import pytest
from scipy import signal

from curation.audio import Samples
from training.degrade import AXES, CLEAN, Condition, add_noise, coded, degrade, gain, loudest, pink, reverberant

RATE_HZ = 16000
MILD: list[Condition] = [
    ("gain_db", 6),
    ("snr_db", 20),
    ("mp3_kbps", 64),
    ("opus_kbps", 64),
    ("bandwidth_hz", 4000),
    ("reverberation_s", 0.3),
    ("crop_s", 9),
]


def draws() -> np.random.Generator:
    return np.random.default_rng(0)


def tone(hz: float, n: int = 32000, rate_hz: int = RATE_HZ) -> Samples:
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(n) / rate_hz)).astype(np.float32)


def noise(n: int = 32000) -> Samples:
    return (0.1 * draws().standard_normal(n)).astype(np.float32)


def click(at: int, n: int = 32000) -> Samples:
    sound = np.zeros(n, np.float32)
    sound[at] = 0.5
    return sound


def power_db(sound: Samples) -> float:
    return 10 * float(np.log10(np.square(sound, dtype=np.float64).mean()))


def test_every_axis_is_tested_here() -> None:
    assert [axis for axis, _ in MILD] == list(AXES)


@pytest.mark.parametrize("condition", MILD, ids=str)
@pytest.mark.parametrize("n", [3201, 32000])
def test_a_change_keeps_length_and_type_leaves_its_input_alone_and_comes_again(condition: Condition, n: int) -> None:
    sound = noise(n)
    before = sound.copy()
    changed = degrade(sound, condition, rate_hz=RATE_HZ, rng=draws())
    assert (changed.dtype, changed.shape) == (np.dtype(np.float32), (n,))
    np.testing.assert_array_equal(sound, before)
    np.testing.assert_array_equal(degrade(sound, condition, rate_hz=RATE_HZ, rng=draws()), changed)


@pytest.mark.parametrize("condition", MILD, ids=str)
def test_digital_silence_stays_finite(condition: Condition) -> None:
    changed = degrade(np.zeros(8000, np.float32), condition, rate_hz=RATE_HZ, rng=draws())
    assert np.isfinite(changed).all()
    assert np.abs(changed).max() < 1e-3


def test_clean_is_the_sound_itself() -> None:
    sound = noise()
    assert degrade(sound, CLEAN, rate_hz=RATE_HZ, rng=draws()) is sound


@pytest.mark.parametrize(("gain_db", "factor"), [(-20, 0.1), (0, 1), (20, 10)])
def test_a_gain_is_exact_and_does_not_clip(gain_db: float, factor: float) -> None:
    sound = 8 * tone(440)
    np.testing.assert_allclose(gain(sound, gain_db=gain_db), factor * sound, rtol=1e-6)


@pytest.mark.parametrize("snr_db", [20, 10, 0])
def test_noise_has_the_power_asked_for_and_the_sum_is_as_loud_as_the_sound(snr_db: float) -> None:
    sound = tone(5000, 128000)
    changed = add_noise(sound, snr_db=snr_db, rate_hz=RATE_HZ, rng=draws())
    share = float(np.dot(changed, sound) / np.dot(sound, sound))  # of the tone, which the noise hardly resembles
    assert power_db(share * sound) - power_db(changed - share * sound) == pytest.approx(snr_db, abs=0.1)
    assert power_db(changed) == pytest.approx(power_db(sound), abs=0.01)


def test_noise_is_pink_from_the_lowest_audible_tone_on() -> None:
    sound = pink(2**17, rate_hz=RATE_HZ, rng=draws())
    hz, power = signal.welch(sound, RATE_HZ, nperseg=2**13)
    octaves = [power[(hz >= low) & (hz < 2 * low)].sum() for low in (62.5, 125, 250, 500, 1000, 2000)]
    np.testing.assert_allclose(np.array(octaves) / np.mean(octaves), 1, atol=0.1)
    assert power[hz < 15].sum() < 0.01 * power.sum()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize(("codec", "kbps"), [("mp3", 64), ("mp3", 32), ("opus", 64), ("opus", 24)])
def test_a_round_trip_through_a_codec_keeps_length_and_place(codec: str, kbps: float, rate_hz: int) -> None:
    """A delay of MP3's, 1105 samples, would be seen; so would Opus' of 6.5 ms, within 1 ms."""
    n = rate_hz + 7
    low = signal.butter(4, 1500, fs=rate_hz, output="sos")
    sound = signal.sosfilt(low, noise(n)).astype(np.float32) * np.float32(np.hanning(n))
    changed = coded(sound, codec, kbps=kbps, rate_hz=rate_hz)
    assert len(changed) == n
    lag = int(signal.correlate(changed, sound, method="fft").argmax()) - (n - 1)
    assert abs(lag) <= rate_hz / 1000
    assert np.corrcoef(changed, sound)[0, 1] > 0.9


@pytest.mark.parametrize("codec", ["mp3", "opus"])
def test_a_sound_may_end_anywhere_within_a_frame(codec: str) -> None:
    """Opus files that end in some places libsndfile cannot read."""
    lengths = range(1600, 1600 + 2 * 160, 9)
    assert [len(coded(noise(n), codec, kbps=32, rate_hz=8000)) for n in lengths] == list(lengths)


@pytest.mark.parametrize("codec", ["mp3", "opus"])
def test_a_codec_loses_the_more_the_fewer_bits_it_has(codec: str) -> None:
    sound = noise()
    lost = [power_db(coded(sound, codec, kbps=kbps, rate_hz=RATE_HZ) - sound) for kbps in (64, 32)]
    assert power_db(sound) - 40 < lost[0] < lost[1] - 1


def test_a_narrow_band_holds_nothing_above_its_limit_and_all_below() -> None:
    changed = degrade(noise(), ("bandwidth_hz", 4000), rate_hz=RATE_HZ, rng=draws())
    hz, power = signal.welch(changed, RATE_HZ, nperseg=1024)
    assert 10 * np.log10(power[hz > 4000].sum() / power.sum()) < -40
    kept = degrade(tone(3000), ("bandwidth_hz", 4000), rate_hz=RATE_HZ, rng=draws())
    np.testing.assert_allclose(kept[1000:-1000], tone(3000)[1000:-1000], atol=1e-4)


def test_a_band_beyond_the_clip_s_own_changes_nothing() -> None:
    np.testing.assert_array_equal(degrade(noise(), ("bandwidth_hz", 9000), rate_hz=RATE_HZ, rng=draws()), noise())


def test_reverberation_keeps_the_onset_and_dies_by_60_db_in_its_time() -> None:
    changed = reverberant(click(8000, 48000), decay_s=1.0, rate_hz=RATE_HZ, rng=draws()).astype(np.float64)
    assert np.abs(changed[:8000]).max() < 1e-6
    assert int(np.abs(changed).argmax()) == 8000
    left = np.square(changed[8001:])[::-1].cumsum()[::-1]
    fell_db = 10 * np.log10(left[8000] / left[0])  # half a second later, half of 60 dB
    assert fell_db == pytest.approx(-30, abs=1)
    assert left[0] == pytest.approx(changed[8000] ** 2, rel=1e-3)


def test_reverberation_is_as_loud_as_the_sound() -> None:
    changed = reverberant(noise(), decay_s=1.0, rate_hz=RATE_HZ, rng=draws())
    assert power_db(changed) == pytest.approx(power_db(noise()), abs=0.01)


def test_a_crop_is_the_loudest_stretch_to_the_sample() -> None:
    sound = 0.01 * noise()
    sound[20000:24000] *= 100
    crop = loudest(sound, length_s=0.25, rate_hz=RATE_HZ)
    np.testing.assert_array_equal(crop, sound[20000:24000])
    assert loudest(sound, length_s=3, rate_hz=RATE_HZ) is sound


def test_an_unknown_axis_is_our_fault() -> None:
    with pytest.raises(ValueError, match="no such axis: depth_m"):
        degrade(noise(), ("depth_m", 1), rate_hz=RATE_HZ, rng=draws())
