import itertools
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curation import recording
from curation.audio import FULL_SCALE, Header, Samples, UnusableError
from curation.recording import Ear, Recording

RATE_HZ = 8_000


def steps(frames: int, *, channels: int = 1) -> Samples:
    rng = np.random.default_rng(0)
    return rng.integers(-20_000, 20_000, (frames, channels)).astype(np.float32) / FULL_SCALE


def listen(path: Path, *, count: int | None = None, max_duration_s: float = 60) -> Recording:
    return recording.listen(path, clip_s=1, to_hz=RATE_HZ, count=count, max_duration_s=max_duration_s)


def refusal(path: Path, *, max_duration_s: float = 60) -> tuple[str, str]:
    with pytest.raises(UnusableError) as caught:
        listen(path, max_duration_s=max_duration_s)
    return caught.value.reason, caught.value.detail


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(1, 9))
def test_splitting_blocks_loses_and_adds_nothing(lengths: list[int], frames: int) -> None:
    sound = steps(sum(lengths))
    pieces = list(recording.split(np.split(sound, np.cumsum(lengths)[:-1]), frames))
    np.testing.assert_array_equal(np.concatenate(pieces), sound[:, 0])
    assert {len(piece) for piece in pieces[:-1]} <= {frames}
    assert 0 < len(pieces[-1]) <= frames


def test_a_recording_is_cut_into_windows_with_the_last_one_shorter(tmp_path: Path) -> None:
    sound = steps(20_000)
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ)
    windows = listen(tmp_path / "a.wav").windows
    assert [window.start_s for window in windows] == [0, 1, 2]
    assert [len(window.sound) for window in windows] == [8000, 8000, 4000]
    np.testing.assert_array_equal(np.concatenate([window.sound for window in windows]), sound[:, 0])


def test_the_first_window_alone_is_kept_but_all_is_heard(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", steps(20_000), RATE_HZ)
    first, every = listen(tmp_path / "a.wav", count=1), listen(tmp_path / "a.wav")
    assert [len(window.sound) for window in first.windows] == [8000]
    assert (first.frames, first.digest) == (every.frames, every.digest) == (20_000, every.digest)


def test_the_same_samples_have_one_id_in_every_lossless_container(tmp_path: Path) -> None:
    for name, subtype in [("a.wav", "PCM_16"), ("b.flac", "PCM_16"), ("c.wav", "PCM_24"), ("d.wav", "FLOAT")]:
        soundfile.write(tmp_path / name, steps(90_000, channels=2), RATE_HZ, subtype=subtype)
    assert len({listen(path).clip_id(0) for path in tmp_path.iterdir()}) == 1


def test_the_id_depends_on_samples_rate_channels_and_start(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", steps(9000), RATE_HZ)
    soundfile.write(tmp_path / "b.wav", -steps(9000), RATE_HZ)
    soundfile.write(tmp_path / "c.wav", steps(9000), 2 * RATE_HZ)
    soundfile.write(tmp_path / "d.wav", steps(9000).reshape(-1, 2), RATE_HZ)
    ids = {listen(path).clip_id(start_s) for path in tmp_path.iterdir() for start_s in (0, 1)}
    assert len(ids) == 8


def test_dead_and_inverted_channels_are_seen(tmp_path: Path) -> None:
    mono = steps(9000)
    for name, right in [("same", mono), ("dead", 0 * mono), ("inverted", -mono)]:
        soundfile.write(tmp_path / name, np.hstack([mono, right]), RATE_HZ, format="WAV")
    found = {path.name: (listen(path).dead_channels, listen(path).inverted) for path in tmp_path.iterdir()}
    assert found == {"same": (0, False), "dead": (1, False), "inverted": (0, True)}


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), RATE_HZ)
    assert refusal(tmp_path / "a.wav") == ("empty", "There is not one sample in it.")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_no_number_is_refused_even_behind_the_first_window(tmp_path: Path, value: float) -> None:
    sound = steps(20_000)
    sound[19_000] = value
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ, subtype="FLOAT")
    assert refusal(tmp_path / "a.wav") == ("not_finite", "A sample before 2.5 s is NaN or infinite.")


def test_a_cut_wav_is_truncated(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", steps(80_000), RATE_HZ)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    reason, detail = refusal(tmp_path / "a.wav")
    assert reason == "truncated"
    assert detail.startswith("Its header promises 9.99")


def test_a_cut_flac_is_truncated(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", steps(80_000), RATE_HZ)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) * 3 // 4])
    reason, detail = refusal(tmp_path / "a.flac")
    assert reason == "truncated"
    assert detail.startswith("Decoding fails after 4.096 s: ")


def test_a_recording_whose_header_is_nearly_right_is_taken(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", steps(80_000), RATE_HZ)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) * 98 // 100])
    assert listen(tmp_path / "a.wav").header.length_s == pytest.approx(10, rel=0.001)


@pytest.mark.parametrize("rate_hz", [1, 10_000_000])
def test_a_rate_that_no_recording_has_is_refused(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", steps(1000), rate_hz)
    assert refusal(tmp_path / "a.wav") == ("unreadable", f"Its sample rate would be {rate_hz} Hz.")


def test_a_stream_without_end_is_refused_after_the_longest_duration() -> None:
    ear = Ear(Header(RATE_HZ, 1, "wav/pcm_16", 1.0), max_duration_s=10)
    with pytest.raises(UnusableError, match=r"It is longer than 10 s \(`ingest.max_duration_s`\)"):
        deque(ear.hear(itertools.repeat(steps(1000))))
    assert ear.frames == 81_000


def test_a_flac_bomb_is_refused(tmp_path: Path) -> None:
    """Half an hour of zeros in a few kB."""
    with soundfile.SoundFile(tmp_path / "bomb.flac", "w", RATE_HZ, 1) as file:
        file.write(np.zeros(1800 * RATE_HZ, np.int16))
    assert (tmp_path / "bomb.flac").stat().st_size < 100_000
    assert refusal(tmp_path / "bomb.flac")[0] == "too_long"
