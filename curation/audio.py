"""Decode recordings in blocks, mix and resample them, encode clips: sound in, sound out."""

import io
import math
import os
import re
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import soundfile
import soxr
from av.container import InputContainer
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

BLOCK_SAMPLES = 2**15  # of all channels together: bounds the memory of a decode, and fits the processor's cache
FULL_SCALE = 2**15  # of a 16-bit sample
BROKEN = (soundfile.LibsndfileError, av.FFmpegError)  # what blocks raise where the data cannot be decoded
# FFmpeg opens only these: not playlists and scripts, which could make it read other files or the network.
DEMUXERS = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
_PROMISED = re.compile(r": (\d+) \(should be (\d+)\)")  # in libsndfile's log: a size in the header against the file's
_NO_PROMISE = 2**31 - 2**16  # bytes; a writer to a pipe puts such a size in the header because it cannot know better


class UnusableError(Exception):
    """A recording makes no clip: why, as one word and as a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Header:
    """What the header of a recording says."""

    rate_hz: int
    channels: int
    codec: str  # container/encoding
    length_s: float  # NaN: it does not say


@contextmanager
def decoding(path: Path) -> Iterator[tuple[Header, Iterator[Samples]]]:
    """Open the recording `path`, by libsndfile or else by FFmpeg.

    Yields:
        Its header, and its sound in blocks of shape (frames, channels), full scale 1. A block is valid until the next
        one is asked for. Where the data break off, asking raises one of `BROKEN`.

    Raises:
        UnusableError: neither library can open it, or no sound is in it.
    """
    try:
        sound = soundfile.SoundFile(os.open(path, os.O_RDONLY))  # by content: a name ending in .raw would be believed
    except soundfile.LibsndfileError:
        with _ffmpeg(path) as opened:
            yield opened
    except OSError as error:
        raise UnusableError("unreadable", f"The file cannot be opened: {error.strerror}.") from error
    else:
        with sound:
            yield _header(sound), _blocks(sound)


def _header(sound: soundfile.SoundFile) -> Header:
    length_s = sound.frames / sound.samplerate
    if size := _PROMISED.search(sound.extra_info):
        promised, found = map(int, size.groups())
        length_s *= max(1.0, promised / max(found, 1)) if promised < _NO_PROMISE else math.nan
    codec = f"{sound.format}/{sound.subtype}".lower()
    return Header(sound.samplerate, sound.channels, codec, length_s)


def _blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    buffer = np.empty((max(1, BLOCK_SAMPLES // sound.channels), sound.channels), np.float32)
    while frames := sound.buffer_read_into(buffer, "float32"):
        yield buffer[:frames]


@contextmanager
def _ffmpeg(path: Path) -> Iterator[tuple[Header, Iterator[Samples]]]:
    try:
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
        container = av.open(str(path.absolute()), options=options, metadata_errors="ignore")
    except av.FFmpegError as error:
        detail = f"Neither libsndfile nor FFmpeg can open it: {error.strerror}."
        raise UnusableError("unreadable", detail) from error
    with container:
        stream = next((stream for stream in container.streams.audio if stream.codec_context), None)
        if stream is None:
            raise UnusableError("unreadable", "There is no sound in it that FFmpeg can decode.")
        context = stream.codec_context
        codec = f"{container.format.name.split(',')[0]}/{context.name}"
        header = Header(context.sample_rate, context.channels, codec, _length_s(container, stream))
        yield header, _ffmpeg_blocks(container, stream, header)


def _length_s(container: InputContainer, stream: av.AudioStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return math.nan


def _ffmpeg_blocks(container: InputContainer, stream: av.AudioStream, header: Header) -> Iterator[Samples]:
    to_float = av.AudioResampler(format="flt")
    for frame in container.decode(stream):
        kind = frame.sample_rate, frame.layout.nb_channels, frame.format.name
        if kind != (header.rate_hz, header.channels, stream.codec_context.format.name):
            raise UnusableError("unreadable", "Its sample rate, channels or encoding change in the middle.")
        for packed in to_float.resample(frame):
            samples: Samples = packed.to_ndarray().view(np.float32)
            yield samples.reshape(-1, header.channels)


def to_mono(block: Samples) -> Samples:
    """Return the mean of the channels of a block (frames, channels), shape (frames,); may share its memory."""
    channels = block.shape[1]
    return block[:, 0] if channels == 1 else block @ np.full(channels, 1 / channels, np.float32)


def to_rate(sound: Samples, *, rate_hz: float, to_hz: float) -> Samples:
    """Return mono `sound` (n,) of `rate_hz` at `to_hz`: about n * to_hz / rate_hz samples, band-limited by soxr HQ."""
    return sound if rate_hz == to_hz else soxr.resample(sound, rate_hz, to_hz, quality="HQ")


def at_speed(sound: Samples, speed: float) -> Samples:
    """Return mono `sound` (n,) as of a tape that runs at `speed`: shorter and higher, both by this factor."""
    return to_rate(sound, rate_hz=speed, to_hz=1)


def to_16_bit(sound: Samples) -> NDArray[np.int16]:
    """Return `sound` as 16-bit samples, little-endian, rounded; what exceeds full scale is clipped."""
    scaled = sound * np.float32(FULL_SCALE)
    np.rint(scaled, out=scaled)
    return scaled.clip(-FULL_SCALE, FULL_SCALE - 1, out=scaled).astype("<i2")


def to_wav(sound: Samples, *, rate_hz: int, frames: int) -> bytes:
    """Return mono `sound` (n <= frames,), with zeros after it, as 16-bit WAV; what exceeds full scale is clipped."""
    clip = np.zeros(frames, np.int16)
    clip[: len(sound)] = to_16_bit(sound)
    content = io.BytesIO()
    with wave.open(content, "wb") as wav:  # faster than libsndfile
        wav.setnchannels(1)
        wav.setsampwidth(clip.itemsize)
        wav.setframerate(rate_hz)
        wav.setnframes(frames)
        wav.writeframesraw(clip.data)
    return content.getvalue()
