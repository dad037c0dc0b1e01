import io
import math
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curation import audio
from curation.audio import Header, Samples, UnusableError

RATE_HZ = 44_100


def steps(frames: int = 3 * RATE_HZ, *, channels: int = 1, seed: int = 0) -> Samples:
    """Return noise whose every sample is a 16-bit value, shape (frames, channels)."""
    rng = np.random.default_rng(seed)
    return rng.integers(-20_000, 20_000, (frames, channels)).astype(np.float32) / audio.FULL_SCALE


def encode(path: Path, codec: str, sound: Samples, *, rate_hz: int, title: str = "") -> Path:
    """Write `sound` (frames, 1) by FFmpeg."""
    with av.open(str(path), "w") as file:
        file.metadata["title"] = title
        stream = file.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout = "mono"
        whole = av.AudioFrame.from_ndarray(sound.T.copy(), format="flt", layout="mono")
        whole.rate = rate_hz
        to_codec = av.AudioResampler(stream.format, "mono", rate_hz, frame_size=stream.codec_context.frame_size or 1024)
        for frame in [*to_codec.resample(whole), *to_codec.resample(None), None]:
            file.mux(stream.encode(frame))
    return path


def decoded(path: Path) -> tuple[Header, Samples]:
    with audio.decoding(path) as (header, blocks):
        return header, np.concatenate([block.copy() for block in blocks])


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("aiff", "PCM_16")],
)
def test_lossless_files_decode_to_the_same_samples(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, steps(channels=2), RATE_HZ, subtype=subtype)
    header, sound = decoded(path)
    assert header == Header(RATE_HZ, 2, f"{suffix}/{subtype}".lower(), 3.0)
    np.testing.assert_array_equal(sound, steps(channels=2))


def test_alac_read_by_ffmpeg_decodes_to_the_samples_of_a_wav(tmp_path: Path) -> None:
    header, sound = decoded(encode(tmp_path / "a.m4a", "alac", steps(), rate_hz=RATE_HZ))
    assert header == Header(RATE_HZ, 1, "mov/alac", 3.0)
    np.testing.assert_array_equal(sound, steps())


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.m4a", "aac", 44_100),
        ("a.webm", "libopus", 48_000),
        ("a.3gp", "libopencore_amrnb", 8_000),
        ("a.caf", "adpcm_ima_qt", 44_100),
        ("a.avi", "ac3", 48_000),
        ("a.ogg", "libopus", 48_000),
        ("a.mp4", "libmp3lame", 44_100),
    ],
)
def test_what_phones_and_cameras_write_is_decoded(tmp_path: Path, name: str, codec: str, rate_hz: int) -> None:
    try:
        av.codec.Codec(codec, "w")
    except av.codec.UnknownCodecError:
        pytest.skip(f"this build of PyAV cannot encode {codec}")
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate_hz) / rate_hz).astype(np.float32)[:, None] / 2
    header, sound = decoded(encode(tmp_path / name, codec, tone, rate_hz=rate_hz))
    assert (header.rate_hz, header.channels) == (rate_hz, 1)
    assert len(sound) / rate_hz == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound[: 2 * rate_hz, 0]))
    assert spectrum.argmax() * rate_hz / min(len(sound), 2 * rate_hz) == pytest.approx(440, abs=2)


def test_the_sound_of_a_video_is_decoded(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        picture = file.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 16
        sound = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        for _ in range(10):
            file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        samples = (steps(8000) * audio.FULL_SCALE).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.T.copy(), format="s16", layout="mono")
        frame.rate = 8000
        file.mux([*picture.encode(None), *sound.encode(frame), *sound.encode(None)])
    header, heard = decoded(tmp_path / "a.mkv")
    assert math.isnan(header.length_s)
    np.testing.assert_array_equal(heard, steps(8000))


def test_a_title_that_is_no_utf_8_does_not_matter(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", "aac", steps(), rate_hz=RATE_HZ, title="na\u00efve")
    path.write_bytes(path.read_bytes().replace("na\u00efve".encode(), b"na\xef\xffve"))
    assert decoded(path)[0].codec == "mov/aac"


def test_a_stream_whose_rate_changes_is_unreadable(tmp_path: Path) -> None:
    parts = [encode(tmp_path / f"{rate_hz}.aac", "aac", steps(), rate_hz=rate_hz) for rate_hz in (44_100, 22_050)]
    (tmp_path / "both.aac").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UnusableError, match="change in the middle"):
        decoded(tmp_path / "both.aac")


def test_the_name_does_not_decide_how_a_file_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "-a\n'b' \U0001f600.raw", steps(), RATE_HZ, format="WAV")
    np.testing.assert_array_equal(decoded(tmp_path / "-a\n'b' \U0001f600.raw")[1], steps())


@pytest.mark.parametrize("content", [b"", b"no sound " * 999, bytes(9999), np.random.default_rng(0).bytes(99_999)])
def test_what_is_no_sound_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UnusableError, match="Neither libsndfile nor FFmpeg can open it"):
        decoded(tmp_path / "a.wav")


def test_a_video_without_sound_is_unreadable(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        picture = file.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 16
        file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        file.mux(picture.encode(None))
    with pytest.raises(UnusableError, match="There is no sound in it"):
        decoded(tmp_path / "a.mp4")


@pytest.mark.parametrize("suffix", ["m3u8", "ffconcat"])
def test_a_playlist_cannot_make_us_read_another_file(tmp_path: Path, suffix: str) -> None:
    secret = encode(tmp_path / "secret.m4a", "aac", steps(), rate_hz=RATE_HZ)
    lists = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n",
        "ffconcat": "ffconcat version 1.0\nfile secret.m4a\n",
    }
    (tmp_path / f"a.{suffix}").write_text(lists[suffix], encoding="utf-8")
    with pytest.raises(UnusableError, match="unreadable"):
        decoded(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU"])
def test_the_header_of_a_cut_file_says_how_long_it_was(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / "a", steps(), RATE_HZ, format=kind, subtype="PCM_16")
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    header, sound = decoded(tmp_path / "a")
    assert len(sound) == pytest.approx(1.5 * RATE_HZ, rel=0.01)
    assert header.length_s == pytest.approx(3, rel=0.01)


def test_the_header_of_a_wav_from_a_pipe_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", steps(), RATE_HZ)
    wav = bytearray((tmp_path / "a.wav").read_bytes())
    wav[4:8] = wav[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(wav)
    header, sound = decoded(tmp_path / "a.wav")
    assert math.isnan(header.length_s)
    np.testing.assert_array_equal(sound, steps())


def test_a_block_of_many_channels_is_as_small_as_one_of_few(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", steps(500, channels=1000), RATE_HZ)
    with audio.decoding(tmp_path / "a.wav") as (header, blocks):
        sizes = [block.size for block in blocks]
    assert header.channels == 1000
    assert max(sizes) <= audio.BLOCK_SAMPLES
    assert sum(sizes) == 500 * 1000


@given(st.integers(1, 5), st.integers(1, 50))
def test_mono_is_the_mean_of_the_channels(channels: int, frames: int) -> None:
    block = steps(frames, channels=channels)
    np.testing.assert_allclose(audio.to_mono(block), block.mean(axis=1), atol=1e-6)


def test_a_tone_keeps_its_frequency_and_level_at_another_rate() -> None:
    seconds = np.arange(RATE_HZ) / RATE_HZ
    sound = audio.to_rate(np.sin(2 * np.pi * 440 * seconds).astype(np.float32), rate_hz=RATE_HZ, to_hz=16_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(sound[200:-200], expected[200:-200], atol=1e-3)


def test_a_tone_above_the_new_band_is_gone_and_not_folded() -> None:
    seconds = np.arange(RATE_HZ) / RATE_HZ
    sound = audio.to_rate(np.sin(2 * np.pi * 12_000 * seconds).astype(np.float32), rate_hz=RATE_HZ, to_hz=16_000)
    assert np.abs(sound[200:-200]).max() < 1e-4


def test_a_clip_is_16_bit_wav_with_zeros_to_its_length_and_clipped_at_full_scale() -> None:
    wav = audio.to_wav(np.array([0, 0.5, -0.5, 1.5, -1.5], np.float32), rate_hz=16_000, frames=8)
    clip, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert rate_hz == 16_000
    assert soundfile.info(io.BytesIO(wav)).subtype == "PCM_16"
    assert clip.tolist() == [0, 16384, -16384, 32767, -32768, 0, 0, 0]
