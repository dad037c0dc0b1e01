from pathlib import Path

import joblib
import numpy as np
import pytest
import rows
import soundfile
from click.testing import CliRunner
from signals import RATE_HZ, noise, pulses, tone
from threadpoolctl import threadpool_limits

from curation import features as stage
from curation import tables, vectors
from curation.descriptors import Params, features
from curation.features import describe
from curation.fingerprint import fingerprint
from curation.variations import variations

P = Params.load("features", rows.PARAMS)


def save(folder: Path, **sounds: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    for clip_id, sound in sounds.items():
        padded = np.pad(sound, (0, 8 * RATE_HZ - len(sound)))
        soundfile.write(folder / f"{clip_id}.wav", padded, RATE_HZ, subtype="PCM_16")


def written(folder: Path, *, workers: int = 1, **sounds: np.ndarray) -> Path:
    """Write clips and run the stage on them."""
    save(folder / "clips", **sounds)
    clips = [{"clip_id": clip_id, "duration_s": len(sound) / RATE_HZ} for clip_id, sound in sounds.items()]
    tables.write(rows.table(tables.CLIPS, *clips), folder / "clips.csv", tables.CLIPS)
    (folder / "params.yaml").write_bytes(rows.PARAMS.read_bytes())
    audio = str(folder / "clips")  # whole: a worker may have begun in another folder
    options = ["--clips", "clips.csv", "--audio", audio, "--out", "features", "--workers", str(workers)]
    outcome = CliRunner().invoke(stage.main, options, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return folder / "features"


@threadpool_limits.wrap(limits=1)  # as the stage does
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
            varied = variations(stored, P.variations, silence_db=P.silence_db)
            assert found.variations == len(varied) == 7
            for number, one in enumerate(varied):
                for name, block in features(one, P, rate_hz=RATE_HZ).items():
                    np.testing.assert_array_equal(found.varied[name][place, number], block)
            first, last = prints["offset"][place : place + 2]
            np.testing.assert_array_equal(prints["rows"][first:last], fingerprint(stored, RATE_HZ))


def test_the_same_clips_are_the_same_bytes_whatever_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = []
    monkeypatch.setattr(stage, "BATCH", 1)
    for workers, folder in ((1, tmp_path / "one"), (2, tmp_path / "other")):
        folder.mkdir()
        monkeypatch.chdir(folder)
        out = written(folder, workers=workers, aa=pulses(0.4), bb=noise(3))
        stored.append([(out / name).read_bytes() for name in ("vectors.npz", "variations.npz", "fingerprints.npz")])
    assert stored[0] == stored[1]


def test_of_more_clips_than_params_say_there_are_no_variations(tmp_path: Path) -> None:
    save(tmp_path, aa=noise(0.5), bb=noise(0.5, 1))
    frames = {"aa": RATE_HZ // 2, "bb": RATE_HZ // 2}
    for most, count in ((2, 7), (1, 0)):
        p = P.model_copy(update={"variations": P.variations.model_copy(update={"max_clips": most})})
        assert describe(frames, tmp_path, p, rate_hz=RATE_HZ, workers=1)[0].variations == count


def test_another_backend_of_joblib_finds_the_same(tmp_path: Path) -> None:
    save(tmp_path, **{f"{n:02}": noise(0.5, n) for n in range(stage.BATCH + 3)})
    frames = {f"{n:02}": RATE_HZ // 2 for n in range(stage.BATCH + 3)}
    alone, alone_prints = describe(frames, tmp_path, P, rate_hz=RATE_HZ, workers=1)
    with joblib.parallel_config("threading"):
        shared, shared_prints = describe(frames, tmp_path, P, rate_hz=RATE_HZ, workers=2)
    assert alone.clip_ids == shared.clip_ids == tuple(frames)
    points, same = (one.points(one.clip_ids, varied=True) for one in (alone, shared))
    np.testing.assert_array_equal(points, same)
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
