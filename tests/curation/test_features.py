from pathlib import Path

import joblib
import numpy as np
import pytest
import rows
import soundfile
from click.testing import CliRunner

from curation import features as stage
from curation import tables, vectors
from curation.features import describe, features, patterns
from curation.fingerprint import fingerprint

RATE_HZ = 16000
TOLERANCE = 1e-4  # of a pattern's share and contrast
P = stage.Params(window_s=0.064, hop_s=0.016, mels=64, silence_db=60)


def noise(duration_s: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE_HZ)).astype(np.float32)


def pulses(every_s: float, duration_s: float = 4.0) -> np.ndarray:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (noise(duration_s) * np.exp(-40 * (time_s % every_s))).astype(np.float32)


def tone(hz: float, duration_s: float = 2.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def row(sound: np.ndarray) -> np.ndarray:
    return np.concatenate(list(features(sound, P, rate_hz=RATE_HZ).values()))


def save(folder: Path, **sounds: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for clip_id, sound in sounds.items():
        padded = np.pad(sound, (0, 8 * RATE_HZ - len(sound)))
        soundfile.write(folder / f"{clip_id}.wav", padded, RATE_HZ, subtype="PCM_16")


def written(folder: Path, **sounds: np.ndarray) -> Path:
    """Write clips and run the stage on them."""
    save(folder / "clips", **sounds)
    clips = [{"clip_id": clip_id, "duration_s": len(sound) / RATE_HZ} for clip_id, sound in sounds.items()]
    tables.write(rows.table(tables.CLIPS, *clips), folder / "clips.csv", tables.CLIPS)
    (folder / "params.yaml").write_bytes(rows.PARAMS.read_bytes())
    options = ["--clips", "clips.csv", "--audio", "clips", "--out", "features", "--workers", "1"]
    outcome = CliRunner().invoke(stage.main, options, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return folder / "features"


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


def test_pulses_repeat_at_the_lag_at_which_they_were_made() -> None:
    lags_s = [lags.mean() * P.hop_s for lags in np.array_split(np.arange(4, 188), stage.LAGS)]
    for every_s in (0.4, 0.7, 1.1):
        repeats = features(pulses(every_s), P, rate_hz=RATE_HZ)["rhythm"][: stage.LAGS]
        assert lags_s[repeats.argmax()] == pytest.approx(every_s, abs=0.07)


def test_slow_and_fast_swelling_are_found_at_their_rate() -> None:
    edges_hz = np.geomspace(stage.SLOWEST_HZ, 1 / P.hop_s / 2, stage.RATES + 1)
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    for rate_hz in (1.0, 4.0, 9.0):
        swelling = noise(4) * (1 + 0.9 * np.sin(2 * np.pi * rate_hz * time_s)).astype(np.float32)
        power = features(swelling, P, rate_hz=RATE_HZ)["modulation"].reshape(stage.RATES, stage.BANDS).mean(axis=1)
        low_hz, high_hz = edges_hz[power.argmax() : power.argmax() + 2]
        assert low_hz <= rate_hz < high_hz


def test_the_spectrum_tells_high_from_low_and_tones_from_noise() -> None:
    centroid, flatness = 0, 3
    low, high, hiss = (features(sound, P, rate_hz=RATE_HZ)["spectrum"] for sound in (tone(300), tone(3000), noise(2)))
    assert np.exp(low[centroid]) == pytest.approx(300, rel=0.1)
    assert np.exp(high[centroid]) == pytest.approx(3000, rel=0.1)
    assert hiss[flatness] > max(low[flatness], high[flatness]) + 5


def ridge(low: int = 0) -> np.ndarray:
    """Return a log-mel spectrogram of 200 frames, quiet but for a line that rises by 16 bands from `low` amid them."""
    mel_db = np.full((P.mels, 200), -60, np.float32)
    mel_db[low + np.arange(16), 92 + np.arange(16)] = 0
    return mel_db


def test_the_patterns_tell_a_sound_from_its_mirror_in_time_which_other_blocks_do_not() -> None:
    rising, falling = ridge(), ridge()[:, ::-1]
    np.testing.assert_allclose(stage.cepstrum(falling), stage.cepstrum(rising), rtol=1e-3, atol=1e-3)
    hop_s = P.hop_s
    np.testing.assert_allclose(stage.modulation(falling, hop_s=hop_s), stage.modulation(rising, hop_s=hop_s), atol=0.05)
    for one, other in zip(patterns(rising), patterns(falling), strict=True):
        assert np.abs(one - other).max() > 50 * TOLERANCE


def test_the_patterns_of_a_louder_or_a_later_sound_are_the_same() -> None:
    for other in (ridge() + 12, np.roll(ridge(), 30, axis=1)):
        for one, same in zip(patterns(ridge()), patterns(other), strict=True):
            np.testing.assert_allclose(same, one, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("region", range(stage.REGIONS))
def test_the_contrast_is_found_in_the_region_of_the_pattern(region: int) -> None:
    _, contrast = patterns(ridge(low=16 * region))
    assert contrast.reshape(-1, stage.REGIONS).mean(axis=0).argmax() == region


@pytest.mark.parametrize("sound", [np.zeros(RATE_HZ, np.float32), np.eye(1, 200, dtype=np.float32)[0], noise(0.2)])
def test_silence_a_click_and_the_shortest_clip_are_described_by_finite_numbers(sound: np.ndarray) -> None:
    assert row(sound).shape == row(noise(8)).shape
    assert np.isfinite(row(sound)).all()


def test_the_stage_describes_the_recorded_part_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sounds = {"aa": pulses(0.4, 1.5), "bb": noise(8), "cc": tone(440)}
    out = written(tmp_path, **sounds)
    found = vectors.read(out)
    assert found.clip_ids == ("aa", "bb", "cc")
    with np.load(out / "fingerprints.npz", allow_pickle=False) as prints:
        assert prints["clip_id"].tolist() == ["aa", "bb", "cc"]
        for place, (clip_id, sound) in enumerate(sounds.items()):
            stored = soundfile.read(tmp_path / f"clips/{clip_id}.wav", frames=len(sound), dtype="float32")[0]
            for name, block in features(stored, P, rate_hz=RATE_HZ).items():
                np.testing.assert_array_equal(found.blocks[name][place], block)
            first, last = prints["offset"][place : place + 2]
            np.testing.assert_array_equal(prints["rows"][first:last], fingerprint(stored, RATE_HZ))


def test_the_same_clips_are_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        monkeypatch.chdir(folder)
        out = written(folder, aa=pulses(0.4), bb=noise(3))
        stored.append([(out / name).read_bytes() for name in ("vectors.npz", "fingerprints.npz")])
    assert stored[0] == stored[1]


def test_another_backend_of_joblib_finds_the_same(tmp_path: Path) -> None:
    save(tmp_path, **{f"{n:02}": noise(0.5, n) for n in range(stage.BATCH + 3)})
    frames = {f"{n:02}": RATE_HZ // 2 for n in range(stage.BATCH + 3)}
    alone, alone_prints = describe(frames, tmp_path, P, rate_hz=RATE_HZ, workers=1)
    with joblib.parallel_config("threading"):
        shared, shared_prints = describe(frames, tmp_path, P, rate_hz=RATE_HZ, workers=2)
    assert alone.clip_ids == shared.clip_ids == tuple(frames)
    np.testing.assert_array_equal(alone.points(alone.clip_ids), shared.points(shared.clip_ids))
    assert all(np.array_equal(one, other) for one, other in zip(alone_prints, shared_prints, strict=True))


def test_a_damaged_clip_is_named_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, aa=noise(1), bb=noise(2))
    (tmp_path / "clips/bb.wav").write_bytes(b"RIFF")
    options = ["--clips", "clips.csv", "--audio", "clips", "--out", "features", "--workers", "1"]
    outcome = CliRunner().invoke(stage.main, options)
    assert outcome.exit_code == 1
    assert "clips/bb.wav" in outcome.output
    assert "`dvc repro ingest`" in outcome.output
