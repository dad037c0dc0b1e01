import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import dying
import numpy as np
import pandas as pd
import pytest
import rows
import soundfile
from click.testing import CliRunner, Result

from curation import ingest, params, tables
from curation.audio import Samples

RATE_HZ = 8_000
DATA = params.Data(classes=("harmful", "safe"), clip_s=2, rate_hz=RATE_HZ)
FIRST = ingest.Params(windows="first", min_duration_s=0.2, max_duration_s=20, silence_dbfs=-60, timeout_s=60)
ALL = FIRST.model_copy(update={"windows": "all"})
ESC10 = Path(__file__).parents[2] / ".." / "shared/data/esc10"


def noise(s: float, seed: int = 0, *, rms: float = 0.1) -> Samples:
    return (rms * np.random.default_rng(seed).standard_normal(round(s * RATE_HZ))).astype(np.float32)


def fill(folder: Path, table: dict[str, tuple[Samples, str]]) -> pd.DataFrame:
    """Write the sounds as FLOAT WAV and return their `tables.RAW`."""
    for file, (sound, _) in table.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / file, sound, RATE_HZ, format="WAV", subtype="FLOAT")
    return rows.table(tables.RAW, *({"file": file, "label": label} for file, (_, label) in table.items()))


def run_ingest(listed: pd.DataFrame, folder: Path, p: ingest.Params = FIRST) -> tuple[pd.DataFrame, pd.DataFrame]:
    clips, rejects = ingest.ingest(listed, folder, folder.parent / "clips", p, data=DATA, workers=1)
    return clips.sort_values(["file", "start_s"]), rejects.sort_values(["file", "start_s"])


def reasons(rejects: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rejects["file"], rejects["reason"], strict=True))


def test_a_longer_recording_is_cut_and_a_shorter_one_padded(tmp_path: Path) -> None:
    listed = fill(tmp_path / "raw", {"long.wav": (noise(5), "safe"), "short.wav": (noise(0.5, 1), "")})
    clips, rejects = run_ingest(listed, tmp_path / "raw", ALL)
    assert rejects.empty
    assert clips[["file", "start_s", "duration_s", "padded_s", "label", "group", "source_s"]].to_numpy().tolist() == [
        ["long.wav", 0, 2, 0, "safe", "long.wav", 5],
        ["long.wav", 2, 2, 0, "safe", "long.wav", 5],
        ["long.wav", 4, 1, 1, "safe", "long.wav", 5],
        ["short.wav", 0, 0.5, 1.5, "", "short.wav", 0.5],
    ]
    for clip in clips.itertuples():
        sound, rate_hz = soundfile.read(tmp_path / f"clips/{clip.clip_id}.wav", dtype="float32")
        assert (len(sound), rate_hz) == (2 * RATE_HZ, RATE_HZ)
        end = round(clip.duration_s * RATE_HZ)
        start = round(clip.start_s * RATE_HZ)
        source = noise(5) if clip.file == "long.wav" else noise(0.5, 1)
        np.testing.assert_allclose(sound[:end], source[start : start + end], atol=1 / 2**15)
        assert not sound[end:].any()


def test_every_measure_stands_in_its_column(tmp_path: Path) -> None:
    """A tone of 1 kHz between half and a quarter of a second of silence, resting at 0.1, in the left channel only."""
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ)
    left = 0.1 + np.concatenate([np.zeros(RATE_HZ // 2), tone, np.zeros(RATE_HZ // 4)])
    listed = fill(tmp_path / "raw", {"a.wav": (np.stack([left, 0 * left], axis=1), "safe")}).assign(group="home")
    clips, _ = run_ingest(listed, tmp_path / "raw")
    (row,) = clips.drop(columns="clip_id").to_dict("records")
    clipped, loud, wide = row.pop("clipped_share"), row.pop("loudness_lufs"), row.pop("bandwidth_hz")
    assert (clipped, 1000 <= wide <= 2000) == (0, True)
    assert loud == pytest.approx(db(0.25**2 / 2) - 0.7, abs=1)  # -0.691 by the standard, and blocks at the edges
    rounding = (1 / 2**15) ** 2 / 12  # of 16 bits: no silence counts as quieter
    assert row == pytest.approx(
        {
            "file": "a.wav",
            "start_s": 0,
            "duration_s": 1.75,
            "padded_s": 0.25,
            "label": "safe",
            "group": "home",
            "source_s": 1.75,
            "header_s": 1.75,
            "rate_hz": RATE_HZ,
            "channels": 2,
            "codec": "wav/float",
            "dead_channels": 1,
            "inverted": False,
            "peak_dbfs": db((0.25 + 0.05) ** 2),
            "rms_dbfs": db(0.25**2 / 2 / 1.75 + 0.05**2),
            "dc_offset": 0.05,
            "silent_share": 38 / 88,  # frames of 20 ms
            "leading_silence_s": 0.5,
            "trailing_silence_s": 0.25,
            "snr_db": db(0.25**2 / 2) - db(rounding),
        },
        abs=1e-3,
    )


def db(power: float) -> float:
    return 10 * math.log10(power)


def test_with_first_one_window_a_recording_is_kept(tmp_path: Path) -> None:
    clips, rejects = run_ingest(fill(tmp_path / "raw", {"a.wav": (noise(5), "safe")}), tmp_path / "raw")
    assert clips["start_s"].tolist() == [0]
    assert rejects.empty


def test_a_given_group_is_kept(tmp_path: Path) -> None:
    listed = fill(tmp_path / "raw", {"a.wav": (noise(1), "safe")}).assign(group="home")
    assert run_ingest(listed, tmp_path / "raw")[0]["group"].tolist() == ["home"]


def test_silent_and_short_windows_are_rejected_with_their_start(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(2 * RATE_HZ, np.float32), noise(2), noise(2, rms=1e-4), noise(0.1)])
    clips, rejects = run_ingest(fill(tmp_path / "raw", {"a.wav": (sound, "safe")}), tmp_path / "raw", ALL)
    assert clips["start_s"].tolist() == [2]
    assert rejects[["start_s", "reason", "label"]].to_numpy().tolist() == [
        [0, "silent", "safe"],
        [4, "silent", "safe"],
        [6, "too_short", "safe"],
    ]


def test_channels_that_cancel_each_other_are_silent_and_the_detail_says_so(tmp_path: Path) -> None:
    sound = np.stack([noise(1), -noise(1)], axis=1)
    _, rejects = run_ingest(fill(tmp_path / "raw", {"a.wav": (sound, "")}), tmp_path / "raw")
    assert rejects["reason"].tolist() == ["silent"]
    assert "cancel each other" in rejects["detail"].item()


def test_of_copies_the_first_labelled_stays_and_of_contradicting_ones_none(tmp_path: Path) -> None:
    a, b, c = noise(1), noise(1, 1), noise(1, 2)
    sounds = {"a1": (a, ""), "a2": (a, "safe"), "a3": (a, "safe"), "b1": (b, ""), "b2": (b, "")}
    sounds |= {"c1": (c, "safe"), "c2": (c, ""), "c3": (c, "harmful")}
    clips, rejects = run_ingest(fill(tmp_path / "raw", sounds), tmp_path / "raw")
    assert clips["file"].tolist() == ["a2", "b1"]
    conflict = "The same sound has several labels: 'safe' in c1, 'harmful' in c3, 'no label' in c2. Correct the table."
    assert rejects[["file", "label", "reason", "detail"]].to_numpy().tolist() == [
        ["a1", "", "duplicate", "The same sound as a2, which stays."],
        ["a3", "safe", "duplicate", "The same sound as a2, which stays."],
        ["b2", "", "duplicate", "The same sound as b1, which stays."],
        ["c1", "safe", "conflict", conflict],
        ["c2", "", "conflict", conflict],
        ["c3", "harmful", "conflict", conflict],
    ]
    assert {path.stem for path in (tmp_path / "clips").iterdir()} == set(clips["clip_id"])


def test_copies_of_a_recording_of_several_windows_are_one_reject(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(2 * RATE_HZ, np.float32), noise(4)])
    listed = fill(tmp_path / "raw", {"a": (sound, "safe"), "b": (sound, "safe")})
    clips, rejects = run_ingest(listed, tmp_path / "raw", ALL)
    assert clips["file"].tolist() == ["a", "a"]
    assert reasons(rejects) == [("a", "silent"), ("b", "silent"), ("b", "duplicate")]
    assert rejects["start_s"].tolist()[:2] == [0, 0]
    assert math.isnan(rejects["start_s"].tolist()[2])


def test_settling_is_once_for_all() -> None:
    clips = rows.table(tables.CLIPS, *({"clip_id": str(n % 3), "file": str(n), "label": "safe"} for n in range(7)))
    kept, _ = ingest.settle(clips)
    again, rejects = ingest.settle(kept)
    assert kept["file"].tolist() == ["0", "1", "2"]
    pd.testing.assert_frame_equal(again, kept)
    assert rejects.empty


def test_a_full_disk_is_an_error_and_not_a_reject(tmp_path: Path) -> None:
    listed = fill(tmp_path / "raw", {"a.wav": (noise(1), "safe")})
    (tmp_path / "clips").touch()
    with pytest.raises(click.ClickException, match=r"\.wav: cannot be written"):
        ingest.cut(listed["file"].item(), tmp_path / "raw", tmp_path / "clips", FIRST, DATA)


# main

KEPT = ["it's.wav", 'say "x", or.wav', "-lead.wav", "\U0001f600.wav", "two\nlines.wav", "sub/folder/a.wav"]
REJECTED = {
    "../raw.csv": "outside",
    "a b.wav": "conflict",
    "a b.flac": "conflict",
    "copy.wav": "duplicate",
    "cut.wav": "truncated",
    "empty.wav": "empty",
    "garbage.wav": "unreadable",
    "gone.wav": "missing",
    "long.flac": "too_long",
    "nan.wav": "not_finite",
    "nothing.wav": "empty",
    "pipe.wav": "unreadable",
    "short.wav": "too_short",
    "silent.wav": "silent",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with odd names and every fault that a file can have."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(rows.PARAMS, tmp_path)
    raw = tmp_path / "data/raw"
    fill(raw, {name: (noise(1, seed), "") for seed, name in enumerate([*KEPT, "nan.wav", "cut.wav"])})
    fill(raw, {"short.wav": (noise(0.1), ""), "silent.wav": (0 * noise(1), ""), "empty.wav": (noise(0), "")})
    for file in ("a b.wav", "a b.flac"):
        soundfile.write(raw / file, (noise(1, 99) * 2**15).astype(np.int16), RATE_HZ)
    soundfile.write(raw / "long.flac", np.zeros(901 * RATE_HZ, np.int16), RATE_HZ)
    soundfile.write(raw / "nan.wav", np.append(noise(1), np.float32("nan")), RATE_HZ, subtype="FLOAT")
    (raw / "cut.wav").write_bytes((raw / "cut.wav").read_bytes()[:9000])
    (raw / "garbage.wav").write_bytes(np.random.default_rng(0).bytes(50_000))
    (raw / "nothing.wav").touch()
    (raw / "unlisted.txt").touch()
    os.mkfifo(raw / "pipe.wav")
    shutil.copy(raw / KEPT[0], raw / "copy.wav")
    labels = dict.fromkeys(KEPT, "safe") | {"a b.wav": "safe", "a b.flac": "harmful"}
    listed = [{"file": file, "label": labels.get(file, "")} for file in [*KEPT, *REJECTED]]
    tables.write(rows.table(tables.RAW, *listed), tmp_path / "data/raw.csv", tables.RAW)
    return tmp_path / "data"


OPTIONS = "--raw data/raw --table data/raw.csv --clips data/clips --out data/clips.csv --rejects data/rejects.csv"


def invoke(workers: int = 2) -> Result:
    return CliRunner().invoke(ingest.main, [*OPTIONS.split(), "--workers", str(workers)])


def outputs(data: Path) -> dict[str, bytes]:
    paths = [data / "clips.csv", data / "rejects.csv", *(data / "clips").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def test_every_listed_recording_ends_in_clips_or_in_rejects_with_its_reason(project: Path) -> None:
    result = invoke()
    assert result.output == "ingest: 6 clips, 15 rejects\n"
    assert sorted(tables.read(project / "clips.csv", tables.CLIPS)["file"]) == sorted(KEPT)
    rejects = tables.read(project / "rejects.csv", tables.REJECTS)
    assert dict(reasons(rejects)) == REJECTED | {"unlisted.txt": "unlisted"}
    assert len(rejects) == 15
    assert all(detail.endswith(".") for detail in rejects["detail"])


def test_the_number_of_workers_changes_no_byte_and_a_second_run_leaves_nothing_behind(project: Path) -> None:
    assert invoke(workers=1).exit_code == 0
    alone = outputs(project)
    (project / "clips/stale.wav").touch()
    (project / "clips/.123.interrupted.wav").touch()
    assert invoke(workers=3).exit_code == 0
    assert outputs(project) == alone


def test_a_recording_that_takes_too_long_is_rejected(project: Path) -> None:
    """Fifteen minutes of a sparse file cannot be heard in 50 ms."""
    shutil.rmtree(project / "raw")
    (project / "raw").mkdir()
    frames = 850 * 48_000
    soundfile.write(project / "raw/slow.wav", np.zeros(1, np.int16), 48_000)
    wav = bytearray((project / "raw/slow.wav").read_bytes())
    wav[4:8] = (36 + 2 * frames).to_bytes(4, "little")
    wav[40:44] = (2 * frames).to_bytes(4, "little")
    (project / "raw/slow.wav").write_bytes(wav)
    os.truncate(project / "raw/slow.wav", 44 + 2 * frames)
    tables.write(rows.table(tables.RAW, {"file": "slow.wav"}), project / "raw.csv", tables.RAW)
    settings = Path("params.yaml").read_text(encoding="utf-8").replace("timeout_s: 60", "timeout_s: 0.05")
    Path("params.yaml").write_text(settings, encoding="utf-8")
    result = invoke()
    assert result.exit_code == 1
    assert result.output == "Error: Every recording was rejected (1 timeout). data/rejects.csv says why, row by row.\n"
    assert reasons(tables.read(project / "rejects.csv", tables.REJECTS)) == [("slow.wav", "timeout")]
    assert not (project / "clips.csv").exists()


def test_recordings_that_are_all_silent_are_one_clear_line(project: Path) -> None:
    names = ["silent.wav", "quiet.wav"]
    fill(project / "raw", {name: (0 * noise(1), "") for name in names})
    tables.write(rows.table(tables.RAW, *({"file": name} for name in names)), project / "raw.csv", tables.RAW)
    for path in (project / "raw").rglob("*"):
        if path.name not in names and not path.is_dir():
            path.unlink()
    result = invoke()
    assert result.exit_code == 1
    assert result.output == "Error: Every recording was rejected (2 silent). data/rejects.csv says why, row by row.\n"


def test_a_recording_that_kills_its_decoder_is_a_reject(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(project / "raw", {"kills.wav": (noise(1, 50), ""), "after.wav": (noise(1, 51), "")})
    listed = [{"file": "kills.wav"}, {"file": "after.wav"}]
    tables.write(rows.table(tables.RAW, *listed), project / "raw.csv", tables.RAW)
    monkeypatch.setattr(ingest, "cut", dying.cut_or_die)
    assert invoke().exit_code == 0
    rejects = tables.read(project / "rejects.csv", tables.REJECTS).set_index("file")
    assert rejects.loc["kills.wav", ["reason", "detail"]].tolist() == [
        "crashed",
        "The process that decoded it died (exit code 3).",
    ]
    assert tables.read(project / "clips.csv", tables.CLIPS)["file"].tolist() == ["after.wav"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "raw.csv does not exist. `earmark import` lists"),
        (b"", "raw.csv is not a CSV table"),
        (b"file,label,group\n", "raw.csv lists no recording. `earmark import` lists"),
        (b"file;label;group\na.wav;safe;\n", "It seems to be separated by ';'"),
        ("file,label,group\na.wav,safe,\n".encode("utf-16"), "raw.csv is not UTF-8"),
        (b"file,label,group\na.wav,safe,\na.wav,safe,\n", "'a.wav' stands twice"),
        (b"file,label,group\na.wav,sfae,\n", "'sfae' not in `data.classes`"),
    ],
)
def test_a_wrong_table_is_one_clear_line(project: Path, content: bytes | None, message: str) -> None:
    (project / "raw.csv").unlink()
    if content is not None:
        (project / "raw.csv").write_bytes(content)
    result = invoke()
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1


def command(**how: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(ingest.__file__).parents[1])}
    line = [sys.executable, "-m", "curation.ingest", *OPTIONS.split(), "--workers", "2"]
    return subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True, **how)


@pytest.mark.slow
def test_ctrl_c_ends_it_in_one_line_and_the_next_run_is_right(project: Path) -> None:
    with command(start_new_session=True) as running:
        while not any((project / "clips").glob("*.wav")):
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        errors = running.stderr.read()
    assert running.returncode == 130
    assert errors.splitlines()[-1] == "Error: Interrupted. The same command again starts afresh."
    assert "Traceback" not in errors
    assert not (project / "clips.csv").exists()
    assert invoke().output == "ingest: 6 clips, 15 rejects\n"


@pytest.mark.slow
def test_a_disk_that_fills_in_a_worker_ends_the_run_in_one_line(project: Path) -> None:
    """A limit of 4 kB a file stands for the full disk."""
    with command(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))) as running:
        errors = running.stderr.read()
    assert running.returncode == 1
    assert "cannot be written (File too large)" in errors
    assert "Traceback" not in errors
    assert not (project / "rejects.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(not ESC10.exists(), reason="the recordings of ESC-10 are not beside the checkout")
def test_real_recordings_are_taken_whole(tmp_path: Path) -> None:
    given = pd.read_csv(ESC10 / "small.csv", dtype=str)
    listed = rows.table(tables.RAW, *given[["file", "label"]].to_dict("records"))
    listed = listed.assign(group=given["recording"])
    (tmp_path / "raw").mkdir()
    for file in listed["file"]:
        shutil.copy(ESC10 / "audio" / file, tmp_path / "raw")
    data = params.Data(classes=("harmful", "safe"), clip_s=8, rate_hz=16_000)
    clips, rejects = ingest.ingest(listed, tmp_path / "raw", tmp_path / "clips", FIRST, data=data, workers=2)
    assert rejects.empty
    assert clips["file"].tolist() == listed["file"].tolist()
    assert (clips["bandwidth_hz"] > 6000).mean() > 0.9
    assert clips["rms_dbfs"].between(-60, 0).all()
